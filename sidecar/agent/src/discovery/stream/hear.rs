//! One line from the operator, and what it means. A line that can't be taken is data, not the end of the stream.

use plan::stream::{FromOperator, RateShare};
use plan::{Plan, Revision};
use serde::Deserialize;

use crate::discovery::merge::Change;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Plan(Box<Plan>),
    Endpoints(Change),
    Shares(Vec<RateShare>),
    Heartbeat,
    Goodbye,
    /// It can't be taken: the revision of the plan in it (0 where that can't be read either), and why.
    Bad(Revision, String),
    /// A kind of message that only newer sidecars know.
    Unknown(String),
}

/// The kinds that this sidecar knows; any other is for a newer one.
const KINDS: [&str; 5] = ["plan", "endpoints", "shares", "heartbeat", "goodbye"];

/// As much of a line as is needed to say what was refused.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    r#type: String,
    plan: PlanOutline,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlanOutline {
    revision: Revision,
}

pub(super) fn hear(line: &[u8]) -> Heard {
    let message = match serde_json::from_slice(line) {
        Ok(message) => message,
        Err(error) => return refused(line, &error),
    };
    match message {
        FromOperator::Plan { plan } => Heard::Plan(plan),
        FromOperator::Endpoints {
            service,
            reset,
            set,
            removed,
        } => Heard::Endpoints(Change {
            service,
            reset,
            set,
            removed,
        }),
        FromOperator::Shares { shares } => Heard::Shares(shares),
        FromOperator::Heartbeat => Heard::Heartbeat,
        FromOperator::Goodbye => Heard::Goodbye,
    }
}

fn refused(line: &[u8], error: &serde_json::Error) -> Heard {
    let Outline { r#type, plan } = serde_json::from_slice(line).unwrap_or_default();
    if r#type.is_empty() || KINDS.contains(&r#type.as_str()) {
        let kind = if r#type.is_empty() { "message" } else { &r#type };
        Heard::Bad(plan.revision, format!("{kind}: {error}"))
    } else {
        Heard::Unknown(r#type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_plan_is_named_by_its_revision_and_its_fault() {
        let line =
            br#"{"type":"plan","plan":{"revision":9,"workload":{"namespace":"a","pod":"b","application":"c"},
            "services":[{"name":"user"}]}}"#;
        let Heard::Bad(revision, reason) = hear(line) else {
            panic!("taken")
        };
        assert_eq!(revision, Revision(9));
        assert!(
            reason.starts_with("plan: ") && reason.contains("<namespace>/<name>"),
            "{reason}"
        );
    }

    #[test]
    fn what_is_not_json_is_bad_and_a_newer_message_is_not() {
        assert!(matches!(hear(b"<html>"), Heard::Bad(Revision(0), _)));
        assert!(matches!(
            hear(br#"{"type":"endpoints"}"#),
            Heard::Bad(Revision(0), _)
        ));
        assert_eq!(
            hear(br#"{"type":"certificate","pem":""}"#),
            Heard::Unknown("certificate".into())
        );
        assert_eq!(hear(br#"{"type":"heartbeat"}"#), Heard::Heartbeat);
        assert_eq!(hear(br#"{"type":"goodbye","why":"rebalance"}"#), Heard::Goodbye);
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_heard(line in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            hear(&line);
        }

        #[test]
        fn a_message_with_anything_in_it_is_heard(kind in "plan|endpoints|goodbye|x", rest in ".{0,80}") {
            hear(format!(r#"{{"type":"{kind}","plan":{rest}}}"#).as_bytes());
        }
    }
}
