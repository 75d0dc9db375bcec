//! matchbox's own flags and environment variables, parsed as by Go's package `flag`: pure.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The options of matchbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) address: String,
    pub(super) rpc_address: String,
    pub(super) data_path: String,
    pub(super) assets_path: String,
    pub(super) log_level: String,
    pub(super) cert_file: String,
    pub(super) key_file: String,
    pub(super) ca_file: String,
    pub(super) key_ring_path: String,
    pub(super) web_ssl: bool,
    pub(super) web_cert_file: String,
    pub(super) web_key_file: String,
    pub(super) version: bool,
    pub(super) help: bool,
}

impl Default for Flags {
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            address: text("127.0.0.1:8080"),
            rpc_address: String::new(),
            data_path: text("/var/lib/matchbox"),
            assets_path: text("/var/lib/matchbox/assets"),
            log_level: text("info"),
            cert_file: text("/etc/matchbox/server.crt"),
            key_file: text("/etc/matchbox/server.key"),
            ca_file: text("/etc/matchbox/ca.crt"),
            key_ring_path: String::new(),
            web_ssl: false,
            web_cert_file: text("/etc/matchbox/ssl/server.crt"),
            web_key_file: text("/etc/matchbox/ssl/server.key"),
            version: false,
            help: false,
        }
    }
}

/// An error in a command line or environment variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlagError {
    /// There is no such flag.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// `-=x`, `---x`.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
    /// A flag lacks its argument.
    #[error("flag needs an argument: -{0}")]
    Needs(String),
    /// The value is not a boolean.
    #[error("invalid boolean value \"{value}\" for -{flag}: parse error")]
    Bool {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
    },
    /// The value of a variable is not a boolean.
    #[error("invalid value \"{value}\" for {variable}: parse error")]
    Variable {
        /// The variable.
        variable: String,
        /// Its value.
        value: String,
    },
}

/// The target of a flag.
enum Slot<'a> {
    Text(&'a mut String),
    Bool(&'a mut bool),
}

impl Flags {
    /// All flags with their help texts, in alphabetical order, as Go prints them.
    pub(super) const ALL: [(&'static str, &'static str); 14] = [
        ("address", "HTTP listen address"),
        ("assets-path", "Path to static assets"),
        ("ca-file", "Path to the CA verify and authenticate client certificates"),
        ("cert-file", "Path to the server TLS certificate file"),
        ("data-path", "Path to data directory"),
        ("help", "print usage and exit"),
        ("key-file", "Path to the server TLS key file"),
        ("key-ring-path", "Path to a private keyring file"),
        ("log-level", "Set the logging level"),
        ("rpc-address", "RPC listen address"),
        ("version", "print version and exit"),
        ("web-cert-file", "Path to the server TLS certificate file for HTTPS"),
        ("web-key-file", "Path to the server TLS key file for HTTPS"),
        ("web-ssl", "True to enable HTTPS"),
    ];

    /// Parses a command line, with variables for the flags that are not given. Arguments after the flags are ignored,
    /// as by the real server.
    pub(super) fn read<A: AsRef<OsStr>>(
        args: impl IntoIterator<Item = A>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, FlagError> {
        let mut flags = Self::default();
        let mut said = Vec::new();
        let mut args = args.into_iter().map(|arg| text(arg.as_ref()));
        while let Some(arg) = args.next() {
            let Some(flag) = arg.strip_prefix('-').filter(|flag| !flag.is_empty()) else { break };
            if flag == "-" {
                break;
            }
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            if flag.starts_with(['-', '=']) {
                return Err(FlagError::Syntax(arg));
            }
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (flag.to_owned(), None),
            };
            match (flags.slot(&name), value) {
                // Go treats `-h` like `-help`.
                (None, _) if name == "h" => flags.help = true,
                (None, _) => return Err(FlagError::Unknown(name)),
                (Some(Slot::Bool(slot)), None) => *slot = true,
                (Some(Slot::Bool(slot)), Some(value)) => {
                    *slot = bool(&value).ok_or(FlagError::Bool { flag: name.clone(), value })?;
                }
                (Some(Slot::Text(slot)), Some(value)) => *slot = value,
                (Some(Slot::Text(slot)), None) => {
                    *slot = args.next().ok_or(FlagError::Needs(name.clone()))?;
                }
            }
            said.push(name);
        }
        for (name, _) in Self::ALL {
            let upper = format!("MATCHBOX_{}", name.to_uppercase().replace('-', "_"));
            let value = variable(&upper).filter(|value| !value.is_empty());
            let Some(value) = value.filter(|_| !said.iter().any(|said| said == name)) else { continue };
            match flags.slot(name) {
                Some(Slot::Text(slot)) => *slot = value,
                Some(Slot::Bool(slot)) => {
                    *slot = bool(&value).ok_or(FlagError::Variable { variable: upper, value })?;
                }
                None => {}
            }
        }
        Ok(flags)
    }

    fn slot(&mut self, name: &str) -> Option<Slot<'_>> {
        Some(match name {
            "address" => Slot::Text(&mut self.address),
            "rpc-address" => Slot::Text(&mut self.rpc_address),
            "data-path" => Slot::Text(&mut self.data_path),
            "assets-path" => Slot::Text(&mut self.assets_path),
            "log-level" => Slot::Text(&mut self.log_level),
            "cert-file" => Slot::Text(&mut self.cert_file),
            "key-file" => Slot::Text(&mut self.key_file),
            "ca-file" => Slot::Text(&mut self.ca_file),
            "key-ring-path" => Slot::Text(&mut self.key_ring_path),
            "web-ssl" => Slot::Bool(&mut self.web_ssl),
            "web-cert-file" => Slot::Text(&mut self.web_cert_file),
            "web-key-file" => Slot::Text(&mut self.web_key_file),
            "version" => Slot::Bool(&mut self.version),
            "help" => Slot::Bool(&mut self.help),
            _ => return None,
        })
    }

    /// Returns the text of `-help`.
    pub(super) fn usage() -> String {
        let mut usage = "Usage of dryrack matchbox:\n".to_owned();
        let mut defaults = Self::default();
        for (name, what) in Self::ALL {
            let (kind, default) = match defaults.slot(name) {
                Some(Slot::Text(text)) if text.is_empty() => (" string", String::new()),
                Some(Slot::Text(text)) => (" string", format!(" (default \"{text}\")")),
                Some(Slot::Bool(_)) | None => ("", String::new()),
            };
            usage.push_str(&["  -", name, kind, "\n    \t", what, &default, "\n"].concat());
        }
        usage
            + "Each may also be a variable: MATCHBOX_ADDRESS for -address, and so on.\n\
               MATCHBOX_PASSPHRASE unlocks the key ring.\n"
    }
}

