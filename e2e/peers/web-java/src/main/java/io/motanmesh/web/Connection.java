package io.motanmesh.web;

import static io.motanmesh.web.Main.check;
import static io.motanmesh.web.Main.pattern;
import static io.motanmesh.web.Main.sha256;

import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** {@code java.net.HttpURLConnection}, which goes where {@code http.proxyHost} says. */
final class Connection {
    private static final int LARGE = 3 << 20;

    private final String base;

    Connection(String base) {
        this.base = base;
    }

    Map<String, Main.Case> cases() {
        Map<String, Main.Case> cases = new LinkedHashMap<>();
        cases.put("get", this::get);
        cases.put("head", this::head);
        cases.put("post", this::post);
        cases.put("statuses", this::statuses);
        cases.put("cookies", this::cookies);
        cases.put("many", this::many);
        cases.put("large upload", () -> upload(false));
        cases.put("large download", this::largeDownload);
        cases.put("chunked upload", () -> upload(true));
        cases.put("events", this::events);
        return cases;
    }

    private HttpURLConnection to(String path) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) URI.create(base + path).toURL().openConnection();
        connection.setReadTimeout(Main.PATIENCE * 1000);
        return connection;
    }

    private static byte[] body(HttpURLConnection connection, int status) throws Exception {
        int found = connection.getResponseCode();
        try (InputStream body = found < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            byte[] bytes = body == null ? new byte[0] : body.readAllBytes();
            check(found == status, found + " instead of " + status + ": " + new String(bytes));
            return bytes;
        }
    }

    private static String sent(HttpURLConnection connection, byte[] body) throws Exception {
        connection.setDoOutput(true);
        try (OutputStream out = connection.getOutputStream()) {
            out.write(body);
        }
        return new String(body(connection, 200));
    }

    private void get() throws Exception {
        HttpURLConnection connection = to("/echo?a=1&b=%20x&c");
        connection.addRequestProperty("X-One", "1");
        String seen = new String(body(connection, 200));
        check(seen.contains("\"method\":\"GET\"") && seen.contains("\"x-one\":[\"1\"]"), seen);
        check(seen.contains("\"uri\":\"/echo?a=1\\u0026b=%20x\\u0026c\""), seen);
        check(seen.contains("\"host\":\"" + URI.create(base).getAuthority() + "\""), seen);
    }

    private void head() throws Exception {
        HttpURLConnection connection = to("/who");
        connection.setRequestMethod("HEAD");
        check(body(connection, 200).length == 0, "a body");
    }

    private void post() throws Exception {
        byte[] body = "some words ".repeat(100).getBytes();
        String seen = sent(to("/echo"), body);
        check(seen.contains(sha256(body)), seen);
    }

    private void statuses() throws Exception {
        for (int status : new int[] {200, 204, 304, 404, 418, 503}) {
            byte[] body = body(to("/status?code=" + status), status);
            check((body.length == 0) == (status == 204 || status == 304), status + ": " + new String(body));
        }
    }

    private void cookies() throws Exception {
        HttpURLConnection connection = to("/cookies");
        body(connection, 200);
        // The map tells upper from lower case, which HTTP does not.
        List<String> cookies = connection.getHeaderFields().entrySet().stream()
                .filter(field -> "set-cookie".equalsIgnoreCase(field.getKey()))
                .flatMap(field -> field.getValue().stream())
                .toList();
        check(cookies.size() == 2 && cookies.containsAll(List.of("a=1; Path=/", "b=2; Path=/")), cookies);
    }

    private void many() throws Exception {
        for (int number = 0; number < 50; number++) {
            byte[] body = ("number " + number).getBytes();
            String seen = sent(to("/echo"), body);
            check(seen.contains(sha256(body)), seen);
        }
    }

    private void upload(boolean chunked) throws Exception {
        HttpURLConnection connection = to("/echo");
        if (chunked) {
            connection.setChunkedStreamingMode(16 << 10);
        } else {
            connection.setFixedLengthStreamingMode(LARGE);
        }
        String seen = sent(connection, pattern(LARGE));
        check(seen.contains(sha256(pattern(LARGE))), seen);
    }

    private void largeDownload() throws Exception {
        byte[] body = body(to("/fill?bytes=" + LARGE), 200);
        check(Arrays.equals(body, pattern(LARGE)), body.length + " other bytes");
    }

    /** Asks for the next event only when the one before has come. */
    private void events() throws Exception {
        String id = UUID.randomUUID().toString();
        HttpURLConnection listening = to("/events?id=" + id);
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(listening.getInputStream()))) {
            for (int event = 0; event < 3; event++) {
                String line = lines.readLine();
                check(("data: " + event).equals(line), line);
                lines.readLine();
                if (event < 2) {
                    HttpURLConnection next = to("/next?id=" + id);
                    next.setRequestMethod("POST");
                    body(next, 204);
                }
            }
            check(lines.readLine() == null, "more than three events");
        }
    }
}
