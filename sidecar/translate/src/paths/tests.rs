use proptest::prelude::*;

use super::*;

fn table(routes: &[(&str, &str)]) -> Table<usize> {
    let routes = routes
        .iter()
        .enumerate()
        .map(|(number, (method, path))| ((*method).to_owned(), Template::new(*path).unwrap(), number));
    Table::new(routes).unwrap()
}

#[test]
fn the_more_exact_route_wins_whatever_the_order() {
    let table = table(&[
        ("GET", "/{rest=**}"),
        ("GET", "/users/{id}"),
        ("GET", "/users/me"),
        ("GET", "/users/{id}/{part}"),
        ("GET", "/users/{id}/name"),
        ("GET", "/users/{id}:ban"),
        ("GET", "/"),
        ("GET", "/{kind}/me"),
    ]);
    let rows: [(&str, usize, &[&str]); 13] = [
        ("/users/7", 1, &["7"]),
        ("/users/me", 2, &[]),
        ("/users/m%65", 2, &[]),
        ("/users/7/name", 4, &["7"]),
        ("/users/7/mail", 3, &["7", "mail"]),
        ("/users/7:ban", 5, &["7"]),
        ("/users/7:other", 1, &["7:other"]),
        ("/users/a%2Fb", 1, &["a/b"]),
        ("/dogs/me", 7, &["dogs"]),
        ("/", 6, &[]),
        ("/a/b/c", 0, &["a/b/c"]),
        ("/a/b%2Fc/d%20e", 0, &["a/b%2Fc/d e"]),
        ("/users/", 0, &["users/"]),
    ];
    for (path, route, captures) in rows {
        let captures = captures.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(table.find("GET", path), Found::Route(&route, captures), "{path}");
    }
}

#[test]
fn a_variable_may_span_segments() {
    let table = table(&[
        ("GET", "/v1/{name=shelves/*/books/*}"),
        ("GET", "/v1/{name=shelves/*}:list"),
    ]);
    let name = |path: &str| match table.find("GET", path) {
        Found::Route(route, captures) => Some((*route, captures.join("|"))),
        _ => None,
    };
    assert_eq!(
        name("/v1/shelves/1/books/2"),
        Some((0, "shelves/1/books/2".to_owned()))
    );
    assert_eq!(name("/v1/shelves/1:list"), Some((1, "shelves/1".to_owned())));
    assert_eq!(name("/v1/shelves/1/books"), None);
    assert_eq!(name("/v1/shelves/:list"), None);
}

#[test]
fn other_methods_are_told_and_head_is_get() {
    let table = table(&[("PUT", "/a"), ("GET", "/a"), ("DELETE", "/{any}"), ("POST", "/b")]);
    assert_eq!(table.find("HEAD", "/a"), Found::Route(&1, vec![]));
    assert_eq!(table.find("DELETE", "/a"), Found::Route(&2, vec!["a".to_owned()]));
    assert_eq!(
        table.find("PATCH", "/a"),
        Found::Other("DELETE, GET, HEAD, PUT".to_owned())
    );
    assert_eq!(table.find("GET", "/b"), Found::Other("DELETE, POST".to_owned()));
    assert_eq!(table.find("GET", "/b/c"), Found::Nothing);
    assert_eq!(table.find("GET", "/%ff"), Found::Nothing);
    assert_eq!(table.find("GET", "a"), Found::Nothing);
}

#[test]
fn two_routes_for_the_same_requests_are_refused() {
    let two = |a: &str, b: &str| {
        let route = |path: &str| ("GET".to_owned(), Template::new(path).unwrap(), ());
        Table::new([route(a), route("/x"), route(b)]).map(drop)
    };
    let words = two("/a/{x}", "/a/{y}").unwrap_err().to_string();
    assert_eq!(
        words,
        "GET /a/{x} and GET /a/{y} are for the same requests: remove one"
    );
    assert_eq!(two("/a/{x}", "/a/{y}:go"), Ok(()));
}

proptest! {
    #[test]
    fn any_path_is_found_or_not(path in "[/a-c%2Ff:.]{0,24}|.{0,24}", method in "GET|PUT|.{0,6}") {
        let table = table(&[("GET", "/{a}/{b=**}"), ("GET", "/a:b"), ("PUT", "/{x=a/*}:c"), ("PUT", "/{x}:c")]);
        let _ = table.find(&method, &path);
    }

    #[test]
    fn what_is_encoded_is_captured_as_it_was(text in ".{1,24}") {
        let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
        let table = table(&[("GET", "/a/{x}")]);
        prop_assert_eq!(table.find("GET", &format!("/a/{encoded}")), Found::Route(&0, vec![text]));
    }
}
