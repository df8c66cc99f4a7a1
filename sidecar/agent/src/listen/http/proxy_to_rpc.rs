//! `/proxy_to_rpc`: one call with one string, for shells and scripts (motan-wire 7.5). A declared host that has such a path
//! keeps it.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};
use plan::Protocol;
use relay::Parcel;
use tokio::sync::oneshot;
use wire::error;
use wire::keys;
use wire::message::Version;
use wire::meta::{Meta, Writer};
use wire::motan2::{self, EXCEPTION, Header, SIMPLE};
use wire::value::{self, Value, Values};

use super::request;
use crate::call::{Call, Caller, Reply, Target};
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::{self, names};
use crate::live::route::Wanted;
use crate::live::{Facts, Live, Service};
use crate::outbound::{attempt, choose};
use crate::record::Record;
use crate::worker::{Worker, now};

const PATH: &str = "/proxy_to_rpc";

/// Whether a request is for this.
pub(super) fn is_meant(live: &Live, request: &Request<Incoming>) -> bool {
    request.uri().path() == PATH && !live.knows_host(&request::host_of(request))
}

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fields {
    service: String,
    method: String,
    group: String,
    argument: Option<String>,
}

/// Makes the call, and a response of what comes back.
pub(super) async fn call(
    worker: &Rc<Worker>,
    live: &Live,
    peer: &str,
    request: Request<Incoming>,
) -> Result<Response<Body>, Failure> {
    let refuse = |failure| request::refuse(worker, live, &live.unknown.http, failure);
    let (mut parts, body) = request.into_parts();
    let mut held = worker.budget.hold(); // until the call has ended
    let form = http::gather(body, &mut held).await.map_err(|error| {
        let words = format!("the request's body can't be read: {error}");
        refuse(Failure::unsent(Kind::BadRequest, words))
    })?;
    let fields = Fields::read(parts.uri.query().unwrap_or_default(), &form).map_err(refuse)?;
    let wanted = Wanted {
        path: fields.service.as_bytes(),
        group: fields.group.as_bytes(),
        ..Wanted::default()
    };
    let service = live.service(&wanted).map_err(refuse)?;
    let asked = Facts::Http(fields.method.as_bytes(), &parts.headers);
    let service = choose::way(worker, service, asked, now());
    if !service.takes(Version::Two) {
        let words = format!(
            "{} speaks Motan 1 only, which has no place for this",
            service.name
        );
        return Err(refuse(Failure::unsent(Kind::Unsupported, words)));
    }
    http::strip_hop_by_hop(&mut parts.headers);
    let rule = service.rules.of(fields.method.as_bytes());
    let timeout = service.rules.get(rule).timeout;
    let now = now();
    let (waiting, answered) = oneshot::channel();
    let record = Record::open(&service.http, &worker.load, live.access, now);
    let mut request = worker.take_buffer(form.len());
    write(
        &mut request,
        (live, service),
        (&fields, timeout),
        (&parts.headers, peer),
    );
    let target = Target::Service(std::sync::Arc::clone(service));
    let mut call = Call::new(Caller::Task(waiting), target, record);
    call.rule = rule;
    call.key = service.balancing.key_of_http(&parts.headers, "");
    let parcel = Parcel {
        call,
        request,
        deadline: now + timeout,
        is_partial: false,
    };
    attempt::start(worker, service, parcel, now);
    let stopped = || Failure::perhaps(Kind::Draining, "the sidecar stopped");
    let reply = answered.await.unwrap_or_else(|_| Err(stopped()))?;
    read(&reply)
}

