package io.motanmesh.peers;

/** An exception that the service declares: a business exception to Motan. */
public class Refusal extends Exception {
    private static final long serialVersionUID = 1;

    public Refusal(String message) {
        super(message);
    }
}
