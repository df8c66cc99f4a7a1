package io.motanmesh.peers;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Map;

/** The service, as a program would write it. */
public class ProbeService implements Probe {
    private final String name;

    public ProbeService(String name) {
        this.name = name;
    }

    @Override
    public String who() {
        return name;
    }

    @Override
    public String echo(String text) {
        return text;
    }

    @Override
    public byte[] bytes(byte[] bytes) {
        return bytes;
    }

    @Override
    public byte[] fill(long length) {
        return Values.pattern((int) length);
    }

    @Override
    public Map<Object, Object> tree(Map<Object, Object> tree) {
        return tree;
    }

    @Override
    public long sum(long first, long second) {
        return first + second;
    }

    @Override
    public void nothing() {}

    @Override
    public String fail(String text) throws Refusal {
        throw new Refusal(text);
    }

    @Override
    public String slow(long millis) throws InterruptedException {
        Thread.sleep(millis);
        return "slept " + millis;
    }

    @Override
    public Parcel turn(Parcel parcel) {
        var content = new ArrayList<>(parcel.getContent());
        Collections.reverse(content);
        parcel.setContent(content);
        return parcel;
    }
}
