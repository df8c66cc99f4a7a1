//! A mesh that is adopted one namespace at a time: callers with sidecars, providers still without.

use e2e::{
    cluster::{Namespace, check, eventually},
    manifests::{dependency, load, provider, service},
};

#[test]
fn providers_without_a_sidecar_are_called_and_may_get_one_under_load() {
    let shop = Namespace::plain("direct");
    shop.apply(&provider("user", 2));
    shop.apply(&service("user", "user", "http", "policy: {timeout: 3s}"));
    shop.apply(&service(
        "user-rpc",
        "user",
        "motan2",
        "motan: {path: com.example.UserService}",
    ));
    shop.rolled_out("deployment/user");
    shop.is("meshservice/user", "Ready");
    let count = |field: &str| {
        let service = shop.try_get(&["meshservice/user"])?;
        service["status"]["endpoints"][field]
            .as_i64()
            .ok_or_else(|| service["status"].to_string())
    };
    eventually("both pods count, called directly", || {
        check(count("ready")? == 2 && count("direct")? == 2, "not yet")
    });

    let street = Namespace::meshed("caller");
    let services = format!(
        "[{{name: user, namespace: {0}}}, {{name: user-rpc, namespace: {0}}}]",
        shop.name
    );
    for (name, args) in [
        (
            "web",
            format!(
                r#"--http, "http://user.{}.mesh/users/1", --rate, "20""#,
                shop.name
            ),
        ),
        (
            "feed",
            r#"--motan, com.example.UserService, --rate, "20""#.to_owned(),
        ),
    ] {
        street.apply(&dependency(name, name, &services));
        street.apply(&load(name, &args));
        street.rolled_out(&format!("deployment/{name}"));
        street.is(&format!("meshdependency/{name}"), "Ready");
    }
    let callers = ["web", "feed"].map(|name| street.pods(&format!("app={name}")).remove(0));
    for caller in &callers {
        let stats = street.answered_more(caller, 40);
        assert_eq!(stats.answered_by.len(), 2, "both providers answer: {stats:?}");
    }

    // The provider's team joins: its pods are made anew, with a sidecar.
    shop.kubectl(&["annotate", "namespace", &shop.name, "motanmesh.io/inject=enabled"]);
    eventually("the operator has seen it", || {
        let namespace = e2e::cluster::try_get(&["namespace", &shop.name])?;
        let label = &namespace["metadata"]["labels"]["motanmesh.io/injection"];
        check(label == "enabled", label)
    });
    let failed: Vec<_> = callers.iter().map(|caller| street.stats(caller).failed).collect();
    shop.kubectl(&["rollout", "restart", "deployment/user"]);
    shop.rolled_out("deployment/user");
    eventually("no pod is without a sidecar", || {
        check(count("ready")? == 2 && count("direct")? == 0, "not yet")
    });
    // A program without a sidecar ends at SIGTERM, whether its callers have heard or not: a GET is made again, of Motan
    // calls the one under way in each pod may fail.
    for ((caller, before), lost) in callers.iter().zip(failed).zip([0, 2]) {
        let stats = street.answered_more(caller, 40);
        assert!(stats.failed <= before + lost, "{before} before: {stats:?}");
    }
}
