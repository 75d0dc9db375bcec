//! The format of the lab file: its schema, and the handling of random files.

#![expect(
    clippy::disallowed_methods,
    reason = "whoever runs the tests says whether the schema is to be written"
)]

use std::path::Path;
use std::{env, fs};

use dryrack::config;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

mod format {
    pub(crate) mod outcome;
    pub(crate) mod random;
    pub(crate) mod schema;
}

use format::outcome::{Counts, lab_files, try_texts};
use format::{random, schema};

const LABS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/labs");

fn json(lab: &str) -> Value {
    toml::from_str(lab).expect("TOML without dates")
}

#[test]
fn the_shipped_schemas_are_those_of_the_types() {
    for (name, schema) in
        [("lab.schema.json", config::schema()), ("overlay.schema.json", config::overlay_schema())]
    {
        let path = Path::new(LABS).join(name);
        let generated = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        if env::var_os("DRYRACK_BLESS").is_some() {
            fs::write(&path, &generated).expect("labs/");
        }
        let shipped = fs::read_to_string(&path).unwrap_or_default();
        assert!(shipped == generated, "labs/{name} is out of date: run this test with DRYRACK_BLESS=1");
    }
}

#[test]
fn an_overlay_needs_nothing_but_what_it_changes() {
    let misfits = |text: &str| schema::misfits(&config::overlay_schema(), &json(text));
    for overlay in ["bmc/one.toml", "typhoon/flatcar.toml", "typhoon/kubernetes.toml", "preseed/full.toml"] {
        let text = fs::read_to_string(Path::new(LABS).join(overlay)).expect("an overlay");
        assert!(text.starts_with("#:schema ../overlay.schema.json\n"), "{overlay}");
        assert_eq!(misfits(&text), [""; 0], "{overlay}");
    }
    let parts = "remove = [\"expect.up\"]\nnetwork.lan.nat = true\nnetwork.lan.matchbox.rpc.port = 1\n\
                 group.a.selector.os = \"installed\"\nnode.a.disk.root.bus = \"nvme\"\nprocess.p.after = \"up\"\n\
                 expect.up.within = \"1m\"\n";
    assert!(!schema::misfits(&config::schema(), &json(parts)).is_empty(), "it is no lab");
    assert_eq!(misfits(parts), [""; 0]);
    // Keys are still known, and a choice is whole.
    assert_eq!(misfits("node.a.memroy = \"1GiB\""), ["/node/a/memroy is not known"]);
    assert_eq!(misfits("expect.up.that.tcp = {}"), ["/expect/up/that fits 0 of the choices"]);
}

#[test]
fn the_schema_describes_every_key() {
    assert_eq!(schema::undescribed(&config::schema()), [""; 0]);
}

#[test]
fn every_lab_of_the_gallery_fits_the_schema() {
    let schema = config::schema();
    for (name, text) in lab_files() {
        assert_eq!(schema::misfits(&schema, &json(&text)), [""; 0], "{name}");
    }
}

#[test]
fn the_schema_notices_what_is_wrong() {
    let whole = json(config::INIT);
    let wrong = |pointer: &str, value: Value| {
        let mut lab = whole.clone();
        let (table, key) = pointer.rsplit_once('/').expect("a path");
        let table = lab.pointer_mut(table).and_then(Value::as_object_mut).expect("a table");
        table.insert(key.to_owned(), value);
        schema::misfits(&config::schema(), &lab).join("\n")
    };
    insta::assert_snapshot!(wrong("/dryrack", 2.into()), @"/dryrack 2 is more than 1");
    insta::assert_snapshot!(wrong("/nodes", Value::Null), @"/nodes is not known");
    insta::assert_snapshot!(wrong("/network/lan/address", "10.0.0.1".into()), @r#"/network/lan/address "10.0.0.1" does not match "^[0-9.]+/[0-9]+$""#);
    insta::assert_snapshot!(wrong("/network/My LAN", serde_json::json!({ "address": "10.0.0.1/24" })), @r#"/network/My LAN "My LAN" does not match "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$""#);
    insta::assert_snapshot!(wrong("/network/lan/dhcp", "on".into()), @"/network/lan/dhcp fits 0 of the choices");
    insta::assert_snapshot!(wrong("/node/old/memory", 512.into()), @r#"/node/old/memory is no "string""#);
    insta::assert_snapshot!(wrong("/network/lan/matchbox", serde_json::json!({ "rpc": {} })), @"/network/lan/matchbox/rpc lacks tls");
    insta::assert_snapshot!(wrong("/expect/up/that", serde_json::json!({ "stage": "os", "tcp": 22 })), @"/expect/up/that fits 0 of the choices");
}

/// Every key of the format with values of every type: never a panic, and no lab from invalid values.
#[test]
fn every_key_takes_every_type() {
    let whole = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/everything.toml"))
        .expect("a lab with every key");
    let mut counts = Counts::default();
    // Takes what `expect.http.that` takes, by the same type, and is a sixth of all paths.
    let is_twin = |path: &str| path.starts_with("expect.http.never.");
    let (twins, paths): (Vec<_>, Vec<_>) =
        schema::paths(&config::schema()).into_iter().partition(|path| is_twin(path));
    assert!(twins.iter().all(|twin| paths.contains(&twin.replace(".never.", ".that."))), "{twins:?}");
    for path in paths {
        for value in [
            "0",
            "-5",
            "1.5",
            "true",
            "\"\"",
            "\"x\"",
            "[]",
            "[[]]",
            "[1, \"x\"]",
            "{}",
            "{ x = {} }",
            "1979-05-27",
        ] {
            counts += try_texts(whole.as_bytes(), &[], &[format!("{path}={value}")]);
        }
    }
    assert!(counts.tried > 1000 && counts.refused > counts.tried / 2 && counts.labs > 0, "{counts:?}");
}

/// Tries many texts, and checks that enough of them are valid.
fn try_many(cases: u32, texts: impl Fn(&mut random::Dice) -> (Vec<u8>, Vec<String>, Vec<String>)) -> Counts {
    let counts = std::cell::RefCell::new(Counts::default());
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let tried = runner.run(&random::dice(), |rolls| {
        let (lab, overlays, sets) = texts(&mut random::Dice::new(rolls));
        *counts.borrow_mut() += try_texts(&lab, &overlays, &sets);
        Ok(())
    });
    if let Err(failed) = tried {
        panic!("{failed}");
    }
    counts.into_inner()
}

#[test]
fn generated_labs_never_panic() {
    let schema = config::schema();
    let counts = try_many(400, |dice| (random::lab(&schema, dice).into(), Vec::new(), Vec::new()));
    assert!(counts.refused > 0, "{counts:?}");
}

#[test]
fn generated_overlays_never_panic() {
    let schema = config::schema();
    let labs = lab_files();
    let counts = try_many(400, |dice| {
        let (_, lab) = dice.pick(&labs);
        let overlays = (0..dice.roll(3)).map(|_| random::overlay(&schema, dice)).collect();
        let sets = (0..dice.roll(3)).map(|_| random::set(&schema, dice)).collect();
        (lab.clone().into(), overlays, sets)
    });
    assert!(counts.labs > 0 && counts.plans > 0 && counts.refused > 0, "{counts:?}");
}

#[test]
fn mutated_labs_never_panic() {
    let labs = lab_files();
    let counts = try_many(600, |dice| {
        let (_, lab) = dice.pick(&labs);
        (random::mutated(lab.as_bytes(), dice), Vec::new(), Vec::new())
    });
    assert!(counts.labs > 0 && counts.plans > 0 && counts.refused > 0, "{counts:?}");
}
