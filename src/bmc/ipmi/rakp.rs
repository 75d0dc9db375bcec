//! What both ends compute during a login: proofs of the password and the session integrity key (section 13.28 to 13.32).

use super::crypto::{Keys, hmac};
use super::suite::Cipher;

/// The longest password in bytes.
pub const LONGEST_PASSWORD: usize = 20;
/// The longest user name in bytes.
pub const LONGEST_NAME: usize = 16;

/// The facts of a login that both ends know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The suite that was agreed.
    pub cipher: Cipher,
    /// The session id of the console.
    pub console: u32,
    /// The session id of the BMC.
    pub bmc: u32,
    /// The random number of the console.
    pub console_random: [u8; 16],
    /// The random number of the BMC.
    pub bmc_random: [u8; 16],
    /// The GUID of the BMC as in RAKP 2.
    pub guid: [u8; 16],
    /// The whole byte of RAKP 1: the requested privilege and how to look up the user.
    pub role: u8,
    /// The user name, at most 16 bytes.
    pub name: Vec<u8>,
}

impl Facts {
    /// Returns the proof in RAKP 2, by which the BMC shows that it knows the password.
    pub fn bmc_proof(&self, password: &[u8]) -> Vec<u8> {
        hmac(
            self.cipher,
            password,
            &[
                &self.console.to_le_bytes(),
                &self.bmc.to_le_bytes(),
                &self.console_random,
                &self.bmc_random,
                &self.guid,
                &self.user(),
            ],
        )
    }

    /// Returns the proof in RAKP 3, by which the console shows that it knows the password.
    pub fn console_proof(&self, password: &[u8]) -> Vec<u8> {
        hmac(self.cipher, password, &[&self.bmc_random, &self.console.to_le_bytes(), &self.user()])
    }

    /// Returns the session integrity key. `k_g` is the key of the BMC, if it has one.
    pub fn integrity_key(&self, password: &[u8], k_g: Option<&[u8]>) -> Vec<u8> {
        hmac(self.cipher, k_g.unwrap_or(password), &[&self.console_random, &self.bmc_random, &self.user()])
    }

    /// Returns the check value in RAKP 4, by which the BMC shows that it has the same key.
    pub fn check_value(&self, integrity_key: &[u8]) -> Vec<u8> {
        let parts: [&[u8]; 3] = [&self.console_random, &self.bmc.to_le_bytes(), &self.guid];
        let mut value = hmac(self.cipher, integrity_key, &parts);
        value.truncate(self.cipher.code_length());
        value
    }

    /// Returns the keys of the session.
    pub fn keys(&self, integrity_key: &[u8]) -> Keys {
        Keys::derive(self.cipher, integrity_key)
    }

    /// Returns role, length of the name and name.
    fn user(&self) -> Vec<u8> {
        let mut bytes = vec![self.role, self.name.len() as u8];
        bytes.extend_from_slice(&self.name);
        bytes
    }
}

#[cfg(test)]
mod tests;
