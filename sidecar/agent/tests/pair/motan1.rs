//! Motan 1, the older protocol of Java, through two agents.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use wire::message::{self, Message};
use wire::motan1::{self, Outcome, Request};
use wire::motan2::DEFAULT_LIMIT;

use crate::mesh::{Agent, caller, provider, run};
use crate::motan::{Client, echo, request};
use crate::net::Net;

const A: &str = "10.0.0.1:9982";
const B: &str = "10.0.0.2:9982";
const APP_A: &str = "127.0.0.1:7001";
const APP_B: &str = "127.0.0.1:7002";

/// A request as a Java program wrote it: `hello("motan")` of MotanDemoService in motan-demo-rpc (motan-wire 9).
const HELLO: &str = "f1f100001831fffbf0e00002000000f6f0f001001831fffbf0e00002000000e6aced00057748002d636f6d2e776569626f2e6d6f\
74616e2e64656d6f2e736572766963652e4d6f74616e44656d6f53657276696365000568656c6c6f00106a6176612e6c616e672e537472696e67757200025b\
42acf317f8060854e0020000787000000007066d6f74616e30777800000005000b6170706c69636174696f6e000b6d794d6f74616e44656d6f000b636c6965\
6e7447726f7570000e6d6f74616e2d64656d6f2d72706300066d6f64756c65000e6d6f74616e2d64656d6f2d727063000776657273696f6e0003312e300005\
67726f7570000e6d6f74616e2d64656d6f2d727063";
const HELLO_ID: u64 = 0x1831_fffb_f0e0_0002;
const SERVICE: &str = "com.weibo.motan.demo.service.MotanDemoService";

