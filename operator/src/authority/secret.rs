//! The roots as a Secret holds them, and back. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};

use super::{
    AuthorityError,
    root::{Root, Roots},
};

/// Annotation that people set, to any new value, to have the root rotated now.
pub(super) const ROTATE: &str = "motanmesh.io/rotate-ca";
const GRANTED: &str = "motanmesh.io/rotated-ca";
const NEXT_SINCE: &str = "motanmesh.io/next-since";
const RETIRED_SINCE: &str = "motanmesh.io/retired-since";

const ACTIVE: (&str, &str) = ("ca.crt", "ca.key");
const NEXT: (&str, &str) = ("next.crt", "next.key");
const RETIRED: &str = "retired.crt";

/// The roots in a Secret.
///
/// # Errors
/// The signing root is missing or unusable, or a further root is.
pub(super) fn read(secret: &Secret) -> Result<Roots, AuthorityError> {
    let active = Root::parse(
        entry(secret, ACTIVE.0).ok_or(AuthorityError::Entry(ACTIVE.0))?,
        entry(secret, ACTIVE.1).ok_or(AuthorityError::Entry(ACTIVE.1))?,
    )?;
    let next = match (entry(secret, NEXT.0), entry(secret, NEXT.1)) {
        (Some(certificate), Some(key)) => Some((Root::parse(certificate, key)?, since(secret, NEXT_SINCE))),
        _ => None,
    };
    let retired = entry(secret, RETIRED).map(|certificate| (certificate, since(secret, RETIRED_SINCE)));
    Ok(Roots {
        active,
        next,
        retired,
        granted: annotation(secret, GRANTED),
    })
}

/// The value of the annotation that asks for a rotation.
#[must_use]
pub(super) fn wished(secret: &Secret) -> Option<String> {
    annotation(secret, ROTATE)
}

/// The Secret for these roots; on top of `before`, whose foreign labels and annotations stay and whose
/// resourceVersion makes the write conditional.
#[must_use]
pub(super) fn write(name: &str, roots: &Roots, before: Option<&Secret>) -> Secret {
    let mut metadata = before.map_or_else(
        || ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        |before| before.metadata.clone(),
    );
    metadata.labels.get_or_insert_default().insert(
        crds::names::MANAGED_BY.to_owned(),
        crds::names::OPERATOR.to_owned(),
    );
    let annotations = metadata.annotations.get_or_insert_default();
    let mut note = |key: &str, value: Option<String>| match value {
        Some(value) => annotations.insert(key.to_owned(), value),
        None => annotations.remove(key),
    };
    note(GRANTED, roots.granted.clone());
    note(
        NEXT_SINCE,
        roots.next.as_ref().map(|(_, since)| since.to_string()),
    );
    note(
        RETIRED_SINCE,
        roots.retired.as_ref().map(|(_, since)| since.to_string()),
    );

    let mut data = BTreeMap::new();
    let mut put = |key: &str, text: &str| data.insert(key.to_owned(), ByteString(text.as_bytes().to_vec()));
    put(ACTIVE.0, &roots.active.certificate);
    put(ACTIVE.1, &roots.active.key);
    if let Some((next, _)) = &roots.next {
        put(NEXT.0, &next.certificate);
        put(NEXT.1, &next.key);
    }
    if let Some((retired, _)) = &roots.retired {
        put(RETIRED, retired);
    }
    Secret {
        metadata,
        data: Some(data),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

fn entry(secret: &Secret, key: &str) -> Option<String> {
    let ByteString(bytes) = secret.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.clone()).ok()
}

fn annotation(secret: &Secret, key: &str) -> Option<String> {
    secret.metadata.annotations.as_ref()?.get(key).cloned()
}

/// A time that can't be read counts as long ago: the step that waits for it is then due.
fn since(secret: &Secret, key: &str) -> Timestamp {
    annotation(secret, key)
        .and_then(|text| text.parse().ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::{super::root::Due, *};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn roots_survive_the_secret_at_every_step_of_a_rotation() {
        let mut roots = Roots::first(now()).unwrap();
        let mut secret = write("ca", &roots, None);
        assert_eq!(read(&secret).unwrap(), roots);
        for due in [Due::Introduce, Due::Promote, Due::Forget] {
            roots = roots.after(due, Some("wish"), now()).unwrap();
            secret = write("ca", &roots, Some(&secret));
            assert_eq!(read(&secret).unwrap(), roots, "{due:?}");
        }
    }

    #[test]
    fn what_others_wrote_on_the_secret_stays() {
        let roots = Roots::first(now()).unwrap();
        let mut secret = write("ca", &roots, None);
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(ROTATE.to_owned(), "1".to_owned());
        annotations.insert("team".to_owned(), "mesh".to_owned());
        let again = write("ca", &roots, Some(&secret));
        assert_eq!(wished(&again).as_deref(), Some("1"));
        assert_eq!(again.metadata.annotations.unwrap()["team"], "mesh");
    }

    #[test]
    fn a_secret_without_a_key_is_refused_by_name() {
        let mut secret = write("ca", &Roots::first(now()).unwrap(), None);
        secret.data.as_mut().unwrap().remove("ca.key");
        assert!(read(&secret).unwrap_err().to_string().contains("ca.key"));
    }
}
