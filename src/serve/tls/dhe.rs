//! Finite-field Diffie-Hellman, for firmware without elliptic curves.
//!
//! OVMF of Debian offers only RSA and DHE_RSA. rustls implements DHE_RSA but provides
//! no group, so here is one: ffdhe2048 of RFC 7919. Clients that support elliptic
//! curves use those.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U2048};
use rustls::crypto::{
    ActiveKeyExchange, CipherSuiteCommon, CryptoProvider, KeyExchangeAlgorithm, SharedSecret,
    SupportedKxGroup, ring,
};
use rustls::ffdhe_groups::{FFDHE2048, FfdheGroup};
use rustls::{
    CipherSuite, Error, NamedGroup, PeerMisbehaved, ProtocolVersion, SupportedCipherSuite, Tls12CipherSuite,
};

/// Returns ring's provider with the suites for old firmware added at the end.
pub(super) fn provider() -> CryptoProvider {
    let mut provider = ring::default_provider();
    provider.cipher_suites.extend([AES_256, AES_128]);
    provider.kx_groups.push(&GROUP);
    provider
}

static AES_128_SUITE: Tls12CipherSuite = with_dhe(
    &ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_DHE_RSA_WITH_AES_128_GCM_SHA256,
);
static AES_256_SUITE: Tls12CipherSuite = with_dhe(
    &ring::cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_DHE_RSA_WITH_AES_256_GCM_SHA384,
);
static AES_128: SupportedCipherSuite = SupportedCipherSuite::Tls12(&AES_128_SUITE);
static AES_256: SupportedCipherSuite = SupportedCipherSuite::Tls12(&AES_256_SUITE);
static GROUP: Ffdhe2048 = Ffdhe2048;

/// Returns a suite with DHE key exchange.
const fn with_dhe(suite: &'static SupportedCipherSuite, name: CipherSuite) -> Tls12CipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => Tls12CipherSuite {
            common: CipherSuiteCommon { suite: name, ..suite.common },
            kx: KeyExchangeAlgorithm::DHE,
            ..**suite
        },
        SupportedCipherSuite::Tls13(_) => panic!("a suite of TLS 1.3 has no key exchange of its own"),
    }
}

/// Length in bytes of the prime and of public keys.
const LENGTH: usize = 256;

const PRIME: U2048 = U2048::from_be_slice(FFDHE2048.p);

fn params() -> FixedMontyParams<{ U2048::LIMBS }> {
    // The prime is public.
    FixedMontyParams::new_vartime(Odd::new(PRIME).expect("a prime of 2048 bits is odd"))
}

fn power(base: &U2048, exponent: &U256) -> U2048 {
    FixedMontyForm::new(base, &params()).pow(exponent).retrieve()
}

/// The group ffdhe2048, for TLS 1.2.
#[derive(Debug)]
struct Ffdhe2048;

impl SupportedKxGroup for Ffdhe2048 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        // RFC 7919 requires at least 225 bits; a longer exponent costs time without more security.
        let mut secret = [0; 32];
        ring::default_provider().secure_random.fill(&mut secret)?;
        let secret = U256::from_be_slice(&secret);
        let public = power(&U2048::from_be_slice(&padded(FFDHE2048.g)), &secret);
        Ok(Box::new(Exchange { secret, public: bytes(&public) }))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        Some(FFDHE2048)
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::FFDHE2048
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_2
    }
}

struct Exchange {
    secret: U256,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let refused = Error::PeerMisbehaved(PeerMisbehaved::InvalidKeyShare);
        if peer.len() > LENGTH {
            return Err(refused);
        }
        let peer = U2048::from_be_slice(&padded(peer));
        // 0, 1 and p - 1 would fix the shared secret (RFC 7919, section 5.1).
        if peer <= U2048::ONE || peer >= PRIME.wrapping_sub(&U2048::ONE) {
            return Err(refused);
        }
        Ok(SharedSecret::from(bytes(&power(&peer, &self.secret))))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::FFDHE2048
    }
}

fn bytes(number: &U2048) -> Vec<u8> {
    number.to_be_bytes().as_ref().to_vec()
}

/// Pads a number with leading zeros to the length of the prime.
fn padded(number: &[u8]) -> [u8; LENGTH] {
    let mut padded = [0; LENGTH];
    padded[LENGTH - number.len()..].copy_from_slice(number);
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Box<dyn ActiveKeyExchange> {
        GROUP.start().unwrap()
    }

    #[test]
    fn both_sides_come_to_the_same() {
        let (ours, theirs) = (start(), start());
        let (our_key, their_key) = (ours.pub_key().to_vec(), theirs.pub_key().to_vec());
        assert_eq!(our_key.len(), LENGTH);
        assert_ne!(our_key, their_key);
        let (one, other) = (ours.complete(&their_key).unwrap(), theirs.complete(&our_key).unwrap());
        assert_eq!(one.secret_bytes(), other.secret_bytes());
    }

    #[test]
    fn keys_that_give_the_result_away_are_refused() {
        let prime = bytes(&PRIME);
        let less = bytes(&PRIME.wrapping_sub(&U2048::ONE));
        for key in [&[][..], &[0], &[1], &[0, 0, 1], &less, &prime, &[0xff; LENGTH], &[2; LENGTH + 1]] {
            assert!(start().complete(key).is_err(), "{key:?}");
        }
        assert!(start().complete(&[2]).is_ok());
    }

    #[test]
    fn powers_are_right() {
        let small = |base: u64, exponent: u64| power(&U2048::from_u64(base), &U256::from_u64(exponent));
        assert_eq!(small(3, 5), U2048::from_u64(243));
        assert_eq!(small(2, 0), U2048::ONE);
        // 2 is a square modulo this prime, so raising it to (p - 1) / 2 gives 1 (RFC 7919, appendix A.1).
        let half = PRIME.wrapping_sub(&U2048::ONE).shr_vartime(1);
        let all = FixedMontyForm::new(&U2048::from_u64(2), &params()).pow(&half).retrieve();
        assert_eq!(all, U2048::ONE);
    }
}
