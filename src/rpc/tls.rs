//! TLS as matchbox has it: both sides show a certificate, and one authority has signed both.
//!
//! Files are read once, at the start. A client with any certificate of the
//! authority has full access: the names in it are not checked.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{CipherSuite, ClientConfig, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
pub(super) use tokio_rustls::{client::TlsStream as ClientStream, server::TlsStream as ServerStream};

use super::subject::subject;
use crate::hint::Hint;

/// HTTP/2, which gRPC goes over.
const ALPN: &[u8] = b"h2";
/// How long a client that is refused has to take the reason.
const PARTING: Duration = Duration::from_secs(2);

/// The files that one side of a connection shows and believes, all of them PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The certificate, with those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The certificate of the authority that the other side's is signed by.
    pub authority: PathBuf,
}

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum CertificatesError {
    /// One cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// One is not what it should be.
    #[error("{} contains no {what} in PEM format", path.display())]
    Nothing {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// What is wrong with what it holds.
        #[source]
        source: pem::Error,
    },
    /// They do not fit together, or cannot be used.
    #[error("cannot use {} with {}", certificate.display(), key.display())]
    Misfit {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authority cannot be used.
    #[error("cannot use {} as a CA certificate", path.display())]
    NoAuthority {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Hint for CertificatesError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("`dryrack tls init` creates a CA and certificates for both sides")
            }
            Self::Misfit { .. } => Some("the key must match the certificate"),
            Self::Unreadable { .. } | Self::Nothing { .. } | Self::NoAuthority { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// The contents of [`Certificates`].
struct Contents {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

impl Certificates {
    fn read(&self) -> Result<Contents, CertificatesError> {
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes(&self.key)?).map_err(|source| {
            CertificatesError::Nothing { path: self.key.clone(), what: "private key", source }
        })?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority)? {
            roots.add(certificate).map_err(|source| self.no_authority(source))?;
        }
        Ok(Contents { chain, key, roots: Arc::new(roots) })
    }

    fn no_authority(&self, source: impl std::error::Error + Send + Sync + 'static) -> CertificatesError {
        CertificatesError::NoAuthority { path: self.authority.clone(), source: Box::new(source) }
    }

    fn misfit(&self, source: rustls::Error) -> CertificatesError {
        CertificatesError::Misfit { certificate: self.certificate.clone(), key: self.key.clone(), source }
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificatesError> {
    std::fs::read(path).map_err(|source| CertificatesError::Unreadable { path: path.to_owned(), source })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificatesError> {
    let nothing = |source| CertificatesError::Nothing { path: path.to_owned(), what: "certificate", source };
    let bytes = bytes(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(nothing)?;
    match found.is_empty() {
        true => Err(nothing(pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

/// What is agreed on: TLS 1.3, or 1.2 with the four suites that matchbox takes.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        )
    });
    Arc::new(provider)
}

/// What a server accepts connections by.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads what a server shows and believes.
    pub fn read(certificates: &Certificates) -> Result<Self, CertificatesError> {
        let Contents { chain, key, roots } = certificates.read()?;
        let provider = provider();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
        let verifier = verifier.map_err(|source| certificates.no_authority(source))?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|source| certificates.misfit(source))?;
        let config = config.with_client_cert_verifier(verifier).with_single_cert(chain, key);
        let mut config = config.map_err(|source| certificates.misfit(source))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Shakes hands with a client; returns the subject of its certificate too.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<(ServerStream<TcpStream>, String)> {
        let stream = match self.acceptor.accept(stream).into_fallible().await {
            Ok(stream) => stream,
            Err((error, stream)) => {
                part(stream).await;
                return Err(error);
            }
        };
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let subject = shown.and_then(|certificate| subject(certificate)).unwrap_or_default();
        Ok((stream, subject))
    }
}

/// Hangs up so that the client hears why: what it still sends would make the kernel forget what we have sent.
async fn part(mut stream: TcpStream) {
    let leave = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // Whoever does not take it does not hear it.
    drop(tokio::time::timeout(PARTING, leave).await);
}

/// What a client connects by.
pub(super) fn connector(certificates: &Certificates) -> Result<TlsConnector, CertificatesError> {
    let Contents { chain, key, roots } = certificates.read()?;
    let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let config = config.map_err(|source| certificates.misfit(source))?;
    let config = config.with_root_certificates(roots).with_client_auth_cert(chain, key);
    let mut config = config.map_err(|source| certificates.misfit(source))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Returns the name that a server's certificate has to hold.
pub(super) fn server_name(host: &str) -> Result<ServerName<'static>, InvalidDnsNameError> {
    ServerName::try_from(host.to_owned())
}
