//! Dryrack rehearses bare metal.

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
