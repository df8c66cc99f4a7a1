//! Large bodies, which pass through as they come, and what shares a pair of agents with them.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::task::spawn_local;
use wire::motan2::DEFAULT_LIMIT;

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{Client, Message, echo, program, request};
use crate::net::Net;

const A: &str = "10.0.0.1:9982";
const APP_A: &str = "127.0.0.1:7001";
/// Larger than what pipes and buffers on the way hold together.
const LARGE: usize = 3 << 20;
/// Larger than a read, and few enough that all can be gathered at a time.
const SOME: usize = 300_000;

fn pair(net: &Net) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("motan2", APP_A));
    let client = Agent::start(net, None, &caller("motan2", &[A], 5000));
    (client, server)
}

fn body(seed: u64, length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|at| (at.wrapping_mul(31).wrapping_add(seed) >> 3) as u8)
        .collect()
}

fn large(id: u64) -> Message {
    request(id, "demo.User", "m", &body(id, LARGE))
}

/// Writes at its own pace: who is called may not read.
fn write(writer: WriteHalf<tokio::io::DuplexStream>, bytes: Vec<u8>) {
    let mut writer = writer;
    spawn_local(async move {
        let _ = writer.write_all(&bytes).await;
        std::future::pending::<()>().await; // stays open
    });
}

