//! Detached OpenPGP signatures, as the real server creates them: of canonical text, with SHA-256.

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pgp::composed::{ArmorOptions, Deserializable, DetachedSignature, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::ser::Serialize;
use pgp::types::{KeyDetails, Password, SigningKey, Timestamp};

use super::route::Armour;
use crate::hint::Hint;

/// The first key of a key ring, unlocked.
pub struct KeyRing {
    key: SignedSecretKey,
    /// The signing subkey; the primary key if there is none.
    subkey: Option<usize>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRing")
    }
}

/// Why a key ring cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The file cannot be read.
    #[error("cannot read the key ring {}: {source}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file contains no secret key.
    #[error("{} is not a key ring with a private key: {why}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// The passphrase is wrong.
    #[error("the passphrase does not unlock the key ring {}: {why}", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
        /// The cause.
        why: String,
    },
    /// Signing failed.
    #[error("the key cannot sign: {0}")]
    Unsigned(String),
}

impl Hint for KeyRingError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Locked { .. } => Some("in a lab, set `passphrase` to the secret that unlocks it".into()),
            Self::Unread { .. } | Self::NoKey { .. } | Self::Unsigned(_) => None,
        }
    }
}

impl KeyRing {
    /// Reads a key ring and unlocks its first key.
    pub fn read(path: &Path, passphrase: &str) -> Result<Self, KeyRingError> {
        let of = || path.to_owned();
        let bytes = fs::read(path).map_err(|source| KeyRingError::Unread { path: of(), source })?;
        let no_key = |why: String| KeyRingError::NoKey { path: of(), why };
        let (mut keys, _) = SignedSecretKey::from_reader_many(io::Cursor::new(bytes))
            .map_err(|error| no_key(error.to_string()))?;
        let first = keys.next().ok_or_else(|| no_key("it is empty".to_owned()))?;
        let mut key = first.map_err(|error| no_key(error.to_string()))?;
        // Only once: unlocking takes longer than signing.
        let locked = |error: pgp::errors::Error| KeyRingError::Locked { path: of(), why: error.to_string() };
        let passphrase = Password::from(passphrase);
        key.primary_key.remove_password(&passphrase).map_err(locked)?;
        for subkey in &mut key.secret_subkeys {
            subkey.key.remove_password(&passphrase).map_err(locked)?;
        }
        let signs = |subkey: &pgp::composed::SignedSecretSubKey| {
            subkey.signatures.iter().any(|signature| signature.key_flags().sign())
        };
        let subkey = key.secret_subkeys.iter().position(signs);
        Ok(Self { key, subkey })
    }

    /// Signs a text.
    pub(super) fn sign(&self, text: &[u8], armour: Armour) -> Result<Vec<u8>, KeyRingError> {
        let signature = match self.subkey {
            Some(at) => detached(&self.key.secret_subkeys[at].key, text),
            None => detached(&self.key.primary_key, text),
        };
        let written = signature.and_then(|signature| match armour {
            Armour::None => signature.to_bytes(),
            Armour::Ascii => {
                let mut text = signature.to_armored_bytes(ArmorOptions::default())?;
                // The armour of the real server has no trailing newline.
                text.truncate(text.trim_ascii_end().len());
                Ok(text)
            }
        });
        written.map_err(|error| KeyRingError::Unsigned(error.to_string()))
    }
}

fn detached<K: SigningKey + KeyDetails>(key: &K, text: &[u8]) -> pgp::errors::Result<DetachedSignature> {
    let mut config = SignatureConfig::v4(SignatureType::Text, key.algorithm(), HashAlgorithm::Sha256);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::now()))?,
        Subpacket::regular(SubpacketData::IssuerKeyId(key.legacy_key_id()))?,
    ];
    Ok(DetachedSignature::new(config.sign(key, &Password::empty(), text)?))
}
