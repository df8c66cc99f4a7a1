package io.motanmesh.peers;

import java.io.Serializable;
import java.util.Date;
import java.util.List;

/** An object of an application, with the kinds of fields that serializations differ in. */
public class Parcel implements Serializable {
    private static final long serialVersionUID = 1;

    private String label;
    private int weight;
    private Date sent;
    private List<String> content;

    public String getLabel() {
        return label;
    }

    public void setLabel(String label) {
        this.label = label;
    }

    public int getWeight() {
        return weight;
    }

    public void setWeight(int weight) {
        this.weight = weight;
    }

    public Date getSent() {
        return sent;
    }

    public void setSent(Date sent) {
        this.sent = sent;
    }

    public List<String> getContent() {
        return content;
    }

    public void setContent(List<String> content) {
        this.content = content;
    }
}
