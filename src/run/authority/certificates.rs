//! The certificates for gRPC: a CA, and certificates of a server and a client, in a folder.
//!
//! ```text
//! FOLDER/{ca,server,client}.{crt,key}    PEM; keys are for their owner alone
//! ```
//!
//! Keys are P-256, in PKCS#8. All are generated each time, so the key of the CA need not be kept.

use std::borrow::Cow;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Span;
use jiff::civil::Date;
use rcgen::{
    CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::{named, signing, sought_as};
use crate::hint::Hint;
use crate::name::digest;
use crate::plan::HttpsPlan;

/// The files, each with whether it is secret.
const FILES: [(&str, bool); 6] = [
    ("ca.crt", false),
    ("ca.key", true),
    ("server.crt", false),
    ("server.key", true),
    ("client.crt", false),
    ("client.key", true),
];

/// What happens to existing files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// They are kept, and nothing is written.
    Stay,
    /// They are overwritten.
    Replaced,
}

/// Why no certificates were created.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// Some exist already.
    #[error("{} is there already", path.display())]
    Existing {
        /// The first of them.
        path: PathBuf,
    },
    /// A name is not allowed in a certificate, or the time is invalid.
    #[error("cannot make certificates")]
    Certificate(#[source] rcgen::Error),
    /// The validity in days is out of range.
    #[error("no certificate is valid for {days} days")]
    Days {
        /// The days.
        days: u32,
    },
    /// A file operation failed.
    #[error("cannot write {}", path.display())]
    Files {
        /// The path.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
}

impl Hint for CertificatesError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Existing { .. } => {
                Some("`--force` overwrites them; clients with the old certificates are rejected from then on")
            }
            Self::Certificate(_) => Some("names are DNS names, such as matchbox.example.com"),
            Self::Days { .. } => Some("`--days 3650` is ten years"),
            Self::Files { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// Adds the names and addresses of the local host.
pub fn with_loopback(mut bearer: HttpsPlan) -> HttpsPlan {
    bearer.names.push("localhost".to_owned());
    bearer.addresses.extend([IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]);
    let HttpsPlan { mut names, mut addresses } = bearer;
    names.sort();
    names.dedup();
    addresses.sort();
    addresses.dedup();
    HttpsPlan { names, addresses }
}

/// Creates a CA and the certificates of a server and a client, valid from the day before `today`. Returns the files
/// that were written.
pub fn make(
    folder: &Path,
    server: &HttpsPlan,
    today: Date,
    days: u32,
    existing: Existing,
) -> Result<Vec<PathBuf>, CertificatesError> {
    let paths = FILES.map(|(name, _)| folder.join(name));
    if existing == Existing::Stay
        && let Some(path) = paths.iter().find(|path| path.symlink_metadata().is_ok())
    {
        return Err(CertificatesError::Existing { path: path.clone() });
    }
    let span = Span::new().try_days(days).ok().filter(|_| days > 0);
    let last = span.and_then(|span| today.checked_add(span).ok()).ok_or(CertificatesError::Days { days })?;
    // Tolerates a clock that is a little behind.
    let first = today.yesterday().map_err(|_| CertificatesError::Days { days })?;
    let texts = sign(server, first, last).map_err(CertificatesError::Certificate)?;

    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificatesError::Files { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed(folder))?;
    for ((path, text), (_, secret)) in paths.iter().zip(&texts).zip(FILES) {
        write(path, text, secret).map_err(failed(path))?;
    }
    Ok(paths.to_vec())
}

/// Returns the contents of all files, in their order.
fn sign(server: &HttpsPlan, first: Date, last: Date) -> Result<[String; 6], rcgen::Error> {
    let valid = |name: &str| {
        let day = |date: Date| date_time_ymd(i32::from(date.year()), date.month() as u8, date.day() as u8);
        let mut params = named(name);
        params.not_before = day(first);
        params.not_after = day(last);
        params
    };
    let ca_key = KeyPair::generate()?;
    // Each CA has its own name, so that users with certificates of several can tell them apart.
    let ca = signing(valid(&format!("Dryrack authority {}", short(&ca_key))));
    let ca_text = ca.self_signed(&ca_key)?.pem();
    let ca_key_text = ca_key.serialize_pem();
    let issuer = Issuer::new(ca, ca_key);

    let mut of_server = shown(valid("server"), ExtendedKeyUsagePurpose::ServerAuth);
    of_server.subject_alt_names = sought_as(server)?;
    let server_key = KeyPair::generate()?;
    let server_text = of_server.signed_by(&server_key, &issuer)?.pem();
    let client_key = KeyPair::generate()?;
    let of_client = shown(valid("client"), ExtendedKeyUsagePurpose::ClientAuth);
    let client_text = of_client.signed_by(&client_key, &issuer)?.pem();
    Ok([
        ca_text,
        ca_key_text,
        server_text,
        server_key.serialize_pem(),
        client_text,
        client_key.serialize_pem(),
    ])
}

/// Returns a short fingerprint of a key.
fn short(key: &KeyPair) -> String {
    digest(&key.public_key_pem(), &[])[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the certificate an end-entity certificate.
fn shown(mut params: CertificateParams, to: ExtendedKeyUsagePurpose) -> CertificateParams {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![to];
    params
}

/// Replaces an existing file instead of writing into it: a secret must not inherit its mode.
fn write(path: &Path, text: &str, secret: bool) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mode = if secret { 0o600 } else { 0o644 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use jiff::civil::date;

    use super::*;

    fn server() -> HttpsPlan {
        with_loopback(HttpsPlan {
            addresses: vec!["10.0.2.1".parse().unwrap()],
            names: vec!["matchbox.local".to_owned(), "localhost".to_owned()],
        })
    }

    #[test]
    fn a_folder_gets_all_of_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let tls = folder.path().join("tls");
        let make = |existing| make(&tls, &server(), date(2026, 11, 21), 30, existing);
        let written = make(Existing::Stay).unwrap();
        let seen: Vec<String> = written
            .iter()
            .map(|path| {
                let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
                let text = fs::read_to_string(path).unwrap();
                format!("{mode:o} {} {}", path.file_name().unwrap().display(), text.lines().next().unwrap())
            })
            .collect();
        insta::assert_snapshot!(seen.join("\n"), @"
        644 ca.crt -----BEGIN CERTIFICATE-----
        600 ca.key -----BEGIN PRIVATE KEY-----
        644 server.crt -----BEGIN CERTIFICATE-----
        600 server.key -----BEGIN PRIVATE KEY-----
        644 client.crt -----BEGIN CERTIFICATE-----
        600 client.key -----BEGIN PRIVATE KEY-----
        ");
        let first = fs::read(tls.join("ca.crt")).unwrap();
        fs::remove_file(tls.join("ca.key")).unwrap();
        let error = make(Existing::Stay).unwrap_err();
        assert_eq!(error.to_string(), format!("{} is there already", tls.join("ca.crt").display()));
        assert!(!tls.join("ca.key").exists());
        fs::set_permissions(tls.join("client.key"), fs::Permissions::from_mode(0o666)).unwrap();
        make(Existing::Replaced).unwrap();
        assert_ne!(fs::read(tls.join("ca.crt")).unwrap(), first);
        assert_eq!(fs::metadata(tls.join("client.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn whoever_is_asked_for_on_the_host_itself_is_in_it_too() {
        let HttpsPlan { addresses, names } = server();
        assert_eq!(names, ["localhost", "matchbox.local"]);
        assert_eq!(
            addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["10.0.2.1", "127.0.0.1", "::1"]
        );
    }

    #[test]
    fn what_no_certificate_can_hold_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let tls = folder.path().join("tls");
        let odd = HttpsPlan { names: vec!["b\u{fc}ro.lab".to_owned()], addresses: Vec::new() };
        let today = date(2026, 11, 21);
        for (server, days, expected) in [
            (&odd, 30, "cannot make certificates"),
            (&server(), 0, "no certificate is valid for 0 days"),
            (&server(), u32::MAX, "no certificate is valid for 4294967295 days"),
        ] {
            let error = make(&tls, server, today, days, Existing::Stay).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(!tls.exists());
    }
}
