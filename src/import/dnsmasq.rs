//! dnsmasq.conf, as dnsmasq 2.90 reads it, with the files that it includes.

mod keys;
mod network;
mod syntax;
mod tags;

use std::path::{Path, PathBuf};

use super::boot::Test;
use super::document::{Document, ItemId};
use super::files::{Files, folder, locate};
use super::setup::{Program, Sent, Server, Serves, Setup, VENDOR_CLASS, VENDOR_OPTIONS};
use crate::diag::Sources;

pub(super) use keys::{all as all_keys, is_known};
pub(super) use network::wrong;
use syntax::fields;

/// The most files that are included, and how deep.
const MOST_FILES: usize = 200;

/// What dnsmasq.conf says.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) document: Document,
    pub(super) setup: Setup,
    /// The files that it includes: where the server has them, and where they are here.
    pub(super) included: Vec<(String, PathBuf)>,
}

/// Files that dnsmasq.conf names, by what is in them.
#[derive(Debug, Default)]
struct Included {
    /// Where the server has them, and where they are here.
    files: Vec<(String, String)>,
    /// The files that are read here.
    read: Vec<(String, PathBuf)>,
    /// Name servers of `resolv-file`.
    resolvers: Vec<(ItemId, String)>,
    /// Lines of hosts files: the directive that names the file, an address, and names.
    hosts: Vec<(ItemId, String, Vec<String>)>,
    /// The folders of `tftp-root` as they are here.
    roots: Vec<(ItemId, PathBuf)>,
}

/// Reads dnsmasq.conf.
pub(super) fn read(path: &Path, file: usize, sources: &mut Sources, files: &dyn Files) -> Read {
    let mut reader = Reader {
        document: Document::new(file),
        sources,
        files,
        included: Included::default(),
        folder: folder(path),
        count: 0,
        reading: vec![path.to_owned()],
    };
    let target = "/etc/dnsmasq.conf".to_owned();
    reader.included.files.push((target, path.display().to_string()));
    reader.text(file);
    let Reader { mut document, mut included, .. } = reader;
    let mut setup = network::understand(&mut document, &included);
    let read = std::mem::take(&mut included.read);
    setup.servers.push(server(&document, included));
    Read { document, setup, included: read }
}

/// Describes the server that runs with the file itself.
fn server(document: &Document, included: Included) -> Server {
    let root = Document::ROOT;
    let has = |key: &str| document.get(root, key).is_some();
    let port = document.all(root, "port").last().map(|port| document.text(*port).to_owned());
    let interfaces = document.all(root, "interface").into_iter();
    let interfaces = interfaces.flat_map(|item| fields(document.text(item)));
    // A range of IPv6 is another server.
    let mut ranges = document.all(root, "dhcp-range").into_iter();
    let dhcp = ranges.any(|item| network::range_of(document, item).is_some());
    let mut folders = vec!["/var/lib/misc".to_owned()];
    for key in ["dhcp-leasefile", "log-facility", "pid-file"] {
        for item in document.all(root, key) {
            folders.extend(document.text(item).rsplit_once('/').map(|(folder, _)| folder.to_owned()));
        }
    }
    folders.retain(|folder| folder.starts_with('/'));
    Server {
        program: Program::Dnsmasq,
        files: included.files,
        port: port.as_deref().and_then(|port| port.parse().ok()),
        from: document.span(root),
        folders,
        interfaces: interfaces.filter(|name| name != "lo").collect(),
        alone: !has("bind-interfaces") && !has("bind-dynamic"),
        serves: Serves { dhcp, dns: port.as_deref() != Some("0"), tftp: has("enable-tftp") },
    }
}

struct Reader<'a> {
    document: Document,
    sources: &'a mut Sources,
    files: &'a dyn Files,
    included: Included,
    folder: PathBuf,
    count: usize,
    /// The files that are open, each of which includes the next one.
    reading: Vec<PathBuf>,
}

