//! DHCP options as other servers write them, and as lab files do.

use crate::lab::options::{self, NoOption, OptionType, Written};

/// Stands in a value for the address of the server, which may be known only later.
pub(super) const SERVER: &str = "{server}";

/// Returns a text as a TOML string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.extend(["\\u", &format!("{:04X}", u32::from(c))]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns texts as a TOML list; a single one as a string.
pub(super) fn quote_many<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(quote).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Returns an option as key and value of a lab file.
///
/// # Errors
///
/// The reason why a lab file cannot have it.
pub(super) fn translate(key: &str, values: &[String]) -> Result<(String, String), String> {
    let key = key.trim();
    let known = match options::find(key) {
        Ok(known) => known,
        Err(NoOption::Own { why, help, .. }) => {
            return Err(format!(
                "the DHCP server of Dryrack sets option `{key}` itself, because {why}: {help}"
            ));
        }
        Err(NoOption::Unknown) => return Err(format!("`{key}` is no DHCP option that lab files know")),
    };
    let name = known.names.first().map_or_else(|| known.code.to_string(), |name| (*name).to_owned());
    let bytes = hex(values);
    let texts: Vec<String> = values.iter().map(|value| value.trim().to_owned()).collect();
    let number = |text: &String| text.parse::<i64>().ok();
    let is_text = matches!(known.holds, OptionType::Text | OptionType::Bytes);
    let joined = [texts.join(",")];
    let written: Vec<Written<'_>> = match known.holds {
        OptionType::Number8
        | OptionType::Number16
        | OptionType::Numbers16
        | OptionType::Number32
        | OptionType::Signed32 => {
            let numbers: Option<Vec<i64>> = texts.iter().map(number).collect();
            numbers.unwrap_or_default().into_iter().map(Written::Number).collect()
        }
        OptionType::Flag => match texts.first().map(String::as_str) {
            Some("1" | "true" | "on" | "yes") => vec![Written::Flag(true)],
            Some("0" | "false" | "off" | "no") => vec![Written::Flag(false)],
            _ => Vec::new(),
        },
        _ if is_text => joined.iter().map(|text| Written::Text(text)).collect(),
        _ => texts.iter().map(|text| Written::Text(text)).collect(),
    };
    // The address of the server is as long as any other.
    let trial: Vec<Written<'_>> = written
        .iter()
        .map(|value| if *value == Written::Text(SERVER) { Written::Text("0.0.0.0") } else { *value })
        .collect();
    if known.holds.encode(&trial).is_some() && !(known.holds == OptionType::Bytes && bytes.is_some()) {
        return Ok((name, toml(&written)));
    }
    match bytes {
        Some(bytes) => Ok((name, quote(&format!("hex:{bytes}")))),
        None => Err(format!("option `{key}` wants {}", known.holds.wanted())),
    }
}

fn toml(values: &[Written<'_>]) -> String {
    let one = |value: &Written<'_>| match value {
        Written::Flag(flag) => flag.to_string(),
        Written::Number(number) => number.to_string(),
        Written::Text(text) => quote(text),
    };
    let all: Vec<_> = values.iter().map(one).collect();
    match all.as_slice() {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Returns the digits of a value that is written as bytes: `06:01:08`, `060108` or `0x060108`.
fn hex(values: &[String]) -> Option<String> {
    let [value] = values else { return None };
    let value = value.trim().trim_start_matches("0x");
    let digits: String = value.chars().filter(|c| !matches!(c, ':' | '-' | ' ')).collect();
    let fine = !digits.is_empty()
        && digits.len().is_multiple_of(2)
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    fine.then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(key: &str, values: &[&str]) -> String {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        translate(key, &values).map_or_else(|error| error, |(key, value)| format!("{key} = {value}"))
    }

    #[test]
    fn options_become_keys_of_lab_files() {
        assert_eq!(check("router", &["10.0.0.1"]), "routers = \"10.0.0.1\"");
        assert_eq!(check("6", &["8.8.8.8", " 1.1.1.1"]), "domain-name-servers = [\"8.8.8.8\", \"1.1.1.1\"]");
        assert_eq!(check("42", &[SERVER]), "ntp-servers = \"{server}\"");
        assert_eq!(check("26", &["9000"]), "interface-mtu = 9000");
        assert_eq!(check("19", &["1"]), "ip-forwarding = true");
        assert_eq!(check("43", &["06:01:08"]), "vendor-options = \"hex:060108\"");
        assert_eq!(check("224", &["0x0a0B"]), "224 = \"hex:0a0b\"");
        assert_eq!(check("17", &["/srv/nfs,v3", "tcp"]), "root-path = \"/srv/nfs,v3,tcp\"");
        assert_eq!(
            check("lease-time", &["5"]),
            "the DHCP server of Dryrack sets option `lease-time` itself, because it is the lease time: set `dhcp.server.lease-time` of the network"
        );
        assert_eq!(
            check("router", &["x"]),
            "option `router` wants one or more IPv4 addresses like [\"10.0.0.2\", \"10.0.0.3\"]"
        );
        assert_eq!(check("nonsense", &[]), "`nonsense` is no DHCP option that lab files know");
    }

    #[test]
    fn strings_are_toml() {
        assert_eq!(quote("a\"b\\c\n\u{7}"), r#""a\"b\\c\n\u0007""#);
        assert_eq!(quote_many(["a", "b"]), r#"["a", "b"]"#);
    }
}
