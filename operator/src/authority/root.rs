//! The mesh's roots: the certificate authorities in the Secret, and when each step of a rotation is due.
//!
//! [`Roots`] is what the Secret holds; [`Roots::due`] is the whole rotation as a pure function. A new root is first
//! only trusted (it stands in every bundle), signs once everyone trusts it, and the old one stays trusted for a
//! while after that. Nothing here reads a clock or the cluster.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

use super::{AuthorityError, date};

/// How long a root lives: a year, of which the last third is for rotating.
pub const ROOT_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A new root is trusted for at least this long before it signs: the API server needs a moment to take up a bundle.
pub const SETTLE: Duration = Duration::from_secs(10);
/// A sidecar that doesn't confirm the new bundle is waited for this long: its kubelet has then written the plan that
/// holds it (a ConfigMap volume is at most some 90 s late).
pub const PATIENCE: Duration = Duration::from_secs(150);
/// A root that no longer signs stays trusted for this long: replicas change their leaf within seconds, this is for
/// the ones that could not.
pub const KEEP_RETIRED: Duration = Duration::from_secs(3600);
/// No new rotation begins within this time of the last promotion.
pub const REST: Duration = Duration::from_secs(60);

/// One root with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Root {
    /// The certificate, PEM.
    pub certificate: String,
    /// The key, PEM (PKCS #8).
    pub key: String,
    /// When it ends.
    pub not_after: Timestamp,
}

impl std::fmt::Debug for Root {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Root")
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl Root {
    /// Makes a new root.
    ///
    /// # Errors
    /// Where the key or certificate can't be made.
    pub fn generate(now: Timestamp) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(AuthorityError::Make)?;
        params
            .distinguished_name
            .push(DnType::OrganizationName, "motanmesh");
        // The second in the name keeps two roots of one rotation apart where verifiers look up issuers by name.
        params
            .distinguished_name
            .push(DnType::CommonName, format!("motanmesh root {}", now.as_second()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        date(&mut params, now, ROOT_LIFE);
        let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?.pem();
        Self::parse(certificate, key.serialize_pem())
    }

    /// Reads a root as it is kept.
    ///
    /// # Errors
    /// Not a certificate, or not a key.
    pub fn parse(certificate: String, key: String) -> Result<Self, AuthorityError> {
        KeyPair::from_pem(&key).map_err(AuthorityError::Key)?;
        let not_after = not_after(&certificate)?;
        Ok(Self {
            certificate,
            key,
            not_after,
        })
    }
}

/// Names a bundle within this process: whether what was written is what is trusted now.
#[must_use]
pub fn fingerprint(bundle: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    bundle.hash(&mut hasher);
    hasher.finish()
}

/// When the first certificate of a PEM text ends.
///
/// # Errors
/// Not a certificate.
pub fn not_after(pem: &str) -> Result<Timestamp, AuthorityError> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
        .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
    let certificate = block
        .parse_x509()
        .map_err(|error| AuthorityError::Certificate(error.to_string()))?;
    Timestamp::from_second(certificate.validity().not_after.timestamp())
        .map_err(|error| AuthorityError::Certificate(error.to_string()))
}

/// What the Secret holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// Signs.
    pub active: Root,
    /// Will sign: trusted already, since when.
    pub next: Option<(Root, Timestamp)>,
    /// Has signed: still trusted, retired when. Its key is gone.
    pub retired: Option<(String, Timestamp)>,
    /// The wish for a rotation that was granted last (the annotation's value).
    pub granted: Option<String>,
}

/// How far the present bundle has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// A webhook configuration or a plan does not hold it yet.
    Writing,
    /// It is written everywhere; some sidecars have not confirmed it.
    Written,
    /// Every sidecar runs a plan that holds it.
    Everywhere,
}

/// The step of a rotation that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Make the next root and let it be trusted.
    Introduce,
    /// Let the next root sign; retire the one before.
    Promote,
    /// Stop trusting the retired root.
    Forget,
}

impl Roots {
    /// The first roots of a mesh.
    ///
    /// # Errors
    /// Where a key or certificate can't be made.
    pub fn first(now: Timestamp) -> Result<Self, AuthorityError> {
        Ok(Self {
            active: Root::generate(now)?,
            next: None,
            retired: None,
            granted: None,
        })
    }

    /// Every root that is trusted now, PEM, the signing one first.
    #[must_use]
    pub fn bundle(&self) -> String {
        let next = self.next.iter().map(|(root, _)| root.certificate.as_str());
        let retired = self.retired.iter().map(|(certificate, _)| certificate.as_str());
        let mut bundle = String::new();
        for certificate in std::iter::once(self.active.certificate.as_str())
            .chain(next)
            .chain(retired)
        {
            bundle.push_str(certificate.trim_end());
            bundle.push('\n');
        }
        bundle
    }

