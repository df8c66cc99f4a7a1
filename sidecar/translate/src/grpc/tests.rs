use http::{HeaderMap, StatusCode};
use proptest::prelude::*;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};
use serde_json::json;

use super::*;

const HTTP: &str = include_str!("tests/http.proto");
const SHOP: &str = include_str!("tests/shop.proto");
const ABOUT: About<'_> = About {
    name: "shop/stock",
    version: None,
};

/// Sources by their names.
struct Sources(Vec<(&'static str, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let source = self.0.iter().find(|(known, _)| *known == name);
        let (_, source) = source.ok_or_else(|| protox::Error::file_not_found(name))?;
        File::from_source(name, source)
    }
}

/// As a plan has it.
fn set(bytes: &[u8]) -> Option<DescriptorSet> {
    let text = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
    DescriptorSet::read(&text).ok()
}

fn read(shop: &str) -> Result<Transcoder, InvalidDescriptors> {
    Transcoder::new(&set(&compile(shop)).unwrap(), ABOUT)
}

fn compile(shop: &str) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    let sources = [("google/api/http.proto", HTTP), ("shop.proto", shop)];
    resolver.add(Sources(
        sources.map(|(name, source)| (name, source.to_owned())).into(),
    ));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_file("shop.proto").unwrap();
    compiler.encode_file_descriptor_set()
}

fn shop() -> Transcoder {
    read(SHOP).unwrap()
}

fn ask(shop: &Transcoder, method: &str, target: &str, body: &str) -> Step {
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    shop.ask(Asked {
        method: &method.parse().unwrap(),
        path,
        query,
        headers: &HeaderMap::new(),
        body: body.as_bytes(),
    })
}

fn call(shop: &Transcoder, method: &str, target: &str, body: &str) -> Call {
    match ask(shop, method, target, body) {
        Step::Call(call) => call,
        Step::Answer(answer) => panic!("{}", String::from_utf8_lossy(&answer.body)),
    }
}

/// The message of a call, as JSON.
fn sent(call: &Call) -> Json {
    let messages = messages(&call.body).unwrap();
    assert_eq!(messages.len(), 1);
    to_json(&DynamicMessage::decode(call.method.input(), messages[0]).unwrap()).unwrap()
}

fn framed(shop: &Transcoder, name: &str, json: Json) -> Vec<u8> {
    let message = DynamicMessage::deserialize(shop.pool.get_message_by_name(name).unwrap(), json).unwrap();
    let bytes = message.encode_to_vec();
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&bytes);
    body
}

#[test]
fn a_request_becomes_the_message_of_its_method() {
    let shop = shop();
    let rows = [
        ("GET", "/v1/items/7", "", "Get", json!({"name": "items/7"})),
        (
            "GET",
            "/v1/items/a%2Fb?verbose=true&kind=BIG&sold=false",
            "",
            "Get",
            json!({"name": "items/a%2Fb", "verbose": true, "kind": "BIG", "sold": false}),
        ),
        (
            "GET",
            "/v1/items/7?page=1&page=2&owner.parent.name=x&kind=1",
            "",
            "Get",
            json!({"name": "items/7", "page": [1, 2], "owner": {"parent": {"name": "x"}}, "kind": "BIG"}),
        ),
        (
            "GET",
            "/v1/owners/ann/items/7",
            "",
            "Get",
            json!({"name": "7", "owner": {"name": "ann"}}),
        ),
        (
            "PATCH",
            "/v1/shelves/s/items?dryRun=true",
            r#"{"price":"7","image":"/+8=","tags":["a"]}"#,
            "Update",
            json!({"shelf": "s", "dryRun": true, "item": {"price": "7", "image": "/+8=", "tags": ["a"]}}),
        ),
        (
            "PATCH",
            "/v1/shelves/s/items?dry_run=true",
            r#"{"stock":{"x":1},"made":"1970-01-01T00:00:01Z"}"#,
            "Update",
            json!({"shelf": "s", "dryRun": true, "item": {"stock": {"x": 1}, "made": "1970-01-01T00:00:01Z"}}),
        ),
        (
            "POST",
            "/v1/items/ann:create",
            r#"{"owned_by":{"name":"bob","parent":{"name":"eve"}},"weight":1.5}"#,
            "Create",
            json!({"ownedBy": {"name": "ann", "parent": {"name": "eve"}}, "weight": 1.5}),
        ),
        (
            "POST",
            "/v1/items/ann:create",
            r#"{"ownedBy":{},"sold":true}"#,
            "Create",
            json!({"ownedBy": {"name": "ann"}, "sold": true}),
        ),
        (
            "POST",
            "/shop.v1.Shop/Plain",
            r#"{"price":9007199254740993}"#,
            "Plain",
            json!({"price": "9007199254740993"}),
        ),
    ];
    for (method, target, body, name, message) in rows {
        let call = call(&shop, method, target, body);
        assert_eq!(call.path, format!("/shop.v1.Shop/{name}"), "{target}");
        assert_eq!(sent(&call), message, "{target}");
    }
}

