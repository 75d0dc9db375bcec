//! The recorded runs of `labs/broken`, told to a fold again: each has the finding that its lab expects as its first.

use std::fs;
use std::path::Path;

use super::*;
use crate::event::{Recorded, read};
use crate::image::Library;
use crate::lab::{Check, ObservedCheck};

/// Returns the plan of a lab of `labs/broken`, and the finding that it expects.
fn plan_of(name: &str) -> (Plan, String) {
    let library = Library::new("/cache".into(), Vec::new());
    let images = library.recipes().map(|(name, recipe)| (name, recipe.unwrap().files.into_keys().collect()));
    let around = LabEnvironment {
        file: format!("/labs/{name}.toml").into(),
        folder: "/labs".into(),
        images: images.collect(),
        existing: &|_| true,
        free_memory: None,
        other_ids: true,
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("labs/broken");
    let text = Source::new("lab.toml", fs::read(folder.join(format!("{name}.toml"))).unwrap());
    let lab = resolve(&text, &[], &[], &around).lab.unwrap();
    let expected = lab.expectations.values().find_map(|expectation| match &expectation.check {
        Check::Observed(ObservedCheck::Finding(id)) => Some(id.clone()),
        _ => None,
    });
    (plan(&lab, &facts()).unwrap(), expected.unwrap())
}

#[test]
fn every_recorded_failure_is_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let (plan, expected) = plan_of(&name);
        let mut fold = Fold::new(&plan);
        let Recorded { events, .. } = read(&fs::read(&file).unwrap()[..]).unwrap();
        for event in events {
            let now = Instant { at: event.at, wall: event.wall };
            fold.at(now);
            fold.take(event);
        }
        let found: Vec<String> =
            plan.nodes.keys().flat_map(|node| fold.findings(node)).map(|finding| finding.id).collect();
        if found.first() != Some(&expected) {
            wrong.push(format!("{name}: {expected} is not the first of {found:?}"));
        }
        count += 1;
    }
    assert_eq!(wrong, [""; 0]);
    assert!(count >= 125, "{count}");
}
