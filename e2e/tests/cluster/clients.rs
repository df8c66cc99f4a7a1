//! Programs in five languages, unchanged, reach services through both sidecars: by plain names (loopback capture), and
//! by `HTTP_PROXY`. The names end in `.mesh`, so whoever is answered went through the mesh: nobody else resolves them.

use e2e::{
    cluster::{Namespace, demo_image, eventually, image, try_kubectl},
    manifests::{dependency, pod_template, service, workload},
    web::{ALL, CONTINUE, EVENTS, FETCH, GRPC, INTEROP, INTEROP_FLAGS, NODE_HTTP2, Outcome, PARTS, SOCKET},
};

use super::capture::declared;

const JAVA: &[&str] = &[
    "/jre/bin/java",
    "-Xmx96m",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-jar",
    "/web/web-java-peer.jar",
];
const GO: &[&str] = &["/web/web-go-peer", "client"];
const INTEROP_GO: &[&str] = &["/web/grpc-go-client", "--server_port=50051"];
const NODE: &[&str] = &["/usr/bin/node", "/web/web-node-peer.mjs"];
const PYTHON: &[&str] = &["/web/web-python-peer"];
const CURL: &[&str] = &["/usr/bin/curl", "-sS", "--max-time", "20"];

/// A Deployment of the image with the web clients and servers.
fn program(name: &str, args: &str, probe: &str) -> String {
    let template = pod_template(name, args, probe).replace(&demo_image(), &image("web"));
    workload("Deployment", name, 1, &template)
}

/// A program that leaves its names alone and has the agent as its proxy, in the ways that the languages know.
fn proxied(name: &str) -> String {
    const PROXY: &str = "http://127.0.0.1:9983";
    let java = "-Dhttp.proxyHost=127.0.0.1 -Dhttp.proxyPort=9983 -Dhttp.nonProxyHosts=";
    let environment = ["HTTP_PROXY", "http_proxy"]
        .map(|name| format!("{{name: {name}, value: \"{PROXY}\"}}, "))
        .concat()
        + &format!("{{name: JDK_JAVA_OPTIONS, value: \"{java}\"}}, ");
    program(name, IDLE, "")
        .replace("env: [", &format!("env: [{environment}"))
        .replace(
            "labels: {",
            "annotations: {motanmesh.io/capture: disabled}, labels: {",
        )
}

/// What a program does that only others call things from.
const IDLE: &str = r#"[server, -listen, "127.0.0.1:18080"]"#;

