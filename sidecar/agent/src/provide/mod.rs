//! The last step on the server side: a call becomes what the local program understands, and its answer a reply.

mod called;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod motan;
pub(crate) mod rest;
pub(crate) mod transcode;
