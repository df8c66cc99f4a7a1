//! HTTP and JSON to what a program speaks, and back: routes in front of Motan programs ([`rest`]), and JSON in front of
//! gRPC programs ([`grpc`]). A request comes in as its parts and goes out as the bytes of a call; an answer comes in as bytes and goes out as status and body. No I/O
//! and no clock: who places the call is not of this crate.

mod answer;
mod arguments;
pub mod grpc;
mod json;
mod openapi;
mod paths;
pub mod rest;

use http::{HeaderMap, Method};

pub use answer::{Answer, problem};
pub use json::NotJson;

/// Where every service shows what it offers.
pub const DOCUMENT: &str = "/.mesh/openapi.json";

/// An HTTP request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, as it came.
    pub path: &'a str,
    /// What follows the question mark.
    pub query: Option<&'a str>,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body, whole.
    pub body: &'a [u8],
}

/// The value of serialization `simple` that a JSON text means, as it would mean it in the body of a request
/// (motan-wire 5.2).
///
/// # Errors
/// It is no JSON, or has no such form.
pub fn simple(json: &[u8]) -> Result<Vec<u8>, NotJson> {
    let json = json::parse(json)?;
    let mut value = Vec::new();
    wire::value::write(&mut value, &json::to_value(&json)?);
    Ok(value)
}

/// What a service is called in its document.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `namespace/name`.
    pub name: &'a str,
    /// The version that its callers know it by.
    pub version: Option<&'a str>,
}