#[tokio::test(start_paused = true)]
async fn large_bodies_pass_both_ways_many_at_a_time() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        let mut asked = program(&net, APP_A);
        spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                asked.answer(&asked.message.body).await;
            }
        });
        // More of them than there are lanes; each twice over its connection.
        let mut callers = tokio::task::JoinSet::new();
        for id in 0..24 {
            let Client { mut reader, writer } = client.motan();
            let bytes = [id, id + 100]
                .map(|id| request(id, "demo.User", "m", &body(id, SOME)).encode())
                .concat();
            write(writer, bytes);
            callers.spawn_local(async move {
                for id in [id, id + 100] {
                    let reply = reader.next().await.unwrap();
                    assert_eq!(reply.header.status, 0, "{:?}", reply.meta);
                    let id_of = reply.header.id;
                    assert!(id_of == id || id_of % 100 == id % 100);
                    assert!(reply.body == body(id_of, SOME), "{id_of}");
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        for (agent, role) in [(&client, "client"), (&server, "server")] {
            let ok = agent.metric("motanmesh_calls_total", &[role, "outcome=\"ok\""]);
            assert_eq!(
                (ok, agent.metric("motanmesh_calls_in_flight", &[role])),
                (48.0, 0.0)
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_behind_a_large_request_that_does_not_go_on() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        echo(&net, APP_A, "a", Duration::ZERO);
        let mut other = client.motan();
        assert_eq!(other.call(&request(1, "demo.User", "m", b"")).await.body, b"a:");
        let bytes = large(2).encode();
        let Client {
            mut reader,
            mut writer,
        } = client.motan();
        writer.write_all(&bytes[..LARGE / 2]).await.unwrap();
        for id in 3..50 {
            assert_eq!(other.call(&request(id, "demo.User", "m", b"")).await.body, b"a:");
        }
        writer.write_all(&bytes[LARGE / 2..]).await.unwrap();
        assert_eq!(reader.next().await.unwrap().body.len(), LARGE + 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_behind_a_large_answer_that_is_not_read() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut asked = program(&net, APP_A);
        spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                let size = if asked.message.body == b"large" { LARGE } else { 1 };
                spawn_local(async move { asked.answer(&body(7, size)).await });
            }
        });
        let mut greedy = client.motan();
        greedy.send(&request(1, "demo.User", "m", b"large")).await;
        let mut other = client.motan();
        for id in 2..50 {
            assert_eq!(
                other.call(&request(id, "demo.User", "m", b"")).await.body.len(),
                1
            );
        }
        assert!(greedy.reader.next().await.unwrap().body == body(7, LARGE));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_in_the_middle_costs_only_its_call() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        echo(&net, APP_A, "a", Duration::ZERO);
        let mut other = client.motan();
        assert_eq!(other.call(&request(1, "demo.User", "m", b"")).await.body, b"a:");
        let mut leaving = client.motan();
        let bytes = large(2).encode();
        leaving.writer.write_all(&bytes[..LARGE / 2]).await.unwrap();
        drop(leaving);
        for id in 3..10 {
            assert_eq!(other.call(&request(id, "demo.User", "m", b"")).await.body, b"a:");
        }
        let in_flight = || {
            client.metric("motanmesh_calls_in_flight", &[]) + server.metric("motanmesh_calls_in_flight", &[])
        };
        while in_flight() > 0.0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_ends_its_callers_connection_and_no_other() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut accepted = net.listen(APP_A);
        let mut unlucky = client.motan();
        unlucky.send(&request(1, "demo.User", "m", b"")).await;
        let mut backend = Client::new(accepted.recv().await.unwrap());
        let asked = backend.reader.next().await.unwrap();
        let mut reply = asked.clone();
        reply.header.kind = wire::motan2::bits::RESPONSE;
        reply.body = body(1, LARGE);
        let bytes = reply.encode();
        backend.writer.write_all(&bytes[..LARGE / 2]).await.unwrap();
        drop(backend);
        // Half a message can't be ended by anything: not by an exception either.
        assert!(unlucky.reader.next().await.is_none());

        let mut other = client.motan();
        other.send(&request(2, "demo.User", "m", b"")).await;
        let mut backend = Client::new(accepted.recv().await.unwrap());
        let mut reply = backend.reader.next().await.unwrap();
        reply.header.kind = wire::motan2::bits::RESPONSE;
        backend.writer.write_all(&reply.encode()).await.unwrap();
        assert_eq!(other.reader.next().await.unwrap().header.id, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_large_request_whose_time_is_over_is_told_so_and_its_rest_is_dropped() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        echo(&net, APP_A, "a", Duration::ZERO);
        let mut first = client.motan();
        assert_eq!(first.call(&request(1, "demo.User", "m", b"")).await.body, b"a:");
        let bytes = large(2).encode();
        let Client {
            mut reader,
            mut writer,
        } = client.motan();
        writer.write_all(&bytes[..LARGE / 2]).await.unwrap();
        assert_eq!(reader.next().await.unwrap().exception().code, 400);
        writer.write_all(&bytes[LARGE / 2..]).await.unwrap();
        writer
            .write_all(&request(3, "demo.User", "m", b"").encode())
            .await
            .unwrap();
        let reply = reader.next().await.unwrap();
        assert_eq!((reply.header.id, reply.body.as_slice()), (3, &b"a:"[..]));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn large_messages_use_the_same_few_links_again() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        // A program that answers while it is still being asked.
        let mut accepted = net.listen(APP_A);
        spawn_local(async move {
            while let Some(mut io) = accepted.recv().await {
                spawn_local(async move {
                    let (mut held, mut left) = (Vec::new(), 0);
                    loop {
                        let bytes = if left == 0 {
                            let head = wire::motan2::decode_head(&held, DEFAULT_LIMIT).unwrap();
                            let head = head.map(|(head, body_at)| (head.body_len, body_at));
                            head.map(|(body_len, body_at)| {
                                left = body_len;
                                held[2] |= wire::motan2::bits::RESPONSE;
                                held.drain(..body_at).collect::<Vec<u8>>()
                            })
                        } else {
                            let count = left.min(held.len());
                            left -= count;
                            (count > 0).then(|| held.drain(..count).collect())
                        };
                        match bytes {
                            Some(bytes) => io.write_all(&bytes).await.unwrap(),
                            None if io.read_buf(&mut held).await.unwrap() == 0 => return,
                            None => {}
                        }
                    }
                });
            }
        });
        let mut callers = tokio::task::JoinSet::new();
        for id in 0..8 {
            let mut caller = client.motan();
            callers.spawn_local(async move {
                for step in 0..20 {
                    let call = request(id * 100 + step, "demo.User", "m", &body(id, SOME));
                    let reply = caller.call(&call).await;
                    assert_eq!(reply.header.status, 0, "{:?}", reply.meta);
                    assert!(reply.body == body(id, SOME));
                }
            });
        }
        while let Some(done) = callers.join_next().await {
            done.unwrap();
        }
        assert!(
            net.connects(A) <= 10 && net.connects(APP_A) <= 10,
            "{} {}",
            net.connects(A),
            net.connects(APP_A)
        );
    })
    .await;
}
