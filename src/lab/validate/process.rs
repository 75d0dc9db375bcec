//! Commands that run in the lab's network namespace.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::Check;
use crate::config::{Field, Located, RawHttp, RawProcess, RawReady, Short};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{
    Check as Checked, ContainerImage, Expectation, FileRef, Network, ProbedCheck, Process, ProcessFile, Ready,
};
use crate::name::{ExpectName, NetworkName, NodeName, ProcessName};

/// More than a hand-written file needs.
const MOST_PROCESSES: usize = 100;
const MOST_FILES: usize = 100;

impl Check<'_> {
    /// Checks the processes of the lab.
    pub(super) fn processes(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> BTreeMap<ProcessName, Process> {
        let raw = self.raw;
        let mut processes = BTreeMap::new();
        if self.too_many("the lab", &raw.process, MOST_PROCESSES, "processes") {
            return processes;
        }
        for (key, process) in &raw.process.entries {
            let name = self.name::<ProcessName>(key);
            let Some(process) = process else { continue };
            if let Some(process) = self.process(name, process, &key.span, networks, expectations) {
                processes.insert(process.name.clone(), process);
            }
        }
        processes
    }

    fn process(
        &mut self,
        name: Option<ProcessName>,
        raw: &RawProcess,
        home: &Span,
        networks: &BTreeMap<NetworkName, Network>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Process> {
        let image = match &raw.image {
            Field::Given(word) => Some(self.container_image(word)?),
            Field::Missing => None,
            Field::Bad => return None,
        };
        let run = match (&raw.run, &image) {
            // The image says what it starts.
            (Field::Missing, Some(_)) => None,
            (run, _) => Some(self.needed(run, "run = \"terraform apply -auto-approve\"", home)?),
        };
        let run = run.filter(|run| {
            let empty = run.value.trim().is_empty() || run.value.contains('\0');
            if empty {
                self.malformed(&run.span, "the command is empty".into(), "set a shell command");
            }
            !empty
        });
        let network = match &raw.network {
            Field::Given(word) => Some(self.network_named(&word.value, &word.span)?),
            Field::Missing => networks.keys().next().filter(|_| networks.len() == 1).cloned(),
            Field::Bad => None,
        };
        let name = name?;
        let after = match raw.after.given() {
            Some(word) => Some(self.process_after(&name, word, expectations)?),
            None => None,
        };
        let files = self.process_files(raw);
        let ready = match &raw.ready {
            Field::Given(ready) => Some(self.ready(ready)?),
            Field::Missing | Field::Bad => None,
        };
        let restart = raw.restart.value().copied().unwrap_or_default();
        let host = self.maybe_host(&raw.host)?;
        if image.is_none() {
            self.files_agree(raw, host.as_ref());
        }
        if let Some(run) = run {
            self.runs_sshd(run, raw);
        }
        let run = run.map(|run| run.value.clone());
        Some(Process { name, host, image, run, network, after, files, ready, restart })
    }

    /// Reads the reference of a container image.
    fn container_image(&mut self, word: &Located<String>) -> Option<ContainerImage> {
        if word.value.starts_with("image:") {
            return match self.file(word)? {
                FileRef::Image { image, file } => Some(ContainerImage::Built { image, file }),
                FileRef::Path(_) | FileRef::Lab(_) | FileRef::Url { .. } => None,
            };
        }
        match ContainerImage::parse(&word.value, &self.around.folder) {
            Ok(ContainerImage::Local { path, tag: _ }) if !(self.around.existing)(&path) => {
                let what = format!("there is no file `{}`", path.display());
                let help = "an image in a registry is named with the registry's host, as in \
                            \"oci:docker.io/library/nginx:1.25\"";
                self.report(Diagnostic::new(Code::NoSuchFile, word.span.clone(), what).help(help));
                None
            }
            Ok(image) => Some(image),
            Err(error) => {
                let what = format!("`{}` is not a container image: {error}", word.value);
                let help = "use `oci:` with an archive, the folder of a layout, or a name with the host of a registry, \
                            as in \"oci:docker.io/library/nginx:1.25\"";
                self.malformed(&word.span, what, help);
                None
            }
        }
    }

    /// Reports a path at which two processes of a host are given different things.
    fn files_agree(&mut self, raw: &RawProcess, host: Option<&NodeName>) {
        let Some(host) = host else { return };
        for (other, of) in &self.raw.process.entries {
            let Some(of) = of else { continue };
            if std::ptr::eq(of, raw) {
                // Each pair is looked at once.
                break;
            }
            // A process from an image has a root of its own.
            if of.host.value().map(String::as_str) != Some(host.as_str()) || !of.image.is_missing() {
                continue;
            }
            for (key, file) in &raw.files.entries {
                let Some((first, Some(there))) = of.files.get(&key.value) else { continue };
                let Some(here) = file else { continue };
                let same = here.0.path.value() == there.0.path.value()
                    && here.0.access.value() == there.0.access.value();
                if !same {
                    let what =
                        format!("`{}` is given otherwise to `{}` on the same host", key.value, other.value);
                    let twice = crate::config::malformed(key.span.clone(), what);
                    let help = "the files of a host are the same for all its processes: use another path";
                    self.report(twice.related(first.span.clone(), "first here").help(help));
                }
            }
        }
    }

    /// Warns of sshd where it cannot become another user.
    fn runs_sshd(&mut self, run: &Located<String>, raw: &RawProcess) {
        let is_sshd = run
            .value
            .split(|c: char| c.is_whitespace() || ";&|()".contains(c))
            .any(|word| word.rsplit('/').next() == Some("sshd"));
        if !is_sshd || self.around.other_ids || raw.run.value().is_none() {
            return;
        }
        let what = "sshd ends here: it checks that it became another user, and this user has no other IDs";
        let diagnostic = Diagnostic::new(Code::NeedsOtherIds, run.span.clone(), what);
        self.report(diagnostic.help(
            "give this user subordinate IDs (`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER`), \
             and install newuidmap (package uidmap)",
        ));
    }

    /// Checks the files that a process is given.
    fn process_files(&mut self, raw: &RawProcess) -> BTreeMap<PathBuf, ProcessFile> {
        let mut files = BTreeMap::new();
        if self.too_many("the process", &raw.files, MOST_FILES, "files") {
            return files;
        }
        for (key, file) in &raw.files.entries {
            let to = self.path_inside(key);
            let Some(Short(file)) = file else { continue };
            let source = self.needed(&file.path, "path = \"dnsmasq.conf\"", &key.span);
            let source = source.and_then(|source| match source.value.starts_with("image:") {
                true => self.file(source),
                false => self.path(source).map(FileRef::Path),
            });
            let (Some(to), Some(source)) = (to, source) else { continue };
            let access = file.access.value().copied().unwrap_or_default();
            if files.insert(to, ProcessFile { source, access }).is_some() {
                let what = format!("`{}` is given twice", key.value);
                self.malformed(&key.span, what, "give each path once");
            }
        }
        files
    }

    /// Returns the path at which a process sees something, or reports that there can be nothing.
    fn path_inside(&mut self, word: &Located<String>) -> Option<PathBuf> {
        let path: PathBuf = Path::new(&word.value).components().collect();
        let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !path.is_absolute() || !plain || path.parent().is_none() || word.value.contains('\0') {
            let what = format!("`{}` is not the path of a file or folder", word.value);
            self.malformed(&word.span, what, "use an absolute path, as in \"/etc/dnsmasq.conf\"");
            return None;
        }
        let of_kernel = ["/proc", "/sys", "/dev"].into_iter().find(|folder| path.starts_with(folder));
        if let Some(folder) = of_kernel {
            let what = format!("`{}` is in {folder}, which belongs to the kernel", word.value);
            self.malformed(&word.span, what, "use a path such as /etc, /srv or /var/lib");
            return None;
        }
        Some(path)
    }

    /// Checks what shows that a process is ready.
    fn ready(&mut self, raw: &Located<RawReady>) -> Option<Ready> {
        match &raw.value {
            RawReady::Udp(port) => self.port(port).map(Ready::Udp),
            RawReady::Tcp(port) => self.port(port).map(Ready::Tcp),
            RawReady::Http(http) => {
                let checked = match http {
                    Field::Given(http) => self.http(&http.value),
                    Field::Missing => self.http(&RawHttp::default()),
                    Field::Bad => None,
                };
                match checked? {
                    Checked::Probed(ProbedCheck::Http(http)) => Some(Ready::Http(http)),
                    Checked::Probed(_) | Checked::Observed(_) => None,
                }
            }
            RawReady::Log(pattern) => self.regex(pattern).map(Ready::Log),
            RawReady::File(path) => self.path_inside(path).map(Ready::File),
        }
    }
}
