use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::script::Script;
use super::*;

/// Returns the committed inputs of a target: its seeds, and for lab files all labs.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &Path| -> Vec<_> {
        let entries =
            std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let mut found = match target {
        "lab" => files(&root.join("labs")).iter().map(|lab| lab.join("lab.toml")).collect(),
        _ => files(&root.join("tests/fuzz/seeds").join(target)),
    };
    found.retain(|file| file.is_file());
    found.sort();
    found.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs a target on its seeds, on mutations of them, and on random bytes.
fn check(target: &str) {
    let seeds = seeds(target);
    assert!(seeds.len() >= 3, "{target} has {} seeds", seeds.len());
    seeds.iter().for_each(|seed| run(target, seed));
    let noise = prop::collection::vec(any::<u8>(), 0..600);
    let change = (any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    let changes = prop::collection::vec(change, 1..6);
    let nearly = (prop::sample::select(seeds), changes, prop::collection::vec(any::<u8>(), 0..40));
    let nearly = nearly.prop_map(|(mut seed, changes, tail)| {
        for (at, byte, how) in changes {
            let at = at.index(seed.len() + 1).min(seed.len().saturating_sub(1));
            match how {
                0 if !seed.is_empty() => seed[at] = byte,
                1 if !seed.is_empty() => seed[at] ^= 1 << (byte % 8),
                2 => seed.insert(at, byte),
                _ => seed.truncate(at),
            }
        }
        seed.extend(tail);
        seed
    });
    let cases = if target == "lab" { 150 } else { 600 };
    // Always the same cases: `ci/nightly fuzz` finds new ones, a change does not fail for those of another.
    let same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, same);
    let tried = runner.run(&prop_oneof![1 => noise, 3 => nearly], |data| {
        run(target, &data);
        Ok(())
    });
    if let Err(failed) = tried {
        panic!("{target}: {failed}");
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn every_target_is_tried_here_and_by_libfuzzer() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let manifest = include_str!("../../tests/fuzz/Cargo.toml");
            let bins: Vec<&str> = manifest.lines().filter_map(|line| line.strip_prefix("name = \"")).collect();
            let wanted: Vec<String> = names.iter().map(|name| format!("{name}\"")).collect();
            assert_eq!(bins[1..], wanted);
        }
    };
}

targets! {
    lab dhcp_packet dhcp dhcp_proxy dhcp6_packet dhcp6 solicitation tftp_packet tftp dns_packet dns dns_upstream path http rpc frames neighbours ntp syslog ignition butane
    template json yaml matchbox pcap import ipmi ipmi_command ipmi_in_band
}

#[test]
fn a_script_that_is_over_goes_on_with_zeros() {
    let mut script = Script::new(&[7, 0, 2, 1, 2, 3]);
    assert_eq!((script.byte(), script.piece()), (7, &[1, 2][..]));
    assert!(!script.is_over());
    assert_eq!((script.number(), script.is_over(), script.byte(), script.piece()), (0x300, true, 0, &[][..]));
    assert_eq!(script.one_of(&[5, 6]), 5);
}
