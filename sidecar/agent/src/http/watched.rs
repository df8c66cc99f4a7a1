//! A body that is ended when it stands still for too long, with what must live as long as it does.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::BODY_IDLE;
use super::body::{Body, BodyError};

struct Watched<K> {
    body: Body,
    moved: Instant,
    alarm: Pin<Box<Sleep>>,
    _keep: K,
}

/// Watches a body, and keeps something until its end.
pub(crate) fn watch<K: Unpin + 'static>(body: Body, keep: K) -> Body {
    Body::coming(Watched {
        body,
        moved: Instant::now(),
        alarm: Box::pin(tokio::time::sleep(BODY_IDLE)),
        _keep: keep,
    })
}

impl<K: Unpin> HttpBody for Watched<K> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.moved = Instant::now();
            return Poll::Ready(frame);
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            let until = self.moved + BODY_IDLE;
            if until <= Instant::now() {
                return Poll::Ready(Some(Err("nothing came for 5 minutes".into())));
            }
            self.alarm.as_mut().reset(until);
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
