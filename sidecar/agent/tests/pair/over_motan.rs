//! Motan → Motan.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;
use wire::error::ErrorType;
use wire::motan2::{Header, bits};

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{Client, echo, program, request};
use crate::net::Net;

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:7001";
const APP_B: &str = "127.0.0.1:7002";
const PROMPT: Duration = Duration::ZERO;

/// A caller and one provider that echoes.
fn pair(net: &Net, timeout_ms: u32) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &provider("motan2", APP_A));
    let client = Agent::start(net, None, &caller("motan2", &[A], timeout_ms));
    (client, server)
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_through_both_agents_and_back() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        let mut call = request(u64::MAX - 6, "demo.User", "hello", b"body");
        call.meta.insert("custom".into(), "kept".into());
        call.meta.insert("x-mesh-unsent".into(), "forged".into());
        program.send(&call).await;

        let seen = asked.recv().await.unwrap();
        let meta: BTreeMap<_, _> = seen
            .message
            .meta
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let expected = BTreeMap::from([
            ("M_g", "g1"),
            ("M_m", "hello"),
            ("M_p", "demo.User"),
            ("M_pp", "motan2"),
            ("M_rid", "-7"),
            ("M_s", "web"),
            ("M_tmo", "1000"),
            ("custom", "kept"),
            ("host", "10.0.0.9"),
            ("x-forwarded-for", "10.0.0.9"),
        ]);
        assert_eq!(meta, expected);
        assert_eq!(seen.message.header.kind, bits::PROXY);
        assert_eq!(seen.message.body, b"body");

        tokio::time::advance(Duration::from_millis(3)).await;
        seen.answer(b"reply").await;
        let reply = program.reader.next().await.unwrap();
        assert_eq!(reply.header.id, u64::MAX - 6);
        assert_eq!(reply.header.kind, bits::PROXY | bits::RESPONSE);
        assert_eq!((reply.get("k1"), reply.get("x-forwarded-for")), ("v1", A));
        assert_eq!(reply.get("M_pt"), "3");
        assert_eq!(reply.body, b"reply");
        for (agent, role) in [(&client, "client"), (&server, "server")] {
            let labels = [
                role,
                "service=\"shop/user\"",
                "protocol=\"motan2\"",
                "outcome=\"ok\"",
            ];
            assert_eq!(agent.metric("motanmesh_calls_total", &labels), 1.0);
            assert_eq!(agent.metric("motanmesh_calls_in_flight", &[role]), 0.0);
            assert_eq!(
                agent.metric("motanmesh_call_duration_seconds_count", &[role]),
                1.0
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn pipelined_calls_are_answered_in_whatever_order_they_end() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        for id in 1..=3 {
            program
                .send(&request(id, "demo.User", "hello", &[u8::try_from(id).unwrap()]))
                .await;
        }
        let mut pending = Vec::new();
        for _ in 0..3 {
            pending.push(asked.recv().await.unwrap());
        }
        for asked in pending.iter().rev() {
            asked.answer(&asked.message.body).await;
            let reply = program.reader.next().await.unwrap();
            assert_eq!(reply.header.id, u64::from(asked.message.body[0]));
            assert_eq!(reply.body, asked.message.body);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn any_serialization_and_every_other_bit_pass_both_ways() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        echo(&net, APP_A, "a", PROMPT);
        let mut program = client.motan();
        let mut call = request(5, "demo.User", "hello", &[0x1f, 0x8b, 0xff]);
        call.header.serialization = 29 << 3;
        call.header.kind = bits::ONEWAY;
        let reply = program.call(&call).await;
        assert_eq!(reply.header.serialization, 29 << 3);
        assert_eq!(reply.body, [&b"a:"[..], &[0x1f, 0x8b, 0xff]].concat());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_answered_on_both_ports_without_the_program() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        for mut caller in [client.motan(), Client::new(net.dial(A))] {
            let mut beat = request(42, "", "", b"");
            beat.header = Header {
                kind: bits::HEARTBEAT,
                ..Header::request(42)
            };
            let reply = caller.call(&beat).await;
            assert_eq!(reply.header.id, 42);
            assert_eq!(reply.header.kind, bits::HEARTBEAT | bits::RESPONSE | bits::PROXY);
            assert!(reply.meta.is_empty() && reply.body.is_empty());
        }
        assert_eq!(net.connects(APP_A), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_to_what_is_not_declared_says_what_to_declare() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let reply = client.motan().call(&request(5, "no.Such", "hello", b"")).await;
        assert_eq!((reply.header.kind, reply.header.serialization), (0x03, 0));
        let exception = reply.exception();
        assert_eq!((exception.code, exception.kind), (400, ErrorType::Service));
        assert!(
            exception.words.starts_with("cluster not found. cluster: "),
            "{}",
            exception.words
        );
        assert!(
            exception.words.contains("service: no.Such"),
            "{}",
            exception.words
        );
        assert!(exception.words.contains("MeshDependency"), "{}", exception.words);
        let labels = ["service=\"unknown\"", "outcome=\"undeclared\""];
        assert_eq!(client.metric("motanmesh_calls_total", &labels), 1.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_server_agent_that_does_not_provide_it_says_so_in_the_words_callers_know() {
    run(async {
        let net = Net::default();
        let _server = Agent::start(
            &net,
            Some(A),
            &provider("motan2", APP_A).replace("demo.User", "demo.Other"),
        );
        let client = Agent::start(&net, None, &caller("motan2", &[A], 300));
        let reply = client.motan().call(&request(5, "demo.User", "hello", b"")).await;
        let exception = reply.exception();
        assert_eq!(exception.code, 404);
        assert_eq!(exception.words, "provider not exist serviceKey=g1_demo.User");
        assert!(
            !reply.meta.keys().any(|key| key.starts_with("x-mesh-")),
            "{reply:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_unsent_call_goes_to_another_endpoint() {
    run(async {
        let net = Net::default();
        // Nothing listens at A; the agent at B has a program, the one at C has lost its own.
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let _c = Agent::start(&net, Some("10.0.0.3:9982"), &provider("motan2", APP_A));
        let client = Agent::start(&net, None, &caller("motan2", &[A, B, "10.0.0.3:9982"], 1000));
        echo(&net, APP_B, "b", PROMPT);
        let mut program = client.motan();
        for id in 0..50 {
            let reply = program.call(&request(id, "demo.User", "hello", b"x")).await;
            assert_eq!(reply.body, b"b:x", "{reply:?}");
        }
        assert_eq!(client.metric("motanmesh_calls_total", &["outcome=\"ok\""]), 50.0);
        assert!(client.metric("motanmesh_retries_total", &[]) > 0.0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_a_lone_endpoint_that_comes_back_in_time() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &caller("motan2", &[A], 1000));
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "hello", b"x")).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let _server = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        echo(&net, APP_A, "a", PROMPT);
        assert_eq!(program.reader.next().await.unwrap().body, b"a:x");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_goes_where_the_service_is_provided_by_then() {
    run(async {
        let net = Net::default();
        let client = Agent::start(&net, None, &caller("motan2", &[A], 1000));
        let _server = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        echo(&net, APP_B, "b", PROMPT);
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "hello", b"x")).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.apply(&caller("motan2", &[B], 1000));
        assert_eq!(program.reader.next().await.unwrap().body, b"b:x");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_endpoint_at_all_and_none_that_can_be_reached_are_different_errors() {
    run(async {
        let net = Net::default();
        let none = Agent::start(&net, None, &caller("motan2", &[], 1000));
        let exception = none
            .motan()
            .call(&request(1, "demo.User", "m", b""))
            .await
            .exception();
        assert_eq!(exception.code, 1001);
        assert!(
            exception.words.starts_with("No refers for request"),
            "{}",
            exception.words
        );

        let started = tokio::time::Instant::now();
        let dead = Agent::start(&net, None, &caller("motan2", &[A, B], 400));
        let exception = dead
            .motan()
            .call(&request(1, "demo.User", "m", b""))
            .await
            .exception();
        assert_eq!(exception.code, 503);
        assert!(started.elapsed() <= Duration::from_millis(400));
        assert_eq!(
            dead.metric("motanmesh_calls_total", &["outcome=\"unavailable\""]),
            1.0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_timeout_and_a_late_answer_is_dropped() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 200);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        let started = tokio::time::Instant::now();
        let exception = program.call(&request(1, "demo.User", "m", b"")).await.exception();
        assert_eq!(exception.code, 400);
        assert!(
            exception.words.contains("receive request timeout"),
            "{}",
            exception.words
        );
        let took = started.elapsed().as_millis();
        assert!((200..210).contains(&took), "{took} ms");

        let late = asked.recv().await.unwrap();
        program.send(&request(2, "demo.User", "m", b"")).await;
        let asked = asked.recv().await.unwrap();
        late.answer(b"late").await;
        asked.answer(b"in time").await;
        let reply = program.reader.next().await.unwrap();
        assert_eq!((reply.header.id, &reply.body[..]), (2, &b"in time"[..]));
        assert_eq!(
            client.metric("motanmesh_calls_total", &["outcome=\"timeout\""]),
            1.0
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_callers_wish_is_honoured_between_half_and_twice_the_policy() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 200);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        for (wish, expected) in [("100", 100), ("400", 400), ("99", 200), ("401", 200)] {
            let mut call = request(1, "demo.User", "m", b"");
            call.meta.insert("M_tmo".into(), wish.into());
            let started = tokio::time::Instant::now();
            program.call(&call).await.exception();
            let took = started.elapsed().as_millis();
            assert!((expected..expected + 10).contains(&took), "{wish}: {took} ms");
            let told = asked.recv().await.unwrap();
            assert_eq!(told.message.get("M_tmo"), expected.to_string());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_loses_nothing_and_moves_new_calls_elsewhere() {
    run(async {
        let net = Net::default();
        let a = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let client = Agent::start(&net, None, &caller("motan2", &[A, B], 1000));
        echo(&net, APP_A, "a", Duration::from_millis(100));
        echo(&net, APP_B, "b", Duration::from_millis(100));
        let mut program = client.motan();
        for id in 0..20 {
            program.send(&request(id, "demo.User", "m", b"")).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        a.worker.announce_drain();
        tokio::time::sleep(Duration::from_millis(1)).await;
        for id in 20..40 {
            program.send(&request(id, "demo.User", "m", b"")).await;
        }
        let mut by = BTreeMap::new();
        let mut ids = HashSet::new();
        for _ in 0..40 {
            let reply = program.reader.next().await.unwrap();
            assert_eq!(reply.header.status, 0, "{reply:?}");
            ids.insert(reply.header.id);
            if reply.header.id >= 20 {
                *by.entry(reply.body).or_insert(0) += 1;
            }
        }
        assert_eq!(ids.len(), 40);
        assert_eq!(by, BTreeMap::from([(b"b:".to_vec(), 20)]));
        // The next calls see that nothing waits there any more, and the client closes from its side.
        for id in 40..44 {
            program.call(&request(id, "demo.User", "m", b"")).await;
        }
        assert!(!client.worker.links().iter().any(|link| link.state == "draining"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_draining_endpoint_is_used_where_there_is_no_other() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        echo(&net, APP_A, "a", PROMPT);
        server.worker.announce_drain();
        let mut program = client.motan();
        for id in 0..10 {
            assert_eq!(
                program.call(&request(id, "demo.User", "m", b"")).await.body,
                b"a:"
            );
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(client.worker.links()[0].state, "draining");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_takes_no_new_calls_is_no_failure_where_there_is_another() {
    run(async {
        let net = Net::default();
        let a = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let client = Agent::start(&net, None, &caller("motan2", &[A, B], 1000));
        echo(&net, APP_A, "a", PROMPT);
        echo(&net, APP_B, "b", PROMPT);
        let mut program = client.motan();
        for id in 0..10 {
            program.call(&request(id, "demo.User", "m", b"")).await;
        }
        a.worker.refuse_new();
        for id in 0..10 {
            assert_eq!(
                program.call(&request(id, "demo.User", "m", b"")).await.body,
                b"b:"
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_ends_is_left_by_its_callers_once_it_owes_them_nothing() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        echo(&net, APP_A, "a", Duration::from_millis(100));
        let mut program = client.motan();
        for id in 0..5 {
            program.send(&request(id, "demo.User", "m", b"")).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.worker.refuse_new();
        tokio::time::sleep(Duration::from_millis(10)).await;
        // No new call would be put on it, and it is still there for the answers.
        assert_ne!(client.worker.links()[0].state, "ready");
        for _ in 0..5 {
            assert_eq!(program.reader.next().await.unwrap().header.status, 0);
        }
        tokio::time::timeout(Duration::from_secs(1), async {
            while server.metric("motanmesh_connections{", &["inbound"]) > 0.0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the caller closes its connection");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_killed_agent_costs_only_the_calls_that_it_had() {
    run(async {
        let net = Net::default();
        let _a = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let client = Agent::start(&net, None, &caller("motan2", &[A, B], 1000));
        echo(&net, APP_A, "a", PROMPT);
        echo(&net, APP_B, "b", PROMPT);
        let mut program = client.motan();
        for id in 0..100 {
            if id == 50 {
                net.kill(A);
            }
            let reply = program.call(&request(id, "demo.User", "m", b"")).await;
            assert_eq!(reply.header.status, 0, "{reply:?}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_swallows_connections_holds_up_nobody() {
    run(async {
        let net = Net::default();
        net.deafen(A);
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let client = Agent::start(&net, None, &caller("motan2", &[A, B], 1000));
        echo(&net, APP_B, "b", PROMPT);
        let mut program = client.motan();
        let started = tokio::time::Instant::now();
        for id in 0..50 {
            assert_eq!(
                program.call(&request(id, "demo.User", "m", b"")).await.body,
                b"b:"
            );
        }
        assert!(
            started.elapsed() < Duration::from_millis(100),
            "{:?}",
            started.elapsed()
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_new_plan_loses_nothing_that_is_under_way() {
    run(async {
        let net = Net::default();
        let _a = Agent::start(&net, Some(A), &provider("motan2", APP_A));
        let _b = Agent::start(&net, Some(B), &provider("motan2", APP_B));
        let client = Agent::start(&net, None, &caller("motan2", &[A], 1000));
        echo(&net, APP_A, "a", Duration::from_millis(40));
        echo(&net, APP_B, "b", Duration::from_millis(40));
        let mut program = client.motan();
        let mut answered = HashSet::new();
        for round in 0..10u64 {
            for id in 0..10 {
                program
                    .send(&request(round * 10 + id, "demo.User", "m", b""))
                    .await;
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
            let at = [A, B][usize::try_from(round % 2).unwrap()];
            client.apply(&caller("motan2", &[at], 900 + u32::try_from(round).unwrap()));
        }
        client.apply(&caller("motan2", &[B], 1000));
        for _ in 0..100 {
            let reply = program.reader.next().await.unwrap();
            assert_eq!(reply.header.status, 0, "{reply:?}");
            answered.insert(reply.header.id);
        }
        assert_eq!(answered.len(), 100);
        program.call(&request(100, "demo.User", "m", b"")).await;
        let links: Vec<_> = client
            .worker
            .links()
            .into_iter()
            .map(|link| link.address)
            .collect();
        assert_eq!(links, [B], "the link to the vanished endpoint is closed");
        // Dropped from the plan, the service is unknown from the next call on.
        client.apply(
            r#"{"revision": 2, "workload": {"namespace": "shop", "pod": "web-1", "application": "web"}}"#,
        );
        assert_eq!(
            program
                .call(&request(101, "demo.User", "m", b""))
                .await
                .exception()
                .code,
            400
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn hostile_bytes_close_only_their_connection() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net, 1000);
        echo(&net, APP_A, "a", PROMPT);
        let mut program = client.motan();
        assert_eq!(program.call(&request(1, "demo.User", "m", b"")).await.body, b"a:");
        let odd = b"\xf1\xf1\x00\x08\x30\0\0\0\0\0\0\0\x01\0\0\0\x01k\0\0\0\0";
        let response = b"\xf1\xf1\x01\x08\x30\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0";
        let hostile: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", response, odd, b"\xf1\xf1\x00\x10"];
        for is_agent in [false, true] {
            for bytes in hostile {
                let mut hostile = if is_agent {
                    Client::new(net.dial(A))
                } else {
                    client.motan()
                };
                hostile.writer.write_all(bytes).await.unwrap();
                assert!(hostile.reader.next().await.is_none(), "closed without a reply");
            }
        }
        assert_eq!(
            client.metric("motanmesh_connections_broken_total", &["\"motan\""]),
            4.0
        );
        assert_eq!(
            server.metric("motanmesh_connections_broken_total", &["\"inbound\""]),
            4.0
        );
        // A slow one costs only itself.
        let mut slow = client.motan();
        for byte in request(7, "demo.User", "m", b"slow").encode() {
            slow.writer.write_all(&[byte]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(slow.reader.next().await.unwrap().body, b"a:slow");
        assert_eq!(program.call(&request(2, "demo.User", "m", b"")).await.body, b"a:");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_of_10_mib_passes_and_one_byte_more_is_refused_before_the_end() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP_A);
        spawn_local(async move {
            while let Some(asked) = asked.recv().await {
                asked.answer(&asked.message.body).await;
            }
        });
        let mut program = client.motan();
        let body = vec![7; 10 * 1024 * 1024];
        let reply = program.call(&request(1, "demo.User", "m", &body)).await;
        assert!(reply.body == body, "{:?} {}", reply.meta, reply.body.len());
        let over = vec![7; 10 * 1024 * 1024 + 1];
        let Client {
            mut reader,
            mut writer,
        } = client.motan();
        let call = request(3, "demo.User", "m", &over).encode();
        spawn_local(async move { writer.write_all(&call).await });
        let refused = reader.next().await.expect("told, as Java's servers do");
        assert_eq!((refused.header.id, refused.exception().code), (3, 10_201));
        assert!(reader.next().await.is_none(), "then closed");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_without_reading_is_paused_and_nobody_else() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        echo(&net, APP_A, "a", PROMPT);
        let mut greedy = client.motan();
        let call = request(1, "demo.User", "m", &[7; 16 * 1024]).encode();
        // It writes until the agent takes no more: what waits for it is bounded.
        let mut written = 0;
        while let Ok(done) =
            tokio::time::timeout(Duration::from_millis(100), greedy.writer.write_all(&call)).await
        {
            done.unwrap();
            written += call.len();
            assert!(written < 4 << 20, "the agent takes everything");
        }
        let mut other = client.motan();
        assert_eq!(other.call(&request(2, "demo.User", "m", b"")).await.body, b"a:");
        // Once nothing has been taken for 5 s it is closed.
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(greedy.writer.write_all(&call).await.is_err());
        assert_eq!(other.call(&request(3, "demo.User", "m", b"")).await.body, b"a:");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_one_cancelled_call() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        let mut asked = program(&net, APP_A);
        let mut program = client.motan();
        program.send(&request(1, "demo.User", "m", b"")).await;
        let asked = asked.recv().await.unwrap();
        drop(program);
        tokio::time::sleep(Duration::from_millis(1)).await;
        asked.answer(b"").await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(client.metric("motanmesh_calls_total", &[]), 1.0);
        assert_eq!(
            client.metric("motanmesh_calls_total", &["outcome=\"cancelled\""]),
            1.0
        );
        assert_eq!(client.worker.in_flight(), 0);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_restarts_gets_a_new_connection() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net, 1000);
        echo(&net, APP_A, "old", PROMPT);
        let mut program = client.motan();
        assert_eq!(
            program.call(&request(1, "demo.User", "m", b"")).await.body,
            b"old:"
        );
        net.kill(APP_A);
        program.send(&request(2, "demo.User", "m", b"")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        echo(&net, APP_A, "new", PROMPT);
        assert_eq!(program.reader.next().await.unwrap().body, b"new:");
    })
    .await;
}
