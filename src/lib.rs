#![doc = include_str!("ARCHITECTURE.md")]
#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "tests wait on the clock and start what they test against")
)]

pub mod diag;
pub mod event;
pub mod name;

pub mod config;
pub mod expect;
pub mod lab;
pub mod observe;
pub mod plan;
pub mod report;

pub mod host;
pub mod image;
pub mod machine;
pub mod run;
pub mod serve;

pub mod cli;
