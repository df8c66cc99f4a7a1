//! Bodies: whole ones, and those that are still coming. A request's body is lent to one attempt after another by its
//! [`Source`], which keeps the first of it until somebody has answered.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::Notify;

use crate::worker::now;

/// Why a body can't be read on.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is still coming.
pub(crate) type Coming = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError>>>;

/// How much of a request's body is kept for another attempt, in bytes: as much as a whole request may have.
const KEPT: usize = super::MAX_WHOLE;

/// The body of a request or a response.
pub(crate) enum Body {
    /// All of it, until it is taken.
    Whole(Option<Bytes>),
    /// The rest comes later.
    Coming(Coming),
}

impl Body {
    pub(crate) const fn empty() -> Self {
        Self::Whole(None)
    }

    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    pub(crate) fn coming<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + 'static,
        B::Error: Into<BodyError>,
    {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self::Coming(Box::pin(body.map_frame(passed_on).map_err(Into::into)))
    }

    /// The same from another agent, which has looked at its trailers and may tell of a failure in them.
    pub(crate) fn of_agent(body: Incoming) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        Self::Coming(Box::pin(body.map_err(Into::into)))
    }

    /// Pieces that have come already, then the rest.
    pub(crate) fn after(first: Vec<Frame<Bytes>>, rest: Self) -> Self {
        Self::Coming(Box::pin(After {
            first: first.into(),
            rest,
        }))
    }

    /// The same body, where it is here as a whole.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Coming(_) => None,
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::whole(bytes)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Coming(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Coming(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Coming(body) => body.size_hint(),
        }
    }
}

/// A frame as it goes on: of trailers what may be there.
fn passed_on(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            super::strip_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(other) => other,
    }
}

struct After {
    first: VecDeque<Frame<Bytes>>,
    rest: Body,
}

impl HttpBody for After {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.first.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }
}

/// The body of a request, which may be sent more than once as long as little of it has come. A clone is the same one.
#[derive(Clone)]
pub(crate) struct Source(Rc<Inner>);

struct Inner {
    state: RefCell<State>,
    /// Its end has come.
    ended: Cell<bool>,
    /// It broke off.
    broke: Cell<bool>,
    /// Told when its end has come.
    turned: Notify,
    /// When something of it came last.
    moved: Cell<Instant>,
}

struct State {
    body: Body,
    /// What has come, data and trailers, where `keeps`, or where the loan has not had all of it yet.
    kept: Vec<Piece>,
    bytes: usize,
    /// Whether what comes is still kept.
    keeps: bool,
    /// Whether everything that has come is in `kept`.
    complete: bool,
    /// Names the loan in force; those before it give nothing any more.
    loan: u32,
    given_up: bool,
    waker: Option<Waker>,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(hyper::HeaderMap),
}

impl Source {
    pub(crate) fn new(body: Body) -> Self {
        let ended = body.is_end_stream();
        Self(Rc::new(Inner {
            state: RefCell::new(State {
                body,
                kept: Vec::new(),
                bytes: 0,
                keeps: true,
                complete: true,
                loan: 0,
                given_up: false,
                waker: None,
            }),
            ended: Cell::new(ended),
            broke: Cell::new(false),
            turned: Notify::new(),
            moved: Cell::new(now()),
        }))
    }

    /// The body from its start, for one more attempt; `None` where too much of it has gone.
    pub(crate) fn lend(&self) -> Option<Body> {
        let mut state = self.0.state.borrow_mut();
        if !state.complete || state.given_up {
            return None;
        }
        state.loan += 1;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        let loan = Loan {
            inner: Rc::clone(&self.0),
            number: state.loan,
            at: 0,
        };
        Some(Body::Coming(Box::pin(loan)))
    }

    /// Whether all of it that has come is still here.
    pub(crate) fn is_here(&self) -> bool {
        self.0.state.borrow().complete
    }

    /// Somebody has answered: no more is kept.
    pub(crate) fn settle(&self) {
        self.0.state.borrow_mut().keeps = false;
    }

    /// Nobody wants it any more: whoever reads it is told.
    pub(crate) fn give_up(&self) {
        let mut state = self.0.state.borrow_mut();
        state.given_up = true;
        state.kept.clear();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) {
        while !self.0.ended.get() {
            self.0.turned.notified().await;
        }
    }

    /// Whether it broke off.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.broke.get()
    }

    /// When something of it came last.
    pub(crate) fn moved(&self) -> Instant {
        self.0.moved.get()
    }
}

/// A source's body on its way once.
struct Loan {
    inner: Rc<Inner>,
    number: u32,
    /// Pieces of what is kept that it has had.
    at: usize,
}

impl HttpBody for Loan {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let inner = Rc::clone(&self.inner);
        let mut state = inner.state.borrow_mut();
        if state.given_up || state.loan != self.number {
            // What hyper resets the stream with.
            return Poll::Ready(Some(Err(h2::Error::from(h2::Reason::CANCEL).into())));
        }
        if let Some(piece) = state.kept.get(self.at) {
            self.at += 1;
            return Poll::Ready(Some(Ok(piece.clone().frame())));
        }
        if inner.ended.get() {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        let frame = std::task::ready!(Pin::new(&mut state.body).poll_frame(context));
        inner.moved.set(now());
        let has_ended = match &frame {
            None | Some(Err(_)) => true,
            Some(Ok(frame)) => frame.is_trailers() || state.body.is_end_stream(),
        };
        if has_ended {
            inner.ended.set(true);
            inner.turned.notify_waiters();
        }
        match frame {
            Some(Ok(frame)) => {
                let Some(piece) = Piece::of(frame) else {
                    context.waker().wake_by_ref(); // a frame of no kind that is known
                    return Poll::Pending;
                };
                self.at = state.keep(&piece, self.at);
                Poll::Ready(Some(Ok(piece.frame())))
            }
            Some(Err(error)) => {
                state.complete = false;
                inner.broke.set(true);
                Poll::Ready(Some(Err(error)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.inner.state.borrow();
        self.inner.ended.get() && self.at >= state.kept.len() && !state.given_up
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.inner.state.borrow();
        if self.at == 0 && state.kept.is_empty() {
            state.body.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

impl State {
    /// Keeps a piece where that is wanted; gives where the loan stands after it.
    fn keep(&mut self, piece: &Piece, at: usize) -> usize {
        let bytes = match piece {
            Piece::Data(bytes) => bytes.len(),
            Piece::Trailers(_) => 0,
        };
        if self.keeps && self.complete && self.bytes + bytes <= KEPT {
            self.bytes += bytes;
            self.kept.push(piece.clone());
            return at + 1;
        }
        self.complete = false;
        self.kept = Vec::new(); // the loan has had all of it
        0
    }
}

impl Piece {
    fn of(frame: Frame<Bytes>) -> Option<Self> {
        match frame.into_data() {
            Ok(data) => Some(Self::Data(data)),
            Err(frame) => frame.into_trailers().ok().map(Self::Trailers),
        }
    }

    fn frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}
