//! What admission says about services and dependencies: each refusal names the field and the mend.

use super::cluster::{dependency, object, service, together, world};
use crds::{MeshDependency, MeshService};
use operator::{
    admission::validate::{self, Requester, Verdict},
    world::World,
};

fn shop() -> World {
    world(&together(&[
        service(
            "shop/user",
            1,
            "  hosts: [user.example.com]\n  motan: {path: com.example.User, group: rpc}\n",
        ),
        service("shop/order", 2, ""),
        dependency("shop/web", 1, "[{name: user}]"),
        dependency("blog/page", 1, "[{name: user, namespace: shop}]"),
    ]))
}

fn created(text: &str) -> Verdict {
    validate::service(&shop(), &object(text), None)
}

#[track_caller]
fn refuses(verdict: &Verdict, words: &[&str]) {
    assert!(!verdict.is_allowed(), "{verdict:?}");
    for word in words {
        assert!(
            verdict.message().contains(word),
            "{word} is not in {}",
            verdict.message()
        );
    }
}

#[test]
fn a_service_that_clashes_with_nothing_is_allowed() {
    for text in [
        service("shop/stock", 3, "  hosts: [stock.example.com]\n"),
        service("blog/user", 3, "  hosts: [user.example.com]\n"), // a host is unique in its namespace only
        service("shop/user", 1, "  hosts: [user.example.com]\n"), // itself is no clash
    ] {
        assert_eq!(created(&text), Verdict::default(), "{text}");
    }
}

#[test]
fn a_service_that_can_not_work_is_refused_with_field_and_mend() {
    let rpc = "  motan: {path: com.example.User, group: rpc}\n";
    for (text, words) in [
        (
            service("blog/user", 3, rpc),
            &[
                "spec.motan: MeshService shop/user has group rpc",
                "set spec.motan.path",
            ] as &[&str],
        ),
        (
            service("shop/stock", 3, "  hosts: [ok.example.com, user.example.com]\n"),
            &[
                "spec.hosts[1]: MeshService shop/user has host user.example.com",
                "remove it",
            ],
        ),
        (
            service("shop/stock", 3, "  hosts: [a.b, a.b]\n"),
            &["spec.hosts[1]: a.b is listed twice", "remove one"],
        ),
        (
            service("shop/stock", 3, "  hosts: [user.shop.mesh]\n"),
            &["spec.hosts[0]: user.shop.mesh ends in .mesh", "another domain"],
        ),
        (
            service("shop/stock", 3, "").replace("{app: stock}", "{}"),
            &["spec.selector: name at least one label"],
        ),
        (
            service("shop/stock", 3, "").replace("8080", "0"),
            &["spec.backend.port: must be from 1 to 65535"],
        ),
        (
            service("shop/stock", 3, rpc).replace("8080", "9981"),
            &["spec.backend.port: 9981 is the sidecar's own", "spec.motan: "],
        ),
    ] {
        refuses(&created(&text), words);
    }
}

#[test]
fn no_program_can_have_a_port_of_the_sidecar() {
    for port in [9981, 9982, 9983, 8002, 9990] {
        let text = service("shop/stock", 3, "").replace("8080", &port.to_string());
        refuses(&created(&text), &["spec.backend.port", "listen on another"]);
        let both = service("shop/stock", 3, "").replace(
            "http, port: 8080",
            &format!("motan2, port: 8080, motan1Port: {port}"),
        );
        refuses(&created(&both), &["spec.backend.motan1Port", "listen on another"]);
    }
}

/// A MeshService with this spec alone.
fn bare(spec: &str) -> String {
    format!(
        "apiVersion: motanmesh.io/v1alpha1\nkind: MeshService\nmetadata: {{name: legacy, namespace: shop}}\nspec:\n{spec}"
    )
}

