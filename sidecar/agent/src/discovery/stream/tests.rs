//! The client against a real HTTP/2 server over TLS that speaks `plan::stream`; every wait has a deadline.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use plan::stream::{FromOperator, FromSidecar, RateHeld, RateShare, Subscription};
use plan::{Endpoint, GroupName, PathName, PlanHash, ServiceName};
use process::listen;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::*;

const NAME: &str = "motanmesh-operator.motanmesh-system.svc";
const DEADLINE: Duration = Duration::from_secs(10);

async fn in_time<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("in time")
}

/// One certificate authority, as the operator keeps one.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([NAME.to_owned()])
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

/// An operator that does what the test says.
struct Operator {
    listener: TcpListener,
    tls: TlsAcceptor,
    connections: JoinSet<()>,
}

/// One stream that a sidecar has opened.
struct Session {
    token: String,
    said: mpsc::Receiver<FromSidecar>,
    tell: mpsc::Sender<Bytes>,
}

impl Operator {
    fn start(authority: &Authority) -> Self {
        let listener = listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self {
            listener,
            tls: authority.acceptor(),
            connections: JoinSet::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next stream.
    async fn session(&mut self) -> Session {
        let (tcp, _) = listen::accept(&self.listener).await;
        let tls = self.tls.accept(tcp).await.unwrap();
        let (sessions_in, mut sessions) = mpsc::channel(1);
        let service = hyper::service::service_fn(move |request| {
            let sessions = sessions_in.clone();
            async move { Ok::<_, std::convert::Infallible>(open(request, sessions).await) }
        });
        self.connections.spawn(async move {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(tls), service).await;
        });
        in_time(sessions.recv()).await.unwrap()
    }
}

type Telling =
    StreamBody<futures::stream::BoxStream<'static, Result<Frame<Bytes>, std::convert::Infallible>>>;

async fn open(request: Request<Incoming>, sessions: mpsc::Sender<Session>) -> Response<Telling> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", PATH));
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .map_or("", |token| token.to_str().unwrap())
        .to_owned();
    let (tell, mut told) = mpsc::channel::<Bytes>(8);
    let (said_in, said) = mpsc::channel(8);
    tokio::spawn(async move {
        let (mut body, mut lines) = (request.into_body(), Lines::default());
        while let Some(Ok(frame)) = body.frame().await {
            lines.push(frame.data_ref().unwrap());
            while let Some(line) = lines.next().unwrap() {
                let _ = said_in.send(serde_json::from_slice(&line).unwrap()).await;
            }
        }
    });
    sessions.send(Session { token, said, tell }).await.unwrap();
    let telling = futures::stream::poll_fn(move |cx| {
        told.poll_recv(cx)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    });
    Response::new(StreamBody::new(Box::pin(telling)))
}

impl Session {
    async fn said(&mut self) -> FromSidecar {
        in_time(self.said.recv()).await.unwrap()
    }

    async fn tell(&self, message: &FromOperator) {
        self.tell_text(&serde_json::to_string(message).unwrap()).await;
    }

    async fn tell_text(&self, line: &str) {
        self.tell.send(format!("{line}\n").into()).await.unwrap();
    }
}

/// The client, run as discovery runs it.
struct Client {
    control: watch::Sender<Option<Control>>,
    tell: Tell,
    refused: watch::Sender<Refused>,
    events: mpsc::Receiver<Event>,
    _task: JoinSet<()>,
}

impl Client {
    fn start(dial: Dial, control: Option<Control>) -> Self {
        let (control, control_out) = watch::channel(control);
        let (tell, told) = told();
        tell.applied.send_replace(Applied {
            revision: Revision(7),
            hash: PlanHash("abc".into()),
        });
        let (refused, refused_out) = watch::channel(Refused::default());
        let (events_in, events) = mpsc::channel(16);
        let mut task = JoinSet::new();
        task.spawn(run(dial, control_out, (told, refused_out), events_in));
        Self {
            control,
            tell,
            refused,
            events,
            _task: task,
        }
    }

    async fn event(&mut self) -> Event {
        in_time(self.events.recv()).await.unwrap()
    }
}

