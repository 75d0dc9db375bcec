//! Butane configs with their results.
//!
//! `tests/matchbox/butane/table.jsonl` has one per line: Butane's published examples and the cases of its own tests,
//! with the resulting Ignition config or the errors. Compressed contents are compared uncompressed, because
//! compressors differ.

use std::fmt::Write as _;
use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::{Value as Json, json};

use super::*;
use crate::matchbox::content::Content;
use crate::matchbox::go::standard_base64;
use crate::matchbox::ignition::{self, data};

const TABLE: &str = include_str!("../../../tests/matchbox/butane/table.jsonl");

fn rows() -> impl Iterator<Item = Json> {
    TABLE.lines().map(|row| serde_json::from_str(row).expect("each line is JSON"))
}

fn lines(problems: &[Problem]) -> Json {
    problems.iter().map(ToString::to_string).collect()
}

/// Replaces every compressed data URL by its contents.
fn unpacked(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            let mut map = map.clone();
            if map.get("compression").is_some_and(|compression| compression == "gzip")
                && let Some(Json::String(source)) = map.get("source")
                && let Ok(packed) = data::decode(source)
                && packed.starts_with(&[0x1f, 0x8b])
            {
                let mut contents = String::new();
                GzDecoder::new(&packed[..]).read_to_string(&mut contents).expect("it is gzip");
                map.insert("source".to_owned(), Json::String(contents));
            }
            Json::Object(map.iter().map(|(key, value)| (key.clone(), unpacked(value))).collect())
        }
        Json::Array(list) => list.iter().map(unpacked).collect(),
        other => other.clone(),
    }
}

#[test]
fn the_table_becomes_what_it_says() {
    assert!(rows().count() > 100, "the table is broad");
    let mut otherwise = Vec::new();
    for row in rows() {
        let name = row["name"].as_str().expect("each has a name");
        match translate(row["butane"].as_str().expect("a text").as_bytes()) {
            Ok(Translated::Ignition(config)) => {
                let written = config.write();
                let becomes: Json = serde_json::from_str(&written).expect("it is JSON");
                assert_eq!(unpacked(&becomes), unpacked(&row["becomes"]), "{name}");
                let again = ignition::read(written.as_bytes()).map(|config| config.write());
                assert_eq!(again, Ok(written), "{name}");
            }
            Ok(Translated::Newer(problems)) if lines(&problems) == row["newer"] => {}
            Err(problems) if lines(&problems) == row["wrong"] => {}
            Ok(Translated::Newer(problems)) | Err(problems) => {
                otherwise.push(json!([name, lines(&problems)]))
            }
        }
    }
    let otherwise: Vec<String> = otherwise.iter().map(Json::to_string).collect();
    assert!(otherwise.is_empty(), "{}", otherwise.join("\n"));
}

#[test]
fn what_is_compressed_is_shorter_and_the_same() {
    let contents = "all work and no play makes Jack a dull boy\n".repeat(50);
    let text = format!(
        "variant: flatcar\nversion: 1.1.0\nstorage: {{files: [{{path: /a, contents: {{inline: {}}}}}]}}\n",
        serde_json::to_string(&contents).expect("it is a string")
    );
    let Ok(Translated::Ignition(config)) = translate(text.as_bytes()) else { panic!("it is a config") };
    let json: Json = serde_json::from_str(&config.write()).expect("it is JSON");
    let file = &json["storage"]["files"][0]["contents"];
    assert_eq!(file["compression"], "gzip");
    assert!(file["source"].as_str().is_some_and(|source| source.len() < 200), "{file}");
    assert_eq!(unpacked(file)["source"], contents.as_str());
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let problems = translate(b"variant: fcos\nversion: 1.5.0\nx: \xff\n").expect_err("it is no UTF-8");
    assert_eq!(lines(&problems), json!(["line 3: YAML is UTF-8, and this is not"]));
}

#[test]
fn aliases_make_no_bombs() {
    let head = "variant: fcos\nversion: 1.5.0\n";
    // What is not used is not repeated.
    let mut text = format!("{head}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{aliases}]").expect("a String takes everything");
    }
    assert!(matches!(translate(text.as_bytes()), Ok(Translated::Ignition(_))));
    let keys = vec!["k"; 1000].join(", ");
    let users = vec!["*user"; 1000].join(", ");
    let many = format!(
        "{head}keys: &keys [{keys}]\nuser: &user {{ssh_authorized_keys: *keys}}\npasswd: {{users: [{users}]}}\n"
    );
    let long = "x".repeat(100_000);
    let long =
        format!("{head}x: &x {long}\npasswd: {{users: [{{groups: [{}]}}]}}\n", vec!["*x"; 1000].join(", "));
    let nested = format!("{head}passwd: {}", "{<<: ".repeat(9_000) + "{}" + &"}".repeat(9_000));
    for (text, why) in [
        (many, "aliases expand to too much data"),
        (long, "aliases expand to too much data"),
        (nested, "`<<` merges maps within maps too deep"),
        (format!("{head}<<: &a {{<<: *a}}\n"), "the value of the anchor `a` contains an alias of itself"),
    ] {
        let problems = translate(text.as_bytes()).expect_err("it is a bomb");
        assert!(problems[0].message.contains(why), "{problems:?}");
    }
}

