use super::*;

fn read(json: &str) -> Result<Routes, String> {
    serde_json::from_str(json).map_err(|error| error.to_string())
}

fn one(rest: &str) -> Result<Routes, String> {
    read(&format!(
        r#"[{{"match": {{"method": "POST", "path": "/users/{{id}}"}}, "call": "getUser", {rest}}}]"#
    ))
}

const ID: &str = r#"{"path": "id", "as": "int64"}"#;

#[test]
fn a_route_is_read_and_written_as_it_was() {
    let json = concat!(
        r#"[{"match":{"method":"GET","path":"/users/{id}"},"call":"getUser","descriptor":"long,boolean","#,
        r#""serialization":"hessian2","arguments":[{"path":"id","as":"int64"},{"query":"verbose","as":"bool","#,
        r#""default":"false"},{"header":"x-who","optional":true}],"errors":[{"code":1001,"status":404}]},"#,
        r#"{"match":{"method":"POST","path":"/users"},"call":"add","arguments":[{"body":"json"}]}]"#
    );
    let routes = read(json).unwrap();
    assert_eq!(serde_json::to_string(&routes).unwrap(), json);
    let route = &routes.as_slice()[0];
    let Argument::Text { kind, absent, .. } = &route.arguments[1] else {
        panic!("{route:?}");
    };
    assert_eq!(absent.value(*kind), Some(Scalar::Bool(false)));
}

#[test]
fn what_does_not_fit_together_is_refused_with_its_mend() {
    let rows = [
        (
            r#""arguments": []"#.to_owned(),
            "{id} is no argument: add - path: id",
        ),
        (format!(r#""arguments": [{ID}, {{"path": "x"}}]"#), "has no {x}"),
        (format!(r#""arguments": [{ID}, {{}}]"#), "none is written"),
        (
            format!(r#""arguments": [{ID}, {{"query": "a", "header": "b"}}]"#),
            "several are written",
        ),
        (
            format!(r#""arguments": [{ID}, {{"body": "json"}}, {{"body": "text"}}]"#),
            "body is there twice",
        ),
        (
            format!(r#""arguments": [{ID}, {{"body": "json", "as": "bool"}}]"#),
            "remove them",
        ),
        (format!(r#""arguments": [{ID}, {{"query": ""}}]"#), "write a name"),
        (
            format!(r#""arguments": [{ID}, {{"header": "a b"}}]"#),
            "write a name",
        ),
        (
            format!(r#""arguments": [{ID}, {{"query": "n", "as": "int32", "default": "x"}}]"#),
            "query n: default \"x\" is not a whole number of 32 bits",
        ),
        (
            format!(r#""arguments": [{ID}, {{"query": "n", "optional": true, "default": "x"}}]"#),
            "not both",
        ),
        (
            r#""arguments": [{"path": "id", "optional": true}]"#.to_owned(),
            "always has its variables",
        ),
        (
            format!(r#""arguments": [{ID}], "descriptor": "a b""#),
            "without blanks",
        ),
        (
            format!(r#""arguments": [{ID}], "errors": [{{"code": 1, "status": 200}}]"#),
            "from 400 to 599",
        ),
        (
            format!(
                r#""arguments": [{ID}], "errors": [{{"code": 1, "status": 400}}, {{"code": 1, "status": 404}}]"#
            ),
            "listed twice",
        ),
        (
            format!(r#""arguments": [{ID}], "serialization": "json""#),
            "unknown variant",
        ),
        (format!(r#""arguments": [{ID}], "retry": 1"#), "unknown field"),
    ];
    for (rest, words) in rows {
        let error = one(&rest).unwrap_err();
        assert!(error.contains(words), "{rest}: {error}");
    }
    let get = r#"[{"match": {"method": "GET", "path": "/a"}, "call": "x", "arguments": [{"body": "json"}]}]"#;
    assert!(read(get).unwrap_err().contains("a GET request has none"));
    let own = r#"[{"match": {"method": "GET", "path": "/.mesh/openapi.json"}, "call": "x"}]"#;
    assert!(read(own).unwrap_err().contains("the sidecar's own"));
}

#[test]
fn two_routes_for_the_same_requests_are_refused() {
    let route = |method: &str, path: &str, name: &str| {
        format!(
            r#"{{"match": {{"method": "{method}", "path": "{path}"}}, "call": "x", "arguments": [{{"path": "{name}"}}]}}"#
        )
    };
    let two = |a: String, b: String| read(&format!("[{a}, {b}]"));
    let conflict = two(route("GET", "/a/{x}", "x"), route("GET", "/a/{y}", "y")).unwrap_err();
    assert!(
        conflict.contains("GET /a/{x} and GET /a/{y} are for the same requests"),
        "{conflict}"
    );
    assert!(two(route("GET", "/a/{x}", "x"), route("PUT", "/a/{y}", "y")).is_ok());
    assert!(two(route("GET", "/a/{x}", "x"), route("GET", "/a/{y=**}", "y")).is_ok());
    let many: Vec<String> = (0..=MAX_ROUTES)
        .map(|n| format!(r#"{{"match": {{"method": "GET", "path": "/{n}"}}, "call": "x"}}"#))
        .collect();
    assert!(
        read(&format!("[{}]", many.join(",")))
            .unwrap_err()
            .contains("at most 128")
    );
}