fn control(operator: &Operator, authority: &Authority) -> Control {
    Control {
        address: Address::of(operator.address()),
        server_name: NAME.into(),
        roots: authority.0.pem(),
    }
}

fn plan(revision: u64) -> Plan {
    let text = format!(
        r#"{{"revision": {revision}, "workload": {{"namespace": "shop", "pod": "web-1", "application": "web"}}}}"#
    );
    Plan::parse(text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_stream_says_hello_hears_plans_and_endpoints_and_acknowledges() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "one\n").unwrap();
    let authority = Authority::new();
    let mut operator = Operator::start(&authority);
    let dial = Dial {
        token_file: Some(token_file.clone()),
        ..Dial::default()
    };
    let mut client = Client::start(dial, Some(control(&operator, &authority)));

    let mut session = in_time(operator.session()).await;
    assert_eq!(session.token, "Bearer one");
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let hello = FromSidecar::Hello {
        revision: Revision(7),
        hash: PlanHash("abc".into()),
        version,
    };
    assert_eq!(session.said().await, hello);
    assert!(matches!(client.event().await, Event::Connected));

    session
        .tell(&FromOperator::Plan {
            plan: Box::new(plan(8)),
        })
        .await;
    assert!(matches!(client.event().await, Event::Plan(got) if *got == plan(8)));
    let user = ServiceName::of("shop", "user").unwrap();
    let set = vec![Endpoint::agent(
        Address::new("10.0.0.1:9982").unwrap(),
        Default::default(),
    )];
    let message = FromOperator::Endpoints {
        service: user.clone(),
        reset: true,
        set: set.clone(),
        removed: vec![],
    };
    session.tell(&message).await;
    let change = Change {
        service: user,
        reset: true,
        set,
        removed: vec![],
    };
    assert!(matches!(client.event().await, Event::Endpoints(got) if got == change));

    client.tell.applied.send_replace(Applied {
        revision: Revision(8),
        hash: PlanHash("def".into()),
    });
    assert_eq!(
        session.said().await,
        FromSidecar::Ack {
            revision: Revision(8),
            hash: PlanHash("def".into())
        }
    );

    let subscription = |path: &str| Subscription {
        path: PathName::new(path).unwrap(),
        group: GroupName::new("shop").unwrap(),
    };
    let asked = |paths: &[&str]| paths.iter().map(|path| subscription(path)).collect::<Vec<_>>();
    client.tell.undeclared.send_replace(asked(&["a", "b"]));
    let subscriptions = asked(&["a", "b"]);
    assert_eq!(session.said().await, FromSidecar::Undeclared { subscriptions });

    // A goodbye: back at once, with the token of now and the plan of now.
    std::fs::write(&token_file, "two").unwrap();
    session.tell(&FromOperator::Goodbye).await;
    assert!(matches!(client.event().await, Event::Disconnected));
    let mut session = in_time(operator.session()).await;
    assert_eq!(session.token, "Bearer two");
    assert!(matches!(
        session.said().await,
        FromSidecar::Hello {
            revision: Revision(8),
            ..
        }
    ));
    let subscriptions = asked(&["a", "b"]);
    assert_eq!(session.said().await, FromSidecar::Undeclared { subscriptions });
    client.tell.undeclared.send_replace(Vec::new());
    let subscriptions = Vec::new();
    assert_eq!(session.said().await, FromSidecar::Undeclared { subscriptions });
}

#[tokio::test]
async fn what_comes_of_a_shared_rate_is_said_and_shares_are_heard() {
    let authority = Authority::new();
    let mut operator = Operator::start(&authority);
    let mut client = Client::start(Dial::default(), Some(control(&operator, &authority)));
    let user = ServiceName::of("shop", "user").unwrap();
    let held = |demand: u32| {
        let service = user.clone();
        vec![RateHeld {
            service,
            demand,
            share: 50,
            number: 0,
        }]
    };
    let mut session = in_time(operator.session()).await;
    assert!(matches!(session.said().await, FromSidecar::Hello { .. }));
    assert!(matches!(client.event().await, Event::Connected));
    client.tell.rates.send_replace(held(7));
    assert_eq!(session.said().await, FromSidecar::Rates { rates: held(7) });
    let shares = vec![RateShare {
        service: user.clone(),
        share: 80,
        number: 3,
    }];
    let message = FromOperator::Shares {
        shares: shares.clone(),
    };
    session.tell(&message).await;
    assert!(matches!(client.event().await, Event::Shares(got) if got == shares));
    // Another operator knows nothing of it: it is said again, after the hello.
    session.tell(&FromOperator::Goodbye).await;
    assert!(matches!(client.event().await, Event::Disconnected));
    let mut session = in_time(operator.session()).await;
    assert!(matches!(session.said().await, FromSidecar::Hello { .. }));
    assert_eq!(session.said().await, FromSidecar::Rates { rates: held(7) });
}

