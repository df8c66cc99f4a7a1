//! What must not be, from programs, agents and programs behind: it costs whoever sent it, and nobody else.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;
use wire::motan2::{Header, bits};

use crate::mesh::{Agent, caller, plain, provider, run};
use crate::motan::{Client, Message, echo, program, request};
use crate::net::Net;

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:7001";
const APP_B: &str = "127.0.0.1:7002";

fn pair(net: &Net) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("motan2", APP_A));
    let client = Agent::start(net, None, &caller("motan2", &[A], 1000));
    (client, server)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::gzip::deflate(body, &mut out);
    out
}

fn compressed(id: u64, body: &[u8]) -> Message {
    let mut call = request(id, "demo.User", "m", body);
    call.header.kind = bits::GZIP;
    call
}

#[tokio::test(start_paused = true)]
async fn a_program_gets_and_gives_compressed_bodies_and_never_sees_one_it_did_not_make() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut asked = program(&net, APP_A);
        spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                assert_eq!(
                    asked.message.header.kind & bits::GZIP,
                    0,
                    "inflated for the program"
                );
                asked.answer_compressed(&asked.message.body).await;
            }
        });
        for body in [vec![b'a'; 100], vec![b'b'; 1 << 20]] {
            let reply = client.motan().call(&compressed(1, &gzip(&body))).await;
            assert_eq!((reply.header.status, reply.header.kind & bits::GZIP), (0, 0));
            assert!(reply.body == body);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn agents_compress_between_them_what_a_policy_says() {
    run(async {
        let net = Net::default();
        let policy = |plan: String| plan.replace("\"timeoutMs\"", "\"mingzSize\": 1000, \"timeoutMs\"");
        let _server = Agent::start(&net, Some(A), &policy(provider("motan2", APP_A)));
        let client = Agent::start(&net, None, &policy(caller("motan2", &[A], 1000)));
        echo(&net, APP_A, "a", Duration::ZERO);
        let body = vec![b'x'; 500_000];
        let reply = client.motan().call(&request(1, "demo.User", "m", &body)).await;
        assert_eq!((reply.header.status, reply.header.kind & bits::GZIP), (0, 0));
        assert_eq!(reply.body.len(), body.len() + 2);
        let sent = client.metric("motanmesh_bytes_total", &["link", "written"]);
        let heard = client.metric("motanmesh_bytes_total", &["link", "read"]);
        assert!(sent < 10_000.0 && heard < 10_000.0, "{sent} {heard}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_gzip_bomb_and_corrupt_gzip_fail_alone() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut asked = program(&net, APP_A);
        let bomb = gzip(&vec![0; 64 << 20]);
        let answers = [bomb.clone(), b"not gzip".to_vec()];
        spawn_local(async move {
            let mut answers = answers.into_iter();
            while let Some(asked) = asked.recv().await {
                match asked.message.body.as_slice() {
                    b"compressed" => {
                        asked
                            .answer_raw(bits::RESPONSE | bits::GZIP, &answers.next().unwrap())
                            .await
                    }
                    body => asked.answer(body).await,
                }
            }
        });
        let mut program = client.motan();
        assert_eq!(program.call(&compressed(1, &bomb)).await.exception().code, 10_201);
        assert_eq!(
            program.call(&compressed(2, b"not gzip")).await.exception().code,
            400
        );
        assert_eq!(
            client.metric("motanmesh_retries_total", &[]),
            0.0,
            "nobody else would read it either"
        );
        for code in [10_201, 1003] {
            let call = request(3, "demo.User", "m", b"compressed");
            assert_eq!(program.call(&call).await.exception().code, code);
        }
        assert_eq!(program.call(&request(4, "demo.User", "m", b"x")).await.body, b"x");
        assert_eq!(
            client.metric("motanmesh_dial_failures_total", &[]),
            0.0,
            "no link was lost"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_none_fails_its_call_at_once_and_one_with_a_wrong_id_is_counted() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "m", b"")).await;
        let first = asked.recv().await.unwrap();
        first.answer_raw(0, b"typed as a request").await;
        spawn_local(async move {
            first.answer_to(12345).await;
            while asked.recv().await.is_some() {}
        });
        let reply = program.reader.next().await.unwrap();
        assert_eq!((reply.header.id, reply.exception().code), (1, 1003));
        while server.metric("motanmesh_answers_dropped_total", &["link"]) < 1.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(server.metric("motanmesh_messages_refused_total", &["link"]), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_over_the_limit_fails_its_call_and_no_other_on_the_link() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "m", b"")).await;
        program.send(&request(2, "demo.User", "m", b"")).await;
        let (first, second) = (asked.recv().await.unwrap(), asked.recv().await.unwrap());
        spawn_local(async move {
            first.answer(&vec![0; (10 << 20) + 1]).await;
            second.answer(b"fine").await;
        });
        let reply = program.reader.next().await.unwrap();
        assert_eq!((reply.header.id, reply.exception().code), (1, 10_201));
        assert_eq!(program.reader.next().await.unwrap().body, b"fine");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_begun_and_not_ended_costs_its_connection_after_ten_seconds() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        echo(&net, APP_A, "a", Duration::ZERO);
        let started = tokio::time::Instant::now();
        let mut half: Vec<Client> = Vec::new();
        for _ in 0..50 {
            let mut one = client.motan();
            one.writer
                .write_all(&request(1, "demo.User", "m", b"x").encode()[..30])
                .await
                .unwrap();
            half.push(one);
        }
        let mut idle = client.motan();
        for mut one in half {
            assert!(one.reader.next().await.is_none());
        }
        let took = started.elapsed();
        assert!(
            took >= Duration::from_secs(10) && took < Duration::from_secs(11),
            "{took:?}"
        );
        assert_eq!(
            client.metric("motanmesh_connections_broken_total", &["motan"]),
            50.0
        );
        // One that owes nothing may be silent.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(idle.call(&request(2, "demo.User", "m", b"")).await.body, b"a:");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_outside_of_the_mesh_is_served_only_where_the_service_says_so() {
    run(async {
        let net = Net::default();
        let server = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        echo(&net, APP_A, "a", Duration::ZERO);
        let mut call = request(1, "demo.User", "m", b"");
        call.meta.insert("M_g".into(), "g1".into());
        let mut foreign = Client::new(net.dial(A));
        let refused = foreign.call(&call).await.exception();
        assert_eq!(refused.code, 403);
        assert!(
            refused.words.contains("spec.export: {plain: true}"),
            "{}",
            refused.words
        );
        server.apply(&plain(&provider("motan2", APP_A)));
        assert_eq!(foreign.call(&call).await.body, b"a:");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_has_stopped_gets_no_new_calls_while_another_answers() {
    run(async {
        let net = Net::default();
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        echo(&net, APP_B, "b", Duration::ZERO);
        // Takes connections and all that comes on them, and says nothing: a process that is stopped.
        let mut accepted = net.listen(A);
        let (mut swallowed, seen) = (Vec::new(), std::rc::Rc::new(std::cell::Cell::new(0)));
        let count = std::rc::Rc::clone(&seen);
        spawn_local(async move {
            while let Some(io) = accepted.recv().await {
                let count = std::rc::Rc::clone(&count);
                swallowed.push(spawn_local(async move {
                    let mut stopped = Client::new(io);
                    while let Some(message) = stopped.reader.next().await {
                        count.set(count.get() + u32::from(!message.header.is_heartbeat()));
                    }
                }));
            }
        });
        let client = Agent::start(&net, None, &caller("motan2", &[A, B], 1000));
        // Ten calls a step, from callers of their own.
        for step in 0..100 {
            for id in 0..10 {
                let mut one = client.motan();
                spawn_local(async move {
                    one.send(&request(step * 10 + id, "demo.User", "m", b"")).await;
                    one.reader.next().await
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let before = seen.get();
        assert!(
            before > 0 && before < 300,
            "{before} calls of the first second went there"
        );
        let mut program = client.motan();
        for id in 0..200 {
            assert_eq!(
                program.call(&request(id, "demo.User", "m", b"")).await.body,
                b"b:"
            );
        }
        assert_eq!(seen.get(), before);
    })
    .await;
}

/// An agent that has asked for 64 MiB in a thousand answers, and reads nothing yet.
async fn flooded(net: &Net) -> (Agent, Client) {
    let server = Agent::start(net, Some(A), &plain(&provider("motan2", APP_A)));
    let mut asked = program(net, APP_A);
    spawn_local(async move {
        let large = vec![b'x'; 64 << 10];
        while let Some(asked) = asked.recv().await {
            let is_small = asked.message.body == b"small";
            asked.answer(if is_small { b"small" } else { &large }).await;
        }
    });
    let mut peer = Client::new(net.dial(A));
    for id in 0..1_000 {
        peer.send(&from_outside(id, b"")).await;
    }
    (server, peer)
}

fn from_outside(id: u64, body: &[u8]) -> Message {
    let mut call = request(id, "demo.User", "m", body);
    call.meta.insert("M_g".into(), "g1".into());
    call
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_asked_for_more_than_it_takes_at_once_gets_all_of_it() {
    run(async {
        let net = Net::default();
        let (server, mut peer) = flooded(&net).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        let read = server.metric("motanmesh_bytes_total", &["link", "read"]);
        assert!(read < f64::from(10 << 20), "{read} bytes are held for it");
        for _ in 0..1_000 {
            let answer = peer.reader.next().await.expect("its connection goes on");
            assert_eq!(answer.body.len(), 64 << 10);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_nothing_of_much_is_cut_and_others_are_served() {
    run(async {
        let net = Net::default();
        let (server, mut stopped) = flooded(&net).await;
        let mut other = Client::new(net.dial(A));
        let answer = other.call(&from_outside(7, b"small")).await;
        assert_eq!((answer.header.status, answer.body.as_slice()), (0, &b"small"[..]));
        assert_eq!(
            server.metric("motanmesh_connections_broken_total", &["inbound"]),
            1.0
        );
        let mut taken = 0;
        while stopped.reader.next().await.is_some() {
            taken += 1;
        }
        assert!(taken < 10, "{taken}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_exception_that_does_not_say_what_it_is_becomes_one_that_does() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut asked = program(&net, APP_A);
        spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                asked.answer_exception("no JSON").await;
            }
        });
        let reply = client.motan().call(&request(1, "demo.User", "m", b"")).await;
        let exception = reply.exception();
        assert_eq!(exception.code, 1003);
        assert!(exception.words.ends_with(": no JSON"), "{}", exception.words);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_the_hello_are_answered_with_one_header() {
    run(async {
        let net = Net::default();
        let (_client, _server) = pair(&net);
        let mut foreign = Client::new(net.dial(A));
        let mut ask = request(42, "", "", b"");
        ask.meta.clear();
        ask.header = Header::heartbeat(0, 42);
        let pulse = foreign.call(&ask).await;
        assert_eq!(pulse.header, Header::heartbeat(bits::RESPONSE, 42));
    })
    .await;
}