impl Reader<'_> {
    /// Adds the directives of a text, and of what it includes.
    fn text(&mut self, file: usize) {
        let text = self.sources.text(file).to_owned();
        for line in syntax::lines(&text, file) {
            let value = line.value.map(str::to_owned);
            let item = self.document.add(Document::ROOT, line.key, value.clone(), line.span);
            self.include(line.key, item, value.as_deref().unwrap_or_default());
        }
    }

    /// Reads what a directive includes.
    fn include(&mut self, key: &str, item: ItemId, value: &str) {
        match key {
            "conf-file" | "dhcp-hostsfile" | "dhcp-optsfile" | "addn-hosts" | "resolv-file" => {
                let Some(path) = self.find(item, value) else { return };
                match self.files.list(&path) {
                    // `addn-hosts` may be a folder.
                    Some(names) => names.iter().for_each(|name| self.file(key, item, &path.join(name))),
                    None => self.file(key, item, &path),
                }
            }
            "conf-dir" | "dhcp-hostsdir" | "dhcp-optsdir" | "hostsdir" => {
                let parts = fields(value);
                let Some(path) = self.find(item, &parts[0]) else { return };
                let names = self.files.list(&path).unwrap_or_default();
                for name in names.iter().filter(|name| key != "conf-dir" || loads(name, &parts[1..])) {
                    self.file(key, item, &path.join(name));
                }
            }
            "tftp-root" => {
                let parts = fields(value);
                let root = self.find(item, &parts[0]);
                self.included.roots.extend(root.map(|root| (item, root)));
            }
            "read-ethers" => {
                let Some(path) = self.find(item, "/etc/ethers") else { return };
                self.file(key, item, &path);
            }
            _ => {}
        }
    }

    /// Finds a file or folder, or notes that it is not there.
    fn find(&mut self, item: ItemId, written: &str) -> Option<PathBuf> {
        let found = locate(self.files, &self.folder, written);
        match &found {
            Some(path) => {
                let target =
                    if written.starts_with('/') { written.to_owned() } else { format!("/{written}") };
                self.included.files.push((target, path.display().to_string()));
            }
            None => self.document.miss(item, format!("`{written}` is not there: put it beside the file")),
        }
        found
    }

    /// Reads one file that a directive names.
    fn file(&mut self, key: &str, item: ItemId, path: &Path) {
        if self.reading.iter().any(|open| open == path) {
            self.document.leave(item, "the file includes itself, and is read once");
            return;
        }
        self.count += 1;
        let Some(bytes) = self.files.read(path).filter(|_| self.count <= MOST_FILES) else {
            self.document.miss(item, format!("`{}` cannot be read", path.display()));
            return;
        };
        let name = path.display().to_string();
        self.included.read.push((name.clone(), path.to_owned()));
        let file = self.sources.add(name, String::from_utf8_lossy(&bytes).into_owned());
        match key {
            "conf-file" | "conf-dir" => {
                self.document.carry(item, "its lines");
                self.reading.push(path.to_owned());
                self.text(file);
                self.reading.pop();
            }
            // The lines of these files are values of one option.
            "dhcp-hostsfile" | "dhcp-hostsdir" => self.values(file, item, "dhcp-host"),
            "dhcp-optsfile" | "dhcp-optsdir" => self.values(file, item, "dhcp-option"),
            "read-ethers" => {
                let text = self.sources.text(file).to_owned();
                for line in syntax::lines(&text, file) {
                    let value = text[line.span.range()].split_whitespace().collect::<Vec<_>>().join(",");
                    self.document.add(Document::ROOT, "dhcp-host", Some(value), line.span);
                }
                self.document.carry(item, "its lines");
            }
            "resolv-file" => {
                for line in self.sources.text(file).lines() {
                    let mut words = line.split_whitespace();
                    if words.next() == Some("nameserver") {
                        self.included.resolvers.extend(words.next().map(|word| (item, word.to_owned())));
                    }
                }
            }
            _ => {
                for line in self.sources.text(file).lines() {
                    let line = line.split('#').next().unwrap_or_default();
                    let mut words = line.split_whitespace().map(str::to_owned);
                    if let Some(address) = words.next() {
                        self.included.hosts.push((item, address, words.collect()));
                    }
                }
            }
        }
    }

    /// Adds each line of a file as a directive.
    fn values(&mut self, file: usize, item: ItemId, key: &str) {
        let text = self.sources.text(file).to_owned();
        for line in syntax::lines(&text, file) {
            let value = text[line.span.range()].to_owned();
            self.document.add(Document::ROOT, key, Some(value), line.span);
        }
        self.document.carry(item, "its lines");
    }
}

