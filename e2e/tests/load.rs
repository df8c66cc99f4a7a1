//! The load generator against its own program: every call is answered, whatever its size, and a load that can't go on
//! says why.
#![expect(clippy::unwrap_used, reason = "tests from top to bottom, their helpers too")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use e2e::measured::{Latency, Measured};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use wire::motan2;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_motanmesh-load"));
    command.kill_on_drop(true);
    command
}

/// An address of 127.x.y.z that only this process and test use.
fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let process = std::process::id();
    let [_, _, low, lower] = process.to_be_bytes();
    let host = u8::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap();
    (Ipv4Addr::new(127, 128 + (low & 0x3f), lower, host), 7000).into()
}

async fn echo() -> (Child, SocketAddr) {
    let address = address();
    let child = program()
        .args(["echo", "--listen", &address.to_string()])
        .spawn()
        .unwrap();
    listens(address).await;
    (child, address)
}

async fn listens(at: SocketAddr) {
    let listens = async {
        while TcpStream::connect(at).await.is_err() {
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, listens).await.expect("it listens in time");
}

fn call(to: SocketAddr, arguments: &str) -> Child {
    program()
        .args(["call", "--warm-up", "0.05", "--to", &to.to_string()])
        .args(arguments.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn measured(call: Child) -> Measured {
    let output = timeout(PATIENCE, call.wait_with_output())
        .await
        .expect("it ends in time")
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_relay_that_looks_at_nothing_changes_nothing() {
    let (_echo, echo) = echo().await;
    let relay = address();
    let _relay = program()
        .args(["relay", "--listen", &relay.to_string(), "--to", &echo.to_string()])
        .spawn()
        .unwrap();
    listens(relay).await;
    let measured = measured(call(
        relay,
        "--payload 300000 --connections 4 --depth 4 --seconds 0.2",
    ))
    .await;
    assert!(measured.answers > 0 && measured.failed == 0, "{measured:?}");
}

#[tokio::test]
async fn every_call_of_a_closed_loop_is_answered_whatever_its_size() {
    let (_echo, to) = echo().await;
    for (payload, connections, depth) in [(0, 3, 1), (128, 8, 16), (16_384, 4, 8), (300_000, 4, 8)] {
        let arguments =
            format!("--payload {payload} --connections {connections} --depth {depth} --seconds 0.2");
        let measured = measured(call(to, &arguments)).await;
        assert!(measured.answers > 0 && measured.failed == 0, "{measured:?}");
        assert!(measured.all >= measured.answers, "{measured:?}");
        assert_eq!((measured.depth, measured.meant_rate), (Some(depth), None));
    }
}

#[tokio::test]
async fn an_open_loop_makes_as_many_calls_as_were_meant() {
    let (_echo, to) = echo().await;
    let measured = measured(call(to, "--rate 500 --connections 3 --seconds 0.4")).await;
    // Those that were to begin in 0.4 s, give or take one at each end of it.
    assert!((199..=201).contains(&measured.answers), "{measured:?}");
    assert_eq!((measured.failed, measured.meant_rate), (0, Some(500.0)));
}

/// A program that stalls: it answers nothing from request `from` on until request `to` has come, then all of them.
async fn stalling(listener: TcpListener, from: usize, to: usize) {
    let (mut socket, _) = listener.accept().await.unwrap();
    let (mut read, mut answers, mut requests) = (Vec::new(), Vec::new(), 0);
    while socket.read_buf(&mut read).await.unwrap() > 0 {
        while let Some((frame, length)) = motan2::decode(&read, motan2::DEFAULT_LIMIT).unwrap() {
            let mut header = frame.header;
            header.kind |= motan2::bits::RESPONSE;
            motan2::encode(
                &mut answers,
                header,
                |_| {},
                |out| out.extend_from_slice(frame.body),
            );
            read.drain(..length);
            requests += 1;
        }
        if !(from..to).contains(&requests) {
            socket.write_all(&answers).await.unwrap();
            answers.clear();
        }
    }
}

#[tokio::test]
async fn a_stall_of_the_program_is_seen_by_every_call_it_delays() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let program = tokio::spawn(stalling(listener, 200, 300));
    let measured = measured(call(to, "--rate 500 --connections 1 --seconds 1")).await;
    assert_eq!(measured.failed, 0);
    // 100 calls, 2 ms apart, wait for the last of them: the first 200 ms, half of them over 100 ms.
    let Latency { p99_us, max_us, .. } = measured.latency;
    assert!(max_us > 190_000.0 && p99_us > 100_000.0, "{measured:?}");
    program.abort();
}

#[tokio::test]
async fn a_load_whose_program_ends_says_so() {
    let (mut echo, to) = echo().await;
    let load = call(to, "--connections 2 --seconds 20");
    echo.kill().await.unwrap();
    let output = timeout(PATIENCE, load.wait_with_output()).await.unwrap().unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.starts_with("motanmesh-load: "), "{words}");
}

#[tokio::test]
async fn nothing_is_called_where_nobody_listens() {
    let load = call(address(), "--seconds 20");
    let output = timeout(PATIENCE, load.wait_with_output()).await.unwrap().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("connecting to 127."), "{words}");
}
