//! The paths under `/registry/` as Motan clients use them (motan-clients 1.10): Java goes by the HTTP status, Go by
//! `code` in the body.

use hyper::StatusCode;
use plan::Plan;
use process::admin::Answer;
use process::logging::causes;
use serde::Serialize;

use super::{Entries, Refused, Registry, Url};

/// As the existing agent says it.
const KIND: &str = "application/json;charset=utf-8";

/// What an entry is to become.
type Change = fn(&mut Entries, &Url, &Plan) -> Result<(), Refused>;

impl Registry {
    /// `POST /registry/subscribe`.
    #[must_use]
    pub fn subscribe(&self, body: &[u8], plan: Option<&Plan>) -> Answer {
        self.post("subscribe", body, plan, Entries::subscribe)
    }

    /// `POST /registry/register`.
    #[must_use]
    pub fn register(&self, body: &[u8], plan: Option<&Plan>) -> Answer {
        self.post("register", body, plan, Entries::register)
    }

    /// `POST /registry/unregister`.
    #[must_use]
    pub fn unregister(&self, body: &[u8], plan: Option<&Plan>) -> Answer {
        self.post("unregister", body, plan, Entries::unregister)
    }

    /// Every group that the body names is tried; the first refusal is the answer.
    fn post(&self, word: &'static str, body: &[u8], plan: Option<&Plan>, change: Change) -> Answer {
        let urls = match Url::parse(body) {
            Ok(urls) => urls,
            Err(error) => return say(StatusCode::BAD_REQUEST, &causes(&error).to_string()),
        };
        let Some(plan) = plan else { return no_plan() };
        let (done, is_news) = self.change(|entries| {
            let all: Vec<_> = urls.iter().map(|url| change(entries, url, plan)).collect();
            all.into_iter().collect::<Result<(), _>>()
        });
        match done {
            Ok(()) => {
                if is_news && let Some(Url { path, port, .. }) = urls.first() {
                    tracing::info!(word, %path, port, "the program has spoken");
                }
                say(StatusCode::OK, "ok")
            }
            Err(error) => {
                tracing::warn!(word, %error, "the program is refused");
                let status = match error {
                    Refused::Undeclared(_) => StatusCode::FORBIDDEN,
                    Refused::TooMany { .. } | Refused::NoPort => StatusCode::BAD_REQUEST,
                };
                say(status, &error.to_string())
            }
        }
    }

    /// `GET /registry/list`, with one list more than the existing agent has: what is not served although it may be.
    #[must_use]
    pub fn list(&self, plan: Option<&Plan>) -> Answer {
        #[derive(Serialize)]
        struct Node<'a> {
            #[serde(flatten)]
            url: &'a Url,
            declared: bool,
        }
        #[derive(Serialize)]
        struct Nodes<'a> {
            register_nodes: Vec<Node<'a>>,
            subscribe_nodes: Vec<Node<'a>>,
            unregister_nodes: Vec<Node<'a>>,
        }
        let Some(plan) = plan else { return no_plan() };
        let node = |(url, declared)| Node { url, declared };
        let entries = self.entries.borrow();
        let nodes = Nodes {
            register_nodes: entries.list_registered(plan, true).map(node).collect(),
            subscribe_nodes: entries.list_subscribed(plan).map(node).collect(),
            unregister_nodes: entries.list_registered(plan, false).map(node).collect(),
        };
        with_body(StatusCode::OK, "ok", Some(nodes))
    }
}

/// `GET /registry/info`: where the client port is; `None` while it is not open yet.
#[must_use]
pub fn info(mesh_port: Option<u16>) -> Answer {
    #[derive(Serialize)]
    struct Info {
        mesh_port: u16,
    }
    match mesh_port {
        Some(mesh_port) => with_body(StatusCode::OK, "ok", Some(Info { mesh_port })),
        None => say(
            StatusCode::SERVICE_UNAVAILABLE,
            "the client port is not open yet; ask again",
        ),
    }
}

fn no_plan() -> Answer {
    say(
        StatusCode::SERVICE_UNAVAILABLE,
        "there is no plan yet; ask again once /ready says ready",
    )
}

fn say(status: StatusCode, message: &str) -> Answer {
    with_body::<()>(status, message, None)
}

fn with_body<B: Serialize>(status: StatusCode, message: &str, body: Option<B>) -> Answer {
    #[derive(Serialize)]
    struct Said<'a, B> {
        #[serde(skip_serializing_if = "Option::is_none")]
        body: Option<B>,
        code: u16,
        message: &'a str,
    }
    let code = status.as_u16();
    match serde_json::to_string(&Said { body, code, message }) {
        Ok(text) => Answer::of(status, KIND, text),
        Err(error) => Answer::status(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}