/// Returns the directives that ask for a tag that nothing sets.
pub(super) fn unset_tags(document: &Document) -> Vec<(ItemId, String)> {
    let known = tags::Tags::collect(document);
    let mut found = Vec::new();
    for item in document.children(Document::ROOT) {
        let asks = [
            "dhcp-boot",
            "dhcp-option",
            "dhcp-option-force",
            "pxe-service",
            "tag-if",
            "dhcp-range",
            "dhcp-ignore",
        ];
        if !asks.contains(&document.name(item)) {
            continue;
        }
        let wanted = tags::tagged(document.text(item)).wanted;
        // What must not be there may be missing.
        let missing = wanted.into_iter().find(|tag| !tag.starts_with('!') && !known.is_set(tag));
        found.extend(missing.map(|tag| (item, tag)));
    }
    found
}

/// Returns the vendor classes and options of vendors that clients are sent.
pub(super) fn sent(document: &Document) -> Vec<Sent> {
    let keys = ["dhcp-option", "dhcp-option-force", "dhcp-option-pxe"];
    let items = document.children(Document::ROOT).into_iter();
    let items = items.filter(|item| keys.contains(&document.name(*item)));
    let sent = items.filter_map(|item| {
        let tags::Tagged { wanted, rest, .. } = tags::tagged(document.text(item));
        let (key, values) = rest.split_first()?;
        let (code, scoped) = match key.strip_prefix("option:").unwrap_or(key) {
            "60" | "vendor-class" => (VENDOR_CLASS, !wanted.is_empty()),
            "43" | "vendor-encap" => (VENDOR_OPTIONS, !wanted.is_empty()),
            key if key.starts_with("vendor:") => (VENDOR_OPTIONS, true),
            _ => return None,
        };
        Some(Sent { item, code, value: values.join(","), scoped })
    });
    sent.collect()
}

/// Returns whether clients are offered a menu of PXE.
pub(super) fn has_menu(document: &Document) -> bool {
    document.get(Document::ROOT, "pxe-service").is_some()
}

/// Returns the second entry of a menu that waits for a key.
pub(super) fn waiting_menu(document: &Document) -> Option<ItemId> {
    if document.get(Document::ROOT, "pxe-prompt").is_some() {
        return None;
    }
    let known = tags::Tags::collect(document);
    let services: Vec<(ItemId, String, Test)> = document
        .all(Document::ROOT, "pxe-service")
        .into_iter()
        .map(|item| {
            let tagged = tags::tagged(document.text(item));
            let arch = tagged.rest.first().cloned().unwrap_or_default().to_ascii_lowercase();
            (item, arch, known.test(&tagged.wanted, 0))
        })
        .collect();
    let same = |(index, (_, arch, test)): &(usize, &(ItemId, String, Test))| {
        services[..*index].iter().any(|(_, other, before)| {
            other == arch && (before == test || *before == Test::Always || *test == Test::Always)
        })
    };
    services.iter().enumerate().find(same).map(|(_, (item, ..))| *item)
}

/// Returns whether `conf-dir` loads a file: all but those with a suffix that is excluded, or only those with `*SUFFIX`.
fn loads(name: &str, suffixes: &[String]) -> bool {
    if name.starts_with('.') || name.ends_with('~') || (name.starts_with('#') && name.ends_with('#')) {
        return false;
    }
    let only: Vec<_> = suffixes.iter().filter_map(|suffix| suffix.strip_prefix('*')).collect();
    let excluded = suffixes.iter().filter(|suffix| !suffix.starts_with('*') && !suffix.is_empty());
    (only.is_empty() || only.iter().any(|suffix| name.ends_with(suffix)))
        && excluded.into_iter().all(|suffix| !name.ends_with(suffix.as_str()))
}
