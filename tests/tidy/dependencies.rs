//! Licences, sources and duplicates of all packages in Cargo.lock.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Accepted licences.
const LICENCES: &[(&str, &str)] = &[
    ("MIT", "asks for a notice"),
    ("Apache-2.0", "asks for a notice"),
    ("ISC", "asks for a notice"),
    ("BSD-2-Clause", "asks for a notice"),
    ("BSD-3-Clause", "asks for a notice"),
    ("Zlib", "asks for nothing of a binary"),
    ("0BSD", "asks for nothing"),
    ("Unlicense", "asks for nothing"),
    ("BSL-1.0", "asks for nothing of a binary"),
    ("Unicode-3.0", "the data tables of ICU, through hickory's idna: asks for a notice"),
    ("CDLA-Permissive-2.0", "Mozilla's root certificates in webpki-roots: data, asks for its text"),
];

/// Packages that must not be in the tree, and why.
const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "needs cmake and a C++ compiler; rustls runs on ring"),
    ("aws-lc-sys", "needs cmake and a C++ compiler; rustls runs on ring"),
    ("native-tls", "means OpenSSL here"),
    ("openssl", "ties the binary to the host's OpenSSL; rustls runs on ring"),
    ("openssl-sys", "ties the binary to the host's OpenSSL; rustls runs on ring"),
];

