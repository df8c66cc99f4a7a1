//! curl, as people call it by hand.

use std::process::Output;

use tokio::process::Command;
use tokio::time::timeout;

use super::stage::{HOST, Stage};
use super::tools::without_proxy;
use super::world::PATIENCE;

/// What curl prints and how it ends, for these arguments.
async fn curl(args: &[&str]) -> Output {
    let mut curl = without_proxy(Command::new("curl"));
    curl.args(["--silent", "--show-error", "--max-time", "20"])
        .args(args);
    timeout(PATIENCE, curl.output())
        .await
        .expect("it ends in time")
        .unwrap()
}

#[tokio::test]
async fn curl_calls_in_each_way_that_it_knows() {
    let stage = Stage::with_web_server().await;
    let connect = format!("::{}", stage.entry());
    let plain = format!("::{}", stage.captured());
    let proxy = format!("http://{}", stage.entry());
    let page = |path: &str| format!("http://{HOST}{path}");
    let upload = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(upload.path(), vec![b'x'; 2 << 20]).unwrap();
    let upload = format!("@{}", upload.path().display());
    let ways: [&[&str]; 7] = [
        &["--connect-to", &connect],
        &["--connect-to", &plain],
        &["--connect-to", &connect, "--http1.0"],
        &["--connect-to", &connect, "--http2"],
        &["--connect-to", &connect, "--http2-prior-knowledge"],
        &["--proxy", &proxy],
        &["--proxy", &proxy, "--proxytunnel"],
    ];
    let cases: [(&[&str], &str, &str); 6] = [
        (&[], "/who", "web"),
        (&["--data", "some words"], "/echo", "\"length\":10"),
        (
            &["--data-binary", &upload, "-H", "expect: 100-continue"],
            "/echo",
            "\"length\":2097152",
        ),
        (
            &["-H", "transfer-encoding: chunked", "--data-binary", &upload],
            "/echo",
            "\"length\":2097152",
        ),
        (
            &["--output", "/dev/null", "--write-out", "%{size_download}"],
            "/fill?bytes=3000000",
            "3000000",
        ),
        (&["--include"], "/status?code=418", "418"),
    ];
    for way in ways {
        for (args, path, expected) in cases {
            if way.contains(&"--http1.0") && args.iter().any(|arg| arg.contains("chunked")) {
                continue; // HTTP/1.0 has no chunks
            }
            let page = page(path);
            let output = curl(&[way, args, &[&page]].concat()).await;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() && text.contains(expected),
                "{way:?} {args:?} {path}: {} {text}{error}",
                output.status
            );
        }
    }
}