#[test]
fn duplicate_keys_are_reported_once_for_all_aliases() {
    let user = format!("{{name: a, {}}}", vec!["k: v"; 1_000].join(", "));
    let users = vec!["*user"; 1_000].join(", ");
    let text = format!(
        "variant: fcos\nversion: 1.5.0\nuser: &user {user}\npasswd:\n  users: [{users}]\n  groups: [*user]\n"
    );
    let problems = translate(text.as_bytes()).expect_err("a key is repeated");
    assert_eq!(lines(&problems), json!(["line 3: passwd.users[0]: `k` is a duplicate key"]));
}

#[test]
fn metadata_of_openshift_is_decoded_like_the_rest() {
    let head = "variant: openshift\nversion: 4.14.0\n";
    let role = "machineconfiguration.openshift.io/role";
    let wrong = |metadata: &str| match translate(format!("{head}{metadata}").as_bytes()) {
        Ok(Translated::Ignition(_)) => panic!("a MachineConfig is no Ignition config"),
        Ok(Translated::Newer(_)) => json!("newer"),
        Err(problems) => lines(&problems),
    };
    let merged =
        format!("x: &x {{name: n}}\ny: &y {{<<: *x}}\nmetadata: {{<<: [*y], labels: {{{role}: a}}}}\n");
    assert_eq!(wrong(&merged), "newer");
    assert_eq!(wrong(&format!("metadata: {{name: 1, labels: {{{role}: a, other: b}}}}\n")), "newer");
    assert_eq!(
        wrong(&format!("metadata: {{name: [], labels: {{{role}: a}}}}\n")),
        json!(["line 3: metadata.name: must be a string, not a list"])
    );
    assert_eq!(
        wrong("metadata: {name: '', labels: {}}\n"),
        json!([
            "line 3: metadata.name: required",
            "line 3: metadata.labels: `machineconfiguration.openshift.io/role` is required"
        ])
    );
    // Each level merges the one below 50 times, so that a search along all paths never ends.
    let mut text = "m0: &m0 {a: b}\n".to_owned();
    for level in 1..8 {
        let aliases = vec![format!("*m{}", level - 1); 50].join(", ");
        writeln!(text, "m{level}: &m{level} {{<<: [{aliases}]}}").expect("a String takes everything");
    }
    let problems = wrong(&format!("{text}metadata: *m7\n"));
    assert!(problems[0].as_str().is_some_and(|problem| problem.contains("aliases")), "{problems}");
}

#[test]
fn depth_ends_somewhere() {
    for deep in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000)] {
        assert!(translate(deep.as_bytes()).is_err());
    }
    let deep = format!("variant: fcos\nversion: 1.5.0\nx: {}{}\n", "[".repeat(1_000), "]".repeat(1_000));
    assert!(translate(deep.as_bytes()).is_ok());
}

/// Templates with the answers of matchbox 0.11 with Butane 0.29, Ignition 2.26 and Go 1.25: the status, and the body or
/// the error. The templates are in base64, because some are no text.
const CASES: &str = include_str!("../../../tests/matchbox/butane/cases.jsonl");

/// The cases that are answered otherwise, with the reason.
const OTHERWISE: &[(&str, &str)] = &[];

#[test]
fn cases_are_answered_as_by_the_real_server() {
    let mut otherwise = Vec::new();
    for row in CASES.lines() {
        let row: Json = serde_json::from_str(row).expect("each line is JSON");
        let name = row["name"].as_str().expect("each has a name");
        let template =
            standard_base64::decode(row["template"].as_str().expect("a template")).expect("it is base64");
        let made = Content::new("ignition/case.yaml", template).butane(&Json::Null, Version::NEWEST);
        let same = match &made {
            Ok(made) => {
                let body = row["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
                let ours: Json = serde_json::from_str(&made.text).expect("it is JSON");
                row["status"] == 200 && body.is_some_and(|body: Json| unpacked(&body) == unpacked(&ours))
            }
            Err(_) => row["status"] == 404,
        };
        if !same {
            otherwise.push(format!("{name}: {made:?} instead of {row}"));
        }
    }
    let unexpected: Vec<&String> =
        otherwise.iter().filter(|case| !OTHERWISE.iter().any(|(name, _)| case.starts_with(name))).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert_eq!(otherwise.len(), OTHERWISE.len(), "a listed case is answered as by the real server now");
}
