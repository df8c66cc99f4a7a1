package io.motanmesh.peers;

import com.weibo.api.motan.common.MotanConstants;
import com.weibo.api.motan.config.ProtocolConfig;
import com.weibo.api.motan.config.RegistryConfig;
import com.weibo.api.motan.config.ServiceConfig;
import com.weibo.api.motan.util.MotanSwitcherUtil;

/** The service on one port of every address: the library binds no other way. */
final class Server {
    private Server() {}

    static void run(Flags flags) throws InterruptedException {
        var protocol = new ProtocolConfig();
        // `motan` reads Motan 1 alone, `motan2` reads both.
        var name = flags.get("protocol", "motan2");
        protocol.setId(name);
        protocol.setName(name);
        protocol.setMinWorkerThread(20);
        protocol.setMaxWorkerThread(200);

        var service = new ServiceConfig<Probe>();
        service.setInterface(Probe.class);
        service.setRef(new ProbeService(flags.get("name", "java")));
        service.setApplication(flags.get("name", "java"));
        service.setModule("peers");
        service.setGroup(flags.get("group", "peers"));
        service.setVersion(flags.get("version", "1.0"));
        service.setHost("127.0.0.1");
        service.setShareChannel(true);
        service.setProtocol(protocol);
        service.setRegistry(registry(flags));
        service.setExport(name + ":" + flags.number("listen", 7000));
        if (flags.number("gzip-from", 0) > 0) {
            service.setUsegz(true);
            service.setMingzSize(flags.number("gzip-from", 0));
        }
        service.export();
        MotanSwitcherUtil.setSwitcherValue(MotanConstants.REGISTRY_HEARTBEAT_SWITCHER, true);
        Thread.currentThread().join();
    }

    private static RegistryConfig registry(Flags flags) {
        var agent = flags.get("mesh", "");
        var address = flags.get("registry", "");
        if (!agent.isEmpty()) {
            return Registries.mesh(agent, flags.number("mport", 8002), flags.get("proxied", "direct://127.0.0.1:0"));
        }
        return address.isEmpty() ? Registries.none() : Registries.of(address);
    }
}
