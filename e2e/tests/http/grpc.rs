//! gRPC clients of three languages, and the interoperability tests of grpc-go, through the pair.

use e2e::web::{GRPC, INTEROP, INTEROP_FLAGS};
use tokio::time::timeout;

use super::clients::cases;
use super::stage::{HOST, Stage};
use super::tools::Tools;
use super::world::PATIENCE;

#[tokio::test]
async fn every_interoperability_test_of_grpc_go_passes() {
    let stage = Stage::with_grpc_server().await;
    // Its authority is the address that it connects to: a listener of the service alone does not mind.
    let entry = stage.captured();
    let mut wrong = Vec::new();
    for case in INTEROP {
        let mut client = Tools::Go.program("grpc-go-client");
        client.arg(format!("--server_host={}", entry.ip()));
        client.arg(format!("--server_port={}", entry.port()));
        client.arg(format!("--test_case={case}"));
        client.args(INTEROP_FLAGS);
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