#[tokio::test]
async fn a_stream_that_is_over_leaves_nothing_behind() {
    let authority = Authority::new();
    let mut operator = Operator::start(&authority);
    let client = Client::start(Dial::default(), Some(control(&operator, &authority)));
    for _ in 0..3 {
        let mut session = in_time(operator.session()).await;
        session.said().await;
        session.tell(&FromOperator::Goodbye).await;
    }
    let _last = in_time(operator.session()).await;
    // One voice to make others from, and the one of the stream that is open.
    let alone = async {
        while client.tell.applied.receiver_count() > 2 {
            tokio::task::yield_now().await;
        }
    };
    in_time(alone).await;
}

#[tokio::test]
async fn a_bad_plan_is_reported_and_the_stream_goes_on() {
    let authority = Authority::new();
    let mut operator = Operator::start(&authority);
    let mut client = Client::start(Dial::default(), Some(control(&operator, &authority)));
    let mut session = in_time(operator.session()).await;
    session.said().await;
    assert!(matches!(client.event().await, Event::Connected));
    session
        .tell_text(r#"{"type":"plan","plan":{"revision":9,"workload":{}}}"#)
        .await;
    let Event::Bad(Revision(9), reason) = client.event().await else {
        panic!("taken")
    };
    client.refused.send_replace(Refused {
        revision: Revision(9),
        reason: reason.clone(),
    });
    assert_eq!(
        session.said().await,
        FromSidecar::Nack {
            revision: Revision(9),
            reason
        }
    );
    session
        .tell(&FromOperator::Plan {
            plan: Box::new(plan(10)),
        })
        .await;
    assert!(matches!(client.event().await, Event::Plan(_)));
}

#[tokio::test]
async fn a_silent_stream_is_dead_and_made_anew() {
    let authority = Authority::new();
    let mut operator = Operator::start(&authority);
    let dial = Dial {
        silence: Duration::from_millis(200),
        ..Dial::default()
    };
    let mut client = Client::start(dial, Some(control(&operator, &authority)));
    let connect = async {
        // On a busy machine the operator may be too late to answer at first.
        let session = operator.session().await;
        while !matches!(client.event().await, Event::Connected) {}
        session
    };
    let _silent = in_time(connect).await;
    assert!(matches!(client.event().await, Event::Disconnected));
    in_time(operator.session()).await;
}

#[tokio::test]
async fn only_the_roots_of_the_plan_are_trusted_and_rotated_ones_are_used_next() {
    let (old, new) = (Authority::new(), Authority::new());
    let mut operator = Operator::start(&new);
    let mut client = Client::start(Dial::default(), Some(control(&operator, &old)));
    let (tcp, _) = in_time(listen::accept(&operator.listener)).await;
    assert!(
        in_time(operator.tls.accept(tcp)).await.is_err(),
        "the sidecar refuses the certificate"
    );
    assert!(matches!(client.event().await, Event::Disconnected));
    client.control.send_replace(Some(control(&operator, &new)));
    in_time(operator.session()).await.said().await;
    assert!(matches!(client.event().await, Event::Connected));
}

#[tokio::test]
async fn a_plan_without_an_operator_starts_no_stream_until_one_names_it() {
    let authority = Authority::new();
    let mut operator = Operator::start(&authority);
    let client = Client::start(Dial::default(), None);
    client.control.send_replace(Some(control(&operator, &authority)));
    in_time(operator.session()).await.said().await;
}
