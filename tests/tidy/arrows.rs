//! Which module may use which.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::source::{Source, Tree};

/// The pure core; each module may use only those before it.
const PURE: &[&str] = &[
    "name",
    "hint",
    "bmc",
    "matchbox",
    "diag",
    "event",
    "diagnose",
    "config",
    "lab",
    "plan",
    "wire",
    "observe",
    "expect",
    "fault",
    "dissect",
    "dialogue",
    "kubernetes",
    "import",
    "report",
];

/// The shell and the interfaces: the modules that each may use in addition to itself.
///
/// Siblings in the shell do not use each other: `node` and `serve` share the plan (`plan`) and the events (`event`).
/// Namespaces, child processes and sockets come from `system`, disk images from `image`.
const SHELL: &[(&str, &[&str])] = &[
    ("guide", &[]),
    ("system", &["name", "hint", "event", "config", "lab", "plan"]),
    ("image", &["name", "hint", "event", "config", "lab", "plan", "system"]),
    ("capture", &["name", "hint", "system"]),
    ("node", &["name", "hint", "bmc", "event", "config", "lab", "plan", "fault", "wire", "system", "image"]),
    ("rpc", &["name", "hint", "matchbox", "event", "config", "lab", "plan", "system"]),
    (
        "serve",
        &[
            "name", "hint", "bmc", "matchbox", "event", "config", "lab", "plan", "fault", "wire", "observe",
            "system", "rpc",
        ],
    ),
    (
        "run",
        &[
            "name",
            "hint",
            "bmc",
            "matchbox",
            "diag",
            "event",
            "config",
            "lab",
            "plan",
            "expect",
            "fault",
            "observe",
            "dissect",
            "dialogue",
            "diagnose",
            "kubernetes",
            "report",
            "system",
            "image",
            "capture",
            "node",
            "rpc",
            "serve",
        ],
    ),
    (
        "web",
        &["name", "hint", "diag", "event", "lab", "plan", "expect", "observe", "diagnose", "report", "run"],
    ),
    (
        "cli",
        &[
            "name", "hint", "bmc", "matchbox", "diag", "event", "config", "lab", "plan", "expect", "observe",
            "dissect", "dialogue", "diagnose", "import", "report", "guide", "system", "image", "capture",
            "node", "rpc", "serve", "run", "web",
        ],
    ),
    ("main", &["cli"]),
];

/// Not allowed in the pure core: anything that can fail for external reasons.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "touches files"),
    ("std::process", "starts processes"),
    ("std::env", "reads the environment"),
    ("std::thread", "starts threads"),
    ("std::io::stdin", "reads a terminal"),
    ("std::io::stdout", "prints"),
    ("std::io::stderr", "prints"),
    ("std::net::TcpListener", "opens sockets"),
    ("std::net::TcpStream", "opens sockets"),
    ("std::net::UdpSocket", "opens sockets"),
    ("std::net::ToSocketAddrs", "asks DNS"),
    ("std::os", "knows the kernel"),
    ("std::time::Instant", "reads a clock"),
    ("std::time::SystemTime", "reads a clock"),
    ("jiff::Zoned", "reads the time zone"),
    ("jiff::tz", "reads the time zone"),
    ("Timestamp::now", "reads a clock"),
    ("Uuid::new_v4", "is random"),
    ("nix", "knows the kernel"),
    ("tokio", "waits"),
    ("rand", "is random"),
];

/// Methods of `std::path::Path` that access the file system.
const LOOKS: &[&str] = &[
    "canonicalize",
    "exists",
    "is_dir",
    "is_file",
    "metadata",
    "read_dir",
    "read_link",
    "symlink_metadata",
    "try_exists",
];

/// Returns the modules that a module may use, or `None` if it is unknown.
fn knows(module: &str) -> Option<&'static [&'static str]> {
    if let Some(at) = PURE.iter().position(|name| *name == module) {
        return Some(&PURE[..at]);
    }
    SHELL.iter().find(|(name, _)| *name == module).map(|(_, knows)| *knows)
}

/// Returns the top-level module of a path within our own crate.
fn target<'a>(source: &'a Source, segments: &'a [String]) -> Option<&'a str> {
    match segments[0].as_str() {
        "crate" => Some(&segments[1]),
        "dryrack" if source.file == "main.rs" => Some(&segments[1]),
        "super" => {
            let up = segments.iter().take_while(|segment| *segment == "super").count();
            let rest = segments.get(up)?;
            match source.module().len().cmp(&up) {
                std::cmp::Ordering::Equal => Some(rest),
                std::cmp::Ordering::Greater => None,
                // An inline module; tokens only tell its file.
                std::cmp::Ordering::Less => None,
            }
        }
        _ => None,
    }
}