    /// The step that is due now. `wished` is the present value of the annotation that asks for a rotation.
    #[must_use]
    pub fn due(&self, wished: Option<&str>, spread: Spread, now: Timestamp) -> Due {
        let passed = |since: Timestamp, time: Duration| now.duration_since(since).as_secs() >= seconds(time);
        if let Some((_, since)) = &self.next {
            let reached = match spread {
                Spread::Writing => false,
                Spread::Written => passed(*since, PATIENCE),
                Spread::Everywhere => passed(*since, SETTLE),
            };
            return if reached { Due::Promote } else { Due::Nothing };
        }
        let rested = self
            .retired
            .as_ref()
            .is_none_or(|(_, since)| passed(*since, REST));
        let asked = wished.is_some() && wished != self.granted.as_deref();
        let old = self.active.not_after.duration_since(now).as_secs() < seconds(ROOT_LIFE) / 3;
        if (asked || old) && rested {
            return Due::Introduce;
        }
        match &self.retired {
            Some((_, since)) if passed(*since, KEEP_RETIRED) => Due::Forget,
            _ => Due::Nothing,
        }
    }

    /// The roots after that step.
    ///
    /// # Errors
    /// Where the next root can't be made.
    pub fn after(mut self, due: Due, wished: Option<&str>, now: Timestamp) -> Result<Self, AuthorityError> {
        match due {
            Due::Nothing => {}
            Due::Introduce => {
                self.next = Some((Root::generate(now)?, now));
                self.granted = wished.map(str::to_owned).or(self.granted);
            }
            Due::Promote => {
                if let Some((next, _)) = self.next.take() {
                    let old = std::mem::replace(&mut self.active, next);
                    self.retired = Some((old.certificate, now));
                }
            }
            Due::Forget => self.retired = None,
        }
        Ok(self)
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn certificates(bundle: &str) -> usize {
        bundle.matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn a_fresh_root_needs_nothing() {
        let roots = Roots::first(at(0)).unwrap();
        assert_eq!(roots.due(None, Spread::Everywhere, at(1)), Due::Nothing);
        assert_eq!(certificates(&roots.bundle()), 1);
    }

    #[test]
    fn a_wished_rotation_walks_every_step_and_is_granted_once() {
        let first = Roots::first(at(0)).unwrap();
        let wish = Some("please");
        assert_eq!(first.due(wish, Spread::Everywhere, at(1)), Due::Introduce);

        let trusted = first.clone().after(Due::Introduce, wish, at(1)).unwrap();
        assert_eq!(trusted.active, first.active, "the new root does not sign yet");
        assert_eq!(certificates(&trusted.bundle()), 2);
        assert_eq!(trusted.due(wish, Spread::Writing, at(10_000)), Due::Nothing);
        assert_eq!(
            trusted.due(wish, Spread::Everywhere, at(5)),
            Due::Nothing,
            "not settled"
        );
        assert_eq!(
            trusted.due(wish, Spread::Written, at(100)),
            Due::Nothing,
            "a sidecar is waited for"
        );
        assert_eq!(
            trusted.due(wish, Spread::Written, at(151)),
            Due::Promote,
            "but not for ever"
        );
        assert_eq!(trusted.due(wish, Spread::Everywhere, at(11)), Due::Promote);

        let promoted = trusted.after(Due::Promote, wish, at(11)).unwrap();
        assert_ne!(promoted.active, first.active);
        assert_eq!(
            certificates(&promoted.bundle()),
            2,
            "the old root is still trusted"
        );
        assert_eq!(
            promoted.due(wish, Spread::Everywhere, at(12)),
            Due::Nothing,
            "granted once"
        );
        assert_eq!(promoted.due(wish, Spread::Everywhere, at(11 + 3600)), Due::Forget);

        let done = promoted.after(Due::Forget, wish, at(4000)).unwrap();
        assert_eq!(certificates(&done.bundle()), 1);
        assert_eq!(done.due(wish, Spread::Everywhere, at(4001)), Due::Nothing);
        assert_eq!(
            done.due(Some("again"), Spread::Everywhere, at(4001)),
            Due::Introduce
        );
    }

    #[test]
    fn a_second_wish_waits_until_the_first_rotation_has_rested() {
        let roots = Roots::first(at(0)).unwrap();
        let roots = roots.after(Due::Introduce, Some("1"), at(0)).unwrap();
        let roots = roots.after(Due::Promote, Some("1"), at(20)).unwrap();
        assert_eq!(roots.due(Some("2"), Spread::Everywhere, at(79)), Due::Nothing);
        assert_eq!(roots.due(Some("2"), Spread::Everywhere, at(80)), Due::Introduce);
    }

    #[test]
    fn a_root_in_its_last_third_is_followed_by_another_without_being_asked() {
        let roots = Roots::first(at(0)).unwrap();
        let life = seconds(ROOT_LIFE);
        assert_eq!(
            roots.due(None, Spread::Everywhere, at(life * 2 / 3 - 10)),
            Due::Nothing
        );
        assert_eq!(
            roots.due(None, Spread::Everywhere, at(life * 2 / 3 + 10)),
            Due::Introduce
        );
    }
}
