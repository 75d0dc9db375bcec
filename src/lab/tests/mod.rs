//! Valid labs, and all errors of lab files.

mod action;
mod bmc;
mod boot;
mod dhcp;
mod expect;
mod explain;
mod fault;
mod file;
mod good;
mod host;
mod ipv6;
mod keys;
mod machine;
mod matchbox;
mod network;
mod odd;
mod overlay;
mod process;
mod service;
mod survives;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Lab, LabEnvironment, Outcome, resolve};
use crate::config::Source;
use crate::diag::{Diagnostic, render};
use crate::name::{Bytes, ImageName};

/// The only function that knows how a lab is made from texts.
fn outcome(lab: &Source, overlays: &[Source], sets: &[&str]) -> Outcome {
    let image = |name: &str, files: &[&str]| {
        let files: BTreeSet<String> = files.iter().map(|file| (*file).to_owned()).collect();
        (ImageName::new(name).unwrap(), files)
    };
    let images = BTreeMap::from([
        image("tiny", &["kernel", "initrd"]),
        image("etcd", &["kernel", "initrd"]),
        image("debian", &["disk"]),
    ]);
    let around = LabEnvironment {
        file: "/labs/my-lab/lab.toml".into(),
        folder: "/labs/my-lab".into(),
        images,
        // Folders exist with a slash at their end, files with a dot in their name.
        existing: &|path: &Path| {
            let folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
            path.starts_with("/labs/my-lab/files") && !(folder && path.extension().is_some())
        },
        free_memory: Some(Bytes::mebi(16 * 1024)),
        other_ids: false,
    };
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    resolve(lab, overlays, &sets, &around)
}

const BASE: &str = r#"dryrack = 1
network.lan.address = "10.0.0.1/24"
profile.tiny.kernel = "image:tiny/kernel"
node.a.profile = "tiny"
"#;

/// The diagnostics of a lab.
fn check(lab: &str) -> String {
    check_over(lab, &[], &[])
}

/// The diagnostics of [`BASE`] with additions.
fn check_more(more: &str) -> String {
    check(&format!("{BASE}{more}"))
}

/// The diagnostics of a lab with overlays and `--set` arguments.
fn check_over(lab: &str, overlays: &[&str], sets: &[&str]) -> String {
    let overlays: Vec<_> = overlays.iter().map(|text| Source::new("overlay.toml", *text)).collect();
    drawn(&outcome(&Source::new("lab.toml", lab), &overlays, sets))
}

/// The diagnostics of a file that may not be text.
fn check_bytes(lab: &[u8]) -> String {
    drawn(&outcome(&Source::new("lab.toml", lab), &[], &[]))
}

fn drawn(outcome: &Outcome) -> String {
    // An invariant that every test checks.
    assert_eq!(outcome.lab.is_none(), outcome.diagnostics.iter().any(Diagnostic::is_error));
    render(&outcome.diagnostics, &outcome.sources, false)
}

/// A lab without diagnostics.
fn lab(text: &str) -> Lab {
    lab_with(text, &[], &[])
}

fn lab_with(text: &str, overlays: &[&str], sets: &[&str]) -> Lab {
    let overlays: Vec<_> = overlays.iter().map(|text| Source::new("overlay.toml", *text)).collect();
    let outcome = outcome(&Source::new("lab.toml", text), &overlays, sets);
    assert!(outcome.diagnostics.is_empty(), "{}", drawn(&outcome));
    outcome.lab.unwrap()
}