/// Returns every use that is not allowed.
pub(crate) fn wrong_arrows(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in &tree.sources {
        let top = source.top();
        if top == "lib" {
            continue;
        }
        let Some(knows) = knows(top) else {
            wrong.push(format!("src/{}: there is no `{top}` in the plan of the house", source.file));
            continue;
        };
        for path in &source.paths {
            let Some(target) = target(source, &path.segments) else { continue };
            let exists = PURE.contains(&target) || SHELL.iter().any(|(name, _)| *name == target);
            if exists && target != top && !knows.contains(&target) {
                wrong.push(source.at(path.line, &format!("`{top}` may not know `{target}`")));
            }
        }
    }
    wrong
}

/// Where it may be known that a node is a QEMU: where nodes are made.
const MAKES_NODES: &[&str] = &["run/rack.rs"];

/// Names every place outside of `node` that knows what a node is made of. The self-test of the accelerator is no node.
pub(crate) fn behind_the_seam(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in &tree.sources {
        if source.top() == "node" || MAKES_NODES.contains(&source.file.as_str()) {
            continue;
        }
        for path in &source.paths {
            if path.begins("crate::node::qemu") && !path.begins("crate::node::qemu::accel") {
                wrong.push(source.at(path.line, "only `run/rack.rs` may know that a node is a QEMU"));
            }
        }
    }
    wrong
}

/// Returns every cycle between files. A module and its submodules may use each other: they count as one.
pub(crate) fn circles(tree: &Tree) -> Vec<String> {
    let modules = tree.sources.iter().map(|source| (source.module(), source.file.as_str())).collect();
    let arrows: BTreeMap<&str, BTreeSet<&str>> = tree
        .sources
        .iter()
        .map(|source| {
            let named = source.paths.iter().filter_map(|path| sibling(&modules, source, &path.segments));
            (source.file.as_str(), named.collect())
        })
        .collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|file| (*file, reachable(&arrows, file))).collect();
    let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (file, others) in &reached {
        if others.contains(file) {
            circles.insert(others.iter().copied().filter(|other| reached[other].contains(file)).collect());
        }
    }
    circles.iter().map(|circle| format!("src/: a circle between {}", circle.join(", "))).collect()
}

/// Returns the file of a path, if it is neither a parent nor a child of the file with the path.
fn sibling<'a>(
    modules: &BTreeMap<Vec<&str>, &'a str>,
    source: &Source,
    segments: &[String],
) -> Option<&'a str> {
    let own = source.module();
    let up = segments.iter().take_while(|segment| *segment == "super").count();
    let (from, skipped) = match segments[0].as_str() {
        "crate" => (0, 1),
        "super" => (own.len().checked_sub(up)?, up),
        _ => return None,
    };
    let mut path: Vec<&str> = own[..from].to_vec();
    path.extend(segments[skipped..].iter().map(String::as_str));
    while !path.is_empty() && !modules.contains_key(&path) {
        path.pop();
    }
    let family = own.starts_with(&path) || path.starts_with(&own);
    modules.get(&path).copied().filter(|_| !family)
}

fn reachable<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut queue: Vec<&str> = arrows[from].iter().copied().collect();
    while let Some(file) = queue.pop() {
        if reached.insert(file) {
            queue.extend(&arrows[file]);
        }
    }
    reached
}

