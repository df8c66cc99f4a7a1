//! A tiny HTTP/1.1 server for a handful of exact paths: probes, metrics, and questions that people and programs ask a
//! process. A query never decides which path is meant.
//!
//! One request a connection, everything bounded: connections, head, body, and the time from accept to the last byte.
//! Not for traffic.

mod serve;

use std::collections::BTreeMap;
use std::pin::Pin;

use bytes::Bytes;
use hyper::{Method, StatusCode};

pub use serve::serve;

/// The largest request body that is read, in bytes (64 KiB): what is posted here is a word, a line or one object.
pub const MAX_BODY: usize = 64 * 1024;

/// A request, read to its end.
#[derive(Debug, Clone)]
pub struct Request {
    /// The text after `?`, empty where there is none.
    pub query: String,
    /// At most [`MAX_BODY`] bytes.
    pub body: Bytes,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The `Content-Type`.
    pub kind: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Plain text with status 200.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::of(StatusCode::OK, "text/plain; charset=utf-8", text)
    }

    /// A JSON document with status 200.
    #[must_use]
    pub fn json(document: impl Into<String>) -> Self {
        Self::of(StatusCode::OK, "application/json", document)
    }

    /// Plain text with another status.
    #[must_use]
    pub fn status(status: StatusCode, text: impl Into<String>) -> Self {
        Self::of(status, "text/plain; charset=utf-8", text)
    }

    /// Any text.
    #[must_use]
    pub fn of(status: StatusCode, kind: &'static str, body: impl Into<String>) -> Self {
        let body = Bytes::from(body.into());
        Self { status, kind, body }
    }
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Handler = Box<dyn Fn(Request) -> Answering + Send + Sync>;

/// Which path is answered by what.
#[derive(Default)]
pub struct Router {
    routes: BTreeMap<&'static str, Route>,
}

struct Route {
    method: Method,
    handler: Handler,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

impl Router {
    /// Answers `GET path` (and HEAD).
    #[must_use]
    pub fn get<F>(self, path: &'static str, answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.route(Method::GET, path, answer)
    }

    /// Answers `POST path`.
    #[must_use]
    pub fn post<F>(self, path: &'static str, answer: impl Fn(Request) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        self.route(Method::POST, path, answer)
    }

    fn route<F>(
        mut self,
        method: Method,
        path: &'static str,
        answer: impl Fn(Request) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Box::new(move |request| Box::pin(answer(request)));
        self.routes.insert(path, Route { method, handler });
        self
    }

    /// Starts the answer; an unknown path is told all the known ones.
    fn answer(&self, method: &Method, path: &str, request: Request) -> Result<Answering, Answer> {
        let Some(route) = self.routes.get(path) else {
            let known: Vec<_> = self.routes.keys().copied().collect();
            let text = format!("no such path; there are {}\n", known.join(" "));
            return Err(Answer::status(StatusCode::NOT_FOUND, text));
        };
        if *method == route.method || (*method == Method::HEAD && route.method == Method::GET) {
            Ok((route.handler)(request))
        } else {
            let text = format!("{path} takes {}\n", route.method);
            Err(Answer::status(StatusCode::METHOD_NOT_ALLOWED, text))
        }
    }
}

#[cfg(test)]
mod tests;
