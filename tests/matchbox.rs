//! `dryrack matchbox` in place of the real server, with the recorded requests of curl.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[path = "common/gpg.rs"]
mod gpg;
mod matchbox {
    pub(crate) mod changes;
    pub(crate) mod golden;
    pub(crate) mod server;
    pub(crate) mod signatures;
    pub(crate) mod start;
}