#[test]
fn a_service_is_pods_or_addresses_and_a_mixture_is_refused_with_the_mend() {
    let outside = "  external: {addresses: [\"rpc.example.com:8002\"]}\n";
    assert_eq!(created(&bare(outside)), Verdict::default());
    let pods = "  selector: {matchLabels: {app: a}}\n  backend: {protocol: motan2, port: 8100}\n";
    for (spec, words) in [
        (
            "  motan: {group: g}\n".to_owned(),
            &["spec: write selector and backend, or external"] as &[&str],
        ),
        (
            "  selector: {matchLabels: {app: a}}\n".to_owned(),
            &["selector and backend"],
        ),
        (
            format!("{outside}{pods}"),
            &["spec.external", "remove selector and backend"],
        ),
        (
            format!("{outside}  export: {{plain: true}}\n"),
            &["spec.export", "remove export"],
        ),
        (
            outside.replace("8002", "0"),
            &["spec.external.addresses", "port from 1 to 65535"],
        ),
        (
            pods.replace("motan2, port: 8100", "http, port: 8100, motan1Port: 8101"),
            &["spec.backend.motan1Port", "write protocol: motan2"],
        ),
        (
            pods.replace("motan2, port: 8100", "motan2, port: 8100, httpException: true"),
            &["spec.backend.httpException", "write protocol: http"],
        ),
        (
            format!("{pods}  rewrites: [{{match: /, pattern: a, replacement: b}}]\n"),
            &["spec.rewrites", "write protocol: http"],
        ),
        (
            format!("{pods}  locations: [{{match: /}}]\n"),
            &["spec.locations", "list the hosts"],
        ),
    ] {
        refuses(&created(&bare(&spec)), words);
    }
}

#[test]
fn a_service_may_repeat_its_own_name_and_is_told() {
    let verdict = created(&service("shop/stock", 3, "  hosts: [stock.shop.mesh]\n"));
    assert!(verdict.is_allowed() && verdict.warnings[0].contains("can be removed"));
}

#[test]
fn what_was_let_in_before_can_still_be_labelled_and_removed() {
    let clashing: MeshService = object(&service("shop/stock", 3, "  hosts: [user.example.com]\n"));
    let mut labelled = clashing.clone();
    labelled.metadata.labels = Some([("team".to_owned(), "a".to_owned())].into());
    assert!(validate::service(&shop(), &labelled, Some(&clashing)).is_allowed());

    let mut deleting = clashing.clone();
    deleting.metadata.deletion_timestamp = object("2026-01-01T00:00:00Z");
    assert!(validate::service(&shop(), &deleting, None).is_allowed());

    let mut changed = clashing.clone();
    changed.spec.backend.as_mut().unwrap().port = 8081;
    assert!(!validate::service(&shop(), &changed, Some(&clashing)).is_allowed());
}

fn declared(services: &str) -> Verdict {
    let new: MeshDependency = object(&dependency("shop/api", 3, services));
    validate::dependency(&shop(), &new, None)
}

#[test]
fn a_dependency_on_what_exists_is_allowed_even_on_itself() {
    assert_eq!(
        declared("[{name: user}, {name: order, namespace: shop}]"),
        Verdict::default()
    );
    let own = world(&service("shop/web", 1, ""));
    let new: MeshDependency = object(&dependency("shop/web", 3, "[{name: web}]"));
    assert_eq!(validate::dependency(&own, &new, None), Verdict::default());
}

#[test]
fn a_dependency_that_lists_a_service_twice_is_refused() {
    let verdict = declared("[{name: user}, {name: order}, {name: user, namespace: shop}]");
    refuses(
        &verdict,
        &["spec.services[2]: shop/user is listed already as spec.services[0]: remove one"],
    );
}

#[test]
fn a_dependency_on_what_does_not_exist_is_allowed_with_a_warning() {
    let verdict = declared("[{name: usr}, {name: user, namespace: shp}]");
    assert!(verdict.is_allowed());
    assert_eq!(
        verdict.warnings,
        [
            "spec.services[0]: MeshService shop/usr does not exist yet: create it, correct the name, or add \
             namespace: where it is; calls to it fail until then",
            "spec.services[1]: MeshService shp/user does not exist yet: create it, or correct name and namespace; \
             calls to it fail until then",
        ]
    );
}

#[test]
fn a_dependency_that_would_mean_every_pod_is_refused() {
    let new: MeshDependency =
        object(&dependency("shop/api", 3, "[{name: user}]").replace("{app: web}", "{}"));
    refuses(
        &validate::dependency(&shop(), &new, None),
        &["spec.selector: name at least one label"],
    );
}

const PERSON: Requester<'static> = Requester { user: "alice" };

fn deletion(world: &World, name: &str, protected: bool, requester: Requester<'_>) -> Verdict {
    let mut old: MeshService = object(&service(name, 1, ""));
    if protected {
        old.metadata.annotations = Some([(crds::names::PROTECTED.to_owned(), "true".to_owned())].into());
    }
    validate::service_deletion(world, &old, requester)
}

