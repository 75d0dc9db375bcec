//! matchbox over HTTP: its routes, assets and signatures. What is rendered is decided in [`crate::matchbox`].
//!
//! Nothing is sent here: an [`Answer`] is passed to the HTTP service.

mod assets;
#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;
mod route;
mod sign;
mod standalone;
mod store;
mod watch;

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use self::route::{Armour, Route, route};
pub use self::sign::{KeyRing, KeyRingError};
pub use self::standalone::{Secure, Standalone, StandaloneError, serve_standalone};
pub use self::store::Store;
use super::payload::{self, Sound, Spoilt};
use crate::event::{Emitter, FileRole, Known};
use crate::fault::Faults;
use crate::matchbox::go::{html_escape, path, sniff};
use crate::matchbox::labels::labels;
use crate::matchbox::render::{BOOT_SCRIPT, Endpoint, Failure, Rendered, Source, render};
use crate::name::NodeName;
use crate::plan::MatchboxPlan;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// Maximum number of files whose role is stored.
const MOST_ROLES: usize = 4096;

/// What every request needs.
#[derive(Debug, Clone)]
pub(super) struct Matchbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<Store>,
    assets: Option<PathBuf>,
    key_ring: Option<Arc<KeyRing>>,
    others: Fallback,
    /// The roles of paths, from the scripts that named them.
    roles: Mutex<HashMap<String, FileRole>>,
}

/// What serves paths that matchbox does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fallback {
    /// Nothing: matchbox answers 404.
    None,
    /// The lab's own content.
    Lab,
}

/// The parts of a request that matter here.
#[derive(Debug, Clone, Copy)]
pub(super) struct MatchboxRequest<'a> {
    /// The method. Every method is served.
    pub(super) method: &'a str,
    /// The path, still escaped.
    pub(super) path: &'a str,
    /// The query, still escaped; empty if there is none.
    pub(super) query: &'a str,
}

/// A response.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// Its media type; `None` if Go sends none.
    pub(super) media_type: Option<&'static str>,
    /// The target of a redirect.
    pub(super) location: Option<String>,
    /// When it was last modified.
    pub(super) modified: Option<SystemTime>,
    /// The body.
    pub(super) body: Body,
    /// Its role for a machine.
    pub(super) role: Option<FileRole>,
    /// The rule that decided: the group and the profile, or why nothing is served.
    pub(super) rule: String,
    /// Errors of this response that are reported to the user.
    pub(super) failures: Vec<Failure>,
    /// Other problems that are reported to the user.
    pub(super) warnings: Vec<Failure>,
}

/// A body.
#[derive(Debug)]
pub(super) enum Body {
    /// Sent as a whole.
    Whole(Vec<u8>),
    /// Sent with range support, as `http.ServeContent` does.
    Text(Vec<u8>),
    /// A file, sent with range support.
    File(File, Metadata),
}

