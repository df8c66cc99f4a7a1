package io.motanmesh.peers;

import java.util.Arrays;

/** The words of motan-java-peer; ../README.md says how it is used. */
public final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        var rest = Arrays.copyOfRange(args, Math.min(1, args.length), args.length);
        switch (args.length == 0 ? "" : args[0]) {
            case "server" -> Server.run(new Flags(rest));
            case "client" -> Client.run(System.in, System.out);
            default -> {
                System.err.println("usage: motan-java-peer server|client [-flag value ...]");
                System.exit(2);
            }
        }
    }
}
