//! gRPC clients of three languages, and the interoperability tests of grpc-go, through the pair.

use e2e::web::{GRPC, INTEROP, INTEROP_FLAGS};
use tokio::process::Command;
use tokio::time::timeout;

use super::clients::cases;
use super::stage::{HOST, Stage};
use super::tools::Tools;
use super::world::PATIENCE;

/// Runs every case of grpc-go's client to this host and port.
async fn interop(host: &str, port: u16, dress: impl Fn(&mut Command)) {
    let mut wrong = Vec::new();
    for case in INTEROP {
        let mut client = Tools::Go.program("grpc-go-client");
        client.arg(format!("--server_host={host}"));
        client.arg(format!("--server_port={port}"));
        client.arg(format!("--test_case={case}"));
        client.args(INTEROP_FLAGS);
        dress(&mut client);
        match timeout(PATIENCE, client.output()).await {
            Ok(output) => {
                let output = output.unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if !output.status.success() {
                    wrong.push(format!("{case}: {said}"));
                }
            }
            Err(_) => wrong.push(format!("{case}: not in time")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn every_interoperability_test_of_grpc_go_passes() {
    let stage = Stage::with_grpc_server().await;
    // Its authority is the address that it connects to: a listener of the service alone does not mind.
    let entry = stage.captured();
    interop(&entry.ip().to_string(), entry.port(), |_| {}).await;
}

#[tokio::test]
async fn they_pass_by_a_proxy_too() {
    let stage = Stage::with_grpc_server().await;
    let proxy = format!("http://{}", stage.entry());
    // The name means nothing to anybody but the proxy, which it is told by CONNECT.
    interop(HOST, 80, |client| {
        client.env("HTTPS_PROXY", &proxy).env_remove("NO_PROXY");
        client.env_remove("no_proxy");
    })
    .await;
}

#[tokio::test]
async fn grpc_java_calls_in_every_kind() {
    let stage = Stage::with_grpc_server().await;
    let mut client = Tools::Java.client();
    client.args(["grpc", &stage.captured().to_string()]);
    cases(client, &[GRPC]).await;
}

#[tokio::test]
async fn grpc_python_calls_in_every_kind() {
    let stage = Stage::with_grpc_server().await;
    let mut client = Tools::Python.client();
    client.args([
        "grpc",
        "--target",
        &stage.entry().to_string(),
        "--authority",
        HOST,
    ]);
    cases(client, &[GRPC]).await;
}