#[test]
fn what_can_not_be_called_is_a_problem_that_names_the_mend() {
    let shop = shop();
    let rows = [
        ("GET", "/v2", "", 404, "lists those"),
        ("DELETE", "/v1/items", "", 405, "takes GET, HEAD"),
        (
            "GET",
            "/v1/items/7?verbose=1",
            "",
            400,
            "query verbose: \"1\" is not true or false",
        ),
        (
            "GET",
            "/v1/items/7?page=x",
            "",
            400,
            "query page: \"x\" is not a whole number (int32)",
        ),
        (
            "GET",
            "/v1/items/7?kind=SMALL",
            "",
            400,
            "is not one of KIND_NONE, BIG",
        ),
        (
            "GET",
            "/v1/items/7?nothing=1",
            "",
            400,
            "message shop.v1.GetItem has no field nothing",
        ),
        (
            "GET",
            "/v1/items/7?owner=x",
            "",
            400,
            "query owner: it is a message: name one of its fields",
        ),
        (
            "GET",
            "/v1/items/7?name=x",
            "",
            400,
            "query name: it is in the path",
        ),
        (
            "POST",
            "/v1/items/ann:create?price=1",
            "{}",
            400,
            "query price: all fields are in the body",
        ),
        (
            "PATCH",
            "/v1/shelves/s/items?item.price=1",
            "{}",
            400,
            "it is in the body",
        ),
        ("PATCH", "/v1/shelves/s/items", "[", 400, "body: EOF"),
        ("PATCH", "/v1/shelves/s/items", r#"{"cost":1}"#, 400, "cost"),
        (
            "POST",
            "/v1/items/ann:create",
            "[]",
            400,
            "it must be a JSON object",
        ),
        (
            "POST",
            "/v1/items/ann:create",
            r#"{"ownedBy":1}"#,
            400,
            "path owned_by.name: field owned_by is no object",
        ),
        (
            "POST",
            "/shop.v1.Shop/Upload",
            "{}",
            501,
            "shop.v1.Shop.Upload takes a stream",
        ),
    ];
    for (method, target, body, status, words) in rows {
        let Step::Answer(answer) = ask(&shop, method, target, body) else {
            panic!("{target} is called");
        };
        assert_eq!(answer.status.as_u16(), status, "{target}");
        let problem: Json = serde_json::from_slice(&answer.body).unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{target}: {detail}");
    }
}

#[test]
fn an_answer_becomes_json_or_the_field_that_is_shown() {
    let shop = shop();
    let json_of = |call: &Call, body: &[u8]| {
        let answer = call.answer(body);
        assert_eq!(
            (answer.status, answer.content_type),
            (StatusCode::OK, Some("application/json"))
        );
        serde_json::from_slice::<Json>(&answer.body).unwrap()
    };
    let item = json!({"name": "a", "price": "9007199254740993", "kind": "BIG", "sold": true});
    let get = call(&shop, "GET", "/v1/items/7", "");
    assert_eq!(json_of(&get, &framed(&shop, "shop.v1.Item", item.clone())), item);
    assert_eq!(json_of(&get, &[0; 5]), json!({}));
    let list = call(&shop, "GET", "/v1/items", "");
    let items = framed(&shop, "shop.v1.Items", json!({"items": [item]}));
    assert_eq!(json_of(&list, &items), json!([item]));
    assert_eq!(json_of(&list, &[0; 5]), json!([]));
    let best = call(&shop, "GET", "/v1/best", "");
    assert_eq!(json_of(&best, &[0; 5]), Json::Null);
    let watch = call(&shop, "GET", "/v1/watch", "");
    let answer = watch.answer(&framed(&shop, "shop.v1.Item", json!({"name": "a"})).repeat(2));
    assert_eq!(answer.content_type, Some("application/x-ndjson"));
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        "{\"name\":\"a\"}\n{\"name\":\"a\"}\n"
    );
    assert_eq!(watch.answer(&[]).body, b"");
    for body in [
        &[0u8, 0, 0, 0][..],
        &[0, 0, 0, 0, 9, 1],
        &[1, 0, 0, 0, 0],
        &[0, 0, 0, 0, 1, 0xff],
        &[],
        &[0; 10],
    ] {
        assert_eq!(get.answer(body).status, StatusCode::BAD_GATEWAY, "{body:?}");
    }
}

