//! Cipher suites: which algorithms a session may use together (section 22.15.2).

/// How both ends prove that they know the password (section 13.28).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Authentication {
    /// Nobody proves anything.
    None = 0,
    /// HMAC with SHA-1.
    Sha1 = 1,
    /// HMAC with MD5.
    Md5 = 2,
    /// HMAC with SHA-256.
    Sha256 = 3,
}

/// How packets of a session are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integrity {
    /// Not at all.
    None = 0,
    /// HMAC with SHA-1, cut to 96 bits.
    Sha1 = 1,
    /// HMAC with MD5.
    HmacMd5 = 2,
    /// MD5 over password and packet.
    Md5 = 3,
    /// HMAC with SHA-256, cut to 128 bits.
    Sha256 = 4,
}

/// How payloads of a session are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidentiality {
    /// Not at all.
    None = 0,
    /// AES-128 in CBC mode.
    AesCbc = 1,
    /// xRC4 with 128 bits.
    Xrc4 = 2,
    /// xRC4 with 40 bits.
    Xrc4Short = 3,
}

impl Authentication {
    /// Returns the algorithm of a number.
    pub fn parse(number: u8) -> Option<Self> {
        [Self::None, Self::Sha1, Self::Md5, Self::Sha256].into_iter().find(|it| *it as u8 == number)
    }
}

impl Integrity {
    /// Returns the algorithm of a number.
    pub fn parse(number: u8) -> Option<Self> {
        [Self::None, Self::Sha1, Self::HmacMd5, Self::Md5, Self::Sha256]
            .into_iter()
            .find(|it| *it as u8 == number)
    }
}

impl Confidentiality {
    /// Returns the algorithm of a number.
    pub fn parse(number: u8) -> Option<Self> {
        [Self::None, Self::AesCbc, Self::Xrc4, Self::Xrc4Short].into_iter().find(|it| *it as u8 == number)
    }
}

/// A cipher suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suite {
    /// Its number in the specification's table.
    pub id: u8,
    /// How both ends prove that they know the password.
    pub authentication: Authentication,
    /// How packets are signed.
    pub integrity: Integrity,
    /// How payloads are encrypted.
    pub confidentiality: Confidentiality,
}

impl Suite {
    const fn new(
        id: u8,
        authentication: Authentication,
        integrity: Integrity,
        confidentiality: Confidentiality,
    ) -> Self {
        Self { id, authentication, integrity, confidentiality }
    }

    /// Returns the suite of a number.
    pub fn of(id: u8) -> Option<Self> {
        SUITES.into_iter().find(|suite| suite.id == id)
    }

    /// Returns the record of Get Channel Cipher Suites.
    pub fn record(&self) -> [u8; 5] {
        [
            0xc0,
            self.id,
            self.authentication as u8,
            0x40 | self.integrity as u8,
            0x80 | self.confidentiality as u8,
        ]
    }
}

/// The suites of the specification, 0 to 17.
///
/// Most of them only matter as data: [`Cipher`] names those that sessions can use.
pub const SUITES: [Suite; 18] = [
    Suite::new(0, Authentication::None, Integrity::None, Confidentiality::None),
    Suite::new(1, Authentication::Sha1, Integrity::None, Confidentiality::None),
    Suite::new(2, Authentication::Sha1, Integrity::Sha1, Confidentiality::None),
    Suite::new(3, Authentication::Sha1, Integrity::Sha1, Confidentiality::AesCbc),
    Suite::new(4, Authentication::Sha1, Integrity::Sha1, Confidentiality::Xrc4),
    Suite::new(5, Authentication::Sha1, Integrity::Sha1, Confidentiality::Xrc4Short),
    Suite::new(6, Authentication::Md5, Integrity::None, Confidentiality::None),
    Suite::new(7, Authentication::Md5, Integrity::HmacMd5, Confidentiality::None),
    Suite::new(8, Authentication::Md5, Integrity::HmacMd5, Confidentiality::AesCbc),
    Suite::new(9, Authentication::Md5, Integrity::HmacMd5, Confidentiality::Xrc4),
    Suite::new(10, Authentication::Md5, Integrity::HmacMd5, Confidentiality::Xrc4Short),
    Suite::new(11, Authentication::Md5, Integrity::Md5, Confidentiality::None),
    Suite::new(12, Authentication::Md5, Integrity::Md5, Confidentiality::AesCbc),
    Suite::new(13, Authentication::Md5, Integrity::Md5, Confidentiality::Xrc4),
    Suite::new(14, Authentication::Md5, Integrity::Md5, Confidentiality::Xrc4Short),
    Suite::new(15, Authentication::Sha256, Integrity::None, Confidentiality::None),
    Suite::new(16, Authentication::Sha256, Integrity::Sha256, Confidentiality::None),
    Suite::new(17, Authentication::Sha256, Integrity::Sha256, Confidentiality::AesCbc),
];

/// A suite that sessions can use: it authenticates, signs and encrypts with algorithms that are not broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// Suite 3: SHA-1, SHA-1-96, AES-CBC-128.
    Sha1,
    /// Suite 17: SHA-256, SHA-256-128, AES-CBC-128.
    Sha256,
}

impl Cipher {
    /// Returns the suite.
    pub fn suite(self) -> Suite {
        match self {
            Self::Sha1 => SUITES[3],
            Self::Sha256 => SUITES[17],
        }
    }

    /// Returns the cipher of a suite, if sessions can use it.
    pub fn of(suite: Suite) -> Option<Self> {
        [Self::Sha1, Self::Sha256].into_iter().find(|cipher| cipher.suite() == suite)
    }

    /// Returns the length of a digest, and so of the codes in RAKP 2 and 3, in bytes.
    pub fn digest_length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Returns the length of the check value in RAKP 4 and of the code behind each packet, in bytes.
    pub fn code_length(self) -> usize {
        match self {
            Self::Sha1 => 12,
            Self::Sha256 => 16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cipher, SUITES, Suite};

    #[test]
    fn ids_are_positions() {
        for (position, suite) in SUITES.iter().enumerate() {
            assert_eq!(usize::from(suite.id), position);
        }
    }

    #[test]
    fn records_as_measured() {
        assert_eq!(Cipher::Sha1.suite().record(), [0xc0, 0x03, 0x01, 0x41, 0x81]);
        assert_eq!(Cipher::Sha256.suite().record(), [0xc0, 0x11, 0x03, 0x44, 0x81]);
        assert_eq!(Suite::of(17).and_then(Cipher::of), Some(Cipher::Sha256));
        assert_eq!(Suite::of(8).and_then(Cipher::of), None);
    }
}
