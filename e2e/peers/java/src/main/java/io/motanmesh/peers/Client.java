package io.motanmesh.peers;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONArray;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.serializer.SerializerFeature;
import com.weibo.api.motan.exception.MotanAbstractException;
import com.weibo.api.motan.exception.MotanBizException;
import com.weibo.api.motan.exception.MotanServiceException;
import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.UndeclaredThrowableException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Reads calls, a JSON object a line, and prints what came of each, a line each, in order. */
final class Client {
    /** How long many calls together may take, in minutes: a test has given up by then. */
    private static final int LONGEST = 5;

    private Client() {}

    static void run(InputStream input, PrintStream output) throws Exception {
        var callers = new Callers();
        var lines = new BufferedReader(new InputStreamReader(input, StandardCharsets.UTF_8));
        var out = new PrintStream(output, true, StandardCharsets.UTF_8);
        // What the libraries print is no answer.
        System.setOut(System.err);
        for (var line = lines.readLine(); line != null; line = lines.readLine()) {
            var asked = JSON.parseObject(line);
            var answer = asked.getIntValue("calls") > 0 ? many(callers.of(asked), asked) : once(callers.of(asked), asked);
            out.println(JSON.toJSONString(answer, SerializerFeature.WriteMapNullValue));
        }
        // The library's threads would keep the process.
        System.exit(0);
    }

    private static Map<String, Object> once(Callers.Caller caller, JSONObject asked) {
        var args = asked.getJSONArray("args");
        return call(caller, asked.getString("method"), args == null ? new JSONArray() : args);
    }

    private static Map<String, Object> call(Callers.Caller caller, String method, JSONArray args) {
        var answer = new TreeMap<String, Object>();
        answer.put("result", null);
        var start = System.nanoTime();
        try {
            answer.put("result", Values.result(invoke(caller, method, args)));
            answer.put("ok", true);
        } catch (Throwable thrown) {
            answer.put("ok", false);
            tell(thrown, answer);
        }
        answer.put("tookMs", TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - start));
        return answer;
    }

    private static Object invoke(Callers.Caller caller, String name, JSONArray args) throws Throwable {
        var method = caller.typed() == null ? null : method(name);
        if (method == null) {
            return caller.untyped().call(name, args.stream().map(Values::plain).toArray(), String.class);
        }
        var types = method.getParameterTypes();
        var values = new Object[types.length];
        Arrays.setAll(values, i -> Values.argument(args.get(i), types[i]));
        try {
            return method.invoke(caller.typed(), values);
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause();
        }
    }

    private static Method method(String name) {
        return Arrays.stream(Probe.class.getMethods()).filter(method -> method.getName().equals(name)).findAny().orElse(null);
    }

    private static void tell(Throwable thrown, Map<String, Object> answer) {
        var told = thrown instanceof UndeclaredThrowableException undeclared ? undeclared.getCause() : thrown;
        answer.put("exception", told.getClass().getName());
        answer.put("message", told.getMessage());
        if (told instanceof MotanAbstractException exception) {
            answer.put("code", exception.getErrorCode());
            answer.put("type", told instanceof MotanBizException ? 2 : told instanceof MotanServiceException ? 1 : 0);
            answer.put("message", exception.getOriginMessage());
        }
        if (told.getCause() != null) {
            answer.put("cause", told.getCause().toString());
        }
    }

    /** Many calls with a text of its own each, so that answers that were mixed up are seen. */
    private static Map<String, Object> many(Callers.Caller caller, JSONObject asked) throws InterruptedException {
        int calls = asked.getIntValue("calls");
        long pause = asked.getLongValue("everyMs");
        AtomicInteger right = new AtomicInteger();
        AtomicInteger wrong = new AtomicInteger();
        var errors = new TreeMap<String, Integer>();
        var workers = Executors.newFixedThreadPool(Math.max(1, asked.getIntValue("workers")));
        for (int i = 0; i < calls; i++) {
            var text = "call " + i;
            workers.execute(() -> {
                var answer = call(caller, asked.getString("method"), new JSONArray(Arrays.asList((Object) text)));
                if (answer.get("ok").equals(false)) {
                    synchronized (errors) {
                        errors.merge(String.valueOf(answer.get("message")), 1, Integer::sum);
                    }
                } else {
                    (text.equals(answer.get("result")) ? right : wrong).incrementAndGet();
                }
                sleep(pause);
            });
        }
        workers.shutdown();
        workers.awaitTermination(LONGEST, TimeUnit.MINUTES);
        int failed = errors.values().stream().mapToInt(Integer::intValue).sum();
        return Map.of("calls", calls, "right", right.get(), "wrong", wrong.get(), "failed", failed, "errors", errors);
    }

    private static void sleep(long millis) {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
    }
}
