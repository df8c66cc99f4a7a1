package io.motanmesh.web;

import static io.motanmesh.web.Main.check;
import static io.motanmesh.web.Main.pattern;
import static io.motanmesh.web.Main.sha256;

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.WebSocket;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/** {@code java.net.http.HttpClient}: by HTTP/1.1, or as it comes, which asks each server to go on by HTTP/2. */
final class Client {
    private static final int LARGE = 3 << 20;

    private final String base;
    private final HttpClient client;
    private final boolean second;

    Client(URI base, boolean second) {
        this.base = base.toString();
        this.second = second;
        this.client = HttpClient.newBuilder()
                .version(second ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1)
                .proxy(java.net.ProxySelector.getDefault())
                .build();
    }

    Map<String, Main.Case> cases() {
        Map<String, Main.Case> cases = new LinkedHashMap<>();
        cases.put("get", this::get);
        cases.put("head", this::head);
        cases.put("post", this::post);
        cases.put("statuses", this::statuses);
        cases.put("cookies", this::cookies);
        cases.put("many", this::many);
        cases.put("large upload", this::largeUpload);
        cases.put("large download", this::largeDownload);
        cases.put("chunked upload", this::chunkedUpload);
        cases.put("expect continue", this::expectContinue);
        cases.put("events", this::events);
        if (!second) {
            cases.put("websocket", this::websocket);
        }
        return cases;
    }

    private HttpRequest.Builder to(String path) {
        return HttpRequest.newBuilder(URI.create(base + path));
    }

    private <T> HttpResponse<T> send(HttpRequest.Builder request, HttpResponse.BodyHandler<T> how, int status)
            throws Exception {
        HttpResponse<T> answer = client.send(request.build(), how);
        check(answer.statusCode() == status, answer.statusCode() + " instead of " + status + ": " + answer.body());
        return answer;
    }

    private String text(HttpRequest.Builder request) throws Exception {
        return send(request, BodyHandlers.ofString(), 200).body();
    }

    private void get() throws Exception {
        String seen = text(to("/echo?a=1&b=%20x&c").header("X-Twice", "one").header("X-Twice", "two"));
        check(seen.contains("\"method\":\"GET\"") && seen.contains("\"length\":0"), seen);
        check(seen.contains("\"uri\":\"/echo?a=1\\u0026b=%20x\\u0026c\""), seen);
        check(seen.contains("\"host\":\"" + URI.create(base).getAuthority() + "\""), seen);
        check(seen.contains("\"x-twice\":[\"one\",\"two\"]"), seen);
    }

    private void head() throws Exception {
        HttpRequest.Builder request = to("/who").method("HEAD", BodyPublishers.noBody());
        check(text(request).isEmpty(), "a body");
    }

    private void post() throws Exception {
        String body = "some words ".repeat(100);
        String seen = text(to("/echo").header("Content-Type", "text/x-words").POST(BodyPublishers.ofString(body)));
        check(seen.contains(sha256(body.getBytes())) && seen.contains("\"content-type\":[\"text/x-words\"]"), seen);
    }

    private void statuses() throws Exception {
        for (int status : new int[] {200, 204, 304, 404, 418, 503}) {
            String body = send(to("/status?code=" + status), BodyHandlers.ofString(), status).body();
            check(body.isEmpty() == (status == 204 || status == 304), status + ": " + body);
        }
    }

    private void cookies() throws Exception {
        List<String> cookies = send(to("/cookies"), BodyHandlers.ofString(), 200).headers().allValues("Set-Cookie");
        check(cookies.equals(List.of("a=1; Path=/", "b=2; Path=/")), cookies);
    }

    private void many() throws Exception {
        for (int number = 0; number < 50; number++) {
            String body = "number " + number;
            String seen = text(to("/echo").POST(BodyPublishers.ofString(body)));
            check(seen.contains(sha256(body.getBytes())), seen);
        }
    }

    private void largeUpload() throws Exception {
        String seen = text(to("/echo").POST(BodyPublishers.ofByteArray(pattern(LARGE))));
        check(seen.contains(sha256(pattern(LARGE))), seen);
    }

    private void largeDownload() throws Exception {
        byte[] body = send(to("/fill?bytes=" + LARGE), BodyHandlers.ofByteArray(), 200).body();
        check(Arrays.equals(body, pattern(LARGE)), body.length + " other bytes");
    }

    private void chunkedUpload() throws Exception {
        InputStream body = new ByteArrayInputStream(pattern(LARGE));
        String seen = text(to("/echo").POST(BodyPublishers.ofInputStream(() -> body)));
        check(seen.contains(sha256(pattern(LARGE))), seen);
    }

    private void expectContinue() throws Exception {
        String seen = text(to("/echo").expectContinue(true).POST(BodyPublishers.ofString("go on")));
        check(seen.contains(sha256("go on".getBytes())), seen);
    }

    /** Asks for the next event only when the one before has come. */
    private void events() throws Exception {
        String id = UUID.randomUUID().toString();
        InputStream body = send(to("/events?id=" + id), BodyHandlers.ofInputStream(), 200).body();
        try (BufferedReader lines = new BufferedReader(new InputStreamReader(body))) {
            for (int event = 0; event < 3; event++) {
                String line = lines.readLine();
                check(("data: " + event).equals(line), line);
                lines.readLine();
                if (event < 2) {
                    send(to("/next?id=" + id).POST(BodyPublishers.noBody()), BodyHandlers.discarding(), 204);
                }
            }
            check(lines.readLine() == null, "more than three events");
        }
    }

    private void websocket() throws Exception {
        CompletableFuture<String> back = new CompletableFuture<>();
        WebSocket.Listener listener = new WebSocket.Listener() {
            private final StringBuilder text = new StringBuilder();

            @Override
            public CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
                text.append(data);
                if (text.length() == 5) {
                    back.complete(text.toString());
                }
                socket.request(1);
                return null;
            }

            @Override
            public void onError(WebSocket socket, Throwable error) {
                back.completeExceptionally(error);
            }
        };
        URI address = URI.create(base.replaceFirst("^http", "ws") + "/socket");
        WebSocket socket = client.newWebSocketBuilder().buildAsync(address, listener).get();
        socket.sendText("hello", true).get();
        check(back.get().equals("hello"), back);
        socket.abort();
    }
}
