//! What lint finds: every code has an example that it finds and a fix that it does not.

use std::path::PathBuf;

use insta::assert_snapshot;

use super::{EXAMPLES, example};
use crate::diag::{Code, render};
use crate::import::files::InMemory;
use crate::import::{Given, Linted, lint};

/// Files that examples name.
const AROUND: &[(&str, &str)] = &[
    ("srv/tftp/pxelinux.0", "x"),
    ("srv/tftp/ldlinux.c32", "x"),
    ("srv/tftp/pxelinux.cfg/default", "x"),
    ("srv/empty/grubx64.efi", "x"),
    ("srv/grub/grubx64.efi", "x"),
    ("srv/grub/grub.cfg", "x"),
    ("hosts.lab", "10.0.0.5 registry\n"),
    ("matchbox/profiles/install.json", "{ \"id\": \"install\" }"),
    ("matchbox/assets/vmlinuz", "x"),
    ("matchbox/assets/initrd.img", "x"),
];

/// A server beside the one of an example.
const OTHER: &str = "dhcp-range=10.0.0.100,10.0.0.200,255.255.255.0,1h\n";

pub(super) fn linted(files: &[(&str, &str)], given: &[&str]) -> Linted {
    let files = files.iter().map(|(name, text)| (PathBuf::from(name), text.as_bytes().to_vec())).collect();
    let given: Vec<Given> = given.iter().map(|name| Given { path: name.into(), kind: None }).collect();
    lint(&given, &InMemory(files)).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// Checks a block of a page: its info string names the files.
fn run(info: &str, text: &str) -> Linted {
    let (_, name) = info.split_once(' ').expect("a kind and a name");
    let (name, other) = name.split_once(" and ").map_or((name, None), |(name, other)| (name, Some(other)));
    let mut files = AROUND.to_vec();
    files.push((name, text));
    files.extend(other.map(|other| (other, OTHER)));
    let folder = name.split('/').next().unwrap_or(name);
    let given: Vec<&str> = [Some(folder), other].into_iter().flatten().collect();
    linted(&files, &given)
}

/// The fenced blocks of a page: info string and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence has a line of its own")).collect()
}

#[test]
fn every_example_fails_as_its_page_says() {
    let mut shown = String::new();
    for code in Code::ALL.iter().copied().filter(|code| code.is_foreign()) {
        let blocks = blocks(code.page());
        let [(info, example), (_, fix)] = blocks.as_slice() else {
            panic!("{code:?} has an example and a fix")
        };
        let Linted { diagnostics, sources } = run(info, example);
        let text = render(&diagnostics, &sources, false);
        let found: Vec<Code> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
        assert!(!found.is_empty() && found.iter().all(|found| *found == code), "{}:\n{text}", code.number());
        let Linted { diagnostics, sources } = run(info, fix);
        assert!(
            diagnostics.is_empty(),
            "the fix of {}:\n{}",
            code.number(),
            render(&diagnostics, &sources, false)
        );
        shown.extend([text.as_str(), "\n"]);
    }
    assert_snapshot!("every_code", shown);
}

#[test]
fn examples_that_boot_have_no_problem() {
    for name in EXAMPLES {
        let files = example(name);
        let files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        let mut given: Vec<&str> =
            files.iter().map(|(name, _)| *name).filter(|name| !name.contains('/')).collect();
        given.retain(|name| *name != "upstream.conf");
        if files.iter().any(|(name, _)| name.starts_with("matchbox/")) {
            given.push("matchbox");
        }
        let Linted { diagnostics, sources } = linted(&files, &given);
        let text = render(&diagnostics, &sources, false);
        match *name {
            // Its one boot file is for the iPXE of virtual network cards, as the text of the walk-through has it.
            "walkthrough" => assert_snapshot!("walkthrough", text),
            // A BIOS program for everybody.
            "udhcpd" => assert_snapshot!("udhcpd", text),
            "libvirt" => assert_snapshot!(format!("lint-{name}"), text),
            _ => assert!(diagnostics.is_empty(), "{name}:\n{text}"),
        }
    }
}
