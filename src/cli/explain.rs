//! `dryrack explain`: explains a diagnostic, or a key of the lab file.

use super::completions;
use super::output::{self, Stop};
use super::table::Table;
use crate::config::keys::{self, Key, NAME};
use crate::diag::{self, Code, nearest};
use crate::report::{self, exit};

/// How many keys of one name are shown.
const SHOWN: usize = 6;

/// Explain a diagnostic, as in `dryrack explain L105`, or a key of the lab file, as in `dryrack explain node.disk`
///
/// `dryrack explain keys` lists all keys; `dryrack man lab` is the manual page with all of them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Code of a diagnostic, or a key, with or without the names in it [default: list all codes]
    #[arg(value_name = "CODE|KEY", add = completions::codes_and_keys())]
    what: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let Some(what) = &args.what else {
        let lines = Code::ALL.iter().map(|code| format!("{}  {}\n", code.number(), code.title()));
        output::data(&lines.collect::<String>());
        return Ok(exit::MET);
    };
    if let Some(page) = diag::explain(what) {
        output::data(&page);
        return Ok(exit::MET);
    }
    let keys = keys::keys();
    if what == "keys" {
        let mut table = Table::new(["key", "type", "default"]);
        for Key { path, kind, default, .. } in &keys {
            table.row([path.clone(), kind.clone(), default.clone().unwrap_or_default()]);
        }
        output::data(&table.wrapped(output::width()));
        return Ok(exit::MET);
    }
    if let Some(key) = keys::find(&keys, what) {
        output::data(&page(key, &keys, output::width()));
        return Ok(exit::MET);
    }
    if looks_like_a_code(what) {
        let hint = Some("`dryrack explain` lists every code");
        return Err(Stop::new(exit::WRONG, format!("unknown code `{what}`"), hint));
    }
    let called: Vec<_> = keys
        .iter()
        .filter(|key| key.path.rsplit('.').next() == Some(what))
        .map(|key| format!("`{}`", key.path))
        .collect();
    let hint = match nearest(what, keys.iter().map(|key| key.path.as_str())) {
        _ if !called.is_empty() => {
            let more = called.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            format!("keys of this name: {}{more}", called[..called.len().min(SHOWN)].join(", "))
        }
        Some(near) => format!("did you mean `{near}`?"),
        None => "`dryrack explain keys` lists every key, `dryrack explain` every code".to_owned(),
    };
    Err(Stop::new(exit::WRONG, format!("`{what}` is no code and no key of the lab file"), Some(hint)))
}

fn looks_like_a_code(what: &str) -> bool {
    what.len() == 4 && what.ends_with(|last: char| last.is_ascii_digit())
}

/// Returns the page of a key.
fn page(key: &Key, all: &[Key], width: usize) -> String {
    let Key { path, kind, default, required, example, about, choices } = key;
    let mut page = format!("{path}\n\n");
    // The description of a table is that of its entries, if it has none.
    let entry = all.iter().find(|entry| entry.path == format!("{path}.{NAME}"));
    let about = if about.is_empty() { entry.map_or("", |entry| entry.about.as_str()) } else { about };
    if !about.is_empty() {
        page += &report::paragraph("", "", &about, width);
        page.push('\n');
    }
    let default = default.as_deref().map_or_else(|| "none".to_owned(), str::to_owned);
    let default = if *required { "required".to_owned() } else { default };
    for (what, value) in [("type", Some(kind)), ("default", Some(&default)), ("example", example.as_ref())] {
        if let Some(value) = value {
            page += &report::paragraph(&format!("{what:7}  "), "         ", value, width);
        }
    }
    let mut table = Table::new(["", ""]);
    for (word, meaning) in choices {
        table.row([format!("  {word}"), meaning.clone()]);
    }
    if !choices.is_empty() {
        page += &table.wrapped(width);
    }
    let mut table = Table::new(["key", "what it is"]);
    let mut below = all.iter().filter(|below| below.is_in(path)).peekable();
    if below.peek().is_some() {
        for Key { path: below, about, required, default, .. } in below {
            let name = below.strip_prefix(path).unwrap_or(below).trim_start_matches('.');
            let default = match default {
                Some(default) => format!(" Default: {default}."),
                None if *required => " Required.".to_owned(),
                None => String::new(),
            };
            table.row([name.strip_prefix("NAME.").unwrap_or(name).to_owned(), format!("{about}{default}")]);
        }
        page.push('\n');
        page += &table.wrapped(width);
    }
    page
}
