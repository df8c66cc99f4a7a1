//! A client and a server on real sockets: what is pipelined, what a broken connection does, what is refused.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests from top to bottom, their helpers too"
)]

mod server;

use std::time::Duration;

use client::{Address, CallError, Client, ErrorType, LinkError, Settings, Undecodable};

use crate::server::{Listener, PATIENCE, Peer};

/// Short enough for a test, long enough for a busy machine where it must not pass.
const SHORT: Duration = Duration::from_millis(50);
const PATH: &str = "com.example.Greet";

fn client(listener: &Listener) -> Client {
    Client::new(listener.address(), Settings::default())
}

/// One call in a task of its own.
fn spawn(client: &Client, argument: &str) -> tokio::task::JoinHandle<Result<String, CallError>> {
    let (client, argument) = (client.clone(), argument.to_owned());
    tokio::spawn(async move { client.call(PATH, "hello", (argument,)).await })
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// The next request of a connection, which must hold this text.
async fn expect(peer: &mut Peer, text: &str) -> u64 {
    let asked = peer.next().await.expect("a request");
    assert_eq!(asked.text(), text);
    asked.header.id
}

#[tokio::test]
async fn calls_are_pipelined_and_answers_may_come_in_any_order() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let calls: Vec<_> = (0..100).map(|n| spawn(&client, &n.to_string())).collect();
    let mut peer = listener.accept().await;
    let mut asked = Vec::new();
    while asked.len() < 100 {
        asked.push(peer.next().await.expect("all requests come before any answer"));
    }
    for request in asked.iter().rev() {
        let text = format!("hello {}", request.text());
        peer.answer(request.header.id, &text).await;
    }
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(
            within("an answer", call).await.unwrap().unwrap(),
            format!("hello {n}")
        );
    }
}

#[tokio::test]
async fn a_sidecar_that_goes_away_gets_no_new_call_and_answers_what_it_has() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let first = spawn(&client, "first");
    let mut leaving = listener.accept().await;
    let id = expect(&mut leaving, "first").await;
    leaving.drain().await;
    leaving.answer(id, "from the old one").await;
    assert_eq!(within("first", first).await.unwrap().unwrap(), "from the old one");
    let second = spawn(&client, "second");
    let mut next = listener.accept().await;
    let id = expect(&mut next, "second").await;
    next.answer(id, "from the new one").await;
    assert_eq!(
        within("second", second).await.unwrap().unwrap(),
        "from the new one"
    );
    assert!(
        leaving.next().await.is_none(),
        "the old one got nothing more, and was left"
    );
}

#[tokio::test]
async fn a_request_carries_all_that_was_said_of_it() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let call = async {
        client
            .request(PATH, "hello", ("Ray", 7, None::<i64>))
            .group("shop")
            .meta("k", "v")
            .timeout(Duration::from_millis(1_500))
            .send::<()>()
            .await
    };
    let serve = async {
        let mut peer = listener.accept().await;
        let asked = peer.next().await.expect("a request");
        let expected = [
            ("M_p", PATH),
            ("M_m", "hello"),
            ("M_g", "shop"),
            ("k", "v"),
            ("M_tmo", "1500"),
        ];
        let found: Vec<_> = asked.meta.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(found, expected);
        // The parameters of motan-wire 5.2's example.
        assert_eq!(asked.body, b"\x01\x00\x00\x00\x03Ray\x08\x0e\x00");
        peer.empty(asked.header.id).await;
        peer
    };
    let (outcome, _peer) = within("a call", async { tokio::join!(call, serve) }).await;
    outcome.unwrap();
}

#[tokio::test]
async fn a_call_that_was_written_fails_with_the_connection_and_says_so() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let call = spawn(&client, "lost");
    let mut peer = listener.accept().await;
    expect(&mut peer, "lost").await;
    drop(peer);
    let error = within("the end", call).await.unwrap().unwrap_err();
    assert!(
        matches!(&error, CallError::Lost(_)) && !error.is_unsent(),
        "{error:?}"
    );
    // The next one is made on a new connection.
    let call = spawn(&client, "again");
    let mut peer = listener.accept().await;
    let id = expect(&mut peer, "again").await;
    peer.answer(id, "hello again").await;
    assert_eq!(within("an answer", call).await.unwrap().unwrap(), "hello again");
}

