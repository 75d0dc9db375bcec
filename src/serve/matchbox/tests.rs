use std::collections::BTreeMap;

use super::*;
use crate::matchbox::ignition::Version;
use crate::plan::DataEntry;

/// Entries of a lab file without a data directory.
const ENTRIES: &[(&str, &str)] = &[
    (
        "groups/node.json",
        r#"{"profile":"p","selector":{"MAC":"52-54-00-AA-BB-CC","Zone":"z"},"metadata":{"n":1000000,"zone":"hidden","list":["a",null],"null":null,"deep":{"a b":true}}}"#,
    ),
    ("groups/default.json", r#"{"profile":"bare","selector":{"os":"none"}}"#),
    ("groups/lost.json", r#"{"profile":"lost","selector":{"os":"lost"}}"#),
    ("groups/broken.json", "{\"profile\":\"p\",\n\"selector\":{\"os\":1}}"),
    (
        "profiles/p.json",
        r#"{"id":"p","boot":{"kernel":"/assets/k?x","initrd":["a","--name main http://h:80/b"],"args":["x=1","y \"z\""]},"generic_id":"g","cloud_id":"c","ignition_id":"i.yaml"}"#,
    ),
    (
        "profiles/bare.json",
        r#"{"id":"bare","boot":{},"generic_id":"../profiles/p.json","cloud_id":"deep/c","ignition_id":"i.ign"}"#,
    ),
    ("profiles/lost.json", "{\n\"id\":}"),
    ("generic/g", "{{.n}} {{.zone}} {{.mac}}\n{{.nope}}"),
    ("cloud/c", "#cloud-config\na: [\n"),
    ("cloud/deep/c", "#!/bin/sh\necho {{.request.raw_query}}"),
    ("ignition/i.yaml", "variant: flatcar\nversion: 1.0.0\nstorage:\n  files:\n    - path: relative\n"),
    ("ignition/i.ign", r#"{"ignition":{"version":"2.2.0"}}"#),
];

fn matchbox(newest: Version, others: Fallback) -> Matchbox {
    let entry = |(path, text): &(&str, &str)| ((*path).to_owned(), DataEntry::Text((*text).to_owned()));
    let entries: BTreeMap<String, DataEntry> = ENTRIES.iter().map(entry).collect();
    Matchbox::new(Arc::new(Store::open(None, entries, newest)), None, None, others)
}

fn check(matchbox: &Matchbox, url: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let Some(answer) = matchbox.answer(MatchboxRequest { method: "GET", path, query }) else {
        return "left to others".to_owned();
    };
    let body = match answer.body {
        Body::Whole(bytes) | Body::Text(bytes) => String::from_utf8(bytes).unwrap(),
        Body::File(..) => "a file".to_owned(),
    };
    let reported: Vec<String> =
        answer.failures.iter().chain(&answer.warnings).map(|failure| format!("\n! {failure}")).collect();
    let role = answer.role.as_ref().map_or("", FileRole::as_str);
    format!("{} [{role}; {}]\n{body}{}", answer.status, answer.rule, reported.concat())
}

#[test]
fn what_a_lab_file_says_is_served() {
    let matchbox = matchbox(Version::V3_3, Fallback::Lab);
    let node = "MAC=525400aabbcc&Zone=z";
    assert!(check(&matchbox, "/").contains("! groups/broken.json"));
    let (ipxe, none) = (check(&matchbox, &format!("/ipxe?{node}")), check(&matchbox, "/ipxe?os=none"));
    assert_eq!(
        ipxe,
        "200 [script; group node, profile p]\n#!ipxe\nkernel /assets/k?x x=1 y \"z\"\ninitrd a\ninitrd --name main \
         http://h:80/b\nboot\n"
    );
    assert_eq!(none, "200 [script; group default, profile bare]\n#!ipxe\nkernel \nboot\n");
    let script = check(&matchbox, "/cloud?os=none&a=%41");
    assert_eq!(script, "200 [seed; group default, profile bare]\n#!/bin/sh\necho os=none&a=%41");
    let metadata = check(&matchbox, &format!("/metadata?{node}"));
    assert!(metadata.contains("\nN=1e+06\n") && metadata.contains("\nZONE=z\n"), "{metadata}");
    assert!(!metadata.contains("LIST") && metadata.contains("\nDEEP_A B=true\n"), "{metadata}");
    for (url, file) in [
        (format!("/generic?{node}"), "! generic/g:2: "),
        (format!("/cloud?{node}"), "! cloud/c"),
        ("/generic?os=none".to_owned(), "! generic/../profiles/p.json: "),
        ("/ipxe?os=lost".to_owned(), "! profiles/lost.json"),
        ("/ipxe?os=1".to_owned(), "! groups: "),
    ] {
        let answer = check(&matchbox, &url);
        assert!(answer.starts_with("404 ") && answer.contains(file), "{url}: {answer}");
    }
    for url in ["//boot/node.ipxe", "/boot/node.ipxe", "/assets/k", "/ipxe.sig", "/healthz"] {
        assert_eq!(check(&matchbox, url), "left to others", "{url}");
    }
}

#[test]
fn a_script_says_what_files_are_to_a_machine() {
    let matchbox = matchbox(Version::NEWEST, Fallback::Lab);
    assert_eq!(matchbox.role("/assets/k"), None);
    check(&matchbox, "/ipxe?MAC=525400aabbcc&Zone=z");
    let roles = ["/assets/k", "/a", "/b", "/c"].map(|path| matchbox.role(path));
    assert_eq!(roles, [Some(FileRole::Kernel), Some(FileRole::Initrd), Some(FileRole::Initrd), None]);
}

#[test]
fn files_have_a_path_here_whatever_the_server_is_called() {
    let table = ["/assets/k", "k", "http://h/k?a=b", "--name main https://h:8080/a/../k#x", "http://h", ""];
    let paths: Vec<_> = table.iter().map(|file| path_here(file)).collect();
    let some = |path: &str| Some(path.to_owned());
    assert_eq!(paths, [some("/assets/k"), some("/k"), some("/k"), some("/k"), None, None]);
}
