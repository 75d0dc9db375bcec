//! Comparison with the real Ignition: Debian's `ignition-validate` (2.14, which supports up to 3.3.0) gives the same
//! verdicts.

#![expect(clippy::disallowed_methods, reason = "runs the real Ignition")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use dryrack::matchbox::butane::{self, Translated};
use dryrack::matchbox::ignition::{self, Problem, Version};
use serde_json::Value;

/// The error if the program is missing.
const MISSING: &str = "`ignition-validate` is in Debian's package `ignition`: run ci/setup test";

/// Runs the real validator; returns its error.
fn validate(config: &str) -> Result<(), String> {
    let mut child = Command::new("ignition-validate")
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(MISSING);
    child.stdin.take().expect("it was asked for").write_all(config.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn rows(table: &str) -> Vec<Value> {
    table.lines().map(|row| serde_json::from_str(row).expect("each line is JSON")).collect()
}

fn table() -> Vec<Value> {
    rows(include_str!("matchbox/ignition/table.jsonl"))
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().expect("it is a text").to_owned()
}

/// Whether newer Ignitions, such as matchbox's, reject it, but Debian's does not.
fn is_newer(problems: &[Problem]) -> bool {
    problems.iter().all(|problem| problem.message.ends_with("a unit of systemd is written there"))
}

/// Compares our verdict on a config of up to 3.3.0 with the real one; returns whether it is accepted.
fn agree(name: &str, config: &str) -> bool {
    let real = validate(config);
    match ignition::read(config.as_bytes()) {
        Ok(read) => {
            assert_eq!(real, Ok(()), "{name}: {config}");
            if let Ok(older) = read.write_as(Version::V3_3) {
                assert_eq!(validate(&older), Ok(()), "{name}: {older}");
            }
            true
        }
        Err(problems) => {
            assert!(real.is_err() || is_newer(&problems), "{name}: {problems:?}\n{config}");
            false
        }
    }
}

#[test]
fn the_table_says_what_the_real_one_says() {
    for row in table() {
        let config = text(&row, "config");
        let says = if validate(&config).is_ok() { "accepts" } else { "refuses" };
        assert_eq!(row["debian"], says, "{}", row["name"]);
    }
}

#[test]
fn what_we_write_as_3_3_the_real_one_takes() {
    let mut taken = 0;
    for row in table() {
        let Ok(config) = ignition::read(text(&row, "config").as_bytes()) else { continue };
        let Ok(older) = config.write_as(Version::V3_3) else { continue };
        assert_eq!(validate(&older), Ok(()), "{}: {older}", row["name"]);
        taken += 1;
    }
    assert!(taken > 300, "{taken}");
}

#[test]
fn what_butane_becomes_the_real_one_takes() {
    let mut taken = 0;
    for row in rows(include_str!("matchbox/butane/table.jsonl")) {
        let Ok(Translated::Ignition(config)) = butane::translate(text(&row, "butane").as_bytes()) else {
            continue;
        };
        let Ok(older) = config.write_as(Version::V3_3) else { continue };
        assert_eq!(validate(&older), Ok(()), "{}: {older}", row["name"]);
        taken += 1;
    }
    assert!(taken > 40, "{taken}");
}

/// Pseudo-random numbers, the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % limit.max(1)
    }
}

/// Merges two configs: objects are merged, lists are concatenated.
fn join(under: &mut Value, over: &Value) {
    match (under, over) {
        (Value::Object(under), Value::Object(over)) => {
            for (key, value) in over {
                match under.get_mut(key) {
                    Some(known) => join(known, value),
                    None => drop(under.insert(key.clone(), value.clone())),
                }
            }
        }
        (Value::Array(under), Value::Array(over)) => under.extend(over.iter().cloned()),
        (under, over) => *under = over.clone(),
    }
}

/// Changes one random value.
fn change(value: &mut Value, chance: &mut Chance) {
    let others =
        ["null", "true", "0", "-1", "4096", "\"\"", "\"/a\"", "\"a\"", "[]", "{}", "[\"a\",\"a\"]", "1.5"];
    let length = match value {
        Value::Object(map) => map.len(),
        Value::Array(list) => list.len(),
        _ => 0,
    };
    if length == 0 || chance.below(6) == 0 {
        *value = serde_json::from_str(others[chance.below(others.len())]).expect("it is JSON");
        return;
    }
    let at = chance.below(length);
    match value {
        Value::Object(map) => change(map.values_mut().nth(at).expect("it has so many"), chance),
        Value::Array(list) => change(&mut list[at], chance),
        _ => {}
    }
}

#[test]
fn by_chance_we_say_what_the_real_one_says() {
    let of_version = |version: Version| -> Vec<Value> {
        let rows = table().into_iter().filter_map(|row| serde_json::from_str(&text(&row, "config")).ok());
        rows.filter(|config: &Value| config["ignition"]["version"] == version.to_string()).collect()
    };
    let mut chance = Chance(2026);
    let (mut taken, mut refused) = (0, 0);
    for version in [Version::V3_0, Version::V3_1, Version::V3_2, Version::V3_3] {
        let configs = of_version(version);
        for _ in 0..150 {
            let mut config = configs[chance.below(configs.len())].clone();
            for _ in 0..chance.below(3) {
                join(&mut config, &configs[chance.below(configs.len())]);
            }
            for _ in 0..chance.below(2) {
                change(&mut config, &mut chance);
            }
            if agree("by chance", &config.to_string()) { taken += 1 } else { refused += 1 }
        }
    }
    assert!(taken > 50 && refused > 50, "{taken} taken, {refused} refused");
}
