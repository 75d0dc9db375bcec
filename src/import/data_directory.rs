//! A data directory of matchbox: groups, profiles, assets.

use std::path::Path;

use super::boot::http;
use super::document::{Document, ItemId};
use super::files::{Files, PathKind};
use super::setup::{Asset, Machine, Matchbox, Network, Nic, Program, Server, Serves, Setup, Sourced};
use crate::diag::{Code, Diagnostic, Sources};
use crate::matchbox::ignition::json;
use crate::name::is_served_path;

/// Where matchbox has its data.
const DATA: &str = "/var/lib/matchbox";

/// Returns whether a folder is a data directory.
pub(super) fn is_one(path: &Path, files: &dyn Files) -> bool {
    ["groups", "profiles"].iter().any(|name| files.kind(&path.join(name)) == Some(PathKind::Folder))
}

/// Reads groups and profiles: each file is an item, named after it.
pub(super) fn parse(
    path: &Path,
    file: usize,
    sources: &mut Sources,
    files: &dyn Files,
    problems: &mut Vec<Diagnostic>,
) -> Document {
    let mut document = Document::new(file);
    for folder in ["groups", "profiles"] {
        for name in files.list(&path.join(folder)).unwrap_or_default() {
            let path = path.join(folder).join(&name);
            let Some(stem) = name.strip_suffix(".json") else { continue };
            let Some(bytes) = files.read(&path) else { continue };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let file = sources.add(path.display().to_string(), text.clone());
            let wrong = |line: usize, message: String| {
                Diagnostic::new(Code::ForeignSyntax, sources.line(file, line), message)
                    .help("matchbox skips the file")
            };
            let problem = match json::read(text.as_bytes()) {
                Ok(tree) => match document.add_tree(&tree, &|line| sources.line(file, line)) {
                    Ok(item) => {
                        document.rename(item, format!("{folder}/{stem}"));
                        continue;
                    }
                    Err(line) => wrong(line, "it is nested too deep".into()),
                },
                Err(error) => wrong(error.line, error.message),
            };
            let span = problem.span.clone().unwrap_or_else(|| sources.line(file, 1));
            let item = document.add(Document::ROOT, format!("file {folder}/{name}"), None, span);
            document.leave_for_good(item, format!("matchbox skips the file: {}", problem.message));
            problems.push(problem);
        }
    }
    document
}

/// Returns the names of the initrds of a profile that no argument of its kernel names, and the item to say it at.
pub(super) fn unnamed_initrd(document: &Document, profile: ItemId) -> Option<(ItemId, String)> {
    let boot = document.get(profile, "boot")?;
    document.get(boot, "kernel").filter(|kernel| !document.text(*kernel).is_empty())?;
    let list = |name: &str| -> Vec<String> {
        let items = document.get(boot, name).map(|list| document.children(list)).unwrap_or_default();
        items.into_iter().map(|item| document.text(item).to_owned()).collect()
    };
    let arguments = list("args");
    let named: Vec<&str> = arguments
        .iter()
        .flat_map(|text| text.split_whitespace())
        .filter_map(|word| word.strip_prefix("initrd="))
        .collect();
    let initrds = list("initrd");
    let missing = initrds.iter().map(|initrd| initrd_name(initrd)).find(|name| !named.contains(name))?;
    let at = document.get(boot, "args").or_else(|| document.get(boot, "initrd")).unwrap_or(boot);
    Some((at, missing.to_owned()))
}

