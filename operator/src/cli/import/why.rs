//! What is said of keys that have no counterpart: why they need none, or what does the same.

const COUNTED: &str = "calls are counted and timed at :9990/metrics, always";
const POOLED: &str = "sidecars keep few shared connections to each endpoint by themselves";
const LISTENS: &str = "the sidecar's ports are its own; where the program uses another one than the default, annotate its pods: \
                       motanmesh.io/motan-port (9981), inbound-port (9982), http-port (9983), admin-port (8002)";
const SOCKET: &str = "annotate the pods with motanmesh.io/run-dir: /run/motanmesh; the socket is motan.sock there, snapshots \
                      are below snapshot/";
const LOGGED: &str = "a sidecar logs to its standard output; motanmesh.io/log-level on a pod sets how much";
const FOUND: &str = "endpoints come from Kubernetes: no registry is asked";
const RELAYED: &str = "bodies are relayed in whatever serialization the two programs use";
const FROM_HERE: &str = "it is an agent's own role, which needs no name here";
const PROXIED: &str = "the HTTP port 9983 is always open and has limits of its own";
const RANGE: &str = "a caller's own timeout counts between half and twice of policy.timeout, always";

/// Why a key of this section is not taken.
pub(super) fn without(section: &str, key: &str) -> &'static str {
    match section {
        "motan-agent" => of_agent(key),
        "motan-registry" => FOUND,
        _ => of_entry(key),
    }
}

fn of_agent(key: &str) -> &'static str {
    match key {
        "port" | "eport" | "hport" | "mport" | "managementPortRange" => LISTENS,
        "host" => {
            "a sidecar listens to its pod's programs on 127.0.0.1, to other sidecars on the pod's address"
        }
        "unixSock" | "managementUnixSock" | "snapshot_dir" | "runtime_dir" => SOCKET,
        "pidfile" | "processPoolSize" | "motanEpAsyncInit" | "initClusterTimeout" => {
            "a sidecar has nothing of the kind to set"
        }
        "registry" | "group" | "path" => "agents are not registered: the operator knows its sidecars",
        "maxContentLength" | "httpProxyMaxRequestBodySize" => {
            "a Motan request may have 10 MiB; HTTP bodies stream and have no limit"
        }
        key if key.starts_with("log_") || key == "rotate_per_hour" => LOGGED,
        key if key.starts_with("httpProxy") => PROXIED,
        _ => "no counterpart",
    }
}

fn of_entry(key: &str) -> &'static str {
    match key {
        "registry" | "proxyRegistry" | "registerMeta" => FOUND,
        "serialization" => RELAYED,
        "nodeType" => FROM_HERE,
        "protocol" => "both versions of Motan, HTTP and gRPC are understood at the sidecar's ports",
        "application" | "module" => {
            "callers are named by their pods: the label app.kubernetes.io/name or app, or the workload"
        }
        "minRequestTimeout" | "maxRequestTimeout" => RANGE,
        "clientConnection" | "minClientConnection" | "maxClientConnection" | "maxConnections" => POOLED,
        "connectTimeout"
        | "connectRetryInterval"
        | "lazyInit"
        | "asyncInitConnection"
        | "keepaliveTimeout"
        | "idleConnectionTimeout" => POOLED,
        "keepaliveInterval" => {
            "an endpoint that was left alone is tried again by one call, after policy.health.baseEjection"
        }
        "maxContentLength" => "a Motan request may have 10 MiB; HTTP bodies stream and have no limit",
        "dynamicMeta" | "weightRefreshPeriodSecond" => {
            "a pod's weight is its annotation motanmesh.io/weight, and a change reaches callers at once"
        }
        "weight" => "annotate the pods: motanmesh.io/weight, 1 to 500",
        "ref" => "the program's own business",
        "unixSock" => SOCKET,
        "circuitBreaker.maxConcurrent" => {
            "a caller's own bound has no counterpart; the provider's limits.concurrency bounds what it takes"
        }
        "circuitBreaker.bizException" => "business exceptions are answers, and never count as failures",
        "backupRequestInitDelayTime" => {
            "the percentile needs no first value: no duplicate is sent until it is known"
        }
        "capacity" => "it is the burst of a rate, and there is no rate here",
        "domain" => "only HTTP programs are known by a domain",
        "rateLimit" => {
            "a caller's own rate has no counterpart; the provider's limits.perCaller bounds each calling application"
        }
        key if key.starts_with("rateLimit.") => {
            "a caller's own rate has no counterpart; the provider's limits.perCaller bounds each calling application"
        }
        key if key.starts_with("consistentHashKey.") => {
            "the hash needs no tuning: a key moves on where its endpoint is a quarter busier than the average"
        }
        key if key.starts_with("circuitBreaker.") => {
            "it did nothing: filter names neither circuitBreaker nor clusterCircuitBreaker"
        }
        key if key.starts_with("backupRequest") => "it did nothing: haStrategy is not backupRequest",
        key if key.starts_with("CGI_") => "FastCGI is not spoken",
        key if key.contains(").") => "it has no counterpart for a single method",
        _ => "no counterpart",
    }
}

/// What a filter's work is here, where no policy is written for it.
pub(super) fn filter(name: &str) -> Option<&'static str> {
    match name {
        "accessLog" | "clusterAccessLog" => Some(
            "no line is written for each call; motanmesh_calls_total at :9990/metrics has them by outcome",
        ),
        "metrics" | "clusterMetrics" => Some(COUNTED),
        "trace" => Some("tracing metadata and headers of the programs are carried on untouched"),
        "failfast" | "circuitBreaker" | "clusterCircuitBreaker" | "rateLimit" => None,
        _ => Some("a filter of your own has no counterpart"),
    }
}
