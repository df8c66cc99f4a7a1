//! Web clients of several languages, as they are, through the pair.

use std::process::Stdio;

use e2e::web::{ALL, CONTINUE, EVENTS, FETCH, NODE_HTTP2, Outcome, PARTS, SOCKET};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::stage::{HOST, Stage};
use super::tools::Tools;
use super::world::PATIENCE;

/// Runs these cases of a client, in the order in which it has them: all come out well.
pub(crate) async fn cases(mut client: Command, groups: &[&[&str]]) {
    let wanted = groups.concat();
    let client = client.args(&wanted).stdout(Stdio::piped());
    let what = format!("{:?}", client.as_std());
    let mut client = client.spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let (mut well, mut wrong) = (Vec::new(), Vec::new());
    loop {
        let line = timeout(PATIENCE, lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{what}: no word in time after {well:?}; {wrong:#?}"));
        let Some(line) = line.unwrap() else { break };
        match Outcome::well(&line) {
            Ok(outcome) => well.push(outcome.case),
            Err(why) => wrong.push(why),
        }
    }
    let ended = timeout(PATIENCE, client.wait()).await;
    let ended = ended.expect("it ends in time").unwrap();
    assert!(ended.success() && wrong.is_empty(), "{what}: {ended}, {wrong:#?}");
    assert_eq!(well, wanted, "{what}");
}

/// A URL that needs nothing set.
fn plain(stage: &Stage) -> String {
    format!("http://{}", stage.captured())
}

fn proxy(stage: &Stage) -> String {
    format!("http://{}", stage.entry())
}

fn through(mut client: Command, proxy: &str) -> Command {
    client.env("HTTP_PROXY", proxy).env("http_proxy", proxy);
    client
}

#[tokio::test]
async fn go_calls_by_host_by_http_2_and_as_by_a_proxy() {
    let stage = Stage::with_web_server().await;
    let client = |args: &[&str]| {
        let mut client = Tools::Go.client();
        client.args(["-base", &format!("http://{HOST}")]).args(args);
        client
    };
    let to = stage.entry().to_string();
    let whole = [ALL, CONTINUE, EVENTS, PARTS];
    cases(client(&["-to", &to]), &[&whole[..], &[SOCKET]].concat()).await;
    cases(client(&["-to", &to, "-http", "2"]), &whole).await;
    cases(through(client(&[]), &proxy(&stage)), &whole).await;
}

#[tokio::test]
async fn java_calls_with_both_of_its_clients_also_by_a_proxy() {
    let stage = Stage::with_web_server().await;
    let url = plain(&stage);
    let client = |by: &str, url: &str| {
        let mut client = Tools::Java.client();
        client.args([by, url]);
        client
    };
    cases(client("client", &url), &[ALL, CONTINUE, EVENTS, SOCKET]).await;
    // As its author would have it: each first request offers to go on by HTTP/2.
    cases(client("client2", &url), &[ALL, CONTINUE, EVENTS]).await;
    cases(client("connection", &url), &[ALL, EVENTS]).await;
    let (ip, port) = (stage.entry().ip(), stage.entry().port());
    let proxy = format!("-Dhttp.proxyHost={ip} -Dhttp.proxyPort={port} -Dhttp.nonProxyHosts=");
    // A WebSocket goes through a tunnel of the proxy.
    for (by, more) in [
        ("client", &[CONTINUE, EVENTS, SOCKET][..]),
        ("connection", &[EVENTS]),
    ] {
        let mut client = client(by, &format!("http://{HOST}"));
        client.env("JDK_JAVA_OPTIONS", &proxy);
        cases(client, &[&[ALL], more].concat()).await;
    }
}

#[tokio::test]
async fn node_calls_with_each_of_its_clients_also_by_a_proxy() {
    let stage = Stage::with_web_server().await;
    let client = |base: &str, args: &[&str]| {
        let mut client = Tools::Node.client();
        client.args(["--base", base]).args(args);
        client
    };
    let (named, to) = (format!("http://{HOST}"), stage.entry().to_string());
    let whole = [ALL, CONTINUE, EVENTS, PARTS, SOCKET];
    cases(client(&named, &["--to", &to]), &whole).await;
    cases(through(client(&named, &[]), &proxy(&stage)), &whole).await;
    cases(client(&plain(&stage), &["--by", "fetch"]), &[FETCH]).await;
    cases(client(&named, &["--to", &to, "--by", "http2"]), &[NODE_HTTP2]).await;
}

#[tokio::test]
async fn python_calls_with_both_of_its_clients_also_by_a_proxy() {
    let stage = Stage::with_web_server().await;
    let client = |by: &str, base: &str, args: &[&str]| {
        let mut client = Tools::Python.client();
        client.args([by, "--base", base]).args(args);
        client
    };
    let (named, to) = (format!("http://{HOST}"), stage.entry().to_string());
    cases(client("http.client", &named, &["--to", &to]), &[ALL, EVENTS]).await;
    cases(client("urllib", &plain(&stage), &[]), &[ALL, EVENTS]).await;
    cases(
        through(client("urllib", &named, &[]), &proxy(&stage)),
        &[ALL, EVENTS],
    )
    .await;
}
