package io.motanmesh.peers;

import java.util.Map;

/** The service of all peers. Motan finds a method by its name where the caller gave no parameter types, so no two share one. */
public interface Probe {
    /** The name of the server. */
    String who();

    String echo(String text);

    byte[] bytes(byte[] bytes);

    /** So many bytes 0, 1, … 250, 0, 1, … */
    byte[] fill(long length);

    Map<Object, Object> tree(Map<Object, Object> tree);

    long sum(long first, long second);

    void nothing();

    /** Throws what a program declares. */
    String fail(String text) throws Refusal;

    /** Answers after so many milliseconds. */
    String slow(long millis) throws InterruptedException;

    /** The parcel with its content turned around. Java only: other peers have no such type. */
    Parcel turn(Parcel parcel);
}
