//! The public keys of certificates, and their signatures: those that Go's crypto/tls and crypto/x509 accept.
//!
//! RSA from 1024 bits on, P-256, P-384 and P-521 with any hash of SHA-2, Ed25519. SHA-1 and MD5 are refused, as in Go.

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use rsa::sha2::{Digest, Sha256, Sha384, Sha512};
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::alg_id;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_NIST_HASH_SHA256,
    OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_RSAENCRYPTION, OID_PKCS1_RSASSAPSS,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512, OID_SIG_ED25519, Oid,
};
use x509_parser::public_key;
use x509_parser::signature_algorithm::RsaSsaPssParams;
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

/// Sizes of RSA keys in bits that Go accepts: crypto/rsa refuses smaller ones, crypto/tls larger ones.
pub(super) const RSA_BITS: std::ops::RangeInclusive<usize> = 1024..=8192;
/// Size of a number of P-521 in bytes.
const P521_BYTES: usize = 66;

/// A hash of SHA-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// How something is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signing {
    RsaPkcs1(Hash),
    RsaPss(Hash),
    Ecdsa(Hash),
    Ed25519,
}

impl Signing {
    /// Parses the signature algorithm of a certificate; `None` if Go does not accept it.
    pub(super) fn of_certificate(algorithm: &AlgorithmIdentifier<'_>) -> Option<Self> {
        let table: [(Oid<'_>, Self); 7] = [
            (OID_PKCS1_SHA256WITHRSA, Self::RsaPkcs1(Hash::Sha256)),
            (OID_PKCS1_SHA384WITHRSA, Self::RsaPkcs1(Hash::Sha384)),
            (OID_PKCS1_SHA512WITHRSA, Self::RsaPkcs1(Hash::Sha512)),
            (OID_SIG_ECDSA_WITH_SHA256, Self::Ecdsa(Hash::Sha256)),
            (OID_SIG_ECDSA_WITH_SHA384, Self::Ecdsa(Hash::Sha384)),
            (OID_SIG_ECDSA_WITH_SHA512, Self::Ecdsa(Hash::Sha512)),
            (OID_SIG_ED25519, Self::Ed25519),
        ];
        if algorithm.algorithm == OID_PKCS1_RSASSAPSS {
            let params = RsaSsaPssParams::try_from(algorithm.parameters.as_ref()?).ok()?;
            let hash = Hash::of(params.hash_algorithm_oid())?;
            let mask = params.mask_gen_algorithm().ok().and_then(|mask| Hash::of(&mask.hash));
            let is_usual = mask == Some(hash)
                && usize::try_from(params.salt_length()) == Ok(hash.length())
                && params.trailer_field() == 1;
            return is_usual.then_some(Self::RsaPss(hash));
        }
        table.into_iter().find(|(oid, _)| *oid == algorithm.algorithm).map(|(_, signing)| signing)
    }
}

impl Hash {
    fn of(oid: &Oid<'_>) -> Option<Self> {
        let table = [
            (OID_NIST_HASH_SHA256, Self::Sha256),
            (OID_NIST_HASH_SHA384, Self::Sha384),
            (OID_NIST_HASH_SHA512, Self::Sha512),
        ];
        table.into_iter().find(|(known, _)| known == oid).map(|(_, hash)| hash)
    }

    fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(super) fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    pub(super) fn pkcs1(self) -> Pkcs1v15Sign {
        match self {
            Self::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
            Self::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
            Self::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
        }
    }

    pub(super) fn pss(self) -> Pss {
        match self {
            Self::Sha256 => Pss::new_with_salt::<Sha256>(self.length()),
            Self::Sha384 => Pss::new_with_salt::<Sha384>(self.length()),
            Self::Sha512 => Pss::new_with_salt::<Sha512>(self.length()),
        }
    }
}

/// A public key.
pub(super) enum PublicKey {
    Rsa(RsaPublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Parses the key of a certificate; `None` if Go does not accept it.
    pub(super) fn of(info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        let (algorithm, bits) = (&info.algorithm.algorithm, &*info.subject_public_key.data);
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(public_key::PublicKey::RSA(key)) = info.parsed() else { return None };
            let modulus = BigUint::from_bytes_be(key.modulus);
            let fits = RSA_BITS.contains(&modulus.bits());
            let exponent = BigUint::from_bytes_be(key.exponent);
            return RsaPublicKey::new_with_max_size(modulus, exponent, *RSA_BITS.end())
                .ok()
                .filter(|_| fits)
                .map(Self::Rsa);
        }
        if *algorithm == OID_SIG_ED25519 {
            return Some(Self::Ed25519(bits.to_vec()));
        }
        if *algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY {
            return None;
        }
        let curve = info.algorithm.parameters.as_ref()?.as_oid().ok()?;
        if curve == OID_EC_P256 {
            p256::ecdsa::VerifyingKey::from_sec1_bytes(bits).ok().map(Self::P256)
        } else if curve == OID_NIST_EC_P384 {
            p384::ecdsa::VerifyingKey::from_sec1_bytes(bits).ok().map(Self::P384)
        } else if curve == OID_NIST_EC_P521 {
            p521::ecdsa::VerifyingKey::from_sec1_bytes(bits).ok().map(Self::P521)
        } else {
            None
        }
    }

