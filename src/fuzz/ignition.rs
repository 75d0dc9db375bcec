//! Ignition and Butane configs: an accepted config can be written, and read again by every version it is written for.

use crate::matchbox::butane::{self, Translated};
use crate::matchbox::ignition::{self, Config, Problem, Version};

/// Parses an Ignition config.
pub(super) fn ignition(data: &[u8]) {
    match ignition::read(data) {
        Ok(config) => holds(&config),
        Err(problems) => said(&problems),
    }
}

/// Translates a Butane config to Ignition.
pub(super) fn butane(data: &[u8]) {
    match butane::translate(data) {
        Ok(Translated::Ignition(config)) => holds(&config),
        Ok(Translated::Newer(problems)) | Err(problems) => said(&problems),
    }
}

fn holds(config: &Config) {
    assert!(config.write().starts_with("{\"ignition\":{"));
    for version in Version::ALL {
        match config.write_as(version) {
            Ok(text) => {
                let again = ignition::read(text.as_bytes()).expect("what is written holds");
                assert_eq!(again.write_as(version), Ok(text));
            }
            Err(problem) => said(&[problem]),
        }
    }
}

fn said(problems: &[Problem]) {
    assert!(!problems.is_empty(), "it says why");
    assert!(problems.iter().all(|problem| !problem.message.is_empty() && problem.line != Some(0)));
}
