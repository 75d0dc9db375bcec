//! A changed file takes effect with the next request, however it was changed.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::sys::signal::Signal;

use super::server::{DRYRACK, Server};

fn group(profile: &str, selector: &str) -> String {
    format!(r#"{{"profile":"{profile}","selector":{{{selector}}}}}"#)
}

fn profile(kernel: &str) -> String {
    format!(r#"{{"id":"p","boot":{{"kernel":"{kernel}"}},"generic_id":"t","ignition_id":"i.ign"}}"#)
}

fn booted(kernel: &str) -> String {
    format!("200 #!ipxe\nkernel {kernel}\nboot\n")
}

const NOTHING: &str = "404 404 page not found\n";

/// Creates a data directory with one group and one profile.
fn fill(folder: &Path, kernel: &str) {
    for kind in ["groups", "profiles", "generic", "ignition"] {
        fs::create_dir_all(folder.join(kind)).expect("a folder");
    }
    fs::write(folder.join("groups/g.json"), group("p", r#""a":"1""#)).expect("a group");
    fs::write(folder.join("profiles/p.json"), profile(kernel)).expect("a profile");
    fs::write(folder.join("generic/t"), format!("{kernel} {{{{.a}}}}")).expect("a template");
    fs::write(folder.join("ignition/i.ign"), r#"{"ignition":{"version":"3.0.0"}}"#).expect("a config");
}

/// Overwrites a file in place.
fn write_in_place(path: &Path, text: &str) {
    let mut file = fs::File::options().write(true).truncate(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("it can be written");
}

/// Replaces a file by renaming another.
fn rename_over(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("a file");
    fs::rename(beside, path).expect("a rename");
}

/// Changes everything in every way, repeatedly, with a request after each change.
fn change_everything(server: &Server, folder: &Path) {
    let file = |path: &str| folder.join(path);
    for round in 0..20 {
        let kernel = format!("k{round}");
        // Same length, same timestamp.
        write_in_place(&file("profiles/p.json"), &profile(&kernel));
        assert_eq!(server.get("/ipxe?a=1"), booted(&kernel), "written in place, round {round}");
        rename_over(&file("profiles/p.json"), &profile("renamed"));
        assert_eq!(server.get("/ipxe?a=1"), booted("renamed"), "renamed over, round {round}");
        write_in_place(&file("generic/t"), &format!("v{round} {{{{.a}}}}"));
        assert_eq!(server.get("/generic?a=1"), format!("200 v{round} 1"));
        write_in_place(&file("groups/g.json"), &group("p", &format!("\"a\":\"x{round}\"")));
        assert_eq!(server.get("/ipxe?a=1"), NOTHING, "the group wants something else, round {round}");
        assert_eq!(server.get(&format!("/ipxe?a=x{round}")), booted("renamed"));
        rename_over(&file("groups/g.json"), &group("p", r#""a":"1""#));
        fs::write(file("groups/new.json"), group("q", r#""a":"1","b":"2""#)).expect("a group");
        assert_eq!(server.get("/ipxe?a=1&b=2"), NOTHING, "its profile is missing");
        fs::write(file("profiles/q.json"), profile("q")).expect("a profile");
        assert_eq!(server.get("/ipxe?a=1&b=2"), booted("q"), "a new profile, round {round}");
        fs::remove_file(file("profiles/q.json")).expect("a file");
        fs::remove_file(file("groups/new.json")).expect("a file");
        assert_eq!(server.get("/ipxe?a=1&b=2"), booted("renamed"), "a deleted group, round {round}");
        fs::write(file("groups/g.json"), "{").expect("a file");
        assert_eq!(server.get("/ipxe?a=1"), NOTHING, "what is no JSON is no group");
        fs::write(file("groups/g.json"), group("p", r#""a":"1""#)).expect("a group");
        assert_eq!(server.get("/ipxe?a=1"), booted("renamed"));
    }
}

#[test]
fn a_changed_file_counts_from_the_next_request_on() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), "first");
    let server = Server::start(folder.path(), &["-assets-path="]);
    assert_eq!(server.get("/ipxe?a=1"), booted("first"));
    change_everything(&server, folder.path());
}

#[test]
fn it_does_so_where_nothing_can_be_watched() {
    // First no inotify instance; then an instance without watches.
    for limit in ["max_inotify_instances", "max_inotify_watches"] {
        let folder = tempfile::tempdir().expect("a folder");
        fill(folder.path(), "first");
        let script = format!("echo 0 >/proc/sys/user/{limit} && exec \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-euc", &script, "sh", DRYRACK, "matchbox"]);
        command.args(["-address", "127.0.0.1:0", "-assets-path=", "-data-path"]).arg(folder.path());
        let mut server = Server::of(&mut command);
        assert_eq!(server.get("/ipxe?a=1"), booted("first"));
        change_everything(&server, folder.path());
        let (ended, log) = server.end(Signal::SIGTERM);
        assert!(ended.success() && log.contains("cannot use file notifications"), "{limit}: {log}");
    }
}

#[test]
fn it_does_so_among_twenty_thousand_groups() {
    let folder = tempfile::tempdir().expect("a folder");
    fill(folder.path(), "first");
    for at in 0..20_000 {
        let selector =
            format!("\"mac\":\"52:54:00:00:{:02x}:{:02x}\",\"os\":\"installed\"", at / 256, at % 256);
        fs::write(folder.path().join(format!("groups/m{at}.json")), group("p", &selector)).expect("a group");
    }
    let server = Server::start(folder.path(), &["-assets-path="]);
    assert_eq!(server.get("/ipxe?mac=52-54-00-00-01-00&os=installed"), booted("first"));
    change_everything(&server, folder.path());
    // A folder that was read anew for each request would take longer every time, also on a busy host.
    let times = (0..20).map(|_| {
        let begin = Instant::now();
        assert_eq!(server.get("/ipxe?mac=52-54-00-00-4e-1f&os=installed"), booted("renamed"));
        begin.elapsed()
    });
    let fastest = times.min().expect("a request");
    assert!(fastest.as_millis() < 500, "{fastest:?}");
}

#[test]
fn another_folder_in_the_place_of_one_counts_too() {
    let around = tempfile::tempdir().expect("a folder");
    let at = |name: &str| around.path().join(name);
    fill(&at("data"), "first");
    let server = Server::start(&at("data"), &["-assets-path="]);
    assert_eq!(server.get("/ipxe?a=1"), booted("first"));
    // One of its folders.
    fill(&at("other"), "second");
    fs::rename(at("data/profiles"), at("old")).expect("a rename");
    assert_eq!(server.get("/ipxe?a=1"), NOTHING, "there are no profiles");
    fs::rename(at("other/profiles"), at("data/profiles")).expect("a rename");
    assert_eq!(server.get("/ipxe?a=1"), booted("second"));
    write_in_place(&at("data/profiles/p.json"), &profile("third"));
    assert_eq!(server.get("/ipxe?a=1"), booted("third"), "the new one is watched");
    // The whole directory.
    fill(&at("whole"), "fourth");
    fs::write(at("whole/groups/h.json"), group("p", r#""h":"1""#)).expect("a group");
    fs::rename(at("data"), at("gone")).expect("a rename");
    fs::rename(at("whole"), at("data")).expect("a rename");
    assert_eq!(server.get("/ipxe?h=1"), booted("fourth"));
    // Deleted and recreated.
    fs::remove_dir_all(at("data/groups")).expect("a folder");
    assert_eq!(server.get("/ipxe?a=1"), NOTHING);
    fs::create_dir(at("data/groups")).expect("a folder");
    fs::write(at("data/groups/g.json"), group("p", r#""a":"2""#)).expect("a group");
    assert_eq!(server.get("/ipxe?a=2"), booted("fourth"));
}

#[test]
fn links_are_followed_as_a_config_map_moves_them() {
    let around = tempfile::tempdir().expect("a folder");
    let at = |name: &str| around.path().join(name);
    // As Kubernetes mounts a ConfigMap: each file is a link to `..data/FILE`, and `..data` is replaced.
    for (version, kernel) in [("..1", "first"), ("..2", "second")] {
        fill(&at(version), kernel);
    }
    symlink("..1", at("..data")).expect("a link");
    for kind in ["groups", "profiles", "generic"] {
        fs::create_dir_all(at("files").join(kind)).expect("a folder");
    }
    symlink("../../..data/groups/g.json", at("files/groups/g.json")).expect("a link");
    symlink("../../..data/profiles/p.json", at("files/profiles/p.json")).expect("a link");
    symlink("../../..data/generic/t", at("files/generic/t")).expect("a link");
    let by_file = Server::start(&at("files"), &["-assets-path="]);
    let by_folder = Server::start(&at("..data"), &["-assets-path="]);
    for round in 0..10 {
        let (version, kernel) = if round % 2 == 0 { ("..1", "first") } else { ("..2", "second") };
        symlink(version, at("..tmp")).expect("a link");
        fs::rename(at("..tmp"), at("..data")).expect("a rename");
        for server in [&by_file, &by_folder] {
            assert_eq!(server.get("/ipxe?a=1"), booted(kernel), "round {round}");
            assert_eq!(server.get("/generic?a=1"), format!("200 {kernel} 1"), "round {round}");
        }
        write_in_place(&at(version).join("groups/g.json"), &group("p", r#""b":"1""#));
        for server in [&by_file, &by_folder] {
            assert_eq!(server.get("/ipxe?a=1"), NOTHING, "round {round}");
        }
        write_in_place(&at(version).join("groups/g.json"), &group("p", r#""a":"1""#));
    }
    // A file is changed through another hard link.
    fs::hard_link(at("..1/profiles/p.json"), at("elsewhere")).expect("a link");
    rename_over(&at("..2/groups/g.json"), &group("p", r#""a":"1""#));
    let server = Server::start(&at("..1"), &["-assets-path="]);
    assert_eq!(server.get("/ipxe?a=1"), booted("first"));
    write_in_place(&at("elsewhere"), &profile("other"));
    assert_eq!(server.get("/ipxe?a=1"), booted("other"));
}
