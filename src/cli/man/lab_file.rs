//! The manual page dryrack-lab(5): the lab file with every key.

use roff::{Inline, Roff, bold, italic, roman};

use crate::config::{self, keys};

/// Returns the page.
pub(super) fn page() -> String {
    let mut page = Roff::new();
    let version = format!("dryrack {}", env!("CARGO_PKG_VERSION"));
    page.control("TH", ["dryrack-lab", "5", "", version.as_str()]);
    // A line with a word that was broken cannot be adjusted.
    page.control("ad", ["l"]);
    page.control("SH", ["NAME"]);
    page.text([roman("dryrack-lab - the lab file of dryrack")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("A lab file, usually "),
        italic("lab.toml"),
        roman(
            " in a folder of its own, is TOML. It describes networks, machines and the expected result. Paths are \
             relative to its folder. NAME stands for a name that you choose: lower-case letters, digits and dashes. \
             Sizes and times are strings with a unit, such as \"512MiB\" and \"1h30m\". Unknown keys are errors. ",
        ),
        bold("dryrack check"),
        roman(" reports all errors, "),
        bold("dryrack explain"),
        roman(" explains one key or one error."),
    ]);
    page.control("SH", ["KEYS"]);
    for key in keys::keys() {
        page.control("TP", []);
        page.text([bold(key.path)]);
        page.text(sentences(&key.about));
        let words: Vec<String> = key
            .choices
            .iter()
            .filter(|(_, meaning)| !meaning.is_empty())
            .map(|(word, meaning)| format!("{word}: {meaning}"))
            .collect();
        if !words.is_empty() {
            page.control("br", []);
            page.text([roman(words.join(" "))]);
        }
        let default = match (key.required, key.default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => format!("default: {default}"),
            (false, None) => "no default".to_owned(),
        };
        page.control("br", []);
        page.text([roman(format!("Type: {}; {default}.", key.kind))]);
        if let Some(example) = key.example {
            page.control("br", []);
            page.text([roman("Example: "), italic(example)]);
        }
    }
    page.control("SH", ["EXAMPLE"]);
    page.control("nf", []);
    page.text([roman(config::INIT)]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("dryrack"),
        roman("(1), "),
        bold("dryrack-check"),
        roman("(1), "),
        bold("dryrack-explain"),
        roman("(1)"),
    ]);
    ascii(&page.render())
}

/// Replaces characters that not every formatter reads, and lets it break words that no line may hold, such as digests.
fn ascii(text: &str) -> String {
    const LONGEST_WORD: usize = 32;
    let (mut page, mut length) = (String::new(), 0);
    for c in text.chars() {
        length = if c.is_ascii_alphanumeric() { length + 1 } else { 0 };
        if length > LONGEST_WORD {
            page.push_str("\\:");
            length = 1;
        }
        match c.is_ascii() {
            true => page.push(c),
            false => page.extend(["\\[u", &format!("{:04X}", u32::from(c)), "]"]),
        }
    }
    page
}

fn sentences(about: &str) -> Vec<Inline> {
    if about.is_empty() { vec![roman("An entry.")] } else { vec![roman(about)] }
}
