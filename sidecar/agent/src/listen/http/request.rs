//! An HTTP request as a call: which service, and the frame that carries it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use plan::{Protocol, ServiceName};
use relay::Parcel;
use tokio::sync::oneshot;
use wire::keys;
use wire::meta::Writer;
use wire::motan2::{self, Header};
use wire::value;

use crate::answer;
use crate::call::{Call, Caller, Reply, Target};
use crate::failure::{Failure, Kind};
use crate::http;
use crate::live::{Live, Service};
use crate::observe::metrics::{CallMetrics, Outcome};
use crate::outbound::attempt;
use crate::record::Record;
use crate::worker::{Held, Worker, now};

/// The form of a request's target (RFC 9112 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A path: the Host header says where to.
    Origin,
    /// A whole URL, as to a proxy.
    Absolute,
    /// CONNECT.
    Tunnel,
}

impl Form {
    pub(super) fn of(request: &Request<Incoming>) -> Self {
        if request.method() == Method::CONNECT {
            Self::Tunnel
        } else if request.version() < Version::HTTP_2 && request.uri().authority().is_some() {
            Self::Absolute
        } else {
            Self::Origin
        }
    }
}

/// Calls a service with a whole request, and waits for its reply.
pub(super) async fn call(
    worker: &Rc<Worker>,
    live: &Live,
    service: &Arc<Service>,
    peer: &str,
    request: Request<Incoming>,
) -> Result<Reply, Failure> {
    let (parts, body) = request.into_parts();
    let mut held = worker.budget.hold(); // until the call has ended
    let body = match admit(service, body, &mut held).await {
        Ok(body) => body,
        Err(failure) => return Err(refuse(worker, live, &service.http, failure)),
    };
    let rule = service.rules.of_path(parts.uri.path());
    let timeout = service.rules.get(rule).timeout;
    let (waiting, answered) = oneshot::channel();
    let now = now();
    let record = Record::open(&service.http, &worker.load, live.access, now);
    let mut call = Call::new(
        Caller::Task(waiting),
        Target::Service(Arc::clone(service)),
        record,
    );
    call.repeatable = http::is_repeatable(&parts.method);
    call.rule = rule;
    call.key = service.balancing.key_of_http(&parts.headers, parts.uri.path());
    let mut request = worker.take_buffer(body.len());
    write(&mut request, live, service, peer, timeout, parts, &body);
    let parcel = Parcel {
        call,
        request,
        deadline: now + timeout,
        is_partial: false,
    };
    if parcel.request.len() > motan2::DEFAULT_LIMIT {
        let words = "head and body together are over 10 MiB";
        answer::with_failure(worker, parcel, Failure::unsent(Kind::TooLarge, words), now);
    } else {
        attempt::start(worker, service, parcel, now);
    }
    // Every call in the core ends, at its deadline if not before. One that is dropped there is cut by the end of
    // this worker.
    answered
        .await
        .unwrap_or_else(|_| Err(Failure::perhaps(Kind::Draining, "the sidecar stopped")))
}

/// Checks what can be checked before a call begins, and reads the body.
async fn admit(service: &Service, body: Incoming, held: &mut Held) -> Result<Bytes, Failure> {
    if service.external && service.protocol.is_motan() {
        let words = format!(
            "{} speaks {} and is outside of the mesh: call it by Motan on port 9981",
            service.name,
            service.protocol.as_str()
        );
        return Err(Failure::unsent(Kind::Unsupported, words));
    }
    http::gather(body, held).await.map_err(|error| {
        let words = format!("the request's body can't be relayed: {error}");
        Failure::unsent(error.kind(Kind::BadRequest), words)
    })
}

pub(super) fn refuse(worker: &Worker, live: &Live, calls: &Arc<CallMetrics>, failure: Failure) -> Failure {
    let now = now();
    let record = Record::open(calls, &worker.load, live.access, now);
    record.close(Outcome::Failed(failure.kind), now, &[], "");
    failure
}

/// The service of a listener is not in the plan any more.
pub(super) fn undeclared_service(name: &ServiceName) -> Failure {
    let words = format!(
        "{name} is not declared any more: add it to spec.services of a MeshDependency that selects this pod"
    );
    Failure::unsent(Kind::Undeclared, words)
}

/// The host that a request is for: lower case, without port and final dot.
pub(super) fn host_of(request: &Request<Incoming>) -> String {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(hyper::http::uri::Authority::as_str);
    without_port(authority.or(named).unwrap_or_default())
}

/// Refuses a request that two readers could take for requests to different places (RFC 9112 3.2).
///
/// # Errors
/// More than one Host, or a URL that is not of this scheme.
pub(super) fn read_one_way(request: &Request<Incoming>) -> Result<(), Failure> {
    if request.headers().get_all(HOST).iter().nth(1).is_some() {
        return Err(Failure::unsent(
            Kind::BadRequest,
            "the request has more than one Host",
        ));
    }
    match request.uri().scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(scheme) => {
            let words = format!("only http:// URLs are served here, not {scheme}://");
            Err(Failure::unsent(Kind::BadRequest, words))
        }
    }
}

/// HTTP/2 lets cookies come in several fields; everybody else wants one (RFC 9113 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn without_port(authority: &str) -> String {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The frame of motan-wire 7.2: head and body of the request are its two parameters.
fn write(
    out: &mut Vec<u8>,
    live: &Live,
    service: &Service,
    peer: &str,
    timeout: Duration,
    parts: Parts,
    body: &Bytes,
) {
    let Parts {
        method,
        uri,
        mut headers,
        ..
    } = parts;
    let was_chunked = headers.contains_key(TRANSFER_ENCODING);
    http::strip_hop_by_hop(&mut headers);
    http::names::strip(&mut headers);
    headers.remove(EXPECT); // answered by this listener
    if was_chunked || !body.is_empty() {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        // The target's host wins over a Host header that differs (RFC 9112 3.2.2).
        headers.insert(HOST, host);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let meta = |meta: &mut Writer<'_>| {
        meta.pair(keys::PATH, service.path.as_str().as_bytes());
        meta.pair(keys::METHOD, &http::path::normal(uri.path().as_bytes()));
        meta.pair(keys::HTTP_PROXY, b"true");
        meta.pair(keys::GROUP, service.group.as_str().as_bytes());
        if let Some(version) = &service.version {
            meta.pair(keys::VERSION, version.as_bytes());
        }
        meta.pair(keys::SOURCE, live.application.as_bytes());
        meta.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
        meta.pair(keys::HOST, peer.as_bytes());
        meta.number(
            keys::TIMEOUT,
            i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX),
        );
        if !service.external {
            meta.pair(keys::MESH_TAKES, b"body");
        }
    };
    motan2::encode(out, Header::request(0), meta, |out| {
        value::write_bytes_by(out, |out| {
            http::write_request_head(out, &method, target, &headers);
        });
        value::write_bytes(out, body);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_port_case_and_final_dot() {
        let rows = [
            ("User.Shop.mesh:8080", "user.shop.mesh"),
            ("user.shop.mesh.", "user.shop.mesh"),
            ("user.shop.mesh", "user.shop.mesh"),
            ("me:secret@user.shop.mesh:80", "user.shop.mesh"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ];
        for (authority, host) in rows {
            assert_eq!(without_port(authority), host, "{authority}");
        }
    }
}
