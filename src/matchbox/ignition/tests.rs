//! Configs with the results of the real Ignition.
//!
//! `tests/matchbox/ignition/table.jsonl` has one per line: the messages of Debian's `ignition-validate` (2.14, up to
//! version 3.3.0), and the bytes that `v3_4.ParseCompatibleVersion` and `json.Marshal` of Go write.

use insta::assert_snapshot;
use serde_json::Value as Json;

use super::*;

const TABLE: &str = include_str!("../../../tests/matchbox/ignition/table.jsonl");

fn rows() -> impl Iterator<Item = Json> {
    TABLE.lines().map(|row| serde_json::from_str(row).expect("each line is JSON"))
}

/// Returns the written config, or the problems.
fn check(text: &str) -> String {
    match read(text.as_bytes()) {
        Ok(config) => config.write(),
        Err(problems) => lines(&problems),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_table_is_read_and_written_as_go_does() {
    assert!(rows().count() > 800, "the table is broad");
    for row in rows() {
        let written = read(row["config"].as_str().expect("a text").as_bytes()).map(|config| config.write());
        let written = written.as_deref().map_err(|problems| lines(problems));
        match (&row["writes"], &written) {
            (Json::String(writes), Ok(written)) => assert_eq!(written, writes, "{}", row["name"]),
            (Json::Null, Err(_)) => {}
            _ => panic!("{}: {written:?}", row["name"]),
        }
    }
}

#[test]
fn a_nested_config_is_read_like_any_other() {
    for text in [
        "",
        "{",
        r#"{"ignition": {"version": "3.4.0"}, "storage": []}"#,
        r#"{"ignition": {"version": "3.4.0"}, "bogus": 1}"#,
    ] {
        let whole = read(text.as_bytes()).map(|config| config.warnings().to_vec());
        assert_eq!(check_nested(text.as_bytes(), Version::NEWEST.minor()), whole, "{text}");
    }
}

/// Configs that 2.14 accepts, but matchbox's newer version rejects.
#[test]
fn what_debian_refuses_is_refused_and_what_it_accepts_is_accepted() {
    for row in rows().filter(|row| !row["config"].as_str().is_some_and(|text| text.contains("\"3.4.0"))) {
        let accepted = !row["writes"].is_null();
        let newer = !row["why"].is_null();
        assert_eq!(accepted || newer, row["debian"] == "accepts", "{}", row["name"]);
    }
}

#[test]
fn whatever_is_read_can_be_read_again_in_every_version_it_is_written_as() {
    let mut written = 0;
    for row in rows() {
        let Ok(config) = read(row["config"].as_str().expect("a text").as_bytes()) else { continue };
        for version in Version::ALL {
            let Ok(older) = config.write_as(version) else { continue };
            let again = read(older.as_bytes()).unwrap_or_else(|problems| {
                panic!("{} as {version}: {}\n{older}", row["name"], lines(&problems))
            });
            assert_eq!(again.write_as(version).as_deref(), Ok(older.as_str()), "{}", row["name"]);
            written += 1;
        }
    }
    assert!(written > 1000, "{written}");
}

#[test]
fn problems_name_the_line_and_the_field() {
    assert_snapshot!(check("{\n  \"ignition\": {\"version\": \"3.3.0\"},\n  \"storage\": {\n    \"files\": [\n      {\"path\": \"etc/hostname\",\n       \"mode\": 9999,\n       \"contents\": {\"source\": \"oem:///x\"}}\n    ]\n  }\n}"), @"
    line 5: storage.files[0].path: a path must begin with `/`
    line 6: storage.files[0].mode: is none of 0 to 0o7777, which is 4095
    line 7: storage.files[0].contents.source: the scheme `oem` cannot be fetched from
    ");
    assert_snapshot!(check("{\"ignition\": {\"version\": \"3.3.0\"},\n\"storage\": {\"files\": {}},\n\"passwd\": {\"users\": [{\"name\": 5}]}}"), @"
    line 2: storage.files: must be a list, not an object
    line 3: passwd.users[0].name: must be a string, not `5`
    ");
    assert_snapshot!(check("{\n\n\"ignition\": }"), @"line 3: invalid character '}' looking for beginning of value");
    assert_snapshot!(check(""), @"the config is empty");
    assert_snapshot!(check("[]"), @"line 1: a config is an object, not a list");
    assert_snapshot!(check("{}"), @"line 1: ignition.version: a version is required");
    assert_snapshot!(check("{\"ignition\":\n{\"version\": \"2.3.0\"}}"), @"line 2: ignition.version: 2.3.0 is of another language; matchbox reads 3.0.0 to 3.4.0");
    assert_snapshot!(check("{\"ignition\":\n{\"version\": \"3.5.0\"}}"), @"line 2: ignition.version: `3.5.0` is none of 3.0.0, 3.1.0, 3.2.0, 3.3.0 and 3.4.0");
}

#[test]
fn an_older_version_says_what_it_cannot_express() {
    let as_older = |version: Version, text: &str| {
        let config = read(text.as_bytes()).expect("it is a config");
        config.write_as(version).unwrap_or_else(|problem| problem.to_string())
    };
    let with = |rest: &str| format!("{{\"ignition\":{{\"version\":\"3.4.0\"}},\n{rest}}}");
    assert_snapshot!(as_older(Version::V3_3, &with(r#""storage":{"luks":[{"name":"a","device":"/b","discard":true}]}"#)), @"line 2: storage.luks[0].discard: needs Ignition 3.4.0 (as Ignition 3.3.0)");
    assert_snapshot!(as_older(Version::V3_3, &with(r#""storage":{"files":[{"path":"/a","mode":2541}]}"#)), @"line 2: storage.files[0].mode: setuid, setgid and sticky bits need Ignition 3.4.0 (as Ignition 3.3.0)");
    assert_snapshot!(as_older(Version::V3_3, &with(r#""storage":{"files":[{"path":"/a","contents":{"source":"arn:aws:s3:::b/k"}}]}"#)), @"line 2: storage.files[0].contents.source: the scheme `arn` needs Ignition 3.4.0 (as Ignition 3.3.0)");
    assert_snapshot!(as_older(Version::V3_2, &with(r#""kernelArguments":{"shouldExist":["a"]}"#)), @"line 2: kernelArguments: needs Ignition 3.3.0 (as Ignition 3.2.0)");
    assert_snapshot!(as_older(Version::V3_2, &with(r#""kernelArguments":{"shouldExist":[]}"#)), @r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":"3.2.0"},"passwd":{},"storage":{},"systemd":{}}"#);
    assert_snapshot!(as_older(Version::V3_0, &with(r#""passwd":{"users":[{"name":"core"}]}"#)), @r#"{"ignition":{"config":{"replace":{"source":null,"verification":{}}},"security":{"tls":{}},"timeouts":{},"version":"3.0.0"},"passwd":{"users":[{"name":"core"}]},"storage":{},"systemd":{}}"#);
    assert_snapshot!(as_older(Version::V3_1, &with(r#""passwd":{"users":[{"name":"a","shouldExist":false}]}"#)), @"line 2: passwd.users[0].shouldExist: needs Ignition 3.2.0 (as Ignition 3.1.0)");
}

#[test]
fn the_skeleton_is_the_real_server_s() {
    assert_eq!(
        skeleton(),
        r#"{"ignition":{"config":{"replace":{"verification":{}}},"proxy":{},"security":{"tls":{}},"timeouts":{},"version":""},"kernelArguments":{},"passwd":{},"storage":{},"systemd":{}}"#
    );
}

#[test]
fn depth_and_length_end_somewhere() {
    let deep = "[".repeat(1_000_000);
    assert!(read(deep.as_bytes()).is_err());
    let many = format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"links":[{}]}}}}"#,
        vec!["{}"; 20_000].join(",")
    );
    assert!(read(many.as_bytes()).is_err());
}
