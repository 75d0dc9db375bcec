//! Private keys: those of ring, and those that only Go takes, P-521 and RSA from 1024 bits on.

use std::fmt;
use std::sync::Arc;

use p521::ecdsa::signature::hazmat::PrehashSigner;
use p521::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use rsa::{RsaPrivateKey, RsaPublicKey};
use rustls::crypto::{KeyProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{Error, InconsistentKeys, SignatureAlgorithm, SignatureScheme};
use x509_parser::parse_x509_certificate;

use super::public_key::{Hash, RSA_BITS, SCHEMES, Signing};

/// Loads private keys.
#[derive(Debug)]
pub(super) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        let others = P521::read(&key)
            .map(|key| Arc::new(key) as Arc<dyn SigningKey>)
            .or_else(|| Rsa::read(&key).map(|key| Arc::new(key) as Arc<dyn SigningKey>));
        match ring::default_provider().key_provider.load_private_key(key) {
            Ok(key) => Ok(key),
            Err(error) => others.ok_or(error),
        }
    }
}

/// Joins a certificate chain and its key. rustls would refuse certificates of version 1 here.
pub(super) fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, Error> {
    let key = Keys.load_private_key(key)?;
    let of_certificate = chain.first().and_then(|certificate| parse_x509_certificate(certificate).ok());
    let of_certificate = of_certificate.map(|(_, certificate)| certificate.public_key().raw.to_vec());
    match (of_certificate, key.public_key()) {
        (Some(one), Some(other)) if one != *other => Err(InconsistentKeys::KeyMismatch.into()),
        (Some(_), _) => Ok(CertifiedKey::new(chain, key)),
        (None, _) => Err(rustls::CertificateError::BadEncoding.into()),
    }
}

/// A key on P-521.
#[derive(Clone)]
struct P521(Arc<p521::ecdsa::SigningKey>);

impl fmt::Debug for P521 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P521")
    }
}

impl P521 {
    fn read(key: &PrivateKeyDer<'_>) -> Option<Self> {
        let key = match key {
            PrivateKeyDer::Pkcs8(der) => p521::SecretKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?,
            PrivateKeyDer::Sec1(der) => p521::SecretKey::from_sec1_der(der.secret_sec1_der()).ok()?,
            _ => return None,
        };
        p521::ecdsa::SigningKey::from_slice(&key.to_bytes()).ok().map(|key| Self(Arc::new(key)))
    }
}