#[tokio::test]
async fn a_call_made_while_nobody_listens_is_sent_when_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.sock");
    let address: Address = format!("unix:{}", path.display()).parse().unwrap();
    let client = Client::new(address, Settings::default());
    let call = spawn(&client, "patient");
    // Calls with little time show when an attempt has failed.
    within("a failed attempt", async {
        loop {
            let hurried = client.request(PATH, "hello", ()).timeout(Duration::ZERO);
            let error = hurried.send::<()>().await.unwrap_err();
            assert!(error.is_unsent(), "{error:?}");
            if let CallError::Unsent { why: Some(why), .. } = error {
                assert!(matches!(*why, LinkError::Connect(_)), "{why:?}");
                return;
            }
        }
    })
    .await;

    let mut listener = Listener::unix(&path);
    let mut peer = listener.accept().await;
    let id = expect(&mut peer, "patient").await;
    peer.answer(id, "hello patient").await;
    assert_eq!(within("an answer", call).await.unwrap().unwrap(), "hello patient");
}

#[tokio::test]
async fn a_call_without_an_answer_ends_in_time_and_its_late_answer_reaches_nobody() {
    let mut listener = Listener::tcp().await;
    let settings = Settings {
        patience: SHORT,
        ..Settings::default()
    };
    let client = Client::new(listener.address(), settings);
    let late = spawn(&client, "late");
    let mut peer = listener.accept().await;
    let late_id = expect(&mut peer, "late").await;
    let error = within("the end", late).await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Timeout(SHORT)), "{error:?}");

    let call = async {
        client
            .request(PATH, "hello", ("next",))
            .timeout(PATIENCE)
            .send::<String>()
            .await
    };
    let serve = async {
        let id = expect(&mut peer, "next").await;
        assert_ne!(id, late_id);
        peer.answer(late_id, "hello late").await;
        peer.answer(id, "hello next").await;
    };
    let (answer, ()) = within("a call", async { tokio::join!(call, serve) }).await;
    assert_eq!(answer.unwrap(), "hello next");
}

#[tokio::test]
async fn exceptions_keep_their_code_type_and_words() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let call = spawn(&client, "x");
    let mut peer = listener.accept().await;
    let id = expect(&mut peer, "x").await;
    peer.exception(id, 404, ErrorType::Service, "provider not exist")
        .await;
    let error = within("the end", call).await.unwrap().unwrap_err();
    let CallError::Exception(exception) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(
        (exception.code, exception.kind, exception.words.as_str()),
        (404, ErrorType::Service, "provider not exist")
    );
}

#[tokio::test]
async fn an_answer_over_the_limit_fails_its_call_and_no_other() {
    let mut listener = Listener::tcp().await;
    let settings = Settings {
        max_message: 1_000,
        ..Settings::default()
    };
    let client = Client::new(listener.address(), settings);
    let (long, short) = (spawn(&client, "long"), spawn(&client, "short"));
    let mut peer = listener.accept().await;
    for _ in 0..2 {
        let asked = peer.next().await.expect("a request");
        let text = match asked.text().as_str() {
            "long" => "x".repeat(500_000),
            other => other.to_owned(),
        };
        peer.answer(asked.header.id, &text).await;
    }
    let error = within("the end", long).await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Undecodable(Undecodable::TooLong(500_005))),
        "{error:?}"
    );
    assert_eq!(within("an answer", short).await.unwrap().unwrap(), "short");
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_refused_at_once() {
    let listener = Listener::tcp().await;
    let settings = Settings {
        max_message: 1_000,
        max_calls: 0,
        ..Settings::default()
    };
    let client = Client::new(listener.address(), settings);
    let long = "x".repeat(1_000);
    for (request, expected) in [
        (client.request(PATH, "m", (long.as_str(),)), "over 1000 bytes"),
        (
            client.request(PATH, "m", ()).meta("k", "a\nb"),
            "metadata \"k: a\\nb\"",
        ),
        (client.request("", "m", ()), "metadata \"M_p: \""),
        (client.request(PATH, "m", ()), "bound of calls"),
    ] {
        let error = within("a refusal", request.send::<()>()).await.unwrap_err();
        assert!(
            error.is_unsent() && error.to_string().contains(expected),
            "{error}"
        );
    }
}

