//! The management API that Motan clients use: what is declared, registered, refused, and remembered.

use plan::Plan;
use plan::stream::{FromOperator, FromSidecar, Subscription};
use serde_json::{Value, json};

use super::calls::motan;
use super::operator::{NAME, Operator};
use super::world::{Kind, Pod, World, eventually, exports, http, services};

const GREET: &str = "com.example.Greet";

fn url(path: &str, port: u16) -> Value {
    json!({"protocol": "motan2", "host": "192.0.2.2", "port": port, "path": path, "group": "shop",
        "parameters": {"version": "1.0", "application": "java-server"}})
}

fn ok() -> (u16, Value) {
    (200, json!({"code": 200, "message": "ok"}))
}

/// Waits until a call of `hello` through this pod's sidecar succeeds.
async fn greets(web: &Pod, name: &str) {
    eventually(&format!("{name} greets"), async || {
        motan(web.at(9981), GREET, "hello").await.0
    })
    .await;
}

/// A Motan 2 call to the inbound port of a pod, as an agent outside makes it.
async fn plain(pod: &Pod) -> String {
    motan_in(pod, "shop").await.1
}

async fn motan_in(pod: &Pod, group: &str) -> (bool, String) {
    let call = tokio::process::Command::new(env!("CARGO_BIN_EXE_motanmesh-demo"))
        .args([
            "motan",
            "--via",
            &pod.at(9982).to_string(),
            "--group",
            group,
            GREET,
            "hello",
            "mesh",
        ])
        .output();
    let output = call.await.unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn java_and_go_clients_are_answered_as_by_the_agent_they_know() {
    let world = World::new();
    let mut web = world.pod("web");
    let policy = json!({"timeoutMs": 5_000});
    let service = |name: &str, path: &str| json!({"name": name, "path": path, "group": "demo", "version": "1.0", "protocol": "motan2", "policy": policy});
    let export = json!([{"name": "demo/api", "path": "demo.api.DemoApi", "group": "demo", "protocol": "motan2",
        "backend": web.at(7000).to_string(), "policy": policy}]);
    web.plan(
        &[
            service("demo/api", "demo.api.DemoApi"),
            service("demo/echo", "demo.EchoService"),
        ],
        &export,
    );
    web.start_sidecar();
    web.ready().await;

    // Recorded: motan-java with the registry weibomesh, a client and a server, and motan-go with the registry mesh.
    let java = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nContent-Length: {}\r\nContent-Type: text/plain; charset=UTF-8\r\nHost: 127.0.0.3:8012\r\n\
             Connection: Keep-Alive\r\nUser-Agent: Apache-HttpClient/4.5.13 (Java/17.0.15)\r\nAccept-Encoding: gzip,deflate\r\n\r\n{body}",
            body.len()
        )
    };
    let client = r#"{"group":"demo","host":"192.0.2.2","parameters":{"serialization":"hessian2","protocol":"motan2","application":"java-client","module":"demo","refreshTimestamp":"1795420323845","id":"motan2","nodeType":"service","version":"1.0","requestTimeout":"2000","group":"demo"},"path":"demo.api.DemoApi","port":0,"protocol":"motan2"}"#;
    assert_eq!(client.len(), 321, "as recorded");
    let server = r#"{"group":"demo","host":"192.0.2.2","parameters":{"proxyRegistryUrlString":"direct%3A%2F%2F127.0.0.2%3A9985%2Fcom.weibo.api.motan.registry.RegistryService%3Fpath%3Dcom.weibo.api.motan.registry.RegistryService%26protocol%3Ddirect%26address%3D127.0.0.2%253A9985%26","module":"demo","nodeType":"service","version":"1.0","minWorkerThread":"20","protocol":"motan2","application":"java-server","maxWorkerThread":"200","shareChannel":"true","refreshTimestamp":"1795420731848","id":"motan2","export":"motan2:7110","group":"demo"},"path":"demo.api.DemoApi","port":7110,"protocol":"motan2"}"#;
    assert_eq!(server.len(), 579, "as recorded");
    let go = r#"{"protocol":"motan2","host":"","port":0,"path":"demo.EchoService","group":"demo","parameters":{"application":"goclient","basicRefer":"base","conf-id":"mesh","haStrategy":"failover","loadbalance":"roundrobin","proxyRegistry":"direct://127.0.0.3:9992","registry":"mesh","requestTimeout":"1000","serialization":"simple"}}"#;
    assert_eq!(go.len(), 318, "as recorded");
    let go = format!(
        "POST /registry/subscribe HTTP/1.1\r\nHost: 127.0.0.3:8012\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 318\r\n\
         Content-Type: application/json;charset=utf-8\r\nAccept-Encoding: gzip\r\n\r\n{go}"
    );
    let info = "GET /registry/info HTTP/1.1\r\nHost: 127.0.0.3:8012\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n";
    let fine = r#"{"code":200,"message":"ok"}"#;
    let table = [
        (java("/registry/subscribe", client), fine),
        (java("/registry/register", server), fine),
        (java("/registry/unregister", server), fine),
        (
            info.to_owned(),
            r#"{"body":{"mesh_port":9981},"code":200,"message":"ok"}"#,
        ),
        (go, fine),
    ];
    for (request, expected) in table {
        assert_eq!(
            http(web.at(8002), &request).await,
            (200, expected.to_owned()),
            "{request}"
        );
    }
    let (status, list) = web.page("GET", 8002, "/registry/list?x=1").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    let nodes = &list["body"]["subscribe_nodes"];
    assert_eq!((status, nodes.as_array().map(Vec::len)), (200, Some(2)), "{list}");
    assert!(
        nodes[0]["declared"] == true && nodes[0]["path"] == "demo.EchoService",
        "{list}"
    );
    assert_eq!(list["body"]["register_nodes"], json!([]));
}

