//! The gRPC API of matchbox, which Terraform uses to write groups, profiles and configs.
//!
//! ```text
//! proto/       what goes over the wire, for those who generate clients
//! message.rs   the same, by hand            tls.rs     both sides show a certificate
//! server.rs    connections and methods      store.rs   what each method does
//! client.rs    the other end                files.rs   the data directory; draft.rs: never half a file
//! ```
//!
//! It knows the data directory and no other service: the HTTP service notices
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
