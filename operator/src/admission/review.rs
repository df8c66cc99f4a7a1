//! AdmissionReview v1, in and out: the few fields that are used, the object itself as JSON so that nothing of it is
//! lost. Pure.

use json_patch::Patch;
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// What the API server asks.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Names the request; the answer carries it back.
    pub uid: String,
    /// Create, update, delete.
    pub operation: Operation,
    /// The namespace of the object.
    #[serde(default)]
    pub namespace: String,
    /// The object's name; empty where the server will make one.
    #[serde(default)]
    pub name: String,
    /// Who asked.
    #[serde(default)]
    pub user_info: UserInfo,
    /// The object; null on a delete.
    #[serde(default)]
    pub object: Value,
    /// The object before; null on a create.
    #[serde(default)]
    pub old_object: Value,
    /// Whether nothing will be stored.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// Who asked.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct UserInfo {
    /// The user's name.
    #[serde(default)]
    pub username: String,
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Operation {
    /// A new object.
    Create,
    /// A changed one.
    Update,
    /// Its end.
    Delete,
    /// A subresource such as exec; never asked for.
    Connect,
}

/// What is answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Why it is refused, for people; `None` allows it.
    pub refusal: Option<String>,
    /// What is allowed and may surprise.
    pub warnings: Vec<String>,
    /// What is changed.
    pub patch: Option<Patch>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    api_version: String,
    kind: String,
    request: Option<Question>,
}

/// A body that is no question.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// Not JSON, or not of this form.
    #[error("the body is not an AdmissionReview")]
    Malformed(#[from] serde_json::Error),
    /// Another version, or no request in it.
    #[error("the body is {kind} {api_version}; expected {KIND} {API_VERSION} with a request")]
    Other {
        /// Its kind.
        kind: String,
        /// Its version.
        api_version: String,
    },
}

/// Reads a question.
///
/// # Errors
/// The body is none.
pub fn read(body: &[u8]) -> Result<Question, ReviewError> {
    let Asked {
        api_version,
        kind,
        request,
    } = serde_json::from_slice(body)?;
    match request {
        Some(question) if api_version == API_VERSION && kind == KIND => Ok(question),
        _ => Err(ReviewError::Other { kind, api_version }),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'a str,
    kind: &'a str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'a str,
    message: &'a str,
}

/// Writes an answer to the question of this UID.
///
/// # Errors
/// None in practice: everything in it can be written.
pub fn write(uid: &str, answer: &Answer) -> Result<Vec<u8>, serde_json::Error> {
    let patch = match &answer.patch {
        Some(patch) if !patch.0.is_empty() => Some(ByteString(serde_json::to_vec(patch)?)),
        _ => None,
    };
    serde_json::to_vec(&Answered {
        api_version: API_VERSION,
        kind: KIND,
        response: Response {
            uid,
            allowed: answer.refusal.is_none(),
            status: answer.refusal.as_deref().map(|message| Status {
                code: 403,
                reason: "Forbidden",
                message,
            }),
            warnings: &answer.warnings,
            patch_type: patch.is_some().then_some("JSONPatch"),
            patch,
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question() -> Value {
        json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "request": {
                "uid": "705ab4f5", "operation": "CREATE", "namespace": "shop",
                "kind": {"group": "", "version": "v1", "kind": "Pod"},
                "userInfo": {"username": "alice", "groups": ["x"]},
                "object": {"metadata": {"generateName": "web-"}}, "oldObject": null, "dryRun": true,
            },
        })
    }

    #[test]
    fn a_question_is_read_as_the_api_server_writes_it() {
        let asked = read(question().to_string().as_bytes()).unwrap();
        assert_eq!(
            (asked.uid.as_str(), asked.operation),
            ("705ab4f5", Operation::Create)
        );
        assert_eq!((asked.namespace.as_str(), asked.dry_run), ("shop", Some(true)));
        assert_eq!(asked.user_info.username, "alice");
        assert!(asked.old_object.is_null() && asked.name.is_empty());
    }

    #[test]
    fn a_review_of_another_version_or_without_a_request_is_refused() {
        for (key, value) in [
            ("apiVersion", json!("admission.k8s.io/v1beta1")),
            ("request", Value::Null),
        ] {
            let mut other = question();
            other[key] = value;
            assert!(matches!(
                read(other.to_string().as_bytes()),
                Err(ReviewError::Other { .. })
            ));
        }
        assert!(matches!(read(b"{"), Err(ReviewError::Malformed(_))));
    }

    #[test]
    fn a_patch_goes_out_in_base64_and_comes_back_the_same() {
        let patch: Patch = serde_json::from_value(json!([{"op": "add", "path": "/a", "value": 1}])).unwrap();
        let answer = Answer {
            patch: Some(patch.clone()),
            ..Answer::default()
        };
        let written: Value = serde_json::from_slice(&write("u", &answer).unwrap()).unwrap();
        let response = &written["response"];
        assert_eq!(
            (&response["uid"], &response["allowed"]),
            (&json!("u"), &json!(true))
        );
        assert_eq!(response["patchType"], "JSONPatch");
        let ByteString(bytes) = serde_json::from_value(response["patch"].clone()).unwrap();
        assert_eq!(serde_json::from_slice::<Patch>(&bytes).unwrap(), patch);
    }

    #[test]
    fn a_refusal_says_why_and_an_empty_patch_is_no_patch() {
        let answer = Answer {
            refusal: Some("spec.hosts: no".to_owned()),
            warnings: vec!["mind".to_owned()],
            patch: Some(Patch(Vec::new())),
        };
        let written: Value = serde_json::from_slice(&write("u", &answer).unwrap()).unwrap();
        assert_eq!(
            written["response"],
            json!({"uid": "u", "allowed": false, "warnings": ["mind"],
                   "status": {"code": 403, "reason": "Forbidden", "message": "spec.hosts: no"}})
        );
    }
}