#[tokio::test]
async fn what_can_not_be_read_is_answered_with_its_field() {
    let world = World::new();
    let web = world.caller("web", &[]).await;
    let table = [
        (json!([]), "JSON object"),
        (json!({"protocol": "motan2", "group": "shop"}), "path: missing"),
        (
            json!({"protocol": "grpc", "path": "p", "group": "shop"}),
            "protocol:",
        ),
    ];
    for (body, expected) in table {
        let (status, answer) = web.post("/registry/subscribe", &body).await;
        let words = answer["message"].as_str().unwrap();
        assert!(
            status == 400 && answer["code"] == 400 && words.contains(expected),
            "{answer}"
        );
    }
    let long = format!(
        "POST /registry/subscribe HTTP/1.1\r\nhost: pod\r\ncontent-length: {}\r\n\r\n",
        (64 << 10) + 1
    );
    let (status, words) = http(web.at(8002), &(long + &"x".repeat((64 << 10) + 1))).await;
    assert!(status == 413 && words.contains("64 KiB"), "{status} {words}");
}

#[tokio::test]
async fn an_undeclared_subscription_is_refused_with_its_mend_and_told_to_the_operator() {
    let world = World::new();
    let user = world.provider("user").await;
    let mut operator = Operator::start().await;
    let mut web = world.pod("web");
    let control = json!({"address": operator.address, "serverName": NAME, "roots": operator.roots});
    let workload = json!({"namespace": "shop", "pod": "web", "application": "web"});
    let mut document = json!({"revision": 5, "hash": "five", "workload": workload, "control": control});
    web.write_plan(&document.to_string());
    web.write_token("for the operator");
    web.start_sidecar();
    let mut session = operator.session().await;
    assert!(matches!(session.said().await, FromSidecar::Hello { .. }));
    web.ready().await;

    let (status, answer) = web.post("/registry/subscribe", &url(GREET, 0)).await;
    let words = answer["message"].as_str().unwrap();
    assert!(status == 403 && answer["code"] == 403, "{answer}");
    for part in [
        "com.example.Greet in group shop is not declared",
        "- name: ",
        "MeshDependency in namespace shop",
    ] {
        assert!(words.contains(part), "{words}");
    }
    let asked = FromSidecar::Undeclared {
        subscriptions: vec![Subscription {
            path: GREET.to_owned().try_into().unwrap(),
            group: "shop".to_owned().try_into().unwrap(),
        }],
    };
    assert_eq!(session.said().await, asked);

    // It is remembered over a restart, and said again.
    assert!(web.end_sidecar().await);
    web.start_sidecar();
    let mut session = operator.session().await;
    assert!(matches!(session.said().await, FromSidecar::Hello { .. }));
    assert_eq!(session.said().await, asked);

    // Declared, it is not asked for any more, and called.
    document["revision"] = json!(6);
    document["hash"] = json!("six");
    document["services"] = json!(services(&[&user]));
    let plan = Plan::parse(document.to_string().as_bytes()).unwrap();
    session.tell(&FromOperator::Plan { plan: Box::new(plan) }).await;
    let mut both = [session.said().await, session.said().await];
    both.sort_by_key(|said| matches!(said, FromSidecar::Ack { .. }));
    let subscriptions = Vec::new();
    assert_eq!(both[0], FromSidecar::Undeclared { subscriptions });
    assert_eq!(web.post("/registry/subscribe", &url(GREET, 0)).await, ok());
    greets(&web, "user").await;
}

#[tokio::test]
async fn a_subscription_is_granted_and_stays_asked_for_where_undeclared_ones_are_allowed() {
    let world = World::new();
    let mut operator = Operator::start().await;
    let web = {
        let mut web = world.pod("web");
        let control = json!({"address": operator.address, "serverName": NAME, "roots": operator.roots});
        let workload = json!({"namespace": "shop", "pod": "web", "application": "web"});
        let document = json!({"revision": 5, "hash": "five", "workload": workload, "control": control,
            "undeclared": "allow"});
        web.write_plan(&document.to_string());
        web.write_token("for the operator");
        web.start_sidecar();
        web.ready().await;
        web
    };
    let mut session = operator.session().await;
    assert!(matches!(session.said().await, FromSidecar::Hello { .. }));
    assert_eq!(
        web.post("/registry/subscribe", &url("com.example.Cart", 0)).await,
        ok()
    );
    let said = session.said().await;
    assert!(
        matches!(&said, FromSidecar::Undeclared { subscriptions } if subscriptions.len() == 1),
        "{said:?}"
    );
    let (_, list) = web.page("GET", 8002, "/registry/list").await;
    assert!(list.contains("\"declared\":false"), "{list}");
}