#[test]
fn a_status_becomes_a_problem_with_its_details() {
    let shop = shop();
    let get = call(&shop, "GET", "/v1/items/7", "");
    let known = framed(&shop, "shop.v1.Owner", json!({"name": "ann"}))[5..].to_vec();
    let field = |number: u8, bytes: &[u8]| {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
    };
    let any = |name: &str, bytes: &[u8]| field(3, &[field(1, name.as_bytes()), field(2, bytes)].concat());
    let details = [
        any("type.googleapis.com/shop.v1.Owner", &known),
        any("x/y", &[1, 2]),
    ]
    .concat();
    let details = base64::Engine::encode(&base64::prelude::BASE64_STANDARD_NO_PAD, details);
    let answer = get.failed(&Status {
        code: 5,
        message: "no item%20seven",
        details: Some(&details),
    });
    assert_eq!(
        (answer.status.as_u16(), answer.content_type),
        (404, Some("application/problem+json"))
    );
    let problem: Json = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&problem["code"], &problem["reason"], &problem["detail"]),
        (&json!(5), &json!("NOT_FOUND"), &json!("no item seven"))
    );
    assert_eq!(
        problem["details"],
        json!([{"@type": "type.googleapis.com/shop.v1.Owner", "name": "ann"}, {"@type": "x/y", "value": "AQI="}])
    );
    let rows = [
        (1, 499),
        (3, 400),
        (4, 504),
        (7, 403),
        (8, 429),
        (12, 501),
        (13, 500),
        (14, 503),
        (16, 401),
        (99, 500),
    ];
    for (code, status) in rows {
        let answer = get.failed(&Status {
            code,
            message: "",
            details: None,
        });
        assert_eq!(answer.status.as_u16(), status, "{code}");
    }
}

