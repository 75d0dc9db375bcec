//! The messages of a login: Open Session and RAKP 1 to 4 (section 13.17 to 13.24), parsed and encoded for both ends.
//!
//! A refused message is its first 8 bytes: tag, status, two zeros, session id of the console.

mod open;
mod rakp;

mod reply;
mod status;

pub use open::{OpenRequest, OpenResponse, Wanted};
pub use rakp::{Rakp1, Rakp2, Rakp3, Rakp4, Role};
pub use reply::Reply;
pub use status::Status;

#[cfg(test)]
mod tests;
