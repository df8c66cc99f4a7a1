//! A leaf for this replica's own servers: made in memory, signed by the active root, short-lived.
//!
//! Pure: root, names and time in, certificate out. Who renews it and where it is served is `authority/mod.rs`.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{AuthorityError, date, root::Root};

/// How long a leaf lives.
pub const LEAF_LIFE: Duration = Duration::from_secs(24 * 3600);
/// When it is renewed: after two thirds.
pub const LEAF_RENEW: Duration = Duration::from_secs(16 * 3600);

/// A key and its certificate, ready to serve.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// What rustls serves.
    pub key: Arc<CertifiedKey>,
    /// When it ends.
    pub not_after: Timestamp,
    /// When the next one should be made.
    pub renew_at: Timestamp,
}

/// Makes a leaf for these DNS names.
///
/// # Errors
/// A name that can't stand in a certificate, or a root that can't sign.
pub fn leaf(root: &Root, names: &[String], now: Timestamp) -> Result<Leaf, AuthorityError> {
    let signer = KeyPair::from_pem(&root.key).map_err(AuthorityError::Key)?;
    let issuer = Issuer::from_ca_cert_pem(&root.certificate, signer).map_err(AuthorityError::Make)?;
    let key = KeyPair::generate().map_err(AuthorityError::Make)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(AuthorityError::Make)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "motanmesh-operator");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    date(&mut params, now, LEAF_LIFE);
    let certificate = params.signed_by(&key, &issuer).map_err(AuthorityError::Make)?;
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signing = ring::sign::any_supported_type(&private).map_err(AuthorityError::Serve)?;
    Ok(Leaf {
        key: Arc::new(CertifiedKey::new(vec![certificate.der().clone()], signing)),
        not_after: now + LEAF_LIFE,
        renew_at: now + LEAF_RENEW,
    })
}

#[cfg(test)]
mod tests {
    use rustls::{RootCertStore, client::WebPkiServerVerifier, client::danger::ServerCertVerifier};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};

    use super::{
        super::root::{Due, Roots},
        *,
    };

    const NAME: &str = "motanmesh-operator.mesh.svc";

    fn verify(bundle: &str, leaf: &Leaf, name: &str) -> bool {
        let mut store = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
            store.add(root.unwrap()).unwrap();
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::new(ring::default_provider()))
                .build()
                .unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&leaf.key.cert[0], &[], &name, &[], UnixTime::now())
            .is_ok()
    }

    #[test]
    fn a_leaf_is_trusted_for_its_names_and_no_other() {
        let now = Timestamp::now();
        let roots = Roots::first(now).unwrap();
        let leaf = leaf(&roots.active, &[NAME.to_owned()], now).unwrap();
        assert!(verify(&roots.bundle(), &leaf, NAME));
        assert!(!verify(&roots.bundle(), &leaf, "other.mesh.svc"));
        assert!(
            !verify(&Roots::first(now).unwrap().bundle(), &leaf, NAME),
            "a strange root"
        );
    }

    #[test]
    fn through_a_whole_rotation_each_leaf_is_trusted_by_the_bundles_before_and_after() {
        let now = Timestamp::now();
        let wish = Some("now");
        let first = Roots::first(now).unwrap();
        let trusted = first.clone().after(Due::Introduce, wish, now).unwrap();
        let promoted = trusted.clone().after(Due::Promote, wish, now).unwrap();
        let done = promoted.clone().after(Due::Forget, wish, now).unwrap();
        let names = [NAME.to_owned()];
        let old = leaf(&trusted.active, &names, now).unwrap();
        let new = leaf(&promoted.active, &names, now).unwrap();
        for bundle in [first.bundle(), trusted.bundle(), promoted.bundle()] {
            assert!(verify(&bundle, &old, NAME));
        }
        for bundle in [trusted.bundle(), promoted.bundle(), done.bundle()] {
            assert!(verify(&bundle, &new, NAME));
        }
        assert!(!verify(&done.bundle(), &old, NAME));
    }
}
