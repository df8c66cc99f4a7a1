//! Which way a request goes to the other agent: as a whole in a Motan frame, or as a stream. The only place where that
//! is decided.

use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::header::HeaderValue;

use super::upgrade;
use crate::failure::{Failure, Kind};
use crate::http::{self, grpc};
use crate::live::Service;

/// The way of a request.
pub(super) enum Way {
    /// In one Motan frame with its body.
    Whole,
    /// As a stream of HTTP/2, its body as it comes.
    Stream,
    /// As a stream that carries what follows when its connection has become this.
    Upgrade(HeaderValue),
    /// There is none.
    None(Failure),
}

impl Way {
    pub(super) fn of(service: &Service, request: &Request<Incoming>) -> Self {
        let is_grpc = grpc::is_grpc(request.headers());
        if service.external {
            // Agents outside of the mesh know frames only.
            return if is_grpc {
                Self::None(no_grpc(service))
            } else {
                Self::Whole
            };
        }
        if let Some(to) = upgrade::wanted(request) {
            return Self::Upgrade(to);
        }
        let body = request.body();
        let is_small = body.is_end_stream()
            || body
                .size_hint()
                .exact()
                .is_some_and(|length| length <= http::MAX_WHOLE as u64);
        // A program without an agent has nobody to hand over an answer that turns out to be a stream.
        let meets_programs = service.direct && !service.protocol.is_motan();
        if is_small && !is_grpc && !meets_programs {
            Self::Whole
        } else {
            Self::Stream
        }
    }
}

fn no_grpc(service: &Service) -> Failure {
    let words = format!(
        "{} is outside of the mesh, where gRPC can't be relayed",
        service.name
    );
    Failure::perhaps(Kind::Unsupported, words)
}