#[test]
fn deleting_a_service_with_dependents_warns_and_lists_them() {
    assert_eq!(deletion(&shop(), "shop/order", true, PERSON), Verdict::default());
    let verdict = deletion(&shop(), "shop/user", false, PERSON);
    assert!(verdict.is_allowed());
    assert!(
        verdict.warnings[0].contains("blog/page, shop/web still depends"),
        "{verdict:?}"
    );
}

#[test]
fn many_dependents_are_counted_and_not_all_listed() {
    let objects: Vec<_> = (10..30)
        .map(|n| dependency(&format!("shop/d{n}"), n, "[{name: user}]"))
        .collect();
    let verdict = deletion(&world(&together(&objects)), "shop/user", false, PERSON);
    assert!(
        verdict.warnings[0].contains("shop/d17 and 12 more"),
        "{verdict:?}"
    );
}

#[test]
fn a_protected_service_with_dependents_goes_only_with_its_namespace() {
    let mut shop = shop();
    refuses(
        &deletion(&shop, "shop/user", true, PERSON),
        &["is protected", "blog/page, shop/web", "motanmesh.io/protected"],
    );
    for user in [
        "system:serviceaccount:kube-system:generic-garbage-collector",
        "system:serviceaccount:kube-system:namespace-controller",
    ] {
        assert!(
            deletion(&shop, "shop/user", true, Requester { user }).is_allowed(),
            "{user}"
        );
    }
    let terminating = "kind: Namespace\nmetadata: {name: shop, deletionTimestamp: \"2026-01-01T00:00:00Z\"}";
    super::cluster::apply(&mut shop, terminating);
    assert!(deletion(&shop, "shop/user", true, PERSON).is_allowed());
}

#[test]
fn ports_and_captured_names_are_checked() {
    let ports = "  ports: [{port: 80}, {port: 8080}]\n";
    let fine = format!("{ports}  capture: {{service: user-web}}\n");
    assert_eq!(created(&service("shop/stock", 3, &fine)), Verdict::default());
    for (spec, words) in [
        (
            "  ports: [{port: 80}, {port: 80}]\n",
            "spec.ports: 80 is listed twice",
        ),
        (
            "  ports: [{port: 0}]\n",
            "spec.ports: 0 is listed twice, or is no port",
        ),
        (
            "  capture: {service: user}\n",
            "add for example ports: [{port: 80}]",
        ),
        (
            "  ports: [{port: 80}]\n  capture: {service: User.Web}\n",
            "spec.capture.service: \"User.Web\"",
        ),
        (
            "  ports: [{port: 80}]\n  capture: {service: -a}\n",
            "spec.capture.service: \"-a\"",
        ),
    ] {
        refuses(&created(&service("shop/stock", 3, spec)), &[words]);
    }
    let many: Vec<_> = (1..=17).map(|port| format!("{{port: {port}}}")).collect();
    let many = format!("  ports: [{}]\n", many.join(", "));
    refuses(
        &created(&service("shop/stock", 3, &many)),
        &["17 are listed: write at most 16"],
    );

    let world = world(&service(
        "shop/user",
        1,
        "  ports: [{port: 80}]\n  capture: {service: user}\n",
    ));
    let second = |home: &str| {
        let text = service(
            &format!("{home}/other"),
            2,
            "  ports: [{port: 80}]\n  capture: {service: user}\n",
        );
        validate::service(&world, &object(&text), None)
    };
    refuses(
        &second("shop"),
        &["spec.capture.service: MeshService shop/user has the names of Service user already"],
    );
    assert!(
        second("blog").is_allowed(),
        "another namespace has Services of its own"
    );
}