#[tokio::test]
async fn garbage_breaks_the_connection_and_the_next_one_works() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let call = spawn(&client, "x");
    let mut peer = listener.accept().await;
    expect(&mut peer, "x").await;
    peer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let error = within("the end", call).await.unwrap().unwrap_err();
    let CallError::Lost(why) = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**why, LinkError::Broken(_)), "{why:?}");
    assert!(peer.next().await.is_none(), "the client must have closed it");

    let call = spawn(&client, "again");
    let mut peer = listener.accept().await;
    let id = expect(&mut peer, "again").await;
    // Requests and heartbeats where answers belong, answers to nothing: all passed over.
    peer.stray(id).await;
    peer.answer(id, "hello again").await;
    assert_eq!(within("an answer", call).await.unwrap().unwrap(), "hello again");
}

#[tokio::test]
async fn an_answer_of_another_kind_is_an_error_that_names_it() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.call::<i32>(PATH, "hello", ()).await })
    };
    let mut peer = listener.accept().await;
    let asked = peer.next().await.expect("a request");
    peer.answer(asked.header.id, "seven").await;
    let error = within("the end", call).await.unwrap().unwrap_err();
    let source = std::error::Error::source(&error).expect("a source").to_string();
    assert_eq!(source, "it is a string, not a 32-bit number");

    let call = spawn(&client, "hessian");
    let id = expect(&mut peer, "hessian").await;
    peer.serialized(id, 0, b"\x05hello").await;
    let error = within("the end", call).await.unwrap().unwrap_err();
    assert!(
        matches!(error, CallError::Undecodable(Undecodable::Serialization(0))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_one_way_call_is_done_when_it_is_written() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    within("the end", client.request(PATH, "line", ("x",)).one_way())
        .await
        .unwrap();
    let mut peer = listener.accept().await;
    let asked = peer.next().await.expect("a request");
    assert_ne!(asked.header.kind & wire::motan2::bits::ONEWAY, 0);
    // Agents answer all the same; that answer is nobody's.
    peer.answer(asked.header.id, "done").await;
    let call = spawn(&client, "x");
    let id = expect(&mut peer, "x").await;
    peer.answer(id, "hello x").await;
    assert_eq!(within("an answer", call).await.unwrap().unwrap(), "hello x");
}

#[tokio::test]
async fn a_unix_socket_serves_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mesh.sock");
    let mut listener = Listener::unix(&path);
    let address: Address = format!("unix:{}", path.display()).parse().unwrap();
    let client = Client::new(address, Settings::default());
    let call = spawn(&client, "x");
    let mut peer = listener.accept().await;
    let id = expect(&mut peer, "x").await;
    peer.answer(id, "hello x").await;
    assert_eq!(within("an answer", call).await.unwrap().unwrap(), "hello x");
}

#[tokio::test]
async fn bytes_that_wait_are_bounded_while_the_sidecar_does_not_read() {
    let mut listener = Listener::tcp().await;
    let settings = Settings {
        max_queued: 4 << 20,
        ..Settings::default()
    };
    let client = Client::new(listener.address(), settings);
    let big = "x".repeat(1 << 20);
    let mut calls = tokio::task::JoinSet::new();
    let refused = within("a refusal", async {
        loop {
            let (client, big) = (client.clone(), big.clone());
            calls.spawn(async move { client.call::<()>(PATH, "m", (big,)).await });
            // What the bound refuses ends at once; everything else waits for a peer that does not answer.
            tokio::task::yield_now().await;
            if let Some(ended) = calls.try_join_next() {
                return ended.unwrap().unwrap_err();
            }
        }
    })
    .await;
    assert!(matches!(refused, CallError::Busy(_)), "{refused:?}");
    drop(listener.accept().await);
}

#[tokio::test]
async fn the_connection_ends_with_the_last_client() {
    let mut listener = Listener::tcp().await;
    let client = client(&listener);
    let call = spawn(&client, "x");
    let mut peer = listener.accept().await;
    let id = expect(&mut peer, "x").await;
    peer.answer(id, "hello x").await;
    within("an answer", call).await.unwrap().unwrap();
    drop(client);
    assert!(peer.next().await.is_none());
}