/// Packages with several versions, and what requires the old one.
const DUPLICATES: &[(&str, &str)] = &[
    ("aes", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("base64", "qapi-spec 0.3 keeps 0.22, ureq has 0.23"),
    ("bit-vec", "yasna 0.6 has 0.9 for a feature that nobody takes, so it is not built"),
    ("bitflags", "fatfs 0.3 keeps 1"),
    ("block-buffer", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("block-padding", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("cbc", "ruipmi 0.6 keeps an older generation of RustCrypto; only in tests"),
    ("cipher", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("const-oid", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("cpufeatures", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("crypto-bigint", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("crypto-common", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("digest", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("getrandom", "ring 0.17 keeps 0.2"),
    ("hmac", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("inout", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("miniz_oxide", "png 0.18 keeps 0.8"),
    ("nom", "pgp 0.21 has 8, asn1-rs keeps 7"),
    ("rand", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("rand_core", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("serdect", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("sha1", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("sha2", "pgp 0.21 keeps an older generation of RustCrypto"),
    ("syn", "macros that have not moved to 3; only at build time"),
    ("synstructure", "asn1-rs, for a feature of rcgen that nobody takes, so it is not built"),
    ("thiserror", "a dependency of ours keeps 1"),
    ("thiserror-impl", "comes with thiserror"),
];

/// The only allowed source of packages.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks an SPDX expression; `Err` has the licence that is not accepted.
///
/// For `OR`, one side is enough; for `AND`, both are required.
fn licence(expression: &str) -> Result<(), String> {
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ");
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let judged = either(&mut words);
    match words.next() {
        None => judged,
        Some(rest) => Err(format!("`{rest}` in `{expression}` cannot be read")),
    }
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>) -> Result<(), String> {
    let mut judged = both(words);
    while words.next_if_eq(&"OR").is_some() {
        let other = both(words);
        judged = judged.or(other);
    }
    judged
}

fn both(words: &mut Words<'_>) -> Result<(), String> {
    let mut judged = one(words);
    while words.next_if_eq(&"AND").is_some() {
        let other = one(words);
        judged = judged.and(other);
    }
    judged
}

fn one(words: &mut Words<'_>) -> Result<(), String> {
    match words.next() {
        Some("(") => {
            let judged = either(words);
            words.next_if_eq(&")").map_or_else(|| Err("a parenthesis is not closed".to_owned()), |_| judged)
        }
        Some(name) if words.next_if_eq(&"WITH").is_some() => {
            Err(format!("{name} WITH {} is not on the list", words.next().unwrap_or_default()))
        }
        Some(name) if LICENCES.iter().any(|(known, _)| *known == name) => Ok(()),
        Some(name) => Err(format!("{name} is not on the list")),
        None => Err("no licence".to_owned()),
    }
}

/// Returns everything that is wrong with the packages in `cargo metadata`.
pub(crate) fn unwelcome(metadata: &Value) -> Vec<String> {
    unwelcome_beside(metadata, DUPLICATES)
}

fn unwelcome_beside(metadata: &Value, duplicates: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    if packages.len() < 2 {
        wrong.push("cargo metadata lists no dependencies".to_owned());
    }
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let version = package["version"].as_str().unwrap_or_default();
        versions.entry(name).or_default().insert(version);
        if let Err(why) = licence(package["license"].as_str().unwrap_or_default()) {
            wrong.push(format!("{name} {version}: licence: {why}"));
        }
        // Our own package has no source.
        if let Some(source) = package["source"].as_str()
            && source != REGISTRY
        {
            wrong.push(format!("{name} {version} comes from {source}"));
        }
        if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            wrong.push(format!("{name} {version} {why}"));
        }
    }
    for (name, versions) in &versions {
        if versions.len() > 1 && !duplicates.iter().any(|(known, _)| known == name) {
            let versions: Vec<_> = versions.iter().copied().collect();
            wrong.push(format!("{name} is there as {}: give the reason or take one", versions.join(" and ")));
        }
    }
    for (name, _) in duplicates {
        if versions.get(name).is_none_or(|versions| versions.len() < 2) {
            wrong.push(format!("tests/tidy/dependencies.rs: {name} is no duplicate any more"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_judged() {
        for fine in [
            "MIT",
            "GPL-3.0-only OR MIT",
            "MIT/Apache-2.0",
            "(GPL-2.0-only OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert_eq!(licence(fine), Ok(()), "{fine}");
        }
        for (wrong, why) in [
            ("GPL-3.0-or-later", "GPL-3.0-or-later is not on the list"),
            ("MIT AND MPL-2.0", "MPL-2.0 is not on the list"),
            ("(MIT OR Apache-2.0) AND LGPL-2.1-only", "LGPL-2.1-only is not on the list"),
            ("", "no licence"),
            ("(MIT", "a parenthesis is not closed"),
            ("MIT Apache-2.0", "`Apache-2.0` in `MIT Apache-2.0` cannot be read"),
        ] {
            assert_eq!(licence(wrong), Err(why.to_owned()), "{wrong}");
        }
    }

    fn package(name: &str, version: &str) -> Value {
        serde_json::json!({ "name": name, "version": version, "license": "MIT", "source": REGISTRY })
    }

    fn check(packages: &[Value], duplicates: &[(&str, &str)]) -> Vec<String> {
        unwelcome_beside(&serde_json::json!({ "packages": packages }), duplicates)
    }

    #[test]
    fn packages_are_judged() {
        let (a, b) = (package("a", "1.0.0"), package("b", "1.0.0"));
        assert_eq!(check(&[a.clone(), b.clone()], &[]), [""; 0]);
        assert_eq!(check(&[], &[]), ["cargo metadata lists no dependencies"]);
        assert_eq!(
            check(&[a.clone(), package("a", "2.0.0")], &[]),
            ["a is there as 1.0.0 and 2.0.0: give the reason or take one"]
        );
        assert_eq!(check(&[a.clone(), package("a", "2.0.0")], &[("a", "because")]), [""; 0]);
        assert_eq!(
            check(&[a.clone(), b], &[("a", "because")]),
            ["tests/tidy/dependencies.rs: a is no duplicate any more"]
        );
        assert_eq!(
            check(&[a.clone(), package("aws-lc-sys", "0.3.0")], &[]),
            ["aws-lc-sys 0.3.0 needs cmake and a C++ compiler; rustls runs on ring"]
        );
        let mut git = package("b", "1.0.0");
        git["source"] = "git+https://example.org/b".into();
        assert_eq!(check(&[a.clone(), git], &[]), ["b 1.0.0 comes from git+https://example.org/b"]);
        let mut copyleft = package("b", "1.0.0");
        copyleft["license"] = "GPL-3.0-only".into();
        assert_eq!(check(&[a, copyleft], &[]), ["b 1.0.0: licence: GPL-3.0-only is not on the list"]);
    }
}