impl SigningKey for P521 {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let is_offered = offered.contains(&SignatureScheme::ECDSA_NISTP521_SHA512);
        is_offered.then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let point = p521::ecdsa::VerifyingKey::from(&*self.0).to_encoded_point(false);
        let key = p521::PublicKey::from_sec1_bytes(point.as_bytes()).ok()?;
        Some(key.to_public_key_der().ok()?.into_vec().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signature = self.0.sign_prehash(&Hash::Sha512.digest(message));
        let signature = signature.map_err(|error| Error::General(error.to_string()))?;
        Ok(signature.to_der().as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// An RSA key of a size that ring does not take.
struct Rsa(Arc<RsaPrivateKey>);

impl fmt::Debug for Rsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rsa")
    }
}

impl Rsa {
    fn read(key: &PrivateKeyDer<'_>) -> Option<Self> {
        let key = match key {
            PrivateKeyDer::Pkcs8(der) => RsaPrivateKey::from_pkcs8_der(der.secret_pkcs8_der()).ok()?,
            PrivateKeyDer::Pkcs1(der) => RsaPrivateKey::from_pkcs1_der(der.secret_pkcs1_der()).ok()?,
            _ => return None,
        };
        RSA_BITS.contains(&key.n().bits()).then(|| Self(Arc::new(key)))
    }
}

impl SigningKey for Rsa {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        // The longest hash with its salt does not fit into the shortest keys.
        let fits = |signing| !matches!(signing, Signing::RsaPss(Hash::Sha512));
        let (scheme, signing) = *SCHEMES
            .iter()
            .find(|(scheme, signing)| offered.contains(scheme) && is_rsa(*signing) && fits(*signing))?;
        Some(Box::new(RsaSigner { key: Arc::clone(&self.0), scheme, signing }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(RsaPublicKey::from(&*self.0).to_public_key_der().ok()?.into_vec().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

fn is_rsa(signing: Signing) -> bool {
    matches!(signing, Signing::RsaPkcs1(_) | Signing::RsaPss(_))
}

struct RsaSigner {
    key: Arc<RsaPrivateKey>,
    scheme: SignatureScheme,
    signing: Signing,
}

impl fmt::Debug for RsaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RsaSigner").field(&self.scheme).finish()
    }
}

impl Signer for RsaSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let signed = match self.signing {
            Signing::RsaPss(hash) => self.key.sign_with_rng(&mut OsRng, hash.pss(), &hash.digest(message)),
            Signing::RsaPkcs1(hash) => {
                self.key.sign_with_rng(&mut OsRng, hash.pkcs1(), &hash.digest(message))
            }
            Signing::Ecdsa(_) | Signing::Ed25519 => return Err(Error::General("not RSA".to_owned())),
        };
        signed.map_err(|error| Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

#[cfg(test)]
mod tests {
    use p521::pkcs8::EncodePrivateKey;
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::SubjectPublicKeyInfo;

    use super::super::public_key::PublicKey;
    use super::*;

    fn keys() -> Vec<(&'static str, Vec<u8>)> {
        let p521 = p521::SecretKey::random(&mut OsRng).to_pkcs8_der().unwrap();
        let rsa = RsaPrivateKey::new(&mut OsRng, 1024).unwrap().to_pkcs8_der().unwrap();
        let p256 = rcgen::KeyPair::generate().unwrap().serialize_der();
        vec![("P-521", p521.as_bytes().to_vec()), ("RSA", rsa.as_bytes().to_vec()), ("P-256", p256)]
    }

    #[test]
    fn a_signature_counts_for_its_own_key_message_and_scheme() {
        let all: Vec<SignatureScheme> = SCHEMES.iter().map(|(scheme, _)| *scheme).collect();
        let keys: Vec<_> = keys()
            .into_iter()
            .map(|(name, der)| (name, Keys.load_private_key(PrivatePkcs8KeyDer::from(der).into()).unwrap()))
            .collect();
        for (name, key) in &keys {
            let signer = key.choose_scheme(&all).unwrap();
            let (scheme, signature) = (signer.scheme(), signer.sign(b"hello").unwrap());
            for (other, public) in &keys {
                let info = public.public_key().unwrap();
                let public = PublicKey::of(&SubjectPublicKeyInfo::from_der(&info).unwrap().1).unwrap();
                for is_tls13 in [false, true] {
                    let is_by = |message: &[u8], signature: &[u8]| {
                        public.has_signed_handshake(scheme, is_tls13, message, signature)
                    };
                    assert_eq!(is_by(b"hello", &signature), name == other, "{name} {other} {is_tls13}");
                    assert!(!is_by(b"hallo", &signature) && !is_by(b"hello", &signature[1..]), "{name}");
                }
            }
        }
        // TLS 1.3 has no PKCS #1 in handshakes, and binds a hash to its curve.
        for (index, scheme) in
            [(1, SignatureScheme::RSA_PKCS1_SHA256), (2, SignatureScheme::ECDSA_NISTP384_SHA384)]
        {
            let info = keys[index].1.public_key().unwrap();
            let public = PublicKey::of(&SubjectPublicKeyInfo::from_der(&info).unwrap().1).unwrap();
            let Some(signer) = keys[index].1.choose_scheme(&[scheme]) else { continue };
            let signature = signer.sign(b"hello").unwrap();
            assert!(public.has_signed_handshake(scheme, false, b"hello", &signature), "{scheme:?}");
            assert!(!public.has_signed_handshake(scheme, true, b"hello", &signature), "{scheme:?}");
        }
    }

    #[test]
    fn a_certificate_of_another_key_is_no_match() {
        let [one, other] = [(); 2].map(|()| rcgen::KeyPair::generate().unwrap());
        let chain = rcgen::CertificateParams::default().self_signed(&one).unwrap();
        let certified = |key: &rcgen::KeyPair| {
            let key = PrivatePkcs8KeyDer::from(key.serialize_der());
            super::certified(vec![chain.der().clone()], key.into())
        };
        assert!(certified(&one).is_ok());
        assert!(matches!(certified(&other), Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch))));
    }
}
