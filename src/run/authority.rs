//! The lab's own certificate authority, for HTTPS: made on first use, the same in every run after.
//!
//! ```text
//! STATE/labs/ID/
//!   file                          the lab's file, for people
//!   authority/{ca.key, ca.der, ca.pem, server.key}
//! RUN/authority/{ca.der, ca.pem, ca.cpio, cacerts}
//! ```
//!
//! Keys are RSA, because firmware without elliptic curves has nothing else, and
//! the crate `rsa` makes them, because ring makes none. Certificates are valid
//! whatever the time is: a machine without a clock that runs shall get so far as
//! to be told the time.

pub mod certificates;
mod forms;

use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::OsRng;

use crate::hint::Hint;
use crate::lab::LabFile;
use crate::name::digest;
use crate::plan::qemu::CACERTS;
use crate::plan::{HttpsPlan, Plan, Step};
use crate::serve::Identity;

/// Who signs the certificates of a lab.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    server: KeyPair,
    pem: String,
    der: Vec<u8>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// Why a lab has no authority, or gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// There is no key.
    #[error("cannot make a key for HTTPS")]
    Key(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file system said no.
    #[error("cannot {verb} {}", path.display())]
    Files {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is kept is no authority, or a name cannot be in a certificate.
    #[error("cannot make a certificate with what is in {}", folder.display())]
    Certificate {
        /// Where the authority is kept.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
}

impl Hint for AuthorityError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Certificate { .. } => Some("delete that folder; the next run makes another authority"),
            Self::Key(_) | Self::Files { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuthorityError {
    let path = path.to_owned();
    move |source| AuthorityError::Files { verb, path, source }
}

/// Tells whether a plan has any use for an authority.
pub fn is_needed(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::Serve(service) if service.https.is_some()))
}

/// Returns where a run has a form of its authority's certificate.
pub fn path(run_dir: &Path, file: LabFile) -> PathBuf {
    run_dir.join("authority").join(file.as_str())
}

const CA_KEY: &str = "ca.key";
const SERVER_KEY: &str = "server.key";
/// Bits of an RSA key.
const BITS: usize = 2048;

impl Authority {
    /// Takes the authority of a lab from where the lab keeps it, or makes one. `file` is the lab's.
    pub fn open(kept: &Path, file: &Path) -> Result<Self, AuthorityError> {
        let folder = kept.join("authority");
        if !folder.is_dir() {
            make(kept, &folder, file)?;
        }
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(failed("read", &path))
        };
        let text = |name: &str| Ok(String::from_utf8_lossy(&read(name)?).into_owned());
        let key = |name: &str| {
            KeyPair::from_pem(&text(name)?)
                .map_err(|source| AuthorityError::Certificate { folder: folder.clone(), source })
        };
        Ok(Self {
            issuer: Issuer::new(of_authority(kept), key(CA_KEY)?),
            server: key(SERVER_KEY)?,
            pem: text(LabFile::CaPem.as_str())?,
            der: read(LabFile::CaDer.as_str())?,
        })
    }

    /// Writes every form of the certificate into a run folder.
    pub fn lay_out(&self, run_dir: &Path) -> Result<(), AuthorityError> {
        let write = |path: PathBuf, bytes: &[u8]| {
            let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&path, bytes)).map_err(failed("write", &path))
        };
        for file in LabFile::ALL {
            let path = path(run_dir, file);
            match file {
                LabFile::CaPem => write(path, self.pem.as_bytes())?,
                LabFile::CaDer => write(path, &self.der)?,
                LabFile::CaCpio => write(path, &forms::initrd(&self.pem))?,
            }
        }
        write(run_dir.join(CACERTS), &forms::signature_list(&self.der))
    }

    /// Signs a certificate for a network.
    pub fn issue(&self, plan: &HttpsPlan) -> Result<Identity, AuthorityError> {
        let signed = of_server(plan).and_then(|params| params.signed_by(&self.server, &self.issuer));
        let certificate = signed.map_err(|source| AuthorityError::Certificate {
            folder: PathBuf::from("the lab file"),
            source,
        })?;
        Ok(Identity { certificate: certificate.der().to_vec(), key: self.server.serialize_der() })
    }
}

/// Makes an authority. Its folder is there once it is whole.
fn make(kept: &Path, folder: &Path, file: &Path) -> Result<(), AuthorityError> {
    let fresh = kept.join("authority.new");
    match std::fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &fresh)(error)),
        _ => {}
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&fresh);
    made.map_err(failed("create", &fresh))?;
    for name in [CA_KEY, SERVER_KEY] {
        make_key(&fresh.join(name))?;
    }
    let key_file = fresh.join(CA_KEY);
    let key = std::fs::read_to_string(&key_file).map_err(failed("read", &key_file))?;
    let certificate = KeyPair::from_pem(&key).and_then(|key| of_authority(kept).self_signed(&key));
    let certificate =
        certificate.map_err(|source| AuthorityError::Certificate { folder: fresh.clone(), source })?;
    let write = |path: PathBuf, bytes: &[u8]| std::fs::write(&path, bytes).map_err(failed("write", &path));
    write(fresh.join(LabFile::CaPem.as_str()), certificate.pem().as_bytes())?;
    write(fresh.join(LabFile::CaDer.as_str()), certificate.der())?;
    write(kept.join("file"), format!("{}\n", file.display()).as_bytes())?;
    std::fs::rename(&fresh, folder).map_err(failed("create", folder))
}

