//! Responses of programs to whole requests whose bodies are still coming: the head has gone back in a Motan frame, with
//! a token; the body waits here, unread, until the agent that asked fetches it with that token, over HTTP/2 and perhaps
//! from another worker.

use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Frame;
use tokio::sync::{mpsc, oneshot};

use crate::governed::limits::Permit;
use crate::http::BODY_IDLE;
use crate::http::body::{Body, BodyError};
use crate::worker::{Busy, Worker};

/// How long a body waits to be fetched; then it is dropped, and the program's connection with it.
const FETCH_WITHIN: Duration = Duration::from_secs(2);
/// Bodies that wait at a time. Each holds a connection of the program.
const MOST: usize = 1024;
/// Pieces of a body between two workers.
const BETWEEN: usize = 2;

/// A piece of a body, or why there is no more.
pub(crate) type Piece = Result<Frame<Bytes>, BodyError>;

/// All bodies that wait in this process. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Handed(Arc<Mutex<HashMap<String, oneshot::Sender<mpsc::Sender<Piece>>>>>);

impl Handed {
    /// Keeps a body, and with it the place of its call in the program; gives its token, or nothing where too many wait.
    pub(crate) fn keep(
        &self,
        worker: &Rc<Worker>,
        body: Body,
        place: &mut Option<Box<Permit>>,
    ) -> Option<String> {
        let (fetches, fetched) = oneshot::channel();
        let token = token()?;
        {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.len() >= MOST {
                return None;
            }
            waiting.insert(token.clone(), fetches);
        }
        let (handed, name, busy) = (self.clone(), token.clone(), worker.busy());
        let place = place.take();
        worker.spawn(async move {
            let _place = place;
            match tokio::time::timeout(FETCH_WITHIN, fetched).await {
                Ok(Ok(to)) => pass(body, to, busy).await,
                _ => {
                    tracing::debug!("the body of a response was not fetched");
                    handed.take(&name);
                }
            }
        });
        Some(token)
    }

    /// The body of this token, once.
    pub(crate) fn fetch(&self, token: &str) -> Option<mpsc::Receiver<Piece>> {
        let (to, from) = mpsc::channel(BETWEEN);
        self.take(token)?.send(to).ok()?;
        Some(from)
    }

    fn take(&self, token: &str) -> Option<oneshot::Sender<mpsc::Sender<Piece>>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(token)
    }
}

/// Passes a body on as fast as it is taken, until it ends or nobody wants it any more.
async fn pass(mut body: Body, to: mpsc::Sender<Piece>, _busy: Busy) {
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(BODY_IDLE, body.frame()) => next,
            () = to.closed() => return,
        };
        let piece = match next {
            Ok(Some(piece)) => piece,
            Ok(None) => return,
            Err(_) => Err("nothing came for 5 minutes".into()),
        };
        let is_last = piece.is_err();
        let sent = tokio::time::timeout(BODY_IDLE, to.send(piece)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// 128 bits that nobody can guess, in hexadecimal digits.
fn token() -> Option<String> {
    let mut bits = [0; 16];
    let random = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut bits).ok()?;
    let mut token = String::with_capacity(2 * bits.len());
    for byte in bits {
        let _ = write!(token, "{byte:02x}"); // writing to a string can't fail
    }
    Some(token)
}
