//! What the web clients of `e2e/peers` show: their cases, which are the same here and on a cluster, and what came of them.

use serde::Deserialize;

/// What every client of HTTP shows.
pub const ALL: &[&str] = &[
    "get",
    "head",
    "post",
    "statuses",
    "cookies",
    "many",
    "large upload",
    "large download",
    "chunked upload",
];
/// A body that is sent when it is asked for.
pub const CONTINUE: &[&str] = &["expect continue"];
/// An answer that comes piece by piece.
pub const EVENTS: &[&str] = &["events"];
/// Trailers of requests and responses, and both directions at once.
pub const PARTS: &[&str] = &["request trailers", "response trailers", "both ways at once"];
/// A connection that becomes something else.
pub const SOCKET: &[&str] = &["websocket"];
/// What Node's `fetch` shows.
pub const FETCH: &[&str] = &["get", "post", "large download", "chunked upload", "events"];
/// What Node shows by HTTP/2.
pub const NODE_HTTP2: &[&str] = &[
    "get",
    "large upload",
    "large download",
    "response trailers",
    "both ways at once",
];
/// What gRPC clients other than grpc-go's show.
pub const GRPC: &[&str] = &[
    "empty unary",
    "large unary",
    "compressed",
    "client streaming",
    "server streaming",
    "ping pong",
    "empty stream",
    "deadline",
    "cancel",
    "status",
    "metadata",
    "unimplemented",
];

/// Every case of grpc-go's own client that needs neither TLS nor somebody's credentials nor a balancer of its own.
pub const INTEROP: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "timeout_on_sleeping_server",
    "cancel_after_begin",
    "cancel_after_first_response",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
    "rpc_soak",
    "channel_soak",
];

/// What grpc-go's client needs beside the case: a soak is bounded by its count; how fast a shared machine is is no promise.
pub const INTEROP_FLAGS: &[&str] = &[
    "--soak_iterations=50",
    "--soak_num_threads=5",
    "--soak_per_iteration_max_acceptable_latency_ms=20000",
    "--soak_overall_timeout_seconds=25",
];

/// What came of one case: a line that a client prints.
#[derive(Debug, Deserialize)]
pub struct Outcome {
    /// The name of the case.
    pub case: String,
    ok: bool,
    #[serde(default)]
    why: String,
}

impl Outcome {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no such line, or the case did not come out well.
    pub fn well(line: &str) -> Result<Self, String> {
        let outcome: Self = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
        if outcome.ok {
            Ok(outcome)
        } else {
            Err(format!("{}: {}", outcome.case, outcome.why))
        }
    }
}
