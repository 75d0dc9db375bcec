//! `dryrack explain`: explains a diagnostic, or a key of the lab file.

use super::completions;
use super::output::{self, Stop};
use super::table::Table;
use crate::config::keys::{self, Key, NAME};
use crate::diag::{self, Code, nearest};
use crate::diagnose::{self, Entry, Meaning, entries};
use crate::dialogue::FIRST_MISSING;
use crate::report::{self, exit};

/// How many keys of one name are shown.
const SHOWN: usize = 6;

/// Explain a diagnostic (`L105`), a key of the lab file (`node.disk`), or what a machine printed
///
/// Codes of iPXE and of PXE firmware are decoded: `dryrack explain 040ee119`, `dryrack explain https://ipxe.org/040ee119`,
/// `dryrack explain PXE-E18`. A line of a console in quotes is searched for codes and for signs of known failures. The
/// name of a finding, such as `no-dhcp-answer`, has a page, too. `dryrack explain keys` lists all keys, `dryrack explain
/// findings` all failures that are known; `dryrack man lab` is the manual page with all keys.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Code of a diagnostic, of iPXE or of PXE firmware; key, with or without the names in it; name of a finding; line of
    /// a console [default: list all diagnostics]
    #[arg(value_name = "CODE|KEY|FINDING|LINE", add = completions::codes_and_keys())]
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
    if what == "findings" {
        let lines = entries().iter().map(|entry| format!("{}  {}\n", entry.id, entry.title));
        output::data(&lines.collect::<String>());
        return Ok(exit::MET);
    }
    if what == FIRST_MISSING {
        let about = "No failure that is known explains why this boot stopped. What the finding names is the first step of \
                     the usual dialogue of this firmware, loader or system that did not come: look at who should have \
                     taken it. `dryrack trace` shows what came before, and what was on the console.";
        output::data(&format!("{what}\n\n{}", report::paragraph("", "", &about, output::width())));
        return Ok(exit::MET);
    }
    if let Some(entry) = diagnose::entry(what) {
        output::data(&failure(entry, output::width()));
        return Ok(exit::MET);
    }
    if let Some(page) = printed(what, output::width()) {
        output::data(&page);
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
        None => "`dryrack explain keys` lists every key, `dryrack explain findings` every failure, `dryrack explain` every code"
            .to_owned(),
    };
    Err(Stop::new(
        exit::WRONG,
        format!("`{what}` is no code, no key of the lab file, and no sign of a failure that is known"),
        Some(hint),
    ))
}

/// Returns the page of a failure.
fn failure(entry: &Entry, width: usize) -> String {
    let Entry { id, title, cause, fix, reference, family, .. } = entry;
    let mut page = format!("{id}\n\n");
    let plain = |text: &str| diagnose::plain(text);
    page += &report::paragraph("", "", &format!("{}.", plain(title)), width);
    page.push('\n');
    page += &report::paragraph("", "", &plain(cause), width);
    if !family.is_empty() {
        page.push('\n');
        page += &report::paragraph("", "", &format!("seen with: {}", family.join(", ")), width);
    }
    let mut list = |heading: &str, texts: &[String]| {
        if !texts.is_empty() {
            page.extend(["\n", heading, "\n"]);
            page.extend(texts.iter().map(|text| report::paragraph("  * ", "    ", &plain(text), width)));
        }
    };
    list("in the lab file:", &fix.lab);
    list("at a server that is not the lab's:", &fix.other);
    list("see:", reference);
    page
}

/// Returns what a line of a console says: its codes, and the failures of which it is a sign.
fn printed(line: &str, width: usize) -> Option<String> {
    let codes = diagnose::decode(line);
    let known: Vec<&Entry> = entries().iter().filter(|entry| entry.knows_line(line)).collect();
    if codes.is_empty() && known.is_empty() {
        return None;
    }
    let mut page = String::new();
    for code in &codes {
        for Meaning { of, meaning, look, parts } in &code.meanings {
            page.extend([&code.code, " (", of, ")\n\n"]);
            page += &report::paragraph("  ", "  ", meaning, width);
            let wide = parts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
            for (name, says) in parts {
                let head = format!("  {name:wide$}  ");
                page += &report::paragraph(&head, &" ".repeat(head.len()), says, width);
            }
            page.extend(look.iter().map(|look| report::paragraph("  * ", "    ", look, width)));
            page.push('\n');
        }
    }
    if let [entry] = known[..] {
        page += &failure(entry, width);
    } else if !known.is_empty() {
        page += "a sign of these failures, of which the network shows which one it is:\n\n";
        for entry in known {
            let title = format!("{}: {}", entry.id, diagnose::plain(&entry.title));
            page += &report::paragraph("  * ", "    ", &title, width);
        }
        page += "\n`dryrack explain NAME` explains each of them\n";
    }
    Some(page)
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