/// Returns everything in the pure core that can fail for external reasons.
pub(crate) fn impure(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in tree.sources.iter().filter(|source| PURE.contains(&source.top())) {
        for path in &source.paths {
            if let Some((_, what)) = IMPURE.iter().find(|(what, _)| path.begins(what) || path.ends(what)) {
                wrong.push(source.at(path.line, &format!("`{}` {what}", path.segments.join("::"))));
            }
        }
        for window in source.tokens.windows(3) {
            if let [dot, method, open] = window
                && (dot.text.as_str(), open.text.as_str()) == (".", "(")
                && LOOKS.contains(&method.text.as_str())
            {
                wrong.push(source.at(method.line, &format!("`{}` looks at the file system", method.text)));
            }
        }
        for token in &source.tokens {
            if matches!(token.text.as_str(), "async" | "await") {
                wrong.push(source.at(token.line, "waits"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrows(file: &str, text: &str) -> Vec<String> {
        wrong_arrows(&Tree::of(file, text))
    }

    #[test]
    fn the_house_is_as_planned() {
        for (file, text) in [
            ("plan/mod.rs", "use crate::lab::Lab; use super::name::Mac;"),
            ("run/mod.rs", "use crate::{serve, node::Machine};"),
            ("node/qemu/disk.rs", "use crate::image::Cache; use super::qmp;"),
            ("main.rs", "fn main() { dryrack::cli::main() }"),
            ("plan/mod.rs", "#[cfg(test)] mod tests { use crate::run; }"),
        ] {
            assert_eq!(arrows(file, text), [""; 0], "{file} {text}");
        }
    }

    #[test]
    fn whoever_looks_behind_the_seam_is_found() {
        let seam = |file: &str, text: &str| behind_the_seam(&Tree::of(file, text));
        let wrong = "src/run/director.rs:1: only `run/rack.rs` may know that a node is a QEMU";
        assert_eq!(seam("run/director.rs", "use crate::node::{Node, qemu::Machine};"), [wrong]);
        assert_eq!(seam("run/rack.rs", "use crate::node::qemu::Machine;"), [""; 0]);
        assert_eq!(seam("cli/doctor.rs", "use crate::node::qemu::accel;"), [""; 0]);
        assert_eq!(seam("run/director.rs", "use crate::node::Node;"), [""; 0]);
    }

    #[test]
    fn wrong_arrows_are_found() {
        for (file, text, wrong) in [
            ("plan/mod.rs", "use crate::run::Run;", "src/plan/mod.rs:1: `plan` may not know `run`"),
            ("name.rs", "use crate::{\n diag::Code};", "src/name.rs:2: `name` may not know `diag`"),
            ("serve/tftp.rs", "use crate::node::M;", "src/serve/tftp.rs:1: `serve` may not know `node`"),
            ("lab/mod.rs", "use super::plan::Plan;", "src/lab/mod.rs:1: `lab` may not know `plan`"),
            ("lab/good.rs", "use super::super::plan;", "src/lab/good.rs:1: `lab` may not know `plan`"),
            (
                "report/mod.rs",
                "fn f() { crate::system::facts() }",
                "src/report/mod.rs:1: `report` may not know `system`",
            ),
            ("main.rs", "use dryrack::run;", "src/main.rs:1: `main` may not know `run`"),
            ("helper.rs", "", "src/helper.rs: there is no `helper` in the plan of the house"),
        ] {
            assert_eq!(arrows(file, text), [wrong], "{file} {text}");
        }
    }

    /// A tree of three files below `lab`.
    fn files(a: &str, b: &str, c: &str) -> Tree {
        let files = [
            ("lib.rs", "mod lab;"),
            ("lab.rs", "mod a; mod b; mod c; pub use a::A;"),
            ("lab/a.rs", a),
            ("lab/b.rs", b),
            ("lab/c.rs", c),
        ];
        Tree::new(files.map(|(file, text)| (file.to_owned(), text.to_owned())).into())
    }

    #[test]
    fn circles_between_files_are_found() {
        let two = files("use super::b::B;", "fn f() { crate::lab::a::g() }", "use super::a;");
        assert_eq!(circles(&two), ["src/: a circle between lab/a.rs, lab/b.rs"]);
        let three = files("use super::b;", "use super::c::{C, D};", "use crate::lab::a::A;");
        assert_eq!(circles(&three), ["src/: a circle between lab/a.rs, lab/b.rs, lab/c.rs"]);
    }

    #[test]
    fn a_file_may_know_those_above_and_below_it() {
        let fine = files("use super::{A, b};", "use super::c;", "use crate::lab::A;");
        assert_eq!(circles(&fine), [""; 0]);
        let tested = files("use super::b;", "#[cfg(test)] mod tests { use crate::lab::a; }", "");
        assert_eq!(circles(&tested), [""; 0]);
    }

    #[test]
    fn impure_code_is_found() {
        for (text, wrong) in [
            ("use std::{fs, fmt};", "src/lab/mod.rs:1: `std::fs` touches files"),
            ("use std::time::{Duration, Instant};", "src/lab/mod.rs:1: `std::time::Instant` reads a clock"),
            ("use std::net::UdpSocket;", "src/lab/mod.rs:1: `std::net::UdpSocket` opens sockets"),
            ("fn f(p: &Path) { p.exists(); }", "src/lab/mod.rs:1: `exists` looks at the file system"),
            ("fn f() { jiff::Timestamp::now() }", "src/lab/mod.rs:1: `jiff::Timestamp::now` reads a clock"),
            ("async fn f() {}", "src/lab/mod.rs:1: waits"),
        ] {
            assert_eq!(impure(&Tree::of("lab/mod.rs", text)), [wrong.to_owned()], "{text}");
        }
        let pure = "use std::net::Ipv4Addr; use std::time::Duration; fn f(t: Timestamp) { g.exists; }";
        assert_eq!(impure(&Tree::of("lab/mod.rs", pure)), [""; 0]);
        assert_eq!(impure(&Tree::of("system/mod.rs", "use std::fs;")), [""; 0]);
    }
}