impl Answer {
    fn new(status: u16, media_type: &'static str, body: Body) -> Self {
        Self {
            status,
            media_type: Some(media_type),
            location: None,
            modified: None,
            body,
            role: None,
            rule: String::new(),
            failures: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Returns an error as `http.Error` does: with a newline and a fixed media type.
    fn error(status: u16, text: &str) -> Self {
        Self::new(status, PLAIN, Body::Whole(format!("{text}\n").into_bytes()))
    }

    fn not_found(rule: impl Into<String>) -> Self {
        Self { rule: rule.into(), ..Self::error(404, "404 page not found") }
    }

    /// Redirects a client as `http.Redirect` does.
    fn redirect(method: &str, to: String) -> Self {
        let page = format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", html_escape(&to));
        let body = if method == "GET" { page.into_bytes() } else { Vec::new() };
        let mut answer = Self::new(307, HTML, Body::Whole(body));
        answer.media_type = matches!(method, "GET" | "HEAD").then_some(HTML);
        Self { location: Some(to), rule: "redirect".to_owned(), ..answer }
    }

    /// Tells whether to send `nosniff`: Go does so for errors, but not for their signatures.
    pub(super) fn is_error(&self) -> bool {
        self.status >= 400 && self.media_type == Some(PLAIN) && self.role != Some(FileRole::Signature)
    }
}

impl Answer {
    /// Returns what a node is sent instead, if something is to go wrong. Temporary files are created in a folder.
    pub(super) fn spoil(self, faults: &Faults, node: Option<&NodeName>, folder: &Path) -> io::Result<Self> {
        let sound = match &self.body {
            Body::Whole(bytes) | Body::Text(bytes) => Sound::Bytes(bytes),
            Body::File(file, metadata) => Sound::File(file, metadata),
        };
        if self.status != 200 {
            return Ok(self);
        }
        let body = match payload::spoil(faults, node, self.role.as_ref(), sound, folder)? {
            None => return Ok(self),
            Some(Spoilt::Missing) => return Ok(Self::not_found("asset not found")),
            Some(Spoilt::Bytes(bytes)) => match self.body {
                Body::Whole(_) => Body::Whole(bytes),
                Body::Text(_) | Body::File(..) => Body::Text(bytes),
            },
            Some(Spoilt::File(file, metadata)) => Body::File(file, metadata),
        };
        Ok(Self { body, ..self })
    }
}

impl Matchbox {
    /// Creates it from a store, assets and a key ring.
    pub(super) fn new(
        store: Arc<Store>,
        assets: Option<PathBuf>,
        key_ring: Option<Arc<KeyRing>>,
        others: Fallback,
    ) -> Self {
        Self(Arc::new(Inner { store, assets, key_ring, others, roles: Mutex::default() }))
    }

    /// Creates it from a plan, for a lab with other content. `folder` is the network's folder.
    pub(super) fn of(plan: &MatchboxPlan, folder: &Path, key_ring: Option<Arc<KeyRing>>) -> Self {
        let MatchboxPlan { data, assets, newest, rpc, entries, .. } = plan;
        let own = || rpc.as_ref().map(|_| folder.join(super::grpc::DATA));
        let store = Store::open(data.clone().or_else(own), entries.clone(), *newest);
        Self::new(Arc::new(store), assets.clone(), key_ring, Fallback::Lab)
    }

    /// Answers a request; `None` if the path is not matchbox's.
    pub(super) fn answer(&self, requested: MatchboxRequest<'_>) -> Option<Answer> {
        let Inner { assets, key_ring, others, .. } = &*self.0;
        let mut answer = match route(requested.path, assets.is_some(), key_ring.is_some()) {
            Route::Nothing if *others == Fallback::Lab => return None,
            Route::Redirect { to: _, known: false } if *others == Fallback::Lab => return None,
            Route::Nothing => Answer::not_found("nothing is served under this path"),
            Route::Home => Answer::new(200, PLAIN, Body::Whole(b"matchbox\n".to_vec())),
            Route::Redirect { to, known: _ } => {
                let query = if requested.query.is_empty() { "" } else { "?" };
                Answer::redirect(requested.method, format!("{to}{query}{}", requested.query))
            }
            Route::Boot(armour) => {
                let script = Answer::new(200, PLAIN, Body::Whole(BOOT_SCRIPT.as_bytes().to_vec()));
                let script =
                    Answer { role: Some(FileRole::Script), rule: "boot script".to_owned(), ..script };
                self.signed(script, armour)
            }
            Route::Render(endpoint, armour) => {
                let answer = self.rendered(endpoint, requested.query);
                self.signed(answer, armour)
            }
            Route::Asset(path) => {
                let folder = assets.as_deref()?;
                let role = self.role(requested.path);
                Answer {
                    role: Some(role.unwrap_or(FileRole::File)),
                    ..assets::find(folder, &path, requested.query)
                }
            }
        };
        answer.warnings = self.0.store.take_warnings();
        Some(answer)
    }

    fn rendered(&self, endpoint: Endpoint, query: &str) -> Answer {
        let rendered = render(endpoint, &labels(query), query, &*self.0.store);
        let Rendered { media_type, body, group, profile, problem, warnings: _ } = match rendered {
            Ok(rendered) => rendered,
            Err(failure) => {
                let answer = Answer::not_found(failure.to_string());
                return Answer { failures: vec![failure], ..answer };
            }
        };
        let role = match endpoint {
            Endpoint::Ipxe | Endpoint::Grub => {
                self.learn_roles(profile.as_deref().unwrap_or_default());
                FileRole::Script
            }
            Endpoint::Ignition | Endpoint::Cloud | Endpoint::Generic | Endpoint::Metadata => FileRole::Seed,
        };
        let body = match endpoint {
            Endpoint::Cloud | Endpoint::Generic => Body::Text(body),
            _ => Body::Whole(body),
        };
        let profile = profile.map(|profile| format!(", profile {profile}")).unwrap_or_default();
        let rule = format!("group {group}{profile}");
        let failures = problem.into_iter().collect();
        Answer { role: Some(role), rule, failures, ..Answer::new(200, media_type, body) }
    }

    /// Records the roles of a profile's files that are fetched from this server.
    fn learn_roles(&self, profile: &str) {
        let Ok(profile) = self.0.store.profile(profile) else { return };
        let Some(boot) = &profile.boot else { return };
        let mut roles = self.0.roles.lock().unwrap_or_else(PoisonError::into_inner);
        let initrds = boot.initrd.iter().map(|file| (file, FileRole::Initrd));
        let files = [(&boot.kernel, FileRole::Kernel)].into_iter().chain(initrds);
        for (file, role) in files {
            let Some(path) = path_here(file) else { continue };
            if roles.get(&path) != Some(&role) && roles.len() < MOST_ROLES {
                roles.insert(path, role);
            }
        }
    }

    /// Returns the role of a path, if a script has named it.
    pub(super) fn role(&self, path: &str) -> Option<FileRole> {
        self.0.roles.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    /// Replaces an answer by its signature.
    fn signed(&self, answer: Answer, armour: Option<Armour>) -> Answer {
        let (Some(armour), Some(key_ring)) = (armour, &self.0.key_ring) else { return answer };
        let body = match &answer.body {
            Body::Whole(bytes) | Body::Text(bytes) => bytes.as_slice(),
            Body::File(..) => &[],
        };
        match key_ring.sign(body, armour) {
            Ok(signature) => {
                let media_type = sniff::media_type(&signature[..signature.len().min(512)]);
                let (media_type, body) = (Some(media_type), Body::Whole(signature));
                Answer { media_type, body, role: Some(FileRole::Signature), ..answer }
            }
            Err(error) => {
                let failures = vec![Failure::of("", format!("cannot sign: {error}"))];
                Answer { failures, ..Answer::not_found(error.to_string()) }
            }
        }
    }
}

/// Emits problems that a client is not told. Without a path, they belong to no request.
pub(super) fn tell(events: &Emitter, node: Option<&NodeName>, path: &str, failures: Vec<Failure>) {
    for Failure { file, line, reason } in failures {
        let failed = Known::MatchboxFailed { path: path.to_owned(), file, line, reason };
        events.emit_maybe(node, failed);
    }
}

/// Returns the path of a kernel or initrd on this server, whatever the host name is.
///
/// iPXE's `--name main http://…` has the URL last.
fn path_here(file: &str) -> Option<String> {
    let url = file.split_whitespace().next_back()?;
    let url = url.split(['?', '#']).next()?;
    let path = match url.split_once("://") {
        Some((_, rest)) => &rest[rest.find('/')?..],
        None => url,
    };
    let rooted = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(path::clean(&rooted))
}

#[cfg(test)]
mod tests;
