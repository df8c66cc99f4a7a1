package io.motanmesh.web;

import static io.motanmesh.web.Main.check;

import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

/** grpc-java with the service of the interoperability tests, whose few messages are written by hand. */
final class Grpc {
    private static final int[] ASKED = {31415, 9, 2653, 58979};
    private static final int[] SENT = {27182, 8, 1828, 45904};

    private final ManagedChannel channel;

    Grpc(String target) {
        this.channel = ManagedChannelBuilder.forTarget(target).usePlaintext().build();
    }

    Map<String, Main.Case> cases() {
        Map<String, Main.Case> cases = new LinkedHashMap<>();
        cases.put("empty unary", this::emptyUnary);
        cases.put("large unary", () -> largeUnary(within()));
        cases.put("compressed", () -> largeUnary(within().withCompression("gzip")));
        cases.put("client streaming", this::clientStreaming);
        cases.put("server streaming", this::serverStreaming);
        cases.put("ping pong", this::pingPong);
        cases.put("empty stream", this::emptyStream);
        cases.put("deadline", this::deadline);
        cases.put("cancel", this::cancel);
        cases.put("status", this::status);
        cases.put("metadata", this::metadata);
        cases.put("unimplemented", this::unimplemented);
        return cases;
    }

    private void emptyUnary() {
        byte[] answer = unary("EmptyCall", within(), new byte[0]);
        check(answer.length == 0, "a message of " + answer.length);
    }

    private void largeUnary(CallOptions options) {
        byte[] answer = unary("UnaryCall", options, join(number(2, 314159), bytes(3, payload(271828))));
        check(Arrays.equals(answer, sized(314159)), answer.length + " other bytes");
    }

    private void clientStreaming() throws Exception {
        Replies replies = new Replies();
        StreamObserver<byte[]> asking = ClientCalls.asyncClientStreamingCall(
                channel.newCall(method(MethodType.CLIENT_STREAMING, "StreamingInputCall"), within()), replies);
        int sum = 0;
        for (int size : SENT) {
            asking.onNext(bytes(1, payload(size)));
            sum += size;
        }
        asking.onCompleted();
        byte[] answer = replies.next();
        check(Arrays.equals(answer, number(1, sum)), Arrays.toString(answer));
    }

    private void serverStreaming() {
        byte[] asked = new byte[0];
        for (int size : ASKED) {
            asked = join(asked, bytes(2, number(1, size)));
        }
        Iterator<byte[]> answers = ClientCalls.blockingServerStreamingCall(
                channel, method(MethodType.SERVER_STREAMING, "StreamingOutputCall"), within(), asked);
        for (int size : ASKED) {
            check(Arrays.equals(answers.next(), sized(size)), size);
        }
        check(!answers.hasNext(), "more messages");
    }

    private StreamObserver<byte[]> conversation(CallOptions options, Replies replies) {
        return ClientCalls.asyncBidiStreamingCall(
                channel.newCall(method(MethodType.BIDI_STREAMING, "FullDuplexCall"), options), replies);
    }

    /** Sends the next message only when the one before is answered. */
    private void pingPong() throws Exception {
        Replies replies = new Replies();
        StreamObserver<byte[]> asking = conversation(within(), replies);
        for (int index = 0; index < ASKED.length; index++) {
            asking.onNext(join(bytes(2, number(1, ASKED[index])), bytes(3, payload(SENT[index]))));
            check(Arrays.equals(replies.next(), sized(ASKED[index])), index);
        }
        asking.onCompleted();
        check(replies.next() == null, "more messages");
    }

    private void emptyStream() throws Exception {
        Replies replies = new Replies();
        conversation(within(), replies).onCompleted();
        check(replies.next() == null, "a message");
    }

    private void deadline() throws Exception {
        Replies replies = new Replies();
        conversation(CallOptions.DEFAULT.withDeadlineAfter(500, TimeUnit.MILLISECONDS), replies);
        refused(Status.Code.DEADLINE_EXCEEDED, replies::next);
    }

    private void cancel() throws Exception {
        Replies replies = new Replies();
        StreamObserver<byte[]> asking = conversation(within(), replies);
        asking.onNext(bytes(2, number(1, 9)));
        check(Arrays.equals(replies.next(), sized(9)), "other bytes");
        asking.onError(Status.CANCELLED.asException());
        refused(Status.Code.CANCELLED, replies::next);
    }

