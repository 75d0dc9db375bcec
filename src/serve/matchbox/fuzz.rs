//! Fuzzes matchbox with arbitrary requests, groups and templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Body, Fallback, Matchbox, MatchboxRequest, Store};
use crate::fuzz::script::Script;
use crate::matchbox::ignition::Version;
use crate::plan::DataEntry;

const PATHS: [&str; 12] = [
    "/",
    "/boot.ipxe",
    "/ipxe",
    "/grub",
    "/ignition",
    "/cloud",
    "/generic",
    "/metadata",
    "//ipxe",
    "/assets/x",
    "/ipxe/",
    "/healthz",
];

/// The data that is always present: a default group, and one for a MAC address.
const TEXTS: [(&str, &str); 3] = [
    ("groups/all.json", r#"{"profile":"p","metadata":{"n":1.5,"l":[1],"m":{"k":"v"}}}"#),
    ("groups/one.json", r#"{"profile":"p","selector":{"mac":"52-54-00-00-00-01"}}"#),
    (
        "profiles/p.json",
        r#"{"id":"p","boot":{"kernel":"k"},"ignition_id":"i.yaml","cloud_id":"c","generic_id":"g"}"#,
    ),
];

/// Answers one request, with arbitrary groups and templates. The client gets what the real server sends, or the
/// rendered content, but never the reason of an error.
pub(crate) fn request(data: &[u8]) {
    let mut script = Script::new(data);
    let path = PATHS[usize::from(script.byte()) % PATHS.len()];
    let query = String::from_utf8_lossy(script.piece()).into_owned();
    let mut entries: BTreeMap<String, DataEntry> =
        TEXTS.iter().map(|(path, text)| ((*path).to_owned(), DataEntry::Text((*text).to_owned()))).collect();
    for path in ["generic/g", "cloud/c", "ignition/i.yaml", "groups/odd.json", "profiles/p.json"] {
        let text = String::from_utf8_lossy(script.piece()).into_owned();
        if !text.is_empty() {
            entries.insert(path.to_owned(), DataEntry::Text(text));
        }
    }
    let store = Arc::new(Store::open(None, entries, Version::NEWEST));
    let matchbox = Matchbox::new(store, None, None, Fallback::None);
    let requested = MatchboxRequest { method: "GET", path, query: &query };
    let answer = matchbox.answer(requested).expect("there is nobody else");
    check(path, &answer);
    // The next answer must not depend on this one.
    let again = matchbox.answer(requested).expect("there is nobody else");
    assert_eq!((again.status, bytes(&again)), (answer.status, bytes(&answer)));
}

fn bytes(answer: &Answer) -> &[u8] {
    match &answer.body {
        Body::Whole(bytes) | Body::Text(bytes) => bytes,
        Body::File(..) => panic!("there are no files"),
    }
}

fn check(path: &str, answer: &Answer) {
    let body = bytes(answer);
    match answer.status {
        200 => assert!(answer.media_type.is_some() && answer.location.is_none()),
        307 => assert!(answer.location.as_deref().is_some_and(|to| to.starts_with('/'))),
        404 => assert_eq!(body, b"404 page not found\n"),
        other => panic!("{other}"),
    }
    let rendered = answer.status == 200;
    match path {
        "/ipxe" if rendered => assert!(body.starts_with(b"#!ipxe\nkernel ") && body.ends_with(b"\nboot\n")),
        "/grub" if rendered => assert!(body.starts_with(b"default=0\n") && body.ends_with(b"\n}\n")),
        "/cloud" if rendered => assert!(body.starts_with(b"#")),
        "/ignition" if rendered => {
            let config: serde_json::Value = serde_json::from_slice(body).expect("JSON");
            assert!(config["ignition"]["version"].is_string());
        }
        "/metadata" if rendered => {
            let text = str::from_utf8(body).expect("a text");
            assert!(text.contains("REQUEST_RAW_QUERY="), "{text}");
        }
        "/ipxe/" | "/healthz" | "/assets/x" => assert_eq!(answer.status, 404),
        "//ipxe" => assert_eq!(answer.status, 307),
        _ => {}
    }
    // An unanswered request must be reported.
    let asks = ["/ipxe", "/grub", "/ignition", "/cloud", "/generic", "/metadata"].contains(&path);
    assert!(rendered || !asks || !answer.failures.is_empty());
}
