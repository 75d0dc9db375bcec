//! Names, and references to named entries.

use std::str::FromStr;

use super::Check;
use crate::config::{Field, Keyed, Located};
use crate::diag::{Code, Diagnostic, HELPED, Span, enumerate, nearest};
use crate::name::{
    ActionName, ExpectName, LONGEST, Malformed, NetworkName, NodeName, ProcessName, ProfileName, slug,
};

/// The longest DNS name, in characters and without a trailing dot.
const LONGEST_DOMAIN: usize = 253;

impl Check<'_> {
    /// Parses a name, or reports why it is invalid.
    pub(super) fn name<T: FromStr<Err = Malformed>>(&mut self, word: &Located<String>) -> Option<T> {
        match word.value.parse() {
            Ok(name) => Some(name),
            Err(Malformed(why)) => {
                let slug = slug(&word.value);
                let help = match slug.as_str() {
                    _ if word.value.len() > LONGEST => {
                        format!(
                            "use at most {LONGEST} characters, including the number of a node in its group"
                        )
                    }
                    "" => "use lower-case letters, digits and dashes".into(),
                    slug => format!("try `{slug}`"),
                };
                self.report(Diagnostic::new(Code::BadName, word.span.clone(), why).help(help));
                None
            }
        }
    }

    /// Resolves a reference to a network.
    pub(super) fn network_named(&mut self, name: &str, span: &Span) -> Option<NetworkName> {
        self.follow(Code::UnknownNetwork, "network", name, span, &self.raw.network)
    }

    /// Resolves a reference to a profile.
    pub(super) fn profile_named(&mut self, name: &str, span: &Span) -> Option<ProfileName> {
        self.follow(Code::UnknownProfile, "profile", name, span, &self.raw.profile)
    }

    /// Resolves a reference to a node.
    pub(super) fn node_named(&mut self, name: &str, span: &Span) -> Option<NodeName> {
        self.follow(Code::UnknownNode, "node", name, span, &self.raw.node)
    }

    /// Resolves a reference to a host.
    pub(super) fn host_named(&mut self, name: &str, span: &Span) -> Option<NodeName> {
        self.follow(Code::UnknownHost, "host", name, span, &self.raw.host)
    }

    /// Resolves a reference to a host, if there is one; `None` after a complaint.
    pub(super) fn maybe_host(&mut self, word: &Field<String>) -> Option<Option<NodeName>> {
        match word {
            Field::Given(word) => self.host_named(&word.value, &word.span).map(Some),
            Field::Missing => Some(None),
            Field::Bad => None,
        }
    }

    /// Resolves a reference to a process.
    pub(super) fn process_named(&mut self, name: &str, span: &Span) -> Option<ProcessName> {
        self.follow(Code::UnknownProcess, "process", name, span, &self.raw.process)
    }

    /// Resolves a reference to an expectation.
    pub(super) fn expect_named(&mut self, name: &str, span: &Span) -> Option<ExpectName> {
        self.follow(Code::UnknownExpect, "expectation", name, span, &self.raw.expect)
    }

    /// Resolves a reference to an action.
    pub(super) fn action_named(&mut self, name: &str, span: &Span) -> Option<ActionName> {
        self.follow(Code::UnknownAction, "action", name, span, &self.raw.action)
    }

    /// Reports more entries than the maximum; returns whether there are.
    pub(super) fn too_many<V>(&mut self, whose: &str, all: &Keyed<V>, most: usize, what: &str) -> bool {
        if let Some((key, _)) = all.entries.get(most) {
            let count = all.entries.len();
            self.report(
                Diagnostic::new(Code::BadCount, key.span.clone(), format!("{whose} has {count} {what}"))
                    .help(format!("the maximum is {most}")),
            );
        }
        all.entries.len() > most
    }

    fn follow<T: FromStr, V>(
        &mut self,
        code: Code,
        what: &str,
        name: &str,
        span: &Span,
        known: &Keyed<V>,
    ) -> Option<T> {
        if known.get(name).is_some() {
            // A known but malformed name is reported where it is defined.
            return name.parse().ok();
        }
        if !known.bad {
            let diagnostic = Diagnostic::new(code, span.clone(), format!("there is no {what} `{name}`"));
            let group = |known: &&str| {
                known
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('-') && rest[1..].parse::<u8>().is_ok())
            };
            let help = if self.found.len() > HELPED {
                format!("the lab has {} of them", known.entries.len())
            } else {
                let members: Vec<_> = known.names().filter(group).collect();
                match (nearest(name, known.names()), known.names().next()) {
                    _ if !members.is_empty() => format!("list {} separately", enumerate(members)),
                    (Some(meant), _) => format!("did you mean `{meant}`?"),
                    (None, Some(_)) => format!("the lab has {}", enumerate(known.names())),
                    (None, None) => format!("the lab has no {what}"),
                }
            };
            self.report(diagnostic.help(help));
        }
        None
    }
}

