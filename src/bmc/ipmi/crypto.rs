//! The cryptography of sessions; the only file that names its crates.

use aes::Aes128;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::suite::Cipher;

/// The size of a block and of an initialisation vector of AES, in bytes.
pub const BLOCK: usize = 16;

/// The keys of a session.
#[derive(Clone)]
pub struct Keys {
    cipher: Cipher,
    /// K1, for signatures.
    signing: Vec<u8>,
    /// The first half of K2, for encryption.
    encryption: [u8; BLOCK],
}

impl Keys {
    /// Derives the keys from the session integrity key (section 13.32).
    pub fn derive(cipher: Cipher, session_integrity_key: &[u8]) -> Self {
        let second = hmac(cipher, session_integrity_key, &[&[2; 20]]);
        let mut encryption = [0; BLOCK];
        encryption.iter_mut().zip(second).for_each(|(to, from)| *to = from);
        Self { cipher, signing: hmac(cipher, session_integrity_key, &[&[1; 20]]), encryption }
    }

    /// Returns the length of a signature in bytes.
    pub fn signature_length(&self) -> usize {
        self.cipher.code_length()
    }

    /// Returns the signature of a packet.
    pub fn sign(&self, packet: &[u8]) -> Vec<u8> {
        let mut code = hmac(self.cipher, &self.signing, &[packet]);
        code.truncate(self.cipher.code_length());
        code
    }

    /// Encrypts whole blocks in place; bytes behind the last whole block stay as they are.
    pub fn encrypt(&self, vector: &[u8; BLOCK], blocks: &mut [u8]) {
        let mut encryptor = cbc::Encryptor::<Aes128>::new(&self.encryption.into(), &(*vector).into());
        for block in blocks.as_chunks_mut::<BLOCK>().0 {
            encryptor.encrypt_block(block.into());
        }
    }

    /// Decrypts whole blocks in place; bytes behind the last whole block stay as they are.
    pub fn decrypt(&self, vector: &[u8; BLOCK], blocks: &mut [u8]) {
        let mut decryptor = cbc::Decryptor::<Aes128>::new(&self.encryption.into(), &(*vector).into());
        for block in blocks.as_chunks_mut::<BLOCK>().0 {
            decryptor.decrypt_block(block.into());
        }
    }
}

/// Hides the keys.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("cipher", &self.cipher).finish_non_exhaustive()
    }
}

/// Computes the HMAC of the concatenated parts with the hash of the suite (RFC 2104); whole digests.
pub fn hmac(cipher: Cipher, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    match cipher {
        Cipher::Sha1 => digest::<Hmac<Sha1>>(key, parts),
        Cipher::Sha256 => digest::<Hmac<Sha256>>(key, parts),
    }
}

fn digest<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Compares secrets in a time that depends only on their lengths.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
