//! TLS for HTTPS: certificates and cipher suites.
//!
//! rustls implements the protocol and ring the cryptography, except for the key
//! exchange that old firmware needs ([`dhe`]).

mod dhe;

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use rustls::{ALL_VERSIONS, PeerIncompatible, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite};
pub(super) use tokio_rustls::TlsAcceptor as Acceptor;
pub(super) use tokio_rustls::server::TlsStream;

use crate::lab::TlsFault;

/// A certificate and its key. Neither is ever printed.
#[derive(Clone)]
pub struct Identity {
    /// The certificate in DER. Clients have its CA certificate.
    pub certificate: Vec<u8>,
    /// What it is while a fault lasts.
    pub spoilt: BTreeMap<TlsFault, Vec<u8>>,
    /// Its private key in PKCS#8.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

const ONLY_TLS_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

/// The acceptors of a server: the one for its certificate, and those that clients get while a fault lasts.
#[derive(Clone)]
pub(super) struct Acceptors {
    sound: Acceptor,
    spoilt: Arc<BTreeMap<TlsFault, Acceptor>>,
}

impl From<Acceptor> for Acceptors {
    fn from(sound: Acceptor) -> Self {
        Self { sound, spoilt: Arc::default() }
    }
}

/// Whether clients may go on with a session of TLS over another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sessions {
    /// They may.
    Kept,
    /// Each connection has a session of its own.
    Forgotten,
}

impl Acceptors {
    /// Creates the acceptors of a certificate. The memory for sessions is allocated before there is one.
    pub(super) fn new(identity: Identity, sessions: Sessions) -> Result<Self, rustls::Error> {
        let Identity { certificate, spoilt, key } = identity;
        let configure = |certificate: Vec<u8>, versions| {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.clone()));
            configure(vec![CertificateDer::from(certificate)], key, versions)
        };
        let mut sound = configure(certificate, ALL_VERSIONS)?;
        if sessions == Sessions::Forgotten {
            sound.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let spoilt = spoilt.into_iter().map(|(fault, certificate)| {
            let versions = if fault == TlsFault::OnlyTls13 { ONLY_TLS_1_3 } else { ALL_VERSIONS };
            let mut config = configure(certificate, versions)?;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            Ok((fault, Acceptor::from(Arc::new(config))))
        });
        let spoilt = Arc::new(spoilt.collect::<Result<_, rustls::Error>>()?);
        Ok(Self { sound: Acceptor::from(Arc::new(sound)), spoilt })
    }

    /// Returns the acceptor for a client.
    pub(super) fn of(&self, fault: Option<TlsFault>) -> &Acceptor {
        fault.and_then(|fault| self.spoilt.get(&fault)).unwrap_or(&self.sound)
    }
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(dhe::provider()))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Creates an acceptor from PEM files. The error says which is invalid.
pub(super) fn acceptor_of_pem(certificates: &[u8], key: &[u8]) -> Result<Acceptor, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("cannot read a certificate: {error:?}"))?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("cannot read a private key: {error:?}"))?;
    let config = configure(chain, key, ALL_VERSIONS).map_err(|error| error.to_string())?;
    Ok(Acceptor::from(Arc::new(config)))
}

/// Tells whether a handshake failed because the client offers no cipher suite of this server.
pub(super) fn has_no_common_cipher_suite(error: &std::io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)))
}

/// Returns the negotiated version and suite, such as `TLSv1_2 TLS_DHE_RSA_WITH_AES_128_GCM_SHA256`.
pub(super) fn agreed<S: AsyncRead + AsyncWrite>(stream: &TlsStream<S>) -> String {
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    format!("{} {}", version.unwrap_or_default(), suite.unwrap_or_default())
}
