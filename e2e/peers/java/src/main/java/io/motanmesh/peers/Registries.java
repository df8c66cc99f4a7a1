package io.motanmesh.peers;

import com.weibo.api.motan.config.RegistryConfig;

/** The registries that a peer can be told of. */
final class Registries {
    private Registries() {}

    /** In this process only. */
    static RegistryConfig none() {
        return of("local://127.0.0.1:0");
    }

    /** {@code protocol://host:port}. */
    static RegistryConfig of(String address) {
        var registry = new RegistryConfig();
        var parts = address.split("://", 2);
        registry.setName(parts[0]);
        registry.setRegProtocol(parts[0]);
        registry.setAddress(parts[1]);
        registry.setCheck("false");
        return registry;
    }

    /**
     * The agent as the registry: nodes are its client port, and services are made known at its management port.
     *
     * @param agent host:port of its client port
     * @param proxied the registry that the agent knows, protocol://host:port
     */
    static RegistryConfig mesh(String agent, int managementPort, String proxied) {
        var registry = of("weibomesh://" + agent + "?mport=" + managementPort);
        registry.setDynamic(true);
        registry.setProxyRegistry(of(proxied));
        return registry;
    }
}
