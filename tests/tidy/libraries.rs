//! Each foreign library is used by one module, so that it can be replaced in one place.

use crate::tidy::source::Tree;

/// Where a library may be used: files and folders below `src/`, or everywhere.
type Homes = &'static [&'static str];

const EVERYWHERE: Homes = &[""];
/// Modules that access the kernel, files or sockets.
const SHELL: Homes = &["system/", "image/", "capture", "node/", "rpc/", "serve/", "run/", "web/", "cli/"];

/// Every dependency with its homes. Package names are written as in Cargo.toml.
const HOMES: &[(&str, Homes)] = &[
    ("aes", &["bmc/ipmi/crypto.rs"]),
    ("annotate-snippets", &["diag/draw.rs"]),
    ("anstream", &["cli/"]),
    ("anstyle", &["diag/draw.rs", "cli/"]),
    ("async-tftp", &["serve/tftp/library.rs"]),
    ("axum", &["serve/http", "run/control.rs", "run/control_socket.rs", "web/"]),
    (
        "base64",
        &[
            "bmc/redfish/auth.rs",
            "matchbox/go/standard_base64.rs",
            "image/oci/bundle.rs",
            "run/bmc/client.rs",
        ],
    ),
    ("bytes", SHELL),
    ("cbc", &["bmc/ipmi/crypto.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("crypto-bigint", &["serve/tls/"]),
    ("dhcproto", &["wire/", "serve/dhcp/", "serve/dhcp6/"]),
    ("etcetera", &["cli/"]),
    ("etherparse", &["dissect/", "serve/dhcp/", "node/qemu/accel/"]),
    ("ext4-view", &["node/file_system.rs"]),
    ("fatfs", &["node/file_system.rs", "node/qemu/seed.rs"]),
    ("flate2", &["capture/read", "matchbox/butane/sugar.rs"]),
    ("futures-util", SHELL),
    ("gpt", &["node/partition_table.rs"]),
    ("hickory-proto", &["wire/dns.rs", "serve/dns/", "run/dns.rs"]),
    ("hmac", &["bmc/ipmi/crypto.rs"]),
    ("http", EVERYWHERE),
    ("http-body-util", &["serve/bmc/web.rs", "serve/http.rs", "run/", "web/"]),
    ("httpdate", &["serve/http/"]),
    ("hyper", &["rpc/", "serve/bmc/web.rs", "serve/http", "run/", "web/"]),
    ("hyper-util", &["rpc/", "serve/bmc/web.rs", "serve/http", "run/", "web/"]),
    ("include_dir", &["image/recipes.rs"]),
    ("indicatif", &["cli/"]),
    ("ipnet", EVERYWHERE),
    ("jiff", EVERYWHERE),
    ("nix", SHELL),
    ("p256", &["rpc/tls/"]),
    ("p384", &["rpc/tls/"]),
    ("p521", &["rpc/tls/"]),
    ("percent-encoding", &["bmc/redfish/"]),
    ("pgp", &["serve/matchbox/"]),
    ("prost", &["rpc/"]),
    ("qapi", &["node/qemu/qmp.rs"]),
    ("quick-junit", &["report/junit.rs"]),
    ("quick-xml", &["import/xml.rs"]),
    ("rcgen", &["run/authority"]),
    ("regex", EVERYWHERE),
    ("roff", &["cli/man/"]),
    ("rsa", &["rpc/tls/", "run/authority.rs"]),
    ("rtnetlink", &["system/netlink.rs"]),
    ("rustls", &["rpc/tls", "serve/tls"]),
    ("schemars", &["config/", "event"]),
    ("serde", EVERYWHERE),
    ("serde_json", EVERYWHERE),
    ("serde_json_path", &["lab/json_values.rs"]),
    ("sha1", &["bmc/ipmi/crypto.rs"]),
    ("sha2", EVERYWHERE),
    ("similar", &["report/diff.rs"]),
    ("socket2", &["system/sockets.rs", "serve/dhcp/"]),
    ("ssh-key", &["run/ssh.rs"]),
    ("strsim", EVERYWHERE),
    ("subtle", &["bmc/"]),
    ("terminal_size", &["cli/output.rs"]),
    ("thiserror", EVERYWHERE),
    ("tokio", SHELL),
    ("tokio-rustls", &["rpc/tls.rs", "serve/tls.rs"]),
    ("tokio-util", SHELL),
    ("toml", &["config/", "diagnose/"]),
    ("tonic", &["rpc/"]),
    ("tonic-prost", &["rpc/"]),
    ("tracing", SHELL),
    ("tracing-subscriber", &["cli/"]),
    ("unsafe-libyaml", &["matchbox/yaml/libyaml.rs"]),
    ("ureq", &["image/fetch.rs"]),
    ("uuid", EVERYWHERE),
    ("x509-parser", &["rpc/"]),
];

/// The initial dependencies; all others need a reason in Cargo.toml.
const FOUNDED_ON: &[&str] =
    &["async-tftp", "axum", "dhcproto", "insta", "nix", "qapi", "rtnetlink", "serde", "tokio", "toml"];

/// Returns every dependency without a comment with its reason in Cargo.toml.
pub(crate) fn unargued(manifest: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before = "";
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if let (true, Some((name, _))) = (inside, line.split_once(" = "))
            && !before.starts_with("# ")
            && !FOUNDED_ON.contains(&name)
        {
            wrong.push(format!("Cargo.toml: no line of comment argues for `{name}`"));
        }
        before = line;
    }
    wrong
}

/// Returns every use of a library outside of its homes, every library without homes, and every unused one.
///
/// `dependencies` are the names in Cargo.toml.
pub(crate) fn strangers(tree: &Tree, dependencies: &[String]) -> Vec<String> {
    strangers_in(tree, dependencies, HOMES)
}

fn strangers_in(tree: &Tree, dependencies: &[String], homes: &[(&str, Homes)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, _) in homes {
        if !dependencies.iter().any(|dependency| dependency == name) {
            wrong.push(format!("tests/tidy/libraries.rs: `{name}` is no dependency any more"));
        }
    }
    for dependency in dependencies {
        let Some((_, homes)) = homes.iter().find(|(name, _)| name == dependency) else {
            wrong.push(format!("tests/tidy/libraries.rs: `{dependency}` has no home"));
            continue;
        };
        let name = dependency.replace('-', "_");
        let mut used = false;
        for source in &tree.sources {
            for path in source.paths.iter().filter(|path| path.segments[0] == name) {
                used = true;
                if !homes.iter().any(|home| source.file.starts_with(home)) {
                    let what = format!("`{dependency}` is at home in {}", homes.join(", "));
                    wrong.push(source.at(path.line, &what));
                }
            }
        }
        if !used {
            wrong.push(format!("Cargo.toml: `{dependency}` is not used in src/"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, text: &str) -> Vec<String> {
        strangers_in(&Tree::of(file, text), &["async-tftp".to_owned()], &[("async-tftp", &["serve/tftp.rs"])])
    }

    #[test]
    fn a_library_stays_at_home() {
        assert_eq!(check("serve/tftp.rs", "use async_tftp::server;"), [""; 0]);
        assert_eq!(
            check("serve/http.rs", "fn f() { async_tftp::server() }"),
            ["src/serve/http.rs:1: `async-tftp` is at home in serve/tftp.rs"]
        );
        assert_eq!(
            check("serve/tftp.rs", "// async_tftp::x"),
            ["Cargo.toml: `async-tftp` is not used in src/"]
        );
    }

    #[test]
    fn the_table_names_what_there_is() {
        let tree = Tree::of("a.rs", "use serde::Serialize;");
        assert_eq!(
            strangers_in(&tree, &["serde".to_owned()], &[("toml", EVERYWHERE)]),
            [
                "tests/tidy/libraries.rs: `toml` is no dependency any more",
                "tests/tidy/libraries.rs: `serde` has no home"
            ]
        );
    }

    #[test]
    fn a_dependency_is_argued_for() {
        let check = |dependencies: &str| {
            unargued(&format!("[package]\nname = \"a\"\n[dependencies]\n{dependencies}"))
        };
        assert_eq!(check("# Reads lab files.\nfoo = \"1\"\nserde = \"1\"\n[lints.rust]\na = \"b\""), [""; 0]);
        assert_eq!(check("serde = \"1\"\nfoo = \"1\""), ["Cargo.toml: no line of comment argues for `foo`"]);
    }
}