#[test]
fn rules_that_can_not_be_followed_are_refused_with_their_method() {
    // Whoever declares them is told the same, without reflection.
    assert_eq!(set(&compile(SHOP)).unwrap().check_rules(), Ok(()));
    let with = |from: &str, to: &str| {
        assert!(SHOP.contains(from));
        let shop = SHOP.replacen(from, to, 1);
        let checked = set(&compile(&shop)).unwrap().check_rules();
        let read = read(&shop).map(drop).unwrap_err().to_string();
        (read, checked.unwrap_err().to_string())
    };
    let rows = [
        (
            "/v1/{name=items/*}",
            "v1",
            "method shop.v1.Shop.Get: google.api.http: path \"v1\": it must begin with /",
        ),
        (
            "/v1/{name=items/*}",
            "/v1/{nam}",
            "message shop.v1.GetItem has no field nam",
        ),
        (
            "/v1/{name=items/*}",
            "/v1/{owner}",
            "variable owner: a path holds texts and numbers",
        ),
        ("/v1/{name=items/*}", "/v1/{page}", "variable page"),
        (
            "body: \"item\"",
            "body: \"nothing\"",
            "body: message shop.v1.UpdateItem has no field nothing",
        ),
        (
            "response_body: \"items\"",
            "response_body: \"x\"",
            "response_body: message",
        ),
        (
            "kind: \"HEAD\"",
            "kind: \"head\"",
            "custom.kind \"head\": write an HTTP method in capitals",
        ),
        (
            "get: \"/v1/watch\"",
            "get: \"/v1/items\"",
            "GET /v1/items and GET /v1/items are for the same requests",
        ),
        ("{ get: \"/v1/watch\" }", "{ }", "it has no path"),
    ];
    for (from, to, words) in rows {
        let (read, checked) = with(from, to);
        assert!(read.contains(words), "{to}: {read}");
        assert!(checked.contains(words), "{to}: {checked}");
    }
}

#[test]
fn the_document_lists_methods_and_messages() {
    let Step::Answer(answer) = ask(&shop(), "GET", DOCUMENT, "") else {
        panic!("a document");
    };
    let document: Json = serde_json::from_slice(&answer.body).unwrap();
    let get = &document["paths"]["/v1/{name}"]["get"];
    assert_eq!(get["operationId"], "shop_v1_Shop_Get_get_v1__name_");
    let names: Vec<_> = get["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| &parameter["name"])
        .collect();
    assert_eq!(names, ["name", "verbose", "page", "kind", "sold"]);
    let schemas = &document["components"]["schemas"];
    assert_eq!(
        schemas["shop.v1.Owner"]["properties"]["parent"],
        json!({"$ref": "#/components/schemas/shop.v1.Owner"})
    );
    assert_eq!(
        schemas["shop.v1.Item"]["properties"]["price"],
        json!({"type": "string", "format": "int64"})
    );
    assert_eq!(
        schemas["shop.v1.Item"]["properties"]["kind"],
        json!({"type": "string", "enum": ["KIND_NONE", "BIG"]})
    );
    let plain = &document["paths"]["/shop.v1.Shop/Plain"]["post"];
    assert_eq!(
        plain["requestBody"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/shop.v1.Item"
    );
    assert!(
        document["paths"]["/v1/watch"]["get"]["responses"]["200"]["content"]["application/x-ndjson"]
            .is_object()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn no_request_and_no_answer_panics(
        method in "GET|POST|PATCH",
        target in "/v1/items|/v1/shelves/.{0,4}/items|/v1/items/[a-z:%]{0,8}|/.{0,12}|/v1/watch",
        query in "[a-z._=&%]{0,24}",
        body in "[{}:,\"a-z0-9\\[\\]]{0,24}|\\{\"(price|tags|made|sold|stock)\":.{0,6}\\}",
        answer in proptest::collection::vec(any::<u8>(), 0..48),
    ) {
        thread_local! {
            static SHOP: Transcoder = shop();
        }
        SHOP.with(|shop| {
            if let Step::Call(call) = ask(shop, &method, &format!("{target}?{query}"), &body) {
                let _ = call.answer(&answer);
            }
        });
    }

    #[test]
    fn damaged_descriptors_never_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        thread_local! {
            static BYTES: Vec<u8> = compile(SHOP);
        }
        let mut bytes = BYTES.with(Vec::clone);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Some(set) = set(&bytes) {
            let _ = Transcoder::new(&set, ABOUT);
        }
    }
}
