//! Java programs on motan-java, unchanged, at both ends of the mesh.

use e2e::{
    cluster::{Namespace, check, demo_image, eventually, java_image, try_kubectl},
    manifests::{dependency, pod_template, service, workload},
};

/// The peer on motan-java as a server of `io.motanmesh.peers.Probe` in group `peers`.
fn server(name: &str, port: u16) -> String {
    let args = format!(r#"[server, -listen, "{port}", -name, {name}]"#);
    let probe = format!("readinessProbe: {{tcpSocket: {{port: {port}}}, periodSeconds: 1}}");
    let template = pod_template(name, &args, &probe).replace(&demo_image(), &java_image());
    workload("Deployment", name, 1, &template)
}

/// What a MeshClient in that pod, with the agent's usual address, gets for one call.
fn call(home: &Namespace, pod: &str, call: &str) -> Result<String, String> {
    let java = [
        "/jre/bin/java",
        "-Xmx64m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
    ];
    let exec = ["-n", &home.name, "exec", "-i", pod, "-c", "program", "--"];
    let client = ["-jar", "/peer/motan-java-peer.jar", "client"];
    let to = r#""by":"mesh","to":"127.0.0.1:9981","path":"io.motanmesh.peers.Probe","group":"peers""#;
    try_kubectl(
        &[&exec[..], &java[..], &client[..]].concat(),
        &format!("{{{to},{call}}}\n"),
    )
}

#[test]
fn a_java_program_calls_a_java_program_through_two_sidecars() {
    let home = Namespace::meshed("java");
    home.apply(&server("probe", 7000));
    home.apply(&server("caller", 7001));
    home.apply(&service(
        "probe",
        "probe",
        "motan2",
        "motan: {path: io.motanmesh.peers.Probe, group: peers}",
    ));
    home.apply(&dependency("caller", "caller", "[{name: probe}]"));
    home.rolled_out("deployment/probe");
    home.rolled_out("deployment/caller");
    home.is("mdep/caller", "Ready");
    let caller = home.pods("app=caller").remove(0);
    for (words, expected) in [
        (r#""method":"who","args":[]"#, r#""result":"probe""#),
        (r#""method":"echo","args":["hello"]"#, r#""result":"hello""#),
        (r#""method":"sum","args":[20,22]"#, r#""result":42"#),
        (r#""method":"fail","args":["no"]"#, r#""ok":false"#),
    ] {
        eventually(&format!("the answer to {words}"), || {
            let said = call(&home, &caller, words)?;
            check(said.contains(expected), said)
        });
    }
}
