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

/// What a service is called in its document.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// `namespace/name`.
    pub name: &'a str,
    /// The version that its callers know it by.
    pub version: Option<&'a str>,
}
