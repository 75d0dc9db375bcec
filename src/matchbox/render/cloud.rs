//! Checks that a text is valid for coreos-cloudinit: a cloud-config in YAML, or a script.

use crate::matchbox::yaml::{self, YamlError};

/// Returns the error in a text, with its line.
pub(super) fn check(text: &[u8]) -> Result<(), (Option<usize>, String)> {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    if first.trim_end() == "#cloud-config" {
        let wrong =
            |error: YamlError| (Some(error.line), format!("it is no cloud-config: {}", error.message));
        return yaml::read(text).map(drop).map_err(wrong);
    }
    match first.starts_with("#!") {
        true => Ok(()),
        false => Err((Some(1), "it begins with neither `#cloud-config` nor `#!`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cloud_configs_scripts_and_neither() {
        for (text, good) in [
            ("#cloud-config\nhostname: n1\n", true),
            ("#cloud-config \r\nhostname: n1\r\n", true),
            ("#cloud-config\na: 1\na: 2\n", true),
            ("#!/bin/sh\necho $((", true),
            ("#cloud-config\na: [1\n", false),
            ("#cloud-config x\n", false),
            ("\n#cloud-config\n", false),
            ("", false),
        ] {
            assert_eq!(check(text.as_bytes()).is_ok(), good, "{text:?}");
        }
    }
}