fn hello() -> Vec<u8> {
    let digits: Vec<char> = HELLO.chars().collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// A plan's text for the service that Java calls.
fn named(plan: &str) -> String {
    plan.replace("demo.User", SERVICE)
        .replace("\"g1\"", "\"motan-demo-rpc\"")
}

fn pair(net: &Net) -> (Agent, Agent) {
    let server = Agent::start(net, Some(A), &named(&provider("motan", APP_A)));
    let client = Agent::start(net, None, &named(&caller("motan", &[A], 1000)));
    (client, server)
}

/// One end of a connection, in whole messages.
struct End {
    io: DuplexStream,
    buffer: Vec<u8>,
}

impl End {
    fn new(io: DuplexStream) -> Self {
        Self {
            io,
            buffer: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some((_, length)) = message::decode(&self.buffer, DEFAULT_LIMIT).unwrap() {
                return Some(self.buffer.drain(..length).collect());
            }
            if self.io.read_buf(&mut self.buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn call(&mut self, message: &[u8]) -> Vec<u8> {
        self.io.write_all(message).await.unwrap();
        self.next().await.expect("it must be answered")
    }
}

fn one(bytes: &[u8]) -> motan1::Frame<'_> {
    match message::decode(bytes, DEFAULT_LIMIT).unwrap().unwrap().0 {
        Message::One(frame) => frame,
        Message::Two(frame) => unreachable!("not Motan 1: {frame:?}"),
    }
}

/// A program that answers every request with a heartbeat's answer, which is a string; what it was asked comes by the
/// receiver.
fn java(net: &Net, address: &str) -> mpsc::UnboundedReceiver<Vec<u8>> {
    let mut accepted = net.listen(address);
    let (ask, asked) = mpsc::unbounded_channel();
    spawn_local(async move {
        while let Some(io) = accepted.recv().await {
            let ask = ask.clone();
            spawn_local(async move {
                let mut end = End::new(io);
                while let Some(message) = end.next().await {
                    let mut answer = Vec::new();
                    motan1::write_heartbeat_answer(&mut answer, one(&message).id);
                    let _ = ask.send(message);
                    if end.io.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    asked
}

fn exception(bytes: &[u8]) -> String {
    let frame = one(bytes);
    let outcome = Outcome::read(frame).unwrap();
    assert!(
        matches!(outcome, Outcome::Exception(_)) && !outcome.is_biz(),
        "{outcome:?}"
    );
    String::from_utf8_lossy(frame.body).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_call_of_java_goes_through_both_agents_and_back() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        let mut asked = java(&net, APP_A);
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        let answer = program.call(&hello()).await;
        let mut expected = Vec::new();
        motan1::write_heartbeat_answer(&mut expected, HELLO_ID);
        assert_eq!(answer, expected, "byte for byte, under the id of its question");

        let seen = asked.recv().await.unwrap();
        let sent = hello();
        let (seen, sent) = (
            Request::read(one(&seen)).unwrap(),
            Request::read(one(&sent)).unwrap(),
        );
        assert_eq!(
            (seen.method(), seen.parameters()),
            (sent.method(), sent.parameters())
        );
        let text = |key: &str| {
            let value = seen.attachments().find(key.as_bytes());
            value.map(|value| String::from_utf8(value.into_owned()).unwrap())
        };
        for (key, value) in [
            ("group", "motan-demo-rpc"),
            ("application", "myMotanDemo"),
            ("M_g", "motan-demo-rpc"),
            ("M_v", "1.0"),
            ("M_s", "myMotanDemo"),
            ("host", "10.0.0.9"),
            ("x-forwarded-for", "10.0.0.9"),
        ] {
            assert_eq!(text(key).as_deref(), Some(value), "{key}");
        }
        for (agent, role) in [(&client, "client"), (&server, "server")] {
            assert_eq!(
                agent.metric("motanmesh_calls_total", &[role, "outcome=\"ok\""]),
                1.0
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_of_java_that_failed_is_left_alone_for_a_while_and_taken_back() {
    run(async {
        let net = Net::default();
        let _one = Agent::start(&net, Some(A), &named(&provider("motan", APP_A)));
        let _other = Agent::start(&net, Some(B), &named(&provider("motan", APP_B)));
        let client = Agent::start(&net, None, &named(&caller("motan", &[A, B], 1000)));
        let _asked = java(&net, APP_B);
        // It reads a request and hangs up.
        let mut accepted = net.listen(APP_A);
        let failing = spawn_local(async move {
            while let Some(io) = accepted.recv().await {
                End::new(io).next().await;
            }
        });
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        let acted = |action| client.metric("motanmesh_policy_actions_total", &[action]);
        for _ in 0..100 {
            program.call(&hello()).await;
        }
        assert_eq!(acted("ejected"), 1.0);
        failing.abort();
        let mut asked = java(&net, APP_A);
        tokio::time::advance(Duration::from_secs(2)).await;
        for _ in 0..50 {
            program.call(&hello()).await;
        }
        assert_eq!(acted("readmitted"), 1.0);
        let mut count = 0;
        while asked.try_recv().is_ok() {
            count += 1;
        }
        assert!(count > 5, "{count}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_java_are_answered_on_both_ports() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let (mut ask, mut expected) = (Vec::new(), Vec::new());
        motan1::write_heartbeat(&mut ask, 42);
        motan1::write_heartbeat_answer(&mut expected, 42);
        let local = End::new(client.connect(agent::worker::ListenerKind::Motan));
        for mut end in [local, End::new(net.dial(A))] {
            assert_eq!(end.call(&ask).await, expected);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_is_an_exception_that_java_reads_and_the_connection_stays() {
    run(async {
        let net = Net::default();
        let (client, _server) = pair(&net);
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        // Nobody listens behind the server agent.
        assert!(exception(&program.call(&hello()).await).contains("program can't be connected"));
        // The object stream is not one.
        let mut unreadable = hello();
        unreadable[36] = 0x7c;
        assert!(exception(&program.call(&unreadable).await).contains("can't be read"));
        assert_eq!(
            client.metric("motanmesh_messages_refused_total", &["\"motan\""]),
            1.0
        );
        // Not declared.
        client.apply(&caller("motan", &[A], 1000));
        assert!(exception(&program.call(&hello()).await).contains("MeshDependency"));
        // Declared, and not of this version.
        client.apply(&named(&caller("motan2", &[A], 1000)));
        assert!(exception(&program.call(&hello()).await).contains("spec.backend.motan1Port"));
        // The other way round.
        client.apply(&named(&caller("motan", &[A], 1000)));
        let mut modern = client.motan();
        let refused = modern.call(&request(1, SERVICE, "hello", b"")).await;
        assert_eq!(refused.exception().code, 501);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_of_motan_1_is_told_what_http_and_grpc_services_speak() {
    run(async {
        let net = Net::default();
        for protocol in ["http", "grpc"] {
            let client = Agent::start(&net, None, &named(&caller(protocol, &[A], 1000)));
            let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
            let words = format!("speaks {protocol} and not Motan 1; call it by that, or by Motan 2");
            let said = exception(&program.call(&hello()).await);
            assert!(said.contains(&words), "{said}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_of_java_goes_to_another_endpoint() {
    run(async {
        let net = Net::default();
        // One that does not provide it, and says so in Motan 2.
        let _a = Agent::start(&net, Some(A), &provider("motan", APP_A));
        let _b = Agent::start(&net, Some(B), &named(&provider("motan", APP_B)));
        let client = Agent::start(&net, None, &named(&caller("motan", &[A, B], 1000)));
        let _asked = java(&net, APP_B);
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        for _ in 0..20 {
            let answer = program.call(&hello()).await;
            assert_eq!(Outcome::read(one(&answer)).unwrap(), Outcome::Normal);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_offers_both_answers_each_in_its_own_version_on_one_connection() {
    run(async {
        let net = Net::default();
        let both =
            provider("motan2", APP_B).replace("\"policy\"", &format!("\"motan1\": \"{APP_A}\", \"policy\""));
        let _server = Agent::start(&net, Some(A), &named(&both));
        let callers = caller("motan2", &[A], 1000).replace("\"hosts\"", "\"motan1\": true, \"hosts\"");
        let client = Agent::start(&net, None, &named(&callers));
        let _old = java(&net, APP_A);
        echo(&net, APP_B, "new", Duration::ZERO);
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        let modern = request(9, SERVICE, "hello", b"x").encode();
        for _ in 0..3 {
            let answer = program.call(&hello()).await;
            assert_eq!(one(&answer).id, HELLO_ID);
            let answer = program.call(&modern).await;
            let Some((Message::Two(frame), _)) = message::decode(&answer, DEFAULT_LIMIT).unwrap() else {
                panic!("{answer:?}");
            };
            assert_eq!((frame.header.id, frame.body), (9, &b"new:x"[..]));
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_meta_service_is_answered_by_the_server_agent_and_any_other_is_not() {
    run(async {
        let net = Net::default();
        let (client, server) = pair(&net);
        server
            .worker
            .tables()
            .meta
            .update([("META_WEIGHT".to_owned(), "20".to_owned())])
            .unwrap();
        let mut ask = request(
            0x63,
            "com.weibo.api.motan.runtime.meta.MetaService",
            "getDynamicMeta",
            b"",
        );
        ask.meta.insert("M_fws".into(), "y".into());
        let mut foreign = Client::new(net.dial(A));
        let answer = foreign.call(&ask).await;
        assert_eq!((answer.header.serialization, answer.header.id), (0x40, 0x63));
        let map = wire::breeze::Map::read(&answer.body).unwrap();
        let pairs: Vec<_> = map.pairs().collect();
        assert_eq!(pairs, [(&b"META_WEIGHT"[..], &b"20"[..])]);

        ask.meta.insert("M_m".into(), "other".into());
        for mut end in [foreign, client.motan()] {
            let refused = end.call(&ask).await.exception();
            assert_eq!(
                (refused.code, refused.words.as_str()),
                (501, "service not support")
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_program_without_an_agent_gets_each_version_where_it_takes_it() {
    run(async {
        let net = Net::default();
        let (two, one) = ("10.0.0.3:7000", "10.0.0.3:7001");
        let plan = named(&caller("motan2", &[two], 1000))
            .replace(
                "\"protocol\": \"motan2\"",
                "\"protocol\": \"motan2\", \"motan1\": true",
            )
            .replace(
                &format!("\"address\": \"{two}\""),
                &format!("\"address\": \"{two}\", \"direct\": true, \"motan1\": \"{one}\""),
            );
        let client = Agent::start(&net, None, &plan);
        let mut asked = java(&net, one);
        echo(&net, two, "two", Duration::ZERO);
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        let answer = program.call(&hello()).await;
        let mut expected = Vec::new();
        motan1::write_heartbeat_answer(&mut expected, HELLO_ID);
        assert_eq!(answer, expected);
        assert!(asked.recv().await.is_some());
        let mut call = request(1, SERVICE, "hello", b"x");
        call.meta.insert("M_g".into(), "motan-demo-rpc".into());
        assert_eq!(client.motan().call(&call).await.body, b"two:x");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_of_java_is_copied_for_another_service_which_can_tell() {
    run(async {
        let net = Net::default();
        let shadow = |plan: &str| {
            plan.replace("shop/user", "shop/shadow")
                .replace("demo.User", "demo.Shadow")
        };
        let _a = Agent::start(&net, Some(A), &named(&provider("motan", APP_A)));
        let _b = Agent::start(&net, Some(B), &shadow(&provider("motan", APP_B)));
        let mirror = r#""timeoutMs": 1000, "mirror": {"to": {"service": "shop/shadow"}, "percent": 100}"#;
        let second = format!(
            r#"}}, {{"name": "shop/shadow", "path": "demo.Shadow", "group": "g1", "protocol": "motan", "indirect": true,
            "policy": {{"timeoutMs": 1000}}, "seeds": [{{"address": "{B}"}}]}}]}}"#
        );
        let plan = named(&caller("motan", &[A], 1000).replace("\"timeoutMs\": 1000", mirror));
        let plan = format!("{}{second}", plan.strip_suffix("}]}").unwrap());
        let client = Agent::start(&net, None, &plan);
        let (mut user, mut other) = (java(&net, APP_A), java(&net, APP_B));
        let mut program = End::new(client.connect(agent::worker::ListenerKind::Motan));
        let answer = program.call(&hello()).await;
        assert_eq!(one(&answer).id, HELLO_ID);
        let (original, copy) = (user.recv().await.unwrap(), other.recv().await.unwrap());
        let (original, copy) = (one(&original), one(&copy));
        let (original, copy) = (Request::read(original).unwrap(), Request::read(copy).unwrap());
        let said = |request: &Request<'_>, key: &[u8]| {
            let value = request.attachments().find(key);
            value.map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        assert_eq!((original.interface(), copy.interface()), (SERVICE.as_bytes(), &b"demo.Shadow"[..]));
        assert_eq!((original.method(), original.parameters()), (copy.method(), copy.parameters()));
        assert_eq!(said(&original, b"x-mesh-mirror"), None);
        assert_eq!(said(&copy, b"x-mesh-mirror").as_deref(), Some("true"));
        assert_eq!(said(&copy, b"M_g").as_deref(), Some("g1"));
        assert_eq!(said(&copy, b"M_s"), said(&original, b"M_s"));
        // Nobody is told of its answer.
        assert_eq!(client.metric("motanmesh_answers_dropped_total", &[]), 0.0);
        assert_eq!(client.worker.in_flight(), 0);
    })
    .await;
}