/// Returns the name under which iPXE passes an initrd: the one given, else the last part of the path.
fn initrd_name(initrd: &str) -> &str {
    let words: Vec<&str> = initrd.split_whitespace().collect();
    let given = words.iter().position(|word| matches!(*word, "--name" | "-n"));
    if let Some(name) = given.and_then(|at| words.get(at + 1)) {
        return name;
    }
    let url = words.last().copied().unwrap_or_default();
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the files of a folder.
pub(super) fn of_folder(document: &Document, folder: &str) -> Vec<(ItemId, String)> {
    let items = document.children(Document::ROOT).into_iter();
    items
        .filter_map(|item| {
            let name = document.name(item).strip_prefix(folder)?.strip_prefix('/')?.to_owned();
            Some((item, name))
        })
        .collect()
}

/// Returns what the directory describes. All of it is in the lab, because it is served as it is.
pub(super) fn understand(document: &mut Document, path: &Path, files: &dyn Files) -> Setup {
    let mut missing = Vec::new();
    for (profile, _) in of_folder(document, "profiles") {
        let kernel = document.at(profile, &["boot", "kernel"]);
        let initrds =
            document.at(profile, &["boot", "initrd"]).map(|list| document.children(list)).unwrap_or_default();
        let named =
            kernel.map(|item| (item, true)).into_iter().chain(initrds.into_iter().map(|item| (item, false)));
        for (item, kernel) in named {
            // An initrd may have a name for iPXE in front.
            let url = document.text(item).split_whitespace().last().unwrap_or_default().to_owned();
            let below = http(&url).map_or(url.as_str(), |(.., path)| path);
            let Some(asset) = below.strip_prefix("/assets/").or_else(|| below.strip_prefix("assets/")) else {
                continue;
            };
            let asset = asset.split(['?', '#']).next().unwrap_or_default();
            // A lab file cannot name another, and no client requests it as it is.
            if !is_served_path(asset) {
                continue;
            }
            if files.kind(&path.join("assets").join(asset)) != Some(PathKind::File) {
                let value = Asset { path: format!("assets/{asset}"), kernel };
                missing.push(Sourced::new(value, document.span(item)));
            }
        }
    }
    document.carry_all("matchbox.data");
    for (profile, _) in of_folder(document, "profiles") {
        for (key, folder) in [("ignition_id", "ignition"), ("cloud_id", "cloud"), ("generic_id", "generic")] {
            let Some(item) = document.get(profile, key) else { continue };
            let name = document.text(item).to_owned();
            let plain = !name.is_empty() && !name.split('/').any(|part| part == ".." || part.is_empty());
            if plain && files.kind(&path.join(folder).join(&name)) != Some(PathKind::File) {
                let why =
                    format!("`{folder}/{name}` is not in the data directory, so matchbox answers with 404");
                document.miss(item, why);
            }
        }
    }
    let mut machines: Vec<Machine> = Vec::new();
    for (group, name) in of_folder(document, "groups") {
        let selector =
            document.get(group, "selector").map(|item| document.children(item)).unwrap_or_default();
        let mac = selector.into_iter().find(|item| document.name(*item).eq_ignore_ascii_case("mac"));
        let Some(mac) = mac else { continue };
        let Ok(address) = document.text(mac).parse() else {
            document.carry_partly(mac, "matchbox.data", "it is no MAC address, so no node has it");
            continue;
        };
        let known = machines.iter().flat_map(|machine| &machine.nics);
        if known.filter_map(|nic| nic.mac.as_ref()).any(|mac| mac.value == address) {
            continue;
        }
        let span = document.span(mac);
        let nic = Nic { mac: Some(Sourced::new(address, span.clone())), ..Nic::default() };
        machines.push(Machine {
            name: Some(Sourced::new(name, span)),
            nics: vec![nic],
            ..Machine::default()
        });
    }
    let data = path.display().to_string();
    let from = document.span(Document::ROOT);
    let server = Server {
        program: Program::Matchbox,
        files: vec![(DATA.to_owned(), data.clone())],
        port: None,
        from: from.clone(),
        folders: vec![format!("{DATA}/assets")],
        interfaces: Vec::new(),
        alone: true,
        serves: Serves::default(),
    };
    let matchbox = Matchbox { data, port: None, missing };
    let network = Network { matchbox: Some(Sourced::new(matchbox, from)), ..Network::default() };
    Setup { networks: vec![network], machines, servers: vec![server], notes: Vec::new() }
}
