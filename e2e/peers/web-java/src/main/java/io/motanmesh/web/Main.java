package io.motanmesh.web;

import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Java's own web clients, and grpc-java: {@code ../README.md} says how it is used and what the cases are. */
public final class Main {
    /** How long a case may take, seconds. */
    static final int PATIENCE = 10;

    private Main() {}

    /** One thing to show: it throws where it does not come out. */
    interface Case {
        void run() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        if (args.length < 2) {
            System.err.println("usage: web-java-peer client|client2|connection URL [CASE...]");
            System.err.println("       web-java-peer grpc HOST:PORT [CASE...]");
            System.exit(2);
        }
        List<String> wanted = List.of(args).subList(2, args.length);
        Map<String, Case> cases = switch (args[0]) {
            case "client", "client2" -> new Client(URI.create(args[1]), args[0].equals("client2")).cases();
            case "connection" -> new Connection(args[1]).cases();
            case "grpc" -> new Grpc(args[1]).cases();
            default -> throw new IllegalArgumentException(args[0]);
        };
        ExecutorService runner = Executors.newCachedThreadPool();
        for (Map.Entry<String, Case> each : cases.entrySet()) {
            if (wanted.isEmpty() || wanted.contains(each.getKey())) {
                System.out.println(line(each.getKey(), runner, each.getValue()));
            }
        }
        System.exit(0); // what failed may have left threads
    }

    private static String line(String name, ExecutorService runner, Case run) throws InterruptedException {
        Callable<Void> task = () -> {
            run.run();
            return null;
        };
        Future<Void> running = runner.submit(task);
        try {
            running.get(PATIENCE, TimeUnit.SECONDS);
            return "{\"case\":\"" + name + "\",\"ok\":true}";
        } catch (ExecutionException | TimeoutException failed) {
            running.cancel(true);
            Throwable cause = failed.getCause() == null ? failed : failed.getCause();
            return "{\"case\":\"" + name + "\",\"ok\":false,\"why\":\"" + escaped(cause.toString()) + "\"}";
        }
    }

    private static String escaped(String text) {
        StringBuilder out = new StringBuilder();
        for (char letter : text.substring(0, Math.min(text.length(), 1000)).toCharArray()) {
            boolean plain = letter >= ' ' && letter < 127 && letter != '"' && letter != '\\';
            out.append(plain ? String.valueOf(letter) : String.format("\\u%04x", (int) letter));
        }
        return out.toString();
    }

    static void check(boolean holds, Object seen) {
        if (!holds) {
            throw new IllegalStateException(String.valueOf(seen));
        }
    }

    /** So many bytes 0, 1, … 250, 0, 1, … */
    static byte[] pattern(int bytes) {
        byte[] out = new byte[bytes];
        for (int index = 0; index < bytes; index++) {
            out[index] = (byte) (index % 251);
        }
        return out;
    }

    /** What {@code /echo} says of a body like this one. */
    static String sha256(byte[] bytes) throws Exception {
        List<String> digits = new ArrayList<>();
        for (byte each : java.security.MessageDigest.getInstance("SHA-256").digest(bytes)) {
            digits.add(String.format("%02x", each));
        }
        return "\"sha256\":\"" + String.join("", digits) + "\"";
    }
}
