//! The live stream: one HTTP/2 request to the operator that stays open (`plan::stream`), made again whenever it ends.
//!
//! It hands on what it hears and says what it is given to say. Which plan wins is not decided here.

mod backoff;
mod dial;
mod hear;
mod lines;
mod say;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use plan::stream::{PATH, RateShare, SILENCE};
use plan::{Address, Control, Plan, Revision};
use tokio::sync::{mpsc, watch};

use self::backoff::Backoff;
pub use self::dial::DialError;
use self::hear::{Heard, hear};
use self::lines::{Lines, TooLong};
use self::say::Voice;
pub use self::say::{Applied, Refused, Tell, Told, told};
use super::merge::Change;
use process::logging::causes;

/// What a stream tells its owner.
#[derive(Debug)]
pub enum Event {
    /// The operator has answered.
    Connected,
    /// A plan.
    Plan(Box<Plan>),
    /// A plan or another message that can't be read; its revision where that can.
    Bad(Revision, String),
    /// Where a service is provided.
    Endpoints(Change),
    /// What this pod may let in of rates that are shared: all its shares.
    Shares(Vec<RateShare>),
    /// The stream is over; the next one is on its way.
    Disconnected,
}

/// What a stream needs to be made.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The projected token, read anew for each stream because the kubelet replaces it.
    pub token_file: Option<PathBuf>,
    /// Instead of the address in the plan; the certificate's name stays that of the plan.
    pub address: Option<Address>,
    /// A stream with nothing on it for this long is dead.
    pub silence: Duration,
}

impl Default for Dial {
    fn default() -> Self {
        Self {
            token_file: None,
            address: None,
            silence: SILENCE,
        }
    }
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{}: the token can't be read", .0.display())]
    Token(PathBuf, #[source] io::Error),
    #[error("{}: the token can't be put into a header", .0.display())]
    TokenText(PathBuf),
    #[error("the operator refuses: {0} {1}")]
    Refused(StatusCode, String),
    #[error("the stream broke")]
    Transport(#[from] hyper::Error),
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
    #[error(transparent)]
    Line(#[from] TooLong),
    #[error("the operator ended the stream without a goodbye")]
    Ended,
    /// The owner is gone; the process is ending.
    #[error("nobody listens any more")]
    Unheard,
}

/// Keeps a stream up for as long as there is a plan that says where to; ends only when `events` is closed.
pub async fn run(
    dial: Dial,
    mut control: watch::Receiver<Option<Control>>,
    (told, refused): (Told, watch::Receiver<Refused>),
    events: mpsc::Sender<Event>,
) {
    let voice = Voice { told, refused };
    let mut backoff = Backoff::default();
    while let Some(to) = where_to(&mut control).await {
        let mut stream = Stream {
            events: &events,
            heard: false,
            silence: dial.silence,
        };
        let ended = stream.run(&dial, &to, voice.clone()).await;
        if stream.heard {
            backoff.succeeded();
        }
        if events.send(Event::Disconnected).await.is_err() {
            return;
        }
        let wait = match ended {
            Ok(()) => Backoff::parted(random()),
            Err(error) => {
                let wait = backoff.failed(random());
                tracing::warn!(error = %causes(&error), retry_ms = wait.as_millis() as u64, "operator out of reach; the last good plan stays");
                wait
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// Waits for a plan that names an operator.
async fn where_to(control: &mut watch::Receiver<Option<Control>>) -> Option<Control> {
    let to = control.wait_for(Option::is_some).await.ok()?;
    to.clone()
}

/// Seeds from the system, so that sidecars started together differ.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// One stream, from dialling to its end.
struct Stream<'a> {
    events: &'a mpsc::Sender<Event>,
    heard: bool,
    silence: Duration,
}

impl Stream<'_> {
    /// `Ok` is a goodbye.
    async fn run(&mut self, dial: &Dial, control: &Control, voice: Voice) -> Result<(), Broken> {
        let address = dial.address.as_ref().unwrap_or(&control.address);
        let token = token(dial.token_file.as_ref())?;
        let mut connection = dial::dial(control, address.as_str()).await?;
        let request = request(&control.server_name, token, voice);
        let response = self.in_time(connection.sender.send_request(request)).await??;
        let mut body = accepted(response).await?;
        tracing::info!(%address, "operator connected");
        self.tell(Event::Connected).await?;
        let mut lines = Lines::default();
        loop {
            let Some(frame) = self.in_time(body.frame()).await? else {
                return Err(Broken::Ended);
            };
            if let Ok(data) = frame?.into_data() {
                lines.push(&data);
            }
            while let Some(line) = lines.next()? {
                if self.hear(&line).await? == Next::Part {
                    return Ok(());
                }
            }
        }
    }

    async fn hear(&mut self, line: &[u8]) -> Result<Next, Broken> {
        self.heard = true;
        match hear(line) {
            Heard::Plan(plan) => self.tell(Event::Plan(plan)).await?,
            Heard::Endpoints(change) => self.tell(Event::Endpoints(change)).await?,
            Heard::Shares(shares) => self.tell(Event::Shares(shares)).await?,
            Heard::Bad(revision, reason) => self.tell(Event::Bad(revision, reason)).await?,
            Heard::Heartbeat => {}
            Heard::Unknown(kind) => tracing::debug!(kind, "message of a newer operator ignored"),
            Heard::Goodbye => return Ok(Next::Part),
        }
        Ok(Next::Listen)
    }

    async fn tell(&self, event: Event) -> Result<(), Broken> {
        self.events.send(event).await.map_err(|_| Broken::Unheard)
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Broken> {
        tokio::time::timeout(self.silence, work)
            .await
            .map_err(|_| Broken::Silent(self.silence))
    }
}

#[derive(PartialEq, Eq)]
enum Next {
    Listen,
    Part,
}

fn token(file: Option<&PathBuf>) -> Result<Option<HeaderValue>, Broken> {
    let Some(file) = file else { return Ok(None) };
    let token = std::fs::read_to_string(file).map_err(|error| Broken::Token(file.clone(), error))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
        .map_err(|_| Broken::TokenText(file.clone()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn request(host: &str, token: Option<HeaderValue>, voice: Voice) -> Request<dial::Saying> {
    let mut request = Request::new(StreamBody::new(voice.lines()));
    *request.method_mut() = hyper::Method::POST;
    let uri = hyper::Uri::builder()
        .scheme("https")
        .authority(host)
        .path_and_query(PATH)
        .build();
    // The connection is made and verified already; an address that is no authority (IPv6) only loses its label.
    *request.uri_mut() = uri.unwrap_or_else(|_| hyper::Uri::from_static("https://operator/v1/stream"));
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    if let Some(token) = token {
        headers.insert(AUTHORIZATION, token);
    }
    request
}

/// The body of an answer that is a stream; of any other the first words.
async fn accepted(response: Response<Incoming>) -> Result<Incoming, Broken> {
    const WORDS: usize = 512;
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response.into_body());
    }
    let collected = Limited::new(response.into_body(), WORDS).collect();
    let words = match tokio::time::timeout(Duration::from_secs(1), collected).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        _ => String::new(),
    };
    Err(Broken::Refused(status, words))
}

#[cfg(test)]
mod tests;