#[test]
fn a_part_of_a_host_belongs_to_one_service_of_its_namespace() {
    let sharing = |locations: &str| {
        let spec = format!("  hosts: [user.example.com, shop.example.com]\n  locations: [{locations}]\n");
        service("shop/stock", 3, &spec)
    };
    let cart = "{host: shop.example.com, match: /cart}";
    let user = "  hosts: [user.example.com, shop.example.com]\n  locations: [{host: shop.example.com, match: /cart}]\n";
    let world = world(&service("shop/user", 1, user));
    let created = |text: &str| validate::service(&world, &object::<MeshService>(text), None);
    for fine in [
        "{match: /stock}",
        "{match: /cart, type: exact}",
        "{match: /cart/x}, {host: user.example.com, match: ^/x, type: regexp}",
    ] {
        assert_eq!(created(&sharing(fine)), Verdict::default(), "{fine}");
    }
    for (locations, words) in [
        (
            format!("{cart}, {{host: user.example.com, match: /x}}"),
            &["spec.locations: MeshService shop/user has start /cart of host shop.example.com already"]
                as &[&str],
        ),
        (
            "{host: user.example.com, match: /}, {host: shop.example.com, match: /x}".to_owned(),
            &["MeshService shop/user has start / of host user.example.com"],
        ),
        (
            "{host: shop.example.com, match: /x}".to_owned(),
            &["spec.hosts[0]", "share it by spec.locations"],
        ),
        (
            "{match: /x}, {host: shop.example.com, match: /x}".to_owned(),
            &["start /x of host shop.example.com is listed twice"],
        ),
        (
            "{host: other.example.com, match: /x}".to_owned(),
            &["spec.locations[0].host", "add it there"],
        ),
        (
            "{match: x}".to_owned(),
            &["spec.locations[0]: match \"x\": must be a path"],
        ),
        (
            "{match: \"(\", type: regexp}".to_owned(),
            &["spec.locations[0]: \"(\" is not a regular expression"],
        ),
    ] {
        refuses(&created(&sharing(&locations)), words);
    }
    let rewriting = service(
        "shop/stock",
        3,
        "  rewrites: [{match: /, pattern: \"[\", replacement: /}]\n",
    );
    refuses(
        &created(&rewriting),
        &["spec.rewrites[0]: \"[\" is not a regular expression"],
    );
}

const DEMO: &str = "Ck0KCmRlbW8ucHJvdG8SBGRlbW8iBwoFRW1wdHkyKAoFVXNlcnMSHwoDR2V0EgsuZGVtby5FbXB0eRoLLmRlbW8uRW1wdHliBnByb3RvMw==";
/// `Get` at `/users/{id}`, and nothing called `id` in its message.
const BAD_RULE: &str = "ClwKB2EucHJvdG8SCmdvb2dsZS5hcGk6RQoEaHR0cBIeLmdvb2dsZS5wcm90b2J1Zi5NZXRob2RPcHRpb25zGLDKvCIgASgLMhQuZ29vZ2xlLmFwaS5IdHRwUnVsZQpjCgpkZW1vLnByb3RvEgRkZW1vGgdhLnByb3RvIgcKBUVtcHR5Mj0KBVVzZXJzEjQKA0dldBILLmRlbW8uRW1wdHkaCy5kZW1vLkVtcHR5IhOC0+STAg0SCy91c2Vycy97aWR9";
const NO_SERVICE: &str = "ChsKCmRlbW8ucHJvdG8SBGRlbW8iBwoFRW1wdHk=";
const NO_IMPORT: &str = "CmMKCmRlbW8ucHJvdG8SBGRlbW8aHGdvb2dsZS9hcGkvYW5ub3RhdGlvbnMucHJvdG8iBwoFRW1wdHkyKAoFVXNlcnMSHwoDR2V0EgsuZGVtby5FbXB0eRoLLmRlbW8uRW1wdHk=";

#[test]
fn routes_and_descriptors_that_can_not_work_are_refused_with_field_and_mend() {
    let of = |protocol: &str, more: &str| {
        created(&service("shop/stock", 3, more).replace("protocol: http", &format!("protocol: {protocol}")))
    };
    let route = |path: &str, more: &str| {
        format!(
            "  http:\n  - {{match: {{method: GET, path: \"/\"}}, call: root}}\n  - {{match: {{method: GET, path: \"{path}\"}}, call: x, {more}}}\n"
        )
    };
    let fine = route("/a/{x}", "arguments: [{path: x, as: int64}]");
    assert_eq!(of("motan2", &fine), Verdict::default());
    let grpc = |text: &str| format!("  grpc: {{descriptorSet: \"{text}\"}}\n");
    assert_eq!(of("grpc", &grpc(DEMO)), Verdict::default());
    for (protocol, more, words) in [
        (
            "http",
            fine.clone(),
            &["spec.http: routes lead to motan2 programs", "protocol: motan2"] as &[&str],
        ),
        ("motan", fine, &["and this one speaks motan"]),
        (
            "motan2",
            route("a", ""),
            &["spec.http[1].match.path \"a\"", "must begin with /"],
        ),
        (
            "motan2",
            route("/a/{x}", ""),
            &["spec.http[1].match.path /a/{x}", "add - path: x"],
        ),
        (
            "motan2",
            route("/a", "arguments: [{query: n, as: int32, default: many}]"),
            &["spec.http[1].arguments: query n: default \"many\" is not a whole number of 32 bits"],
        ),
        (
            "motan2",
            route("/", ""),
            &[
                "spec.http: match GET / and GET / are for the same requests",
                "remove one",
            ],
        ),
        (
            "motan2",
            grpc(DEMO),
            &["spec.grpc: it is for grpc programs", "protocol: grpc"],
        ),
        (
            "grpc",
            grpc("{}"),
            &["spec.grpc.descriptorSet: it is not base64", "protoc"],
        ),
        (
            "grpc",
            grpc(BAD_RULE),
            &[
                "spec.grpc.descriptorSet: method demo.Users.Get: google.api.http: message demo.Empty has no field id",
            ],
        ),
        (
            "grpc",
            grpc("AAAA"),
            &["spec.grpc.descriptorSet: it is no FileDescriptorSet"],
        ),
        (
            "grpc",
            grpc(NO_SERVICE),
            &["spec.grpc.descriptorSet: it has no service"],
        ),
        (
            "grpc",
            grpc(NO_IMPORT),
            &["--include_imports", "google/api/annotations.proto"],
        ),
    ] {
        refuses(&of(protocol, more.as_str()), words);
    }
    let outside = "  external: {addresses: [\"rpc.example.com:8002\"]}\n";
    refuses(
        &created(&bare(&format!("{outside}{}", grpc(DEMO)))),
        &["spec.http and spec.grpc", "remove them"],
    );
}

