package io.motanmesh.peers;

import com.alibaba.fastjson.JSON;
import com.alibaba.fastjson.JSONObject;
import com.weibo.api.motan.config.AbstractInterfaceConfig;
import com.weibo.api.motan.config.MeshClientConfig;
import com.weibo.api.motan.config.ProtocolConfig;
import com.weibo.api.motan.config.RefererConfig;
import com.weibo.api.motan.proxy.CommonClient;
import com.weibo.api.motan.transport.MeshClient;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/** Makes one client of the library for equal settings and keeps it, as programs do. */
final class Callers {
    /** A way to reach one service: by its interface, and by names only, for what the interface does not have. */
    record Caller(Probe typed, CommonClient untyped) {}

    private final Map<String, Caller> known = new HashMap<>();
    private final Map<String, MeshClient> meshes = new HashMap<>();

    Caller of(JSONObject asked) {
        var settings = new TreeMap<>(asked);
        for (var word : new String[] {"method", "args", "calls", "workers", "everyMs"}) {
            settings.remove(word);
        }
        return known.computeIfAbsent(JSON.toJSONString(settings), key -> make(asked));
    }

    private Caller make(JSONObject asked) {
        var untyped = referer(asked, CommonClient.class);
        untyped.setServiceInterface(asked.getString("path"));
        if (!Probe.class.getName().equals(asked.getString("path"))) {
            return new Caller(null, untyped.getRef());
        }
        return new Caller(referer(asked, Probe.class).getRef(), untyped.getRef());
    }

    private <T> RefererConfig<T> referer(JSONObject asked, Class<T> type) {
        var referer = new RefererConfig<T>();
        referer.setInterface(type);
        referer.setApplication("java-client");
        referer.setModule("peers");
        referer.setGroup(asked.getString("group"));
        referer.setVersion(asked.getString("version"));
        referer.setRequestTimeout(timeout(asked));
        referer.setAsyncInitConnection(false);
        referer.setCheck("false");
        gzip(asked, referer);
        switch (asked.getString("by")) {
            case "mesh" -> referer.setMeshClient(mesh(asked));
            case "direct" -> {
                referer.setProtocol(protocol(asked));
                referer.setDirectUrl(asked.getString("to"));
            }
            case "registry" -> { // through an agent; services are made known at its management port
                referer.setProtocol(protocol(asked));
                referer.setRegistry(
                        Registries.mesh(asked.getString("to"), asked.getIntValue("mport"), asked.getString("proxied")));
            }
            case "proxied" -> { // an ordinary registry, which MOTAN_MESH_PROXY turns into the one above
                referer.setProtocol(protocol(asked));
                referer.setRegistry(Registries.of(asked.getString("proxied")));
            }
            default -> throw new IllegalArgumentException("by: mesh, direct, registry or proxied");
        }
        return referer;
    }

    private MeshClient mesh(JSONObject asked) {
        var key = asked.getString("to") + asked.get("serialization") + asked.get("gzipFrom") + timeout(asked);
        return meshes.computeIfAbsent(key, unused -> {
            var config = new MeshClientConfig();
            var address = asked.getString("to").split(":");
            config.setHost(address[0]);
            config.setPort(Integer.valueOf(address[1]));
            config.setApplication("java-client");
            config.setSerialization(asked.getString("serialization"));
            config.setRequestTimeout(timeout(asked));
            config.setAsyncInitConnection(false);
            config.setMingzSize(asked.getInteger("gzipFrom"));
            return config.getMeshClient();
        });
    }

    private static ProtocolConfig protocol(JSONObject asked) {
        var protocol = new ProtocolConfig();
        var name = asked.getOrDefault("protocol", "motan2").toString();
        protocol.setId(name);
        protocol.setName(name);
        protocol.setSerialization(asked.getString("serialization"));
        protocol.setRequestTimeout(timeout(asked));
        return protocol;
    }

    private static void gzip(JSONObject asked, AbstractInterfaceConfig config) {
        if (asked.containsKey("gzipFrom")) {
            config.setUsegz(true);
            config.setMingzSize(asked.getInteger("gzipFrom"));
        }
    }

    private static int timeout(JSONObject asked) {
        return asked.containsKey("timeoutMs") ? asked.getIntValue("timeoutMs") : 5000;
    }
}