impl Fields {
    /// From query and form; the form counts where both say something.
    fn read(query: &str, form: &[u8]) -> Result<Self, Failure> {
        let bad = |words: String| Failure::unsent(Kind::BadRequest, words);
        let mut fields = Self::default();
        let said = form_urlencoded::parse(query.as_bytes()).chain(form_urlencoded::parse(form));
        for (key, value) in said {
            match &*key {
                "service" => fields.service = value.into_owned(),
                "method" => fields.method = value.into_owned(),
                "group" => fields.group = value.into_owned(),
                "arg" => fields.argument = Some(value.into_owned()),
                "arg_type" if value == "string" => {}
                "arg_type" => {
                    return Err(bad(format!("arg_type is {value:?}: only \"string\" can be sent")));
                }
                _ => {}
            }
        }
        for (name, value) in [("service", &fields.service), ("method", &fields.method)] {
            if value.is_empty() {
                return Err(bad(format!(
                    "{name} is missing: {PATH}?service=…&method=…&arg_type=string&arg=…"
                )));
            }
        }
        Ok(fields)
    }
}

fn write(
    out: &mut Vec<u8>,
    (live, service): (&Live, &Service),
    (fields, timeout): (&Fields, Duration),
    (headers, peer): (&HeaderMap, &str),
) {
    let millis = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
    let meta = |meta: &mut Writer<'_>| {
        meta.pair(keys::PATH, service.path.as_str().as_bytes());
        meta.pair(keys::METHOD, fields.method.as_bytes());
        meta.pair(keys::GROUP, service.group.as_str().as_bytes());
        meta.pair(keys::SOURCE, live.application.as_bytes());
        meta.pair(keys::PROTOCOL, Protocol::Motan2.as_str().as_bytes());
        meta.pair(keys::HOST, peer.as_bytes());
        meta.number(keys::TIMEOUT, millis);
        for name in headers.keys() {
            let is_of_the_call =
                *name != HOST && *name != CONTENT_LENGTH && *name != CONTENT_TYPE && !names::is_ours(name);
            if is_of_the_call && let Some(value) = headers.get_all(name).iter().next_back() {
                meta.pair(name.as_str().as_bytes(), value.as_bytes());
            }
        }
    };
    motan2::encode(out, Header::request(0), meta, |out| {
        if let Some(argument) = &fields.argument {
            value::write(out, &Value::String(argument.as_bytes()));
        }
    });
}

/// The bytes of the result, with what else was said as headers. An exception is 502, in its words.
fn read(reply: &Reply) -> Result<Response<Body>, Failure> {
    let meta = Meta::new(&reply.meta).unwrap_or_default();
    if reply.header.status == EXCEPTION {
        let exception = meta.find(keys::EXCEPTION).and_then(|said| error::read(said).ok());
        let words = exception.map_or(Cow::Borrowed("exception without a message"), |exception| {
            Cow::Owned(exception.words)
        });
        return Err(Failure::perhaps(Kind::Unavailable, words));
    }
    let value = Values::new(&reply.body).next();
    let result = match (reply.header.serialization(), value) {
        (SIMPLE, Ok(None | Some(Value::Null))) => &[][..],
        (SIMPLE, Ok(Some(Value::String(bytes) | Value::Bytes(bytes)))) => bytes,
        _ => {
            let words = "the result is neither a string nor a byte array";
            return Err(Failure::perhaps(Kind::BadAnswer, words));
        }
    };
    let mut response = Response::new(Body::whole(Bytes::copy_from_slice(result)));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    for (key, value) in meta.pairs() {
        if let Ok(name) = HeaderName::from_bytes(key)
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.insert(name, value);
        }
    }
    http::strip_hop_by_hop(headers);
    names::strip(headers);
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_by_query_or_form_and_what_is_missing_is_named() {
        let fields = Fields::read(
            "service=demo.User&arg_type=string&arg=a",
            b"method=hello&group=g1&arg=Ray+B",
        )
        .unwrap();
        let expected = Fields {
            service: "demo.User".to_owned(),
            method: "hello".to_owned(),
            group: "g1".to_owned(),
            argument: Some("Ray B".to_owned()),
        };
        assert_eq!(fields, expected);
        for (query, words) in [
            ("method=m", "service is missing"),
            ("service=s", "method is missing"),
            ("service=s&method=m&arg_type=int&arg=1", "arg_type is \"int\""),
        ] {
            let failure = Fields::read(query, b"").unwrap_err();
            assert_eq!(failure.kind, Kind::BadRequest);
            assert!(failure.words.starts_with(words), "{}", failure.words);
        }
    }
}
