//! Renders the answer for a machine: its labels select a group, the group names a profile, the profile says what is
//! rendered.
//!
//! On any error, the client gets 404, or an empty Ignition config, and nothing more; the [`Failure`] is for the user.

mod cloud;
mod env;
mod script;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::content::{Content, Kind};
pub use super::failure::Failure;
use super::go::sniff;
use super::ignition::Version;
use super::labels::{Labels, words};
use super::model::{Group, Profile};
use super::select::Named;

/// The script at `/boot.ipxe`: iPXE fetches another script and sends its labels.
pub const BOOT_SCRIPT: &str = "#!ipxe\n\
    chain ipxe?uuid=${uuid}&mac=${mac:hexhyp}&domain=${domain}&hostname=${hostname}&serial=${serial}&arch=${buildarch:uristring}\n";

/// The endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// An iPXE script.
    Ipxe,
    /// A GRUB menu.
    Grub,
    /// An Ignition config.
    Ignition,
    /// A cloud-config or script.
    Cloud,
    /// A rendered template.
    Generic,
    /// Template variables in a format for shells.
    Metadata,
}

impl Endpoint {
    /// Every endpoint.
    pub const ALL: [Self; 6] =
        [Self::Ipxe, Self::Grub, Self::Ignition, Self::Cloud, Self::Generic, Self::Metadata];

    /// Returns its path.
    pub fn path(self) -> &'static str {
        match self {
            Self::Ipxe => "/ipxe",
            Self::Grub => "/grub",
            Self::Ignition => "/ignition",
            Self::Cloud => "/cloud",
            Self::Generic => "/generic",
            Self::Metadata => "/metadata",
        }
    }

    /// Returns the endpoint of a path.
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.path() == path)
    }
}

/// A source of groups, profiles and configs.
pub trait Source {
    /// Returns the group of a machine.
    fn select(&self, labels: &Labels) -> Option<Arc<Named>>;
    /// Returns every group, by name.
    fn groups(&self) -> Vec<Arc<Named>>;
    /// Returns a profile.
    fn profile(&self, id: &str) -> Result<Arc<Profile>, Failure>;
    /// Returns a config or template.
    fn content(&self, kind: Kind, name: &str) -> Result<Arc<Content>, Failure>;
    /// Returns the newest version of Ignition configs that the machines support.
    fn newest_ignition(&self) -> Version {
        Version::NEWEST
    }
}

/// The answer for a machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Its media type.
    pub media_type: &'static str,
    /// Its content.
    pub body: Vec<u8>,
    /// The name of the selected group.
    pub group: String,
    /// The profile, if one was used.
    pub profile: Option<String>,
    /// Why it is not the intended answer, if it is not.
    pub problem: Option<Failure>,
    /// What is probably not intended.
    pub warnings: Vec<Failure>,
}

/// Renders the answer for a machine at an endpoint.
pub fn render(
    endpoint: Endpoint,
    labels: &Labels,
    raw_query: &str,
    source: &dyn Source,
) -> Result<Rendered, Failure> {
    let Some(named) = source.select(labels) else {
        let reason = match labels.is_empty() {
            true => "no group takes a machine without labels".to_owned(),
            false => format!("no group matches {}", words(labels)),
        };
        return Err(Failure::of("groups", reason));
    };
    let group = &named.group;
    let rendered = |media_type, body, profile: Option<&Profile>, problem| Rendered {
        media_type,
        body,
        group: named.name.clone(),
        profile: profile.map(|_| group.profile.clone()),
        problem,
        warnings: Vec::new(),
    };
    if endpoint == Endpoint::Metadata {
        let body = env::write(&data(group, labels, raw_query));
        return Ok(rendered("plain/text", body.into_bytes(), None, None));
    }
    let profile = source.profile(&group.profile)?;
    let boot = || {
        let missing = || Failure::of(format!("profiles/{}.json", group.profile), "it has no `boot`");
        profile.boot.as_ref().ok_or_else(missing)
    };
    let content = |kind, name: &str| {
        let missing = |what: &str| {
            Failure::of(format!("profiles/{}.json", group.profile), format!("it has no `{what}`"))
        };
        match kind {
            _ if !name.is_empty() => source.content(kind, name),
            Kind::Ignition => Err(missing("ignition_id")),
            Kind::Cloud => Err(missing("cloud_id")),
            Kind::Generic => Err(missing("generic_id")),
        }
    };
    let data = || data(group, labels, raw_query);
    let mut warnings = Vec::new();
    let (media_type, body, problem) = match endpoint {
        Endpoint::Ipxe => sniffed(script::ipxe(boot()?).into_bytes()),
        Endpoint::Grub => sniffed(script::grub(boot()?).into_bytes()),
        Endpoint::Generic => sniffed(content(Kind::Generic, &profile.generic_id)?.render(&data())?),
        Endpoint::Cloud => {
            let content = content(Kind::Cloud, &profile.cloud_id)?;
            let body = content.render(&data())?;
            cloud::check(&body).map_err(|(line, reason)| content.failure(line, reason))?;
            sniffed(body)
        }
        Endpoint::Ignition => {
            let (id, newest) = (&profile.ignition_id, source.newest_ignition());
            let content = content(Kind::Ignition, id)?;
            let is_raw = id.ends_with(".ign") || id.ends_with(".ignition");
            let made = if is_raw { content.ignition(newest) } else { content.butane(&data(), newest)? };
            warnings.clone_from(&made.warnings);
            ("application/json", made.text.clone().into_bytes(), made.problem.clone())
        }
        Endpoint::Metadata => unreachable!("it needs no profile"),
    };
    Ok(Rendered { warnings, ..rendered(media_type, body, Some(&profile), problem) })
}

/// Determines the media type of a body as the real server does.
fn sniffed(body: Vec<u8>) -> (&'static str, Vec<u8>, Option<Failure>) {
    (sniff::media_type(&body[..body.len().min(512)]), body, None)
}

/// Returns the template variables: the metadata of a group, overridden by its selectors and then by the request.
pub fn data(group: &Group, labels: &Labels, raw_query: &str) -> Value {
    let mut data = group.metadata.clone().unwrap_or_default();
    for (key, value) in &group.selector {
        data.insert(env::mapped(key, char::to_lowercase), Value::from(value.clone()));
    }
    let query: Map<String, Value> =
        labels.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let request = [("query", Value::Object(query)), ("raw_query", Value::from(raw_query))];
    let request: Map<String, Value> =
        request.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    data.insert("request".to_owned(), Value::Object(request));
    Value::Object(data)
}