    private void status() throws Exception {
        String odd = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \ud83d\ude08\t\n";
        for (String words : new String[] {"test status message", odd}) {
            byte[] asked = bytes(7, join(number(1, 2), bytes(2, words.getBytes("UTF-8"))));
            Status found = refused(Status.Code.UNKNOWN, () -> unary("UnaryCall", within(), asked));
            check(words.equals(found.getDescription()), found);
        }
    }

    private void metadata() {
        Metadata.Key<String> initial = Metadata.Key.of("x-grpc-test-echo-initial", Metadata.ASCII_STRING_MARSHALLER);
        Metadata.Key<byte[]> trailing =
                Metadata.Key.of("x-grpc-test-echo-trailing-bin", Metadata.BINARY_BYTE_MARSHALLER);
        Metadata sent = new Metadata();
        sent.put(initial, "initial");
        sent.put(trailing, new byte[] {(byte) 0xab, (byte) 0xab, (byte) 0xab});
        AtomicReference<Metadata> headers = new AtomicReference<>();
        AtomicReference<Metadata> trailers = new AtomicReference<>();
        ClientCalls.blockingUnaryCall(
                io.grpc.ClientInterceptors.intercept(
                        channel,
                        MetadataUtils.newAttachHeadersInterceptor(sent),
                        MetadataUtils.newCaptureMetadataInterceptor(headers, trailers)),
                method(MethodType.UNARY, "UnaryCall"),
                within(),
                number(2, 1));
        check("initial".equals(headers.get().get(initial)), headers.get());
        check(Arrays.equals(sent.get(trailing), trailers.get().get(trailing)), trailers.get());
    }

    private void unimplemented() throws Exception {
        refused(Status.Code.UNIMPLEMENTED, () -> unary("UnimplementedCall", within(), new byte[0]));
    }

    private static Status refused(Status.Code code, Main.Case call) throws Exception {
        try {
            call.run();
        } catch (StatusRuntimeException refused) {
            check(refused.getStatus().getCode() == code, refused.getStatus());
            return refused.getStatus();
        }
        throw new IllegalStateException("no " + code);
    }

    private byte[] unary(String name, CallOptions options, byte[] asked) {
        return ClientCalls.blockingUnaryCall(channel, method(MethodType.UNARY, name), options, asked);
    }

    private static CallOptions within() {
        return CallOptions.DEFAULT.withDeadlineAfter(Main.PATIENCE, TimeUnit.SECONDS);
    }

    private static MethodDescriptor<byte[], byte[]> method(MethodType type, String name) {
        return MethodDescriptor.<byte[], byte[]>newBuilder()
                .setType(type)
                .setFullMethodName("grpc.testing.TestService/" + name)
                .setRequestMarshaller(new Raw())
                .setResponseMarshaller(new Raw())
                .build();
    }

    /** Messages as the bytes that they are. */
    private static final class Raw implements MethodDescriptor.Marshaller<byte[]> {
        @Override
        public InputStream stream(byte[] value) {
            return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
            try {
                return stream.readAllBytes();
            } catch (IOException broken) {
                throw new UncheckedIOException(broken);
            }
        }
    }

    /** What comes back: messages, and the end. */
    private static final class Replies implements StreamObserver<byte[]> {
        private final BlockingQueue<List<Object>> come = new LinkedBlockingQueue<>();

        @Override
        public void onNext(byte[] value) {
            come.add(List.of(value));
        }

        @Override
        public void onError(Throwable error) {
            come.add(List.of(Status.fromThrowable(error)));
        }

        @Override
        public void onCompleted() {
            come.add(new ArrayList<>());
        }

        /** The next message, or nothing where the stream has ended. */
        byte[] next() throws InterruptedException {
            List<Object> next = come.take();
            if (next.isEmpty()) {
                return null;
            }
            if (next.get(0) instanceof Status refused) {
                throw refused.asRuntimeException();
            }
            return (byte[]) next.get(0);
        }
    }

    // The wire format of Protocol Buffers, as far as these messages need it.

    private static byte[] payload(int size) {
        return bytes(2, new byte[size]);
    }

    /** What the service answers when so many bytes are asked for. */
    private static byte[] sized(int size) {
        return bytes(1, payload(size));
    }

    private static byte[] number(int field, int value) {
        return join(varint(field << 3), varint(value));
    }

    private static byte[] bytes(int field, byte[] value) {
        return join(varint(field << 3 | 2), varint(value.length), value);
    }

    private static byte[] varint(int value) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        int rest = value;
        while (rest > 0x7f) {
            out.write(rest & 0x7f | 0x80);
            rest >>>= 7;
        }
        out.write(rest);
        return out.toByteArray();
    }

    private static byte[] join(byte[]... parts) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }
}