/// A web site and a gRPC service, and who calls them: `web` by plain names, `behind` by a proxy.
fn shop() -> Namespace {
    let shop = Namespace::meshed("clients");
    let ready = "readinessProbe: {httpGet: {path: /who, port: 8080}, periodSeconds: 1}";
    shop.apply(&program("site", r#"[server, -listen, "0.0.0.0:8080"]"#, ready));
    let ready = "readinessProbe: {tcpSocket: {port: 9090}, periodSeconds: 1}";
    let args = r#"[grpc-server, -listen, "0.0.0.0:9090"]"#;
    shop.apply(&program("interop", args, ready));
    shop.apply(&service("site", "site", "http", "ports: [{port: 80}]"));
    shop.apply(&service("interop", "interop", "grpc", "ports: [{port: 50051}]"));
    for caller in ["web", "behind"] {
        shop.apply(&dependency(caller, caller, "[{name: site}, {name: interop}]"));
    }
    shop.rolled_out("deployment/site");
    shop.rolled_out("deployment/interop");
    declared(&shop, "site");
    declared(&shop, "interop");
    shop.apply(&program("web", IDLE, ""));
    shop.apply(&proxied("behind"));
    for caller in ["web", "behind"] {
        shop.rolled_out(&format!("deployment/{caller}"));
        shop.is(&format!("meshdependency/{caller}"), "Ready");
    }
    shop
}

/// A pod that runs clients, and what went wrong in them.
struct Caller<'n> {
    home: &'n Namespace,
    pod: String,
    wrong: Vec<String>,
}

impl<'n> Caller<'n> {
    /// Ready when the service answers the simplest of them.
    fn of(home: &'n Namespace, app: &str) -> Self {
        let pod = home.pods(&format!("app={app}")).remove(0);
        let caller = Self {
            home,
            pod,
            wrong: Vec::new(),
        };
        let page = format!("http://site.{}.mesh/who", home.name);
        eventually("curl has an answer", || {
            caller.exec(&[CURL, &["--fail", &page]].concat())
        });
        caller
    }

    fn exec(&self, command: &[&str]) -> Result<String, String> {
        let exec = ["-n", &self.home.name, "exec", &self.pod, "-c", "program", "--"];
        try_kubectl(&[&exec, command].concat(), "")
    }

    /// Runs these cases of a client, each of which must come out well.
    fn cases(&mut self, client: &[&str], args: &[&str], groups: &[&[&str]]) {
        let wanted = groups.concat();
        let what = format!("{} {}", client.last().unwrap_or(&""), args.join(" "));
        let output = match self.exec(&[client, args, &wanted].concat()) {
            Ok(output) => output,
            Err(error) => return self.wrong.push(format!("{what}: {error}")),
        };
        let lines = output.lines().filter(|line| line.starts_with('{'));
        let outcomes: Vec<_> = lines.map(Outcome::well).collect();
        let well: Vec<_> = outcomes
            .iter()
            .flatten()
            .map(|outcome| outcome.case.as_str())
            .collect();
        if well != wanted {
            let why: Vec<_> = outcomes
                .iter()
                .filter_map(|outcome| outcome.as_ref().err())
                .collect();
            self.wrong.push(format!(
                "{what}: {why:#?}, of {} cases {}",
                wanted.len(),
                well.len()
            ));
        }
    }

    /// Runs curl, which must print this.
    fn curl(&mut self, args: &[&str], page: &str, expected: &str) {
        let said = self.exec(&[CURL, args, &[page]].concat());
        if !said.as_ref().is_ok_and(|said| said.contains(expected)) {
            self.wrong.push(format!("curl {args:?} {page}: {said:?}"));
        }
    }

    /// The clients of HTTP in five languages.
    fn web(&mut self) {
        let base = format!("http://site.{}.mesh", self.home.name);
        let page = |path: &str| format!("{base}{path}");
        let download = ["-o", "/dev/null", "-w", "%{size_download}"];
        let upload = ["--data-binary", "@/web/web-java-peer.jar"];
        for way in [&[][..], &["--http1.0"], &["--http2"]] {
            self.curl(way, &page("/who"), "web");
            self.curl(&[way, &upload].concat(), &page("/echo"), "\"method\":\"POST\"");
            let filled = page("/fill?bytes=3000000");
            self.curl(&[way, &download].concat(), &filled, "3000000");
        }
        self.cases(GO, &["-base", &base], &[ALL, CONTINUE, EVENTS, PARTS]);
        self.cases(JAVA, &["client", &base], &[ALL, CONTINUE, EVENTS, SOCKET]);
        self.cases(JAVA, &["client2", &base], &[ALL, CONTINUE, EVENTS]);
        self.cases(JAVA, &["connection", &base], &[ALL, EVENTS]);
        let whole = [ALL, CONTINUE, EVENTS, PARTS, SOCKET];
        self.cases(NODE, &["--base", &base], &whole);
        self.cases(PYTHON, &["urllib", "--base", &base], &[ALL, EVENTS]);
    }

    /// What goes by plain names alone: clients that heed no proxy, and HTTP/2 by prior knowledge.
    fn by_plain_names(&mut self) {
        let base = format!("http://site.{}.mesh", self.home.name);
        let who = format!("{base}/who");
        self.curl(&["--http2-prior-knowledge"], &who, "web");
        self.cases(
            GO,
            &["-base", &base, "-http", "2"],
            &[ALL, CONTINUE, EVENTS, PARTS],
        );
        self.cases(GO, &["-base", &base], &[SOCKET]);
        self.cases(NODE, &["--base", &base, "--by", "fetch"], &[FETCH]);
        self.cases(NODE, &["--base", &base, "--by", "http2"], &[NODE_HTTP2]);
        self.cases(PYTHON, &["http.client", "--base", &base], &[ALL, EVENTS]);
    }

    /// The clients of gRPC in three languages.
    fn grpc(&mut self) {
        let host = format!("interop.{}.mesh", self.home.name);
        let target = format!("{host}:50051");
        self.cases(JAVA, &["grpc", &target], &[GRPC]);
        self.cases(PYTHON, &["grpc", "--target", &target], &[GRPC]);
        for case in INTEROP {
            let args = [format!("--server_host={host}"), format!("--test_case={case}")];
            let args = [INTEROP_GO, INTEROP_FLAGS, &[&args[0], &args[1]]].concat();
            if let Err(error) = self.exec(&args) {
                self.wrong.push(format!("grpc-go {case}: {error}"));
            }
        }
    }

    fn ends(self, what: &str) {
        assert!(self.wrong.is_empty(), "{what}: {:#?}", self.wrong);
    }
}

#[test]
fn programs_in_five_languages_call_by_plain_names_and_by_a_proxy() {
    let shop = shop();
    let mut web = Caller::of(&shop, "web");
    web.web();
    web.by_plain_names();
    web.grpc();
    web.ends("by plain names");
    let mut behind = Caller::of(&shop, "behind");
    behind.web();
    behind.ends("by HTTP_PROXY");
}