#[tokio::test]
async fn a_program_is_called_where_it_registers_and_not_after_it_has_unregistered() {
    let world = World::new();
    let mut user = world.pod("user");
    user.start_program_at(7110);
    user.plan(&[], &exports(user.ip));
    user.start_sidecar();
    user.ready().await;
    let web = world.caller("web", &[&user]).await;

    assert_eq!(user.post("/registry/register", &url(GREET, 7110)).await, ok());
    greets(&web, "user").await;
    // Who is not declared is told what is missing.
    let (status, answer) = user
        .post("/registry/register", &url("com.example.Cart", 7111))
        .await;
    let words = answer["message"].as_str().unwrap();
    assert!(
        status == 403 && words.contains("motan: {path: com.example.Cart, group: shop}"),
        "{words}"
    );

    for _ in 0..2 {
        assert_eq!(user.post("/registry/unregister", &url(GREET, 7110)).await, ok());
    }
    let gone = "provider not exist serviceKey=shop_com.example.Greet";
    eventually(gone, async || plain(&user).await.contains(gone)).await;
    let (well, text) = motan(web.at(9981), GREET, "hello").await;
    assert!(!well && text.contains(gone), "{text}");
    // The other export of the pod is not touched.
    assert_eq!(web.get("user.shop.mesh", "/users/1").await.0, 200);

    for _ in 0..2 {
        assert_eq!(user.post("/registry/register", &url(GREET, 7110)).await, ok());
    }
    greets(&web, "user").await;
}

#[tokio::test]
async fn calls_go_elsewhere_when_one_of_two_programs_unregisters() {
    let world = World::new();
    let (one, two) = (world.provider("one").await, world.provider("two").await);
    let web = world.caller("web", &[&one, &two]).await;
    let load = web.load(Kind::Motan, 4);
    assert_eq!(one.post("/registry/unregister", &url(GREET, 7000)).await, ok());
    let report = load.unharmed().await;
    assert!(report.answered_by.contains_key("two"), "{report:?}");
    let gone = "provider not exist";
    eventually(gone, async || plain(&one).await.contains(gone)).await;
}

#[tokio::test]
async fn what_a_program_has_said_outlives_its_sidecar() {
    let world = World::new();
    let mut user = world.pod("user");
    user.start_program_at(7110);
    user.plan(&[], &exports(user.ip));
    user.start_sidecar();
    user.ready().await;
    let web = world.caller("web", &[&user]).await;
    assert_eq!(user.post("/registry/register", &url(GREET, 7110)).await, ok());
    greets(&web, "user").await;
    user.kill_sidecar().await;
    user.start_sidecar();
    user.ready().await;
    greets(&web, "user").await;

    // A file that can't be read is as none.
    assert!(user.end_sidecar().await);
    std::fs::write(user.dir.join("registry.json"), "{").unwrap();
    user.start_sidecar();
    user.ready().await;
    let (_, list) = user.page("GET", 8002, "/registry/list").await;
    assert!(list.contains("\"register_nodes\":[]"), "{list}");
}

#[tokio::test]
async fn an_undeclared_program_is_exported_where_that_is_allowed() {
    let world = World::new();
    let mut user = world.pod("user");
    user.start_program_at(7110);
    let workload = json!({"namespace": "shop", "pod": "user", "application": "user"});
    user.write_plan(&json!({"revision": 1, "workload": workload, "undeclared": "allow"}).to_string());
    user.start_sidecar();
    user.ready().await;
    let web = world.caller("web", &[&user]).await;
    assert!(!motan(web.at(9981), GREET, "hello").await.0);
    assert_eq!(user.post("/registry/register", &url(GREET, 7110)).await, ok());
    greets(&web, "user").await;
    assert_eq!(user.post("/registry/unregister", &url(GREET, 7110)).await, ok());
    eventually("it is gone", async || {
        !motan(web.at(9981), GREET, "hello").await.0
    })
    .await;
}

#[tokio::test]
async fn a_program_tells_of_itself_by_the_pages_of_the_agent_it_knows() {
    let world = World::new();
    let web = world.caller("web", &[]).await;
    let said = async |path: &str| {
        let (status, body) = web.page("GET", 8002, path).await;
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let fine = (200, json!({"result": "ok", "data": "ok"}));
    assert_eq!(said("/meta/update?META_WEIGHT=20&zone=a%20b").await, fine);
    let (_, all) = said("/meta/getAll").await;
    assert_eq!(
        (&all["data"]["meta"]["META_WEIGHT"], &all["data"]["meta"]["zone"]),
        (&json!("20"), &json!("a b"))
    );
    assert_eq!(said("/meta/delete?key=zone").await, fine);
    assert_eq!(
        said("/meta/get?key=zone").await,
        (200, json!({"result": "ok", "data": {"zone": ""}}))
    );
    assert_eq!(said("/meta/get").await.0, 400);
}
