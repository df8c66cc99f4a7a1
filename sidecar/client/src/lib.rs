//! Calls Motan services by the sidecar beside the program.
//!
//! Thin on purpose: where a call goes, how often it is tried and what it may cost are the sidecar's decisions. What is
//! left is one connection with many calls under way on it, made anew when it breaks.
//!
//! ```
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! # use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! # use wire::{motan2, value};
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
//! # let sidecar = listener.local_addr().unwrap().to_string();
//! # let serving = tokio::spawn(async move {
//! #     let (mut socket, _) = listener.accept().await.unwrap();
//! #     let mut read = Vec::new();
//! #     while socket.read_buf(&mut read).await.unwrap() > 0 {
//! #         while let Some((frame, length)) = motan2::decode(&read, motan2::DEFAULT_LIMIT).unwrap() {
//! #             if frame.header.is_heartbeat() {
//! #                 read.drain(..length);
//! #                 continue;
//! #             }
//! #             let first = value::Values::new(frame.body).next().unwrap().unwrap();
//! #             let text = format!("hello {}", String::from_utf8_lossy(first.bytes().unwrap()));
//! #             let mut header = motan2::Header::request(frame.header.id);
//! #             header.kind |= motan2::bits::RESPONSE;
//! #             let mut out = Vec::new();
//! #             let body = |out: &mut Vec<u8>| value::write(out, &value::Value::String(text.as_bytes()));
//! #             motan2::encode(&mut out, header, |meta| meta.pair(b"servedBy", b"user-1"), body);
//! #             socket.write_all(&out).await.unwrap();
//! #             read.drain(..length);
//! #         }
//! #     }
//! # });
//! use client::{Address, Client, Settings};
//! use std::time::Duration;
//!
//! // Usually 127.0.0.1:9981, the sidecar's port for Motan, or `unix:` and the path of its socket.
//! let sidecar: Address = sidecar.parse()?;
//! let client = Client::new(sidecar, Settings::default());
//!
//! // A service path, a method, the arguments, and the type of what comes back.
//! let words: String = client.call("com.example.Greet", "hello", ("Ray",)).await?;
//! assert_eq!(words, "hello Ray");
//!
//! // The same with all there is to say.
//! let answer = client
//!     .request("com.example.Greet", "hello", ("Ray", 7, true))
//!     .group("shop")
//!     .meta("consistentHashKey", "user-17")
//!     .timeout(Duration::from_millis(300))
//!     .answer()
//!     .await?;
//! assert_eq!(answer.meta("servedBy"), Some("user-1"));
//! assert_eq!(answer.value::<String>()?, "hello Ray");
//!
//! // What needs no answer is done once it is on its way.
//! client.request("com.example.Log", "line", ("was here",)).one_way().await?;
//! # serving.abort();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! An error says whether the call can have had an effect: see [`CallError::is_unsent`].

mod address;
mod convert;
mod error;
mod link;
mod pending;
mod request;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use address::{Address, NotAnAddress};
pub use convert::{Argument, Arguments, Reply};
pub use error::{CallError, LinkError, Undecodable};
pub use request::{Answer, Request};
pub use wire::error::{ErrorType, Exception};
pub use wire::value::Value;

use crate::pending::Pending;

/// What bounds a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How long a call without a timeout of its own is waited for; the sidecar's policy usually ends it before.
    pub patience: Duration,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// Calls under way at once; one more is refused with [`CallError::Busy`].
    pub max_calls: usize,
    /// Bytes of requests that wait to be written; more are refused with [`CallError::Busy`].
    pub max_queued: usize,
    /// Bytes of a message's metadata and of its body, each. A longer answer fails its call and no other.
    pub max_message: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(3),
            max_calls: 1_024,
            max_queued: 64 << 20,
            // The sidecar's own limit: it would close the connection.
            max_message: wire::motan2::DEFAULT_LIMIT,
        }
    }
}

/// Calls by one sidecar, over one connection. A clone is the same client.
///
/// The connection is made when the first call needs it, and again when it has broken and another call comes. It ends
/// with the last clone.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _link: Arc<Link>,
}

/// What callers and the link's task share.
#[derive(Debug)]
struct Shared {
    address: Address,
    settings: Settings,
    pending: Mutex<Pending>,
    /// Something was put into the queue.
    queued: Notify,
}

impl Shared {
    /// Held for a few lines, never across an await.
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that keeps the connection; it ends with its owner.
#[derive(Debug)]
struct Link(JoinHandle<()>);

impl Drop for Link {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    /// A client that is not connected yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O and time.
    #[must_use]
    pub fn new(address: Address, settings: Settings) -> Self {
        let shared = Arc::new(Shared {
            address,
            settings,
            pending: Mutex::new(Pending::new(settings.max_calls, settings.max_queued)),
            queued: Notify::new(),
        });
        let link = Link(tokio::spawn(link::keep(Arc::clone(&shared))));
        Self {
            shared,
            _link: Arc::new(link),
        }
    }

    /// Calls a method and waits for its answer, at most [`Settings::patience`].
    ///
    /// # Errors
    /// What the far side threw, or what became of the call: see [`CallError`].
    pub async fn call<T: Reply>(
        &self,
        path: &str,
        method: &str,
        arguments: impl Arguments,
    ) -> Result<T, CallError> {
        self.request(path, method, arguments).send().await
    }

    /// A call that says more than its arguments; nothing happens before it is sent.
    pub fn request(&self, path: &str, method: &str, arguments: impl Arguments) -> Request<'_> {
        Request::new(&self.shared, path, method, arguments)
    }
}
