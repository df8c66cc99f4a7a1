//! A program that speaks gRPC, asked in JSON: the request that travelled in the frame becomes one message, and the
//! answer or status an HTTP response. Which message and which response is decided in `translate`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName,
    HeaderValue, TE,
};
use hyper::{Method, Request, Response, Uri};
use relay::Parcel;
use translate::Answer;
use translate::grpc::{Call as Asked, Status, Step};

use super::http::{Speaks, exchange};
use super::rest::{HttpRequest, overdue, respond};
use crate::answer;
use crate::call::Call;
use crate::failure::{Failure, Kind};
use crate::http::body::Body;
use crate::http::{self, grpc, names};
use crate::live::Export;
use crate::worker::{Worker, now};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Asks the program for what an HTTP request means; its task tells the caller.
pub(crate) fn start(worker: &Rc<Worker>, export: &Arc<Export>, parcel: Parcel<Call>) {
    worker.spawn(serve(Rc::clone(worker), Arc::clone(export), parcel));
}

async fn serve(worker: Rc<Worker>, export: Arc<Export>, mut parcel: Parcel<Call>) {
    let (step, headers, path, is_head) = match read(&export, &parcel.request) {
        Ok(read) => read,
        Err(failure) => return answer::with_failure(&worker, parcel, failure, now()),
    };
    let asked = match step {
        Step::Call(asked) => asked,
        Step::Answer(answered) => {
            let outcome = answer::by_status(answered.status.as_u16());
            return respond(&worker, parcel, &answered, is_head, outcome, now());
        }
    };
    parcel.call.at.get_or_insert_with(|| export.backend.enter());
    parcel.call.record.attempt();
    let left = parcel.deadline.saturating_duration_since(now());
    let called = call(&worker, &export, &asked, headers, left);
    let late = || Failure::perhaps(Kind::Timeout, "the program did not answer in time");
    let called = tokio::time::timeout_at(parcel.deadline.into(), called).await;
    match called.unwrap_or_else(|_| Err(late())) {
        Ok(answered) => {
            let outcome = answer::by_status(answered.status.as_u16());
            respond(&worker, parcel, &answered, is_head, outcome, now());
        }
        Err(failure) if failure.kind == Kind::Timeout => {
            overdue(&worker, parcel, &path, is_head, &failure, now());
        }
        Err(failure) => answer::with_failure(&worker, parcel, failure, now()),
    }
}

fn read(export: &Export, request: &[u8]) -> Result<(Step, HeaderMap, Box<str>, bool), Failure> {
    let transcoder = match &export.front.grpc {
        Some(Ok(transcoder)) => transcoder,
        Some(Err(why)) => {
            let words = format!("{}: spec.grpc.descriptorSet can't be used: {why}", export.name);
            return Err(Failure::perhaps(Kind::Unsupported, words));
        }
        None => {
            let words = format!("{} has no spec.grpc.descriptorSet any more", export.name);
            return Err(Failure::perhaps(Kind::Unsupported, words));
        }
    };
    let request = HttpRequest::read(request)?;
    let step = transcoder.ask(request.asked());
    let HttpRequest {
        method, uri, headers, ..
    } = request;
    Ok((step, headers, uri.path().into(), method == Method::HEAD))
}

async fn call(
    worker: &Rc<Worker>,
    export: &Export,
    asked: &Asked,
    headers: HeaderMap,
    left: Duration,
) -> Result<Answer, Failure> {
    let mut request = Request::new(Body::whole(Bytes::copy_from_slice(&asked.body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = asked.path.parse::<Uri>().map_err(|error| {
        Failure::unsent(Kind::BadRequest, format!("the method's path is no path: {error}"))
    })?;
    *request.headers_mut() = metadata(headers, left);
    let response = exchange(worker, &export.backend, Speaks::Http2, request).await?;
    if !response.status().is_success() {
        let words = format!(
            "the program answered with HTTP status {} instead of a gRPC status",
            response.status()
        );
        return Err(Failure::perhaps(Kind::BadAnswer, words));
    }
    told(worker, asked, response).await
}

/// What the caller said is metadata of the call, but for what concerns its body and its connection; with the time that
/// is left.
fn metadata(mut headers: HeaderMap, left: Duration) -> HeaderMap {
    http::strip_hop_by_hop(&mut headers);
    let mark = headers.remove(names::MIRROR);
    names::strip(&mut headers);
    if let Some(mark) = mark {
        headers.insert(names::MIRROR, mark);
    }
    for name in [ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(TE, TRAILERS);
    headers.insert(grpc::TIMEOUT, grpc::write_timeout(left));
    headers
}

/// Reads messages and status.
async fn told(worker: &Worker, asked: &Asked, response: Response<Body>) -> Result<Answer, Failure> {
    let (parts, body) = response.into_parts();
    let mut held = worker.budget.hold();
    let (gathered, trailers) = http::gather_all(body, &mut held).await.map_err(|error| {
        let words = format!("the program's answer can't be translated: {error}");
        Failure::perhaps(error.kind(Kind::Unavailable), words)
    })?;
    // A status without messages comes with the head alone.
    let said = trailers.unwrap_or(parts.headers);
    let text = |name: &HeaderName| said.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text(&grpc::STATUS).and_then(|code| code.parse().ok()) else {
        return Err(Failure::perhaps(
            Kind::BadAnswer,
            "the program's answer has no grpc-status",
        ));
    };
    Ok(match code {
        0 => asked.answer(&gathered),
        code => asked.failed(&Status {
            code,
            message: text(&grpc::MESSAGE).unwrap_or_default(),
            details: text(&DETAILS),
        }),
    })
}
