//! Metadata keys (motan-wire 3). Those that begin with `x-mesh-` are ours and travel between our agents only.

/// Service path.
pub const PATH: &[u8] = b"M_p";
/// Method name, or URL path for HTTP services.
pub const METHOD: &[u8] = b"M_m";
/// Service group.
pub const GROUP: &[u8] = b"M_g";
/// Service version.
pub const VERSION: &[u8] = b"M_v";
/// Protocol wanted upstream.
pub const PROTOCOL: &[u8] = b"M_pp";
/// Source application.
pub const SOURCE: &[u8] = b"M_s";
/// Request timeout in milliseconds, decimal.
pub const TIMEOUT: &[u8] = b"M_tmo";
/// The id that the first caller gave, signed decimal.
pub const REQUEST_ID: &[u8] = b"M_rid";
/// A call to the framework itself.
pub const FRAMEWORK: &[u8] = b"M_fws";
/// Parameter types.
pub const DESCRIPTOR: &[u8] = b"M_md";
/// Module.
pub const MODULE: &[u8] = b"M_mdu";
/// Exception of a response, JSON.
pub const EXCEPTION: &[u8] = b"M_e";
/// Processing time of a response in milliseconds, decimal.
pub const PROCESS_TIME: &[u8] = b"M_pt";
/// Java's name of the group.
pub const JAVA_GROUP: &[u8] = b"group";
/// Java's name of the application.
pub const JAVA_APPLICATION: &[u8] = b"application";
/// Java's name of the version.
pub const JAVA_VERSION: &[u8] = b"version";
/// Java's name of the module.
pub const JAVA_MODULE: &[u8] = b"module";
/// The group that a Java client itself belongs to.
pub const CLIENT_GROUP: &[u8] = b"clientGroup";
/// Clusters that a Java client prefers.
pub const ROUTE_GROUP: &[u8] = b"motan-route-group";
/// Java's switch for an access log of one call.
pub const TRACE_LOG: &[u8] = b"print_trace_log";
/// What the consistent hash balancer hashes.
pub const CONSISTENT_HASH: &[u8] = b"consistentHashKey";
/// Id that a PHP client gave; Java clients pass it on.
pub const CLIENT_REQUEST_ID: &[u8] = b"requestIdFromClient";
/// Name of the serialization, from PHP clients; nobody reads it.
pub const SERIALIZATION: &[u8] = b"SERIALIZATION";
/// Authentication, reserved by Java and OpenResty.
pub const AUTH: &[u8] = b"M_a";
/// Signature, reserved by Java and OpenResty.
pub const INFO_SIGN: &[u8] = b"M_is";
/// IP address of the TCP peer of the first agent that saw it, then of each next one.
pub const HOST: &[u8] = b"host";
/// Overrides `host` as the caller's address for HTTP services.
pub const REMOTE_IP: &[u8] = b"remoteIP";
/// Address of the original caller; of a response, the node that served it.
pub const FORWARDED_FOR: &[u8] = b"x-forwarded-for";
/// The same in HTTP's spelling.
pub const FORWARDED_FOR_HTTP: &[u8] = b"X-Forwarded-For";
/// `true` where the two parameters are an HTTP request.
pub const HTTP_PROXY: &[u8] = b"HTTP_PROXY";
/// HTTP method of a call to an HTTP service.
pub const HTTP_METHOD: &[u8] = b"HTTP_Method";
/// Query of a call to an HTTP service.
pub const HTTP_QUERY: &[u8] = b"HTTP_QueryString";
/// How the Host header of a call to an HTTP service may be spelled.
pub const HTTP_HOSTS: [&[u8]; 2] = [b"http_Host", b"http_host"];
/// What the keys of HTTP headers may begin with.
pub const HTTP_PREFIX: &[u8] = b"http_";
/// HTTP status of the program behind a response.
pub const UPSTREAM_CODE: &[u8] = b"upstreamCode";

/// In a heartbeat: whoever says it understands what [`MESH_DRAIN`] asks of it, and leaves by itself once nothing is owed
/// to it. It makes nobody a part of the mesh.
pub const MESH_HEARS: &[u8] = b"x-mesh-hears";
/// On a heartbeat request: the client agent is ours, with its version.
pub const MESH_PEER: &[u8] = b"x-mesh-peer";
/// On a heartbeat response: the server agent is going away. A program leaves at once; another agent goes elsewhere where
/// it can, and leaves when the value is [`MESH_DRAIN_END`].
pub const MESH_DRAIN: &[u8] = b"x-mesh-drain";
/// Value of [`MESH_DRAIN`]: no call is taken any more, and those who understand it are waited for.
pub const MESH_DRAIN_END: &[u8] = b"end";
/// On an exception: the call has certainly not reached the program.
pub const MESH_UNSENT: &[u8] = b"x-mesh-unsent";
/// On an exception: the [`super::error`] was made by an agent, and this is its kind.
pub const MESH_ERROR: &[u8] = b"x-mesh-error";
/// On a request: it is a copy of a call that somebody else answers. The only key of ours that a program is told.
pub const MESH_MIRROR: &[u8] = b"x-mesh-mirror";
/// On a request: whoever made it can fetch the body of an HTTP response that is still coming.
pub const MESH_TAKES: &[u8] = b"x-mesh-takes";
/// On a response: the token that its body is fetched with.
pub const MESH_BODY: &[u8] = b"x-mesh-body";
