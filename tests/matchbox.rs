//! `dryrack matchbox` in the place of the real server, asked by curl what the real one was asked.

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
