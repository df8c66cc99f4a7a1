//! The configuration of one Envoy: a listener for HTTP/1.1 and one for gRPC, whose routes all lead to the next one.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::subjects::{GRPC, HTTP};

/// Its port that says whether it is ready.
pub(crate) const ADMIN: u16 = 9901;
/// More than any load has under way: its own limits, of 1 024, are not what is measured.
const LIMIT: u32 = 65_536;

/// Listens at `at`, and relays to the same ports at `to`.
pub(crate) fn config(role: &str, at: Ipv4Addr, to: Ipv4Addr, timeout_ms: u32) -> Value {
    let timeout = format!("{}s", f64::from(timeout_ms) / 1e3);
    // A stream lives as long as it likes.
    let listeners = [
        listener("http", at, HTTP.port(), "HTTP1", &timeout),
        listener("grpc", at, GRPC.port(), "HTTP2", "0s"),
    ];
    let mut grpc = cluster("grpc", to, GRPC.port());
    grpc["typed_extension_protocol_options"] = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}}}});
    json!({
        "node": {"id": role, "cluster": "bench"},
        "admin": {"address": address(at, ADMIN)},
        "static_resources": {
            "listeners": listeners,
            "clusters": [cluster("http", to, HTTP.port()), grpc],
        },
    })
}

fn listener(name: &str, at: Ipv4Addr, port: u16, codec: &str, timeout: &str) -> Value {
    let routes = json!({"virtual_hosts": [{"name": name, "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": timeout}}]}]});
    let router = json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name, "codec_type": codec, "route_config": routes, "http_filters": [router]});
    let filter = json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager});
    json!({"name": name, "address": address(at, port), "filter_chains": [{"filters": [filter]}]})
}

fn cluster(name: &str, to: Ipv4Addr, port: u16) -> Value {
    let endpoint = json!({"endpoint": {"address": address(to, port)}});
    json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "circuit_breakers": {"thresholds": [{
            "max_connections": LIMIT, "max_pending_requests": LIMIT, "max_requests": LIMIT}]},
    })
}

fn address(ip: Ipv4Addr, port: u16) -> Value {
    json!({"socket_address": {"address": ip.to_string(), "port_value": port}})
}