/// Parses a boolean as `strconv.ParseBool` does.
fn bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn text(arg: &OsStr) -> String {
    String::from_utf8_lossy(arg.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], variables: &[(&str, &str)]) -> String {
        let variable = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let mut read = match Flags::read(args, variable) {
            Ok(flags) => flags,
            Err(error) => return format!("error: {error}"),
        };
        let mut usual = Flags::default();
        let shown = |slot: Option<Slot<'_>>| match slot {
            Some(Slot::Text(text)) => text.clone(),
            Some(Slot::Bool(bool)) => bool.to_string(),
            None => panic!("each flag has a slot"),
        };
        let changed = Flags::ALL.iter().filter_map(|(name, _)| {
            let (now, before) = (shown(read.slot(name)), shown(usual.slot(name)));
            (now != before).then(|| format!("{name}={now:?}"))
        });
        let changed: Vec<String> = changed.collect();
        if changed.is_empty() { "as usual".to_owned() } else { changed.join(" ") }
    }

    #[test]
    fn flags_are_read_as_go_reads_them() {
        let table: &[&[&str]] = &[
            &[],
            &["-address", "0.0.0.0:8080"],
            &["--address", "0.0.0.0:8080"],
            &["-address=0.0.0.0:8080", "--log-level=debug"],
            &["-assets-path", ""],
            &["-assets-path="],
            &["-data-path", "-address"],
            &["-web-ssl"],
            &["-web-ssl", "false", "-address", "x"],
            &["-web-ssl=false"],
            &["-web-ssl=T"],
            &["-web-ssl=yes"],
            &["-address"],
            &["-nope", "x"],
            &["---address", "x"],
            &["-=x"],
            &["--", "-address", "x"],
            &["-", "-address", "x"],
            &["serve", "-address", "x"],
            &["-help"],
            &["-h"],
            &["--version"],
            &["-address", "a", "-address", "b"],
        ];
        let lines: Vec<String> =
            table.iter().map(|args| format!("{args:?}\n  {}", check(args, &[]))).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        []
          as usual
        ["-address", "0.0.0.0:8080"]
          address="0.0.0.0:8080"
        ["--address", "0.0.0.0:8080"]
          address="0.0.0.0:8080"
        ["-address=0.0.0.0:8080", "--log-level=debug"]
          address="0.0.0.0:8080" log-level="debug"
        ["-assets-path", ""]
          assets-path=""
        ["-assets-path="]
          assets-path=""
        ["-data-path", "-address"]
          data-path="-address"
        ["-web-ssl"]
          web-ssl="true"
        ["-web-ssl", "false", "-address", "x"]
          web-ssl="true"
        ["-web-ssl=false"]
          as usual
        ["-web-ssl=T"]
          web-ssl="true"
        ["-web-ssl=yes"]
          error: invalid boolean value "yes" for -web-ssl: parse error
        ["-address"]
          error: flag needs an argument: -address
        ["-nope", "x"]
          error: flag provided but not defined: -nope
        ["---address", "x"]
          error: bad flag syntax: ---address
        ["-=x"]
          error: bad flag syntax: -=x
        ["--", "-address", "x"]
          as usual
        ["-", "-address", "x"]
          as usual
        ["serve", "-address", "x"]
          as usual
        ["-help"]
          help="true"
        ["-h"]
          help="true"
        ["--version"]
          version="true"
        ["-address", "a", "-address", "b"]
          address="b"
        "#);
    }

    #[test]
    fn variables_say_what_flags_do_not() {
        let variables = [
            ("MATCHBOX_ADDRESS", "0.0.0.0:8080"),
            ("MATCHBOX_DATA_PATH", ""),
            ("MATCHBOX_WEB_SSL", "true"),
            ("MATCHBOX_ASSETS_PATH", "/a"),
        ];
        assert_eq!(
            check(&["-assets-path="], &variables),
            r#"address="0.0.0.0:8080" assets-path="" web-ssl="true""#
        );
        assert_eq!(
            check(&[], &[("MATCHBOX_WEB_SSL", "on")]),
            "error: invalid value \"on\" for MATCHBOX_WEB_SSL: parse error"
        );
    }

    #[test]
    fn the_usage_has_every_flag() {
        let usage = Flags::usage();
        for (name, what) in Flags::ALL {
            assert!(usage.contains(&format!("\n  -{name}")) && usage.contains(what), "{usage}");
        }
    }
}