#[test]
fn a_policy_that_can_not_be_is_refused_with_the_field() {
    let of_service = |spec: &str| created(&service("shop/stock", 3, spec));
    for (spec, words) in [
        (
            "  policy: {degrade: {message: m, reply: {json: \"{\"}}}\n",
            &["spec.policy.degrade.reply.json: it is no JSON"] as &[&str],
        ),
        (
            "  policy: {methods: [{match: a}, {match: b, retries: {attempts: 11}}]}\n",
            &["spec.policy.methods[1].retries.attempts: 11: must be from 0 to 10"],
        ),
        (
            "  policy: {methods: [{match: \"a b\"}]}\n",
            &["spec.policy.methods[0].match: pattern"],
        ),
        (
            "  policy: {faults: [{percent: 5}]}\n",
            &["spec.policy.faults[0]: it does nothing: add delay, or abort"],
        ),
        (
            "  policy: {balance: {hash: {cookie: uid}}}\n",
            &["spec.policy.balance.hash", "mode: consistentHash"],
        ),
        (
            "  policy: {balance: {mode: consistentHash, hash: {cookie: uid, metadata: uid}}}\n",
            &["spec.policy.balance.hash: write exactly one"],
        ),
        (
            "  policy: {backup: {delay: 50ms, percentile: 95}}\n",
            &["spec.policy.backup: write exactly one of delay"],
        ),
        (
            "  policy: {methods: [{match: a, backup: {maxPercent: 5}}]}\n",
            &["spec.policy.methods[0].backup: write exactly one of delay"],
        ),
        (
            "  policy: {backup: {percentile: 100}}\n",
            &["spec.policy.backup.percentile: 100: must be from 1 to 99"],
        ),
        (
            "  policy: {mirror: {percent: 5}}\n",
            &["spec.policy.mirror.to: name a subset, a group or a service"],
        ),
        (
            "  policy: {mirror: {to: {subset: v2}, percent: 101}}\n",
            &["spec.policy.mirror.percent: 101: must be from 1 to 100"],
        ),
        (
            "  policy: {breaker: {window: 500ms}}\n",
            &["spec.policy.breaker.window: 500ms: must be from 1000ms to 600000ms"],
        ),
        (
            "  policy: {health: {baseEjection: 1m, maxEjection: 1s}}\n",
            &["spec.policy.health.maxEjection", "raise it"],
        ),
        (
            "  limits: {queue: {length: 5, timeout: 1s}}\n",
            &["spec.limits.queue", "add concurrency"],
        ),
        (
            "  limits: {concurrency: 5, adaptive: {min: 1, max: 5}}\n",
            &["spec.limits.adaptive", "remove one of them"],
        ),
        (
            "  limits: {adaptive: {min: 9, max: 5}}\n",
            &["spec.limits.adaptive: min 9 is above max 5"],
        ),
        (
            "  limits: {priorities: [{methods: [a], priority: low}]}\n",
            &["spec.limits.priorities", "add concurrency or adaptive"],
        ),
        (
            "  limits: {concurrency: 5, priorities: [{priority: low}]}\n",
            &["spec.limits.priorities[0]", "add methods, or callers"],
        ),
        (
            "  limits: {methods: [{match: a}]}\n",
            &["spec.limits.methods[0]: it limits nothing"],
        ),
        (
            "  limits: {clusterRate: {requestsPerSecond: 0}}\n",
            &["spec.limits.clusterRate.requestsPerSecond: 0: must be from 1"],
        ),
        (
            "  limits: {clusterRate: {requestsPerSecond: 5, burst: 0}}\n",
            &["spec.limits.clusterRate.burst: 0: must be from 1"],
        ),
        (
            "  limits: {requestsPerSecond: 5, burst: 0}\n",
            &["spec.limits.burst: 0: must be from 1"],
        ),
    ] {
        refuses(&of_service(spec), words);
    }
    refuses(
        &declared("[{name: user}, {name: order, policy: {faults: [{percent: 500, delay: 1s}]}}]"),
        &["spec.services[1].policy.faults[0].percent: 500: must be from 1 to 100"],
    );
    let outside = "  external: {addresses: [\"rpc.example.com:8002\"]}\n  limits: {concurrency: 5}\n";
    refuses(&created(&bare(outside)), &["spec.limits", "remove limits"]);
}