/// Parses a domain name of lower-case labels, without a trailing dot.
pub(super) fn domain(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    // An underscore is not allowed in a host name, but DNS names may have it.
    let is_label = |label: &str| {
        let plain = label.replace('_', "a");
        label == plain && NodeName::new(label).is_ok() || label.len() <= 63 && NodeName::new(&plain).is_ok()
    };
    (text.len() <= LONGEST_DOMAIN && text.split('.').all(is_label)).then_some(text)
}

/// Parses the name of a host, relative to a domain unless it is absolute, or returns why it is invalid.
///
/// A name with an inner or trailing dot is absolute; leading labels that begin with an underscore are not counted.
pub(super) fn host(text: &str, home: &str) -> Result<String, String> {
    let name = domain(text).ok_or_else(|| format!("`{text}` is not a domain name"))?;
    let labels = name.split('.').skip_while(|label| label.starts_with('_')).count();
    let full = if text.ends_with('.') || labels > 1 { name } else { format!("{name}.{home}") };
    match full.len() {
        ..=LONGEST_DOMAIN => Ok(full),
        _ => Err(format!("`{full}` has more than {LONGEST_DOMAIN} characters")),
    }
}

/// Parses the name of a record: as [`host`], and its first label may be `*`.
pub(super) fn owner(text: &str, home: &str) -> Result<String, String> {
    match text.strip_prefix('*') {
        Some("") => Ok(format!("*.{home}")),
        Some(rest) if rest.starts_with('.') => {
            let rest = host(&rest[1..], home).map_err(|_| format!("`{text}` is not a domain name"))?;
            Ok(format!("*.{rest}"))
        }
        _ => host(text, home),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        assert_eq!(domain("Etcd.Lab."), Some("etcd.lab".into()));
        assert_eq!(domain("_srv.lab"), Some("_srv.lab".into()));
        for bad in ["", ".", "a..b", "-a.lab", "a b", &"a.".repeat(128)] {
            assert_eq!(domain(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_of_records() {
        let table = [
            ("www", "www.lab"),
            ("www.", "www"),
            ("Www.example", "www.example"),
            ("_etcd._tcp", "_etcd._tcp.lab"),
            ("_etcd._tcp.", "_etcd._tcp"),
            ("_etcd._tcp.one", "_etcd._tcp.one.lab"),
            ("_etcd._tcp.lab.test", "_etcd._tcp.lab.test"),
            ("*", "*.lab"),
            ("*.apps", "*.apps.lab"),
            ("*._tcp", "*._tcp.lab"),
            ("*.apps.example", "*.apps.example"),
        ];
        for (text, full) in table {
            assert_eq!(owner(text, "lab").as_deref(), Ok(full), "{text}");
        }
        let long = format!("{}a", "a.".repeat(120));
        for bad in ["", "*.", "**", "*a", "a.*.b", "*.*", &format!("*.{long}.{long}")] {
            assert!(owner(bad, "lab").is_err(), "{bad}");
        }
        let long = "a".repeat(60);
        assert!(host(&long, &[long.as_str(); 4].join(".")).unwrap_err().contains("more than 253"));
    }
}
