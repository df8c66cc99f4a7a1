//! How callers may speak HTTP and JSON to a program that speaks Motan or gRPC.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which HTTP request is which call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRoute {
    /// Which requests.
    pub r#match: HttpMatch,
    /// The method of the program.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[!-~]+$"))]
    pub call: String,
    /// The types of its parameters, for example `long,java.lang.String`: a Java program finds a method by them that
    /// has others of its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[!-~]+$"))]
    pub descriptor: Option<String>,
    /// How arguments are written: `simple` (default), `hessian2` or `breeze`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serialization: Option<RouteSerialization>,
    /// The arguments, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub arguments: Vec<RouteArgument>,
    /// Statuses for exceptions of the program, by their code; others are 500.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub errors: Vec<RouteError>,
}

/// Which requests a route is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// The HTTP method; `GET` answers `HEAD` too.
    pub method: RouteMethod,
    /// The path: text, `{name}` for one segment, `{name=**}` for all that are left. The more exact route wins.
    #[schemars(length(min = 1, max = 512), regex(pattern = "^/"))]
    pub path: String,
}

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RouteMethod {
    /// Reads.
    Get,
    /// Anything else.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

/// How arguments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteSerialization {
    /// Every Motan program reads it.
    Simple,
    /// Java programs: a JSON object may be an object of a class.
    Hessian2,
    /// Java and Go programs.
    Breeze,
}

/// One argument: from one place of the request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.path), has(self.query), has(self.header), has(self.body)].filter(x, x).size() == 1").message("arguments: each is one of path, query, header or body"))]
#[x_kube(validation = Rule::new("!has(self.body) || (!has(self.as) && !has(self.optional) && !has(self.default))").message("arguments: as, optional and default are for path, query and header: remove them beside body"))]
pub struct RouteArgument {
    /// A variable of the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub path: Option<String>,
    /// A parameter of the query; of several the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub query: Option<String>,
    /// A header; of several the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub header: Option<String>,
    /// The body: `json`, `text` or `bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<RouteBody>,
    /// What the text is read as: `string` (default), `int64`, `int32`, `bool`, `float64`, `float32`, or `bytes` in base64.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RouteKind>,
    /// With `true`: null where the request has none, instead of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// The text where the request has none.
    #[serde(default, rename = "default", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub fallback: Option<String>,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteBody {
    /// A JSON value.
    Json,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
}

/// What a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// As it is.
    String,
    /// A whole number of 64 bits.
    Int64,
    /// A whole number of 32 bits.
    Int32,
    /// `true` or `false`.
    Bool,
    /// A number.
    Float64,
    /// A number of single precision.
    Float32,
    /// Bytes in base64.
    Bytes,
}

/// The status for an exception of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RouteError {
    /// The code of the exception.
    pub code: i64,
    /// The status.
    #[schemars(range(min = 400, max = 599))]
    pub status: u16,
}

/// What is known of a gRPC program's methods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrpcSpec {
    /// Its services and messages: a `FileDescriptorSet` with all imports, at most 256 KiB, in base64
    /// (`protoc --include_imports --descriptor_set_out`). Callers may then speak JSON, by the paths of its `google.api.http`
    /// annotations, or by `POST /<package.Service>/<Method>`.
    #[schemars(length(min = 1, max = 349_536))]
    pub descriptor_set: String,
}
