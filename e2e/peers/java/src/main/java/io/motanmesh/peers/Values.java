package io.motanmesh.peers;

import com.alibaba.fastjson.JSONArray;
import com.alibaba.fastjson.JSONObject;
import com.alibaba.fastjson.util.TypeUtils;
import java.math.BigDecimal;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Between JSON and what the library is given and gives. */
final class Values {
    /** Longer texts are printed by length and hash, in bytes. */
    private static final int LONGEST = 1024;

    private Values() {}

    /** An argument for a parameter of this type. */
    static Object argument(Object json, Class<?> type) {
        var value = plain(json);
        if (value == null || type.isInstance(value)) {
            return value;
        }
        return type == Parcel.class ? ((JSONObject) json).toJavaObject(Parcel.class) : TypeUtils.castToJavaBean(value, type);
    }

    /** Plain Java: whole numbers are long, long values are written as their recipe. */
    static Object plain(Object json) {
        if (json instanceof JSONObject object) {
            if (object.containsKey("$times")) {
                return object.getString("$text").repeat(object.getIntValue("$times"));
            }
            if (object.containsKey("$bytes")) {
                return pattern(object.getIntValue("$bytes"));
            }
            var map = new HashMap<Object, Object>();
            object.forEach((key, value) -> map.put(key, plain(value)));
            return map;
        }
        if (json instanceof JSONArray array) {
            return new ArrayList<>(array.stream().map(Values::plain).toList());
        }
        if (json instanceof BigDecimal fraction) {
            return fraction.doubleValue();
        }
        return json instanceof Integer number ? (Object) number.longValue() : json;
    }

    /** The bytes 0, 1, … 250, 0, 1, … */
    static byte[] pattern(int length) {
        var bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) (i % 251);
        }
        return bytes;
    }

    /** What JSON can say of a result. */
    static Object result(Object value) {
        if (value instanceof String text && text.getBytes(StandardCharsets.UTF_8).length > LONGEST) {
            return Map.of("$text", summary(text.getBytes(StandardCharsets.UTF_8)));
        }
        if (value instanceof byte[] bytes) {
            return Map.of("$bytes", summary(bytes));
        }
        if (value instanceof Map<?, ?> map) {
            var pairs = new LinkedHashMap<String, Object>();
            map.forEach((key, item) -> pairs.put(String.valueOf(key), result(item)));
            return pairs;
        }
        if (value instanceof List<?> list) {
            return new ArrayList<>(list.stream().map(Values::result).toList());
        }
        return value;
    }

    private static Map<String, Object> summary(byte[] bytes) {
        try {
            var hash = MessageDigest.getInstance("SHA-256").digest(bytes);
            return Map.of("length", bytes.length, "sha256", HexFormat.of().formatHex(hash));
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException(impossible); // every Java has it
        }
    }
}
