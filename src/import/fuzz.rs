//! Fuzzes the readers of all kinds of files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::files::InMemory;
use super::{Given, Kind, Mode, import, lint};
use crate::config::Source;
use crate::diag::{Diagnostic, Sources, Span, render};
use crate::lab::{LabEnvironment, resolve};
use crate::name::ImageName;

/// Imports and checks a file of any kind: the first byte is the kind. Every directive has its place in a file, and what
/// can be parsed becomes a lab that is valid.
pub(crate) fn file(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let kinds: Vec<Kind> = Kind::ALL.iter().copied().filter(|kind| *kind != Kind::Matchbox).collect();
    let kind = Kind::ALL.iter().copied().find(|one| one.as_str().as_bytes().first() == Some(kind));
    let kind = kind.unwrap_or(kinds[usize::from(data[0]) % kinds.len()]);
    let (path, name) = match kind {
        Kind::Matchbox => ("data", "data/groups/a.json"),
        _ => ("file", "file"),
    };
    let mut files = BTreeMap::from([(PathBuf::from(name), text.to_vec())]);
    files.insert("other".into(), b"nameserver 10.0.0.1\n10.0.0.2 other\n".to_vec());
    if kind == Kind::Matchbox {
        files.insert("data/profiles/a.json".into(), text.to_vec());
    }
    let files = InMemory(files);
    let given = [Given { path: path.into(), kind: Some(kind) }];
    let show = |path: &Path| path.display().to_string();
    for mode in [Mode::Services, Mode::Process] {
        let Ok(imported) = import(&given, &files, Some(mode), None, &show) else { continue };
        for directive in &imported.directives {
            inside(&directive.span, &imported.sources);
        }
        diagnosed(&imported.diagnostics, &imported.sources);
        assert_eq!(imported.lab.is_none(), !imported.diagnostics.is_empty());
        if let (Some(lab), Mode::Services) = (imported.lab, mode) {
            valid(&lab);
        }
    }
    if let Ok(linted) = lint(&given, &files) {
        diagnosed(&linted.diagnostics, &linted.sources);
        let drawn = render(&linted.diagnostics, &linted.sources, false);
        assert_eq!(drawn.is_empty(), linted.diagnostics.is_empty());
    }
}

fn inside(span: &Span, sources: &Sources) {
    assert!(span.start <= span.end && sources.text(span.file).get(span.range()).is_some(), "{span:?}");
}

fn diagnosed(diagnostics: &[Diagnostic], sources: &Sources) {
    diagnostics
        .iter()
        .filter_map(|diagnostic| diagnostic.span.as_ref())
        .for_each(|span| inside(span, sources));
}

/// Asserts that a lab file has no errors, as if all its files existed.
fn valid(lab: &str) {
    let files = ["kernel", "initrd"].map(str::to_owned).into();
    let environment = LabEnvironment {
        file: "/labs/imported/lab.toml".into(),
        folder: "/labs/imported".into(),
        images: BTreeMap::from([(ImageName::new("tiny").expect("a name"), files)]),
        existing: &|_: &Path| true,
        free_memory: None,
    };
    let outcome = resolve(&Source::new("lab.toml", lab), &[], &[], &environment);
    let drawn = render(&outcome.diagnostics, &outcome.sources, false);
    assert!(!outcome.diagnostics.iter().any(Diagnostic::is_error), "{lab}\n{drawn}");
}
