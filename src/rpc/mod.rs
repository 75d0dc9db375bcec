//! The gRPC API of matchbox, which Terraform uses to write groups, profiles and configs.
//!
//! ```text
//! proto/       the protocol, to generate clients from
//! message.rs   its messages, by hand            tls.rs     mutual TLS
//! server.rs    connections and methods          store.rs   what each method does
//! client.rs    the client                       files.rs   the data directory; draft.rs: atomic writes
//! ```
//!
//! It uses the data directory and no other service: the HTTP service notices
//! changed files by itself.

mod client;
mod draft;
mod error;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod message;
mod server;
mod store;
mod subject;
mod tls;

pub use client::{CallError, Client, ConnectError};
pub use server::serve;
pub use store::Store;
pub use tls::{Certificates, CertificatesError, Tls};
pub(crate) use tls::{Identity, ShownCertificate, TlsError, Trusted, connect_to_server, shown_certificate};