#[test]
fn a_policy_that_may_surprise_is_allowed_with_a_warning() {
    let of_service = |policy: &str| created(&service("shop/stock", 3, &format!("  policy: {policy}\n")));
    for (policy, words) in [
        (
            "{retries: {retryOn: [status5xx]}}",
            &["spec.policy.retries.retryOn: after status5xx", "idempotent: true"] as &[&str],
        ),
        (
            "{retries: {retryOn: [timeout]}, idempotent: true}",
            &["spec.policy.retries.retryOn", "add perAttemptTimeout"],
        ),
        (
            "{timeout: 100ms, retries: {perAttemptTimeout: 100ms}}",
            &["spec.policy.retries.perAttemptTimeout: 100ms is not below the timeout of 100ms"],
        ),
        (
            "{timeout: 299ms, retries: {perAttemptTimeout: 100ms}}",
            &["spec.policy.retries: 3 attempts of 100ms", "timeout of 299ms"],
        ),
        (
            "{timeout: 300ms, retries: {perAttemptTimeout: 100ms}, methods: [{match: a, timeout: 90ms}]}",
            &["spec.policy.methods[0].retries.perAttemptTimeout"],
        ),
        (
            "{backup: {delay: 50ms}}",
            &["spec.policy.backup: only GET", "idempotent: true"],
        ),
        (
            "{timeout: 100ms, methods: [{match: a, idempotent: true, backup: {delay: 100ms}}]}",
            &["spec.policy.methods[0].backup.delay: 100ms is not below the timeout of 100ms"],
        ),
        (
            "{methods: [{match: a}, {match: a}]}",
            &["spec.policy.methods[1].match: a is listed before"],
        ),
    ] {
        let verdict = of_service(policy);
        assert!(verdict.is_allowed(), "{policy}: {verdict:?}");
        assert_eq!(verdict.warnings.len(), 1, "{policy}: {verdict:?}");
        for word in words {
            assert!(verdict.warnings[0].contains(word), "{word}: {verdict:?}");
        }
    }
    for quiet in [
        "{idempotent: true, backup: {percentile: 95}}",
        "{backup: {maxPercent: 0}}",
        "{retries: {retryOn: [status5xx], attempts: 0}}",
        "{retries: {retryOn: [status5xx, overloaded]}, idempotent: true}",
        "{timeout: 300ms, retries: {perAttemptTimeout: 100ms}}",
        "{timeout: 300ms, retries: {perAttemptTimeout: 200ms, attempts: 0}}",
    ] {
        assert_eq!(of_service(quiet), Verdict::default(), "{quiet}");
    }
}

#[test]
fn a_dependency_is_warned_of_what_its_policy_becomes_over_the_services() {
    let user = "  policy: {timeout: 500ms, retries: {perAttemptTimeout: 150ms}}\n";
    let world = world(&service("shop/user", 1, user));
    let warned = |policy: &str| {
        let text = dependency("shop/api", 3, &format!("[{{name: user, policy: {policy}}}]"));
        validate::dependency(&world, &object::<MeshDependency>(&text), None).warnings
    };
    assert_eq!(warned("{mingzSize: 1024}"), [""; 0]);
    let [shorter] = &warned("{timeout: 150ms}")[..] else {
        panic!("one warning")
    };
    assert!(
        shorter.contains("spec.services[0].policy.retries.perAttemptTimeout: 150ms is not below"),
        "{shorter}"
    );
}
