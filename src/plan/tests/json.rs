//! A plan is deterministic, survives JSON, and contains no secret.

use super::*;

#[test]
fn the_same_lab_on_the_same_host_gives_the_same_plan_to_the_byte() {
    for text in [PRIVATE.to_owned(), in_host()] {
        let made = |text: &str| plan(&lab(text), &guarded()).unwrap();
        let json = |plan: Plan| serde_json::to_string(&plan).unwrap();
        assert_eq!(json(made(&text)), json(made(&text)));
        // The order of tables in the file does not matter either.
        let mut tables: Vec<&str> = text.split("\n[").collect();
        tables[1..].reverse();
        let apart_from_lines = |text: &str| json(Plan { origins: Origins::default(), ..made(text) });
        assert_eq!(apart_from_lines(&text), apart_from_lines(&tables.join("\n[")));
    }
}

#[test]
fn a_plan_survives_json() {
    for text in [PRIVATE, &in_host()] {
        let plan = plan(&lab(text), &guarded()).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }
}

#[test]
fn a_plan_as_json_names_where_a_secret_is_and_nothing_else_does() {
    let lab = lab(PRIVATE);
    let plan = plan(&lab, &facts()).unwrap();
    for text in [format!("{lab:?}"), format!("{plan:?}"), plan.to_string()] {
        assert!(!text.contains("TYPHOON_KEY") && !text.contains("rack.key"), "{text}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    let key = |expect: &str| json["expectations"][expect]["check"]["ssh"]["key"].to_string();
    assert_eq!(key("in"), r#"{"env":"TYPHOON_KEY"}"#);
    assert_eq!(key("in-too"), r#"{"file":"/labs/typhoon/files/rack.key"}"#);
}

#[test]
fn a_plan_says_where_each_value_was_written() {
    let overlay = Source::new("more.toml", "[node.a]\nmemory = \"1GiB\"\n");
    let around = LabEnvironment {
        file: "/labs/origin/lab.toml".into(),
        folder: "/labs/origin".into(),
        images: BTreeMap::new(),
        existing: &|_| true,
        free_memory: None,
        other_ids: true,
    };
    let text = "dryrack = 1\nnetwork.lan.address = \"10.0.2.1/24\"\nprofile.p.kernel = \"k\"\n[node.a]\nprofile = \"p\"\n\
                [node.w]\ncount = 2\nprofile = \"p\"\n[expect.up]\nnodes = [\"a\", \"w-1\"]\nthat = { stage = \"os\" }\n";
    let sets = ["node.w-2.cpus=2".to_owned()];
    let outcome = resolve(&Source::new("lab.toml", text), &[overlay], &sets, &around);
    assert_eq!(outcome.diagnostics, []);
    let origins = plan(&outcome.lab.unwrap(), &facts()).unwrap().origins;
    let paths = [
        "network.lan.address",
        "profile.p.kernel",
        "node.a.memory",
        "node.a.profile",
        "node.w-1.profile",
        "node.w-2.cpus",
        "expect.up.nodes.1",
        "expect.up.that.stage",
        "expect.up.within",
    ];
    let found = paths.map(|path| format!("{path} {}", origins.get(path).unwrap()));
    assert_snapshot!(found.join("\n"), @"
    network.lan.address lab.toml:2
    profile.p.kernel lab.toml:3
    node.a.memory more.toml:2
    node.a.profile lab.toml:5
    node.w-1.profile lab.toml:8
    node.w-2.cpus --set:1
    expect.up.nodes.1 lab.toml:10
    expect.up.that.stage lab.toml:11
    expect.up.within lab.toml:9
    ");
}

#[test]
fn a_plan_of_another_format_or_version_is_refused() {
    let plan = plan(&lab(PRIVATE), &facts()).unwrap();
    let mut json = serde_json::to_value(&plan).unwrap();
    let read = |json: &serde_json::Value| read(json.to_string().as_bytes());
    assert_eq!(read(&json).unwrap(), plan);
    json["version"] = "0.0.1".into();
    assert!(matches!(read(&json), Err(PlanError::Version { found }) if found == "0.0.1"));
    // Any other content of such a plan.
    let future = serde_json::json!({ "dryrack_plan": 2, "version": "9.0.0", "steps": "none" });
    assert_eq!(
        read(&future).unwrap_err().to_string(),
        "the plan has schema 2; this version of Dryrack reads schema 1"
    );
    json["version"] = env!("CARGO_PKG_VERSION").into();
    json["expectations"]["in"]["check"] = serde_json::json!({ "console": "(" });
    assert!(matches!(read(&json), Err(PlanError::Malformed(_))));
    assert!(matches!(read(&serde_json::json!({ "lab": "x" })), Err(PlanError::Malformed(_))));
}