    /// Tells whether a signature of a message was made with this key.
    pub(super) fn has_signed(&self, signing: Signing, message: &[u8], signature: &[u8]) -> bool {
        match (self, signing) {
            (Self::Rsa(key), Signing::RsaPkcs1(hash)) => {
                key.verify(hash.pkcs1(), &hash.digest(message), signature).is_ok()
            }
            (Self::Rsa(key), Signing::RsaPss(hash)) => {
                key.verify(hash.pss(), &hash.digest(message), signature).is_ok()
            }
            (Self::P256(key), Signing::Ecdsa(hash)) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash.digest(message), &signature).is_ok()),
            (Self::P384(key), Signing::Ecdsa(hash)) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&hash.digest(message), &signature).is_ok()),
            (Self::P521(key), Signing::Ecdsa(hash)) => {
                // The library refuses hashes shorter than half a number; as a number, the hash is the same.
                let digest = hash.digest(message);
                let mut number = vec![0; P521_BYTES - digest.len()];
                number.extend(digest);
                p521::ecdsa::Signature::from_der(signature)
                    .is_ok_and(|signature| key.verify_prehash(&number, &signature).is_ok())
            }
            (Self::Ed25519(key), Signing::Ed25519) => {
                let algorithms = ring::default_provider().signature_verification_algorithms.all;
                let ed25519 =
                    algorithms.iter().find(|algorithm| algorithm.public_key_alg_id() == alg_id::ED25519);
                ed25519.is_some_and(|algorithm| algorithm.verify_signature(key, message, signature).is_ok())
            }
            _ => false,
        }
    }

    /// Tells whether a signature of a TLS handshake was made with this key. In TLS 1.3 a scheme names its curve, and
    /// RSA is always PSS.
    pub(super) fn has_signed_handshake(
        &self,
        scheme: SignatureScheme,
        is_tls13: bool,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let is_of_tls13 = match (self, scheme) {
            (Self::P256(_), SignatureScheme::ECDSA_NISTP256_SHA256)
            | (Self::P384(_), SignatureScheme::ECDSA_NISTP384_SHA384)
            | (Self::P521(_), SignatureScheme::ECDSA_NISTP521_SHA512)
            | (Self::Ed25519(_), SignatureScheme::ED25519) => true,
            (Self::Rsa(_), scheme) => matches!(
                scheme,
                SignatureScheme::RSA_PSS_SHA256
                    | SignatureScheme::RSA_PSS_SHA384
                    | SignatureScheme::RSA_PSS_SHA512
            ),
            _ => false,
        };
        let signing = SCHEMES.iter().find(|(known, _)| *known == scheme).map(|(_, signing)| *signing);
        (is_of_tls13 || !is_tls13)
            && signing.is_some_and(|signing| self.has_signed(signing, message, signature))
    }
}

/// The signature schemes of TLS, the preferred ones first.
pub(super) const SCHEMES: [(SignatureScheme, Signing); 10] = [
    (SignatureScheme::ECDSA_NISTP256_SHA256, Signing::Ecdsa(Hash::Sha256)),
    (SignatureScheme::ECDSA_NISTP384_SHA384, Signing::Ecdsa(Hash::Sha384)),
    (SignatureScheme::ECDSA_NISTP521_SHA512, Signing::Ecdsa(Hash::Sha512)),
    (SignatureScheme::ED25519, Signing::Ed25519),
    (SignatureScheme::RSA_PSS_SHA256, Signing::RsaPss(Hash::Sha256)),
    (SignatureScheme::RSA_PSS_SHA384, Signing::RsaPss(Hash::Sha384)),
    (SignatureScheme::RSA_PSS_SHA512, Signing::RsaPss(Hash::Sha512)),
    (SignatureScheme::RSA_PKCS1_SHA256, Signing::RsaPkcs1(Hash::Sha256)),
    (SignatureScheme::RSA_PKCS1_SHA384, Signing::RsaPkcs1(Hash::Sha384)),
    (SignatureScheme::RSA_PKCS1_SHA512, Signing::RsaPkcs1(Hash::Sha512)),
];
