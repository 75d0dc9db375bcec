#![doc = include_str!("ARCHITECTURE.md")]
#![cfg_attr(
    test,
    expect(clippy::disallowed_methods, reason = "tests wait on the clock and start what they test against")
)]

pub mod diag;
pub mod event;
#[cfg(not(fuzzing))]
pub mod guide;
pub mod hint;
pub mod matchbox;
pub mod name;

pub mod bmc;
pub mod config;
pub mod diagnose;
#[cfg(not(fuzzing))]
pub mod dialogue;
pub mod dissect;
#[cfg(not(fuzzing))]
pub mod expect;
pub mod fault;
pub mod import;
#[cfg(not(fuzzing))]
pub mod kubernetes;
pub mod lab;
pub mod observe;
pub mod plan;
#[cfg(not(fuzzing))]
pub mod report;
mod wire;

pub mod capture;
#[cfg(not(fuzzing))]
pub mod image;
#[cfg(not(fuzzing))]
pub mod node;
pub mod rpc;
#[cfg(not(fuzzing))]
pub mod run;
pub mod serve;
pub mod system;

#[cfg(not(fuzzing))]
pub mod cli;

// The instrumentation of libFuzzer makes compiling slow, so modules that no target reaches are left out above.
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