/// Writes a new RSA key into a file of its owner alone.
fn make_key(path: &Path) -> Result<(), AuthorityError> {
    let key = RsaPrivateKey::new(&mut OsRng, BITS).map_err(|error| AuthorityError::Key(error.into()))?;
    let text = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| AuthorityError::Key(error.into()))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed("write", path))
}

/// Returns what is the same in every certificate: a time that no wrong clock leaves easily, before the year in which
/// old programs end (RFC 5280, section 4.1.2.5).
fn always(name: &str) -> CertificateParams {
    let mut params = named(name);
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params
}

/// Authority and bearers have names of their own: OpenSSL takes a certificate of the same name for one that signed itself.
fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

/// The authority of a lab is named after where the lab keeps it: the same in every run, another for another lab.
fn of_authority(kept: &Path) -> CertificateParams {
    let lab = kept.file_name().unwrap_or_default().to_string_lossy();
    signing(always(&format!("Dryrack lab {lab}")))
}

/// Makes the certificate one of an authority, which signs what is shown and no further authority.
fn signing(mut params: CertificateParams) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Returns what a server is asked for by, as certificates have it.
fn sought_as(plan: &HttpsPlan) -> Result<Vec<SanType>, rcgen::Error> {
    let addresses = plan.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)));
    let names = plan.names.iter().map(|name| Ok(SanType::DnsName(name.as_str().try_into()?)));
    addresses.chain(names).collect()
}

fn of_server(plan: &HttpsPlan) -> Result<CertificateParams, rcgen::Error> {
    let HttpsPlan { addresses, names } = plan;
    let mut params = always(&addresses.first().map(IpAddr::to_string).unwrap_or_default());
    params.subject_alt_names = sought_as(plan)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // One authority never signs two certificates with one number (RFC 5280, section 4.1.2.2).
    let said: Vec<&str> = names.iter().map(String::as_str).collect();
    let number = digest(&format!("{:?}", plan.addresses), &said);
    params.serial_number = Some(SerialNumber::from_slice(&[&[1], &number[..15]].concat()));
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> HttpsPlan {
        HttpsPlan { addresses: vec!["10.0.0.1".parse().unwrap()], names: vec!["lab.test".to_owned()] }
    }

    #[test]
    fn a_lab_has_one_authority_for_good() {
        let state = tempfile::tempdir().unwrap();
        let (kept, file) = (state.path().join("0123"), Path::new("/labs/my-lab/lab.toml"));
        let first = Authority::open(&kept, file).unwrap();
        let again = Authority::open(&kept, file).unwrap();
        assert_eq!(first.der, again.der);
        let [one, other] = [&first, &again].map(|authority| authority.issue(&plan()).unwrap());
        assert_eq!(one.certificate, other.certificate);
        let more = HttpsPlan { names: vec!["*.lab.test".to_owned()], ..plan() };
        assert_ne!(again.issue(&more).unwrap().certificate, one.certificate);
        assert_eq!(std::fs::read_to_string(kept.join("file")).unwrap(), "/labs/my-lab/lab.toml\n");
        let mode = |name: &str| {
            let metadata = std::fs::metadata(kept.join("authority").join(name)).unwrap();
            std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777
        };
        assert_eq!((mode(""), mode(CA_KEY), mode(SERVER_KEY)), (0o700, 0o600, 0o600));

        let elsewhere = Authority::open(&state.path().join("4567"), file).unwrap();
        assert_ne!(elsewhere.der, first.der);
    }

    #[test]
    fn one_that_was_being_made_is_made_anew_and_one_that_is_broken_is_named() {
        let state = tempfile::tempdir().unwrap();
        let kept = state.path().join("0123");
        std::fs::create_dir_all(kept.join("authority.new")).unwrap();
        std::fs::write(kept.join("authority.new").join(CA_KEY), "half a k").unwrap();
        Authority::open(&kept, Path::new("/lab.toml")).unwrap();
        assert!(!kept.join("authority.new").exists());
        std::fs::write(kept.join("authority").join(CA_KEY), "half a k").unwrap();
        let error = Authority::open(&kept, Path::new("/lab.toml")).unwrap_err();
        let folder = kept.join("authority");
        assert_eq!(
            error.to_string(),
            format!("cannot make a certificate with what is in {}", folder.display())
        );
        assert_eq!(error.hint().as_deref(), Some("delete that folder; the next run makes another authority"));
    }

    #[test]
    fn a_name_that_no_certificate_can_hold_is_an_error() {
        let plan = HttpsPlan { names: vec!["b\u{fc}ro.lab".to_owned()], ..plan() };
        assert!(of_server(&plan).is_err());
    }
}
