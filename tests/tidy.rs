//! Rules that no compiler checks: module layout, libraries, dependencies, and unused files.
//!
//! Each check is a function of texts that returns the violations, with tests that it can fail.

#![expect(clippy::disallowed_methods, reason = "asks cargo, and where it is")]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};

use serde_json::Value;

mod tidy {
    pub(crate) mod arrows;
    pub(crate) mod dependencies;
    pub(crate) mod files;
    pub(crate) mod habits;
    pub(crate) mod libraries;
    pub(crate) mod source;
}

use tidy::files::File;
use tidy::source::{Tree, walk};
use tidy::{arrows, dependencies, files, habits, libraries};

static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

#[track_caller]
fn nothing_wrong(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

/// Reads the text files in these folders that git would commit.
fn project() -> Vec<File> {
    let mut files = Vec::new();
    for folder in ["labs", "images", "src", "tests"] {
        let mut read = |path: &Path| {
            let name = path.strip_prefix(ROOT).expect("it was found there").display().to_string();
            files.push((name, String::from_utf8_lossy(&fs::read(path).expect("it was found")).into_owned()));
        };
        walk(&Path::new(ROOT).join(folder), &mut read).expect("it is a folder of the project");
    }
    files
}

/// Gets the dependencies from cargo; offline, because they have been built already.
fn metadata() -> Value {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(ROOT)
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", &format!("{}-unknown-linux-gnu", env::consts::ARCH)])
        .output()
        .expect("cargo runs the tests");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

#[test]
fn arrows_point_the_right_way() {
    nothing_wrong(&arrows::wrong_arrows(&TREE));
}

#[test]
fn only_the_rack_knows_what_a_node_is_made_of() {
    nothing_wrong(&arrows::behind_the_seam(&TREE));
}

#[test]
fn no_files_know_each_other_in_a_circle() {
    nothing_wrong(&arrows::circles(&TREE));
}

#[test]
fn the_core_is_pure() {
    nothing_wrong(&arrows::impure(&TREE));
}

#[test]
fn every_file_is_compiled() {
    nothing_wrong(&TREE.orphans);
}

#[test]
fn libraries_stay_at_home() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    let ours = packages.iter().find(|package| package["name"] == "dryrack").expect("our own");
    let dependencies = ours["dependencies"].as_array().expect("dependencies");
    let names: Vec<String> = dependencies
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| Some(dependency["name"].as_str()?.to_owned()))
        .collect();
    nothing_wrong(&libraries::strangers(&TREE, &names));
}

#[test]
fn dependencies_are_argued_for() {
    nothing_wrong(&libraries::unargued(include_str!("../Cargo.toml")));
}

#[test]
fn only_cli_prints() {
    nothing_wrong(&habits::prints(&TREE));
}

#[test]
fn only_main_exits() {
    nothing_wrong(&habits::exits(&TREE));
}

#[test]
fn every_code_is_written_once_and_shown() {
    let tree = &*TREE;
    let tests = tree.tests.iter().map(|(_, text)| text.clone());
    // Inline snapshots may be in the tests below the code.
    let sources = tree.sources.iter().filter_map(|source| source.text.split_once("#[cfg(test)]"));
    let files =
        project().into_iter().filter(|(name, _)| name.starts_with("tests/") || name.ends_with(".snap"));
    let files = files.filter(|(name, _)| !name.starts_with("tests/tidy"));
    let shown: String =
        tests.chain(sources.map(|(_, tests)| tests.to_owned())).chain(files.map(|(_, text)| text)).collect();
    nothing_wrong(&habits::codes(tree, &shown));
}

#[test]
fn nothing_is_forgotten() {
    nothing_wrong(&files::forgotten(&project()));
}

#[test]
fn dependencies_are_welcome() {
    nothing_wrong(&dependencies::unwelcome(&metadata()));
}
