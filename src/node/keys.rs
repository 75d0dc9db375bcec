//! Keys of a US keyboard, written as text: `root<enter>`, `<ctrl-alt-delete>`.

use crate::name::Malformed;

/// Keys that are pressed together, by the names that QEMU has for them (`QKeyCode`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chord(Vec<String>);

/// The most that one command types.
const MOST: usize = 1000;

/// Keys with names, beside those of one character and `f1` to `f12`.
const NAMES: [(&str, &str); 27] = [
    ("enter", "ret"),
    ("esc", "esc"),
    ("tab", "tab"),
    ("space", "spc"),
    // In a chord, where `-` separates the keys.
    ("minus", "minus"),
    ("backspace", "backspace"),
    ("delete", "delete"),
    ("insert", "insert"),
    ("home", "home"),
    ("end", "end"),
    ("pgup", "pgup"),
    ("pgdn", "pgdn"),
    ("up", "up"),
    ("down", "down"),
    ("left", "left"),
    ("right", "right"),
    ("ctrl", "ctrl"),
    ("alt", "alt"),
    ("altgr", "alt_r"),
    ("shift", "shift"),
    ("meta", "meta_l"),
    ("menu", "menu"),
    ("print", "print"),
    ("pause", "pause"),
    ("capslock", "caps_lock"),
    ("numlock", "num_lock"),
    ("scrolllock", "scroll_lock"),
];

/// Characters that are not letters or digits: without and with shift.
const CHARACTERS: [(&str, &str, &str); 13] = [
    ("spc", " ", ""),
    ("minus", "-", "_"),
    ("equal", "=", "+"),
    ("bracket_left", "[", "{"),
    ("bracket_right", "]", "}"),
    ("backslash", "\\", "|"),
    ("semicolon", ";", ":"),
    ("apostrophe", "'", "\""),
    ("grave_accent", "`", "~"),
    ("comma", ",", "<"),
    ("dot", ".", ">"),
    ("slash", "/", "?"),
    ("ret", "\n", ""),
];

/// The function keys, which have the same names in QEMU.
const FUNCTION_KEYS: [&str; 12] = ["f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12"];

/// The characters above the digits.
const SHIFTED_DIGITS: &str = ")!@#$%^&*(";

impl Chord {
    /// Returns the names of the keys.
    pub fn keys(&self) -> &[String] {
        &self.0
    }
}

/// Parses text: each character is a key, and names of keys stand between `<` and `>`; `<lt>` is `<` itself.
pub fn parse(text: &str) -> Result<Vec<Chord>, Malformed> {
    let mut chords = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix('<') {
            let (name, after) = after.split_once('>').ok_or_else(|| {
                Malformed(format!("`{rest}` has no `>`; write `<lt>` for the character `<`"))
            })?;
            chords.push(named(name)?);
            rest = after;
        } else {
            let unknown = || Malformed(format!("no key of a US keyboard types `{}`", first.escape_debug()));
            chords.push(Chord(character(first).ok_or_else(unknown)?));
            rest = &rest[first.len_utf8()..];
        }
    }
    match chords.len() {
        0 => Err(Malformed("no keys are given".to_owned())),
        1..=MOST => Ok(chords),
        count => Err(Malformed(format!("{count} keys are more than {MOST} at a time"))),
    }
}

/// Parses the inside of `<…>`: a key, after others that are held.
fn named(name: &str) -> Result<Chord, Malformed> {
    let key = |part: &str| {
        let mut characters = part.chars();
        match (characters.next(), characters.next()) {
            (Some(single), None) => character(single),
            _ if part == "lt" => character('<'),
            _ if FUNCTION_KEYS.contains(&part) => Some(vec![part.to_owned()]),
            _ => {
                let known = NAMES.iter().find(|(name, _)| *name == part);
                known.map(|(_, code)| vec![(*code).to_owned()])
            }
        }
    };
    let unknown = |part: &str| {
        let names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
        Malformed(format!("there is no key `{part}`; names are {}, f1 to f12 and lt", names.join(", ")))
    };
    let keys = name.split('-').map(|part| key(part).ok_or_else(|| unknown(part)));
    Ok(Chord(keys.collect::<Result<Vec<_>, _>>()?.concat()))
}

/// Returns the keys that type a character.
fn character(character: char) -> Option<Vec<String>> {
    let shifted = |key: String| vec!["shift".to_owned(), key];
    match character {
        'a'..='z' | '0'..='9' => return Some(vec![character.to_string()]),
        'A'..='Z' => return Some(shifted(character.to_ascii_lowercase().to_string())),
        '\t' => return Some(vec!["tab".to_owned()]),
        _ => {}
    }
    if let Some(digit) = SHIFTED_DIGITS.find(character) {
        return Some(shifted(digit.to_string()));
    }
    CHARACTERS.iter().find_map(|(key, plain, with_shift)| {
        if plain.contains(character) {
            Some(vec![(*key).to_owned()])
        } else {
            with_shift.contains(character).then(|| shifted((*key).to_owned()))
        }
    })
}

/// Returns the keys of every name and every character.
#[cfg(test)]
pub(super) fn all() -> Vec<Chord> {
    let names = NAMES.iter().map(|(name, _)| *name).chain(FUNCTION_KEYS);
    let named = names.map(|name| named(name).unwrap());
    named.chain((' '..='~').chain(['\n', '\t']).map(|typed| Chord(character(typed).unwrap()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> String {
        match parse(text) {
            Ok(chords) => chords.iter().map(|chord| chord.keys().join("+")).collect::<Vec<_>>().join(" "),
            Err(Malformed(why)) => why,
        }
    }

    #[test]
    fn text_becomes_keys() {
        assert_eq!(check("ls -l /A<enter>"), "l s spc minus l spc slash shift+a ret");
        assert_eq!(check("<ctrl-alt-delete><f12><esc>"), "ctrl+alt+delete f12 esc");
        assert_eq!(check("<ctrl-minus><minus>"), "ctrl+minus minus");
        assert_eq!(check("<ctrl-c>a<lt>b>!"), "ctrl+c a shift+comma b shift+dot shift+1");
        let typed: String = (' '..='~').filter(|c| *c != '<').collect();
        assert_eq!(parse(&typed).map(|chords| chords.len()), Ok(94));
    }

    #[test]
    fn what_no_key_types_is_refused() {
        assert_eq!(check(""), "no keys are given");
        assert_eq!(check("é"), "no key of a US keyboard types `é`");
        assert_eq!(check("a<enter"), "`<enter` has no `>`; write `<lt>` for the character `<`");
        assert!(check("<return>").starts_with("there is no key `return`; names are enter, "));
        for key in ["f0", "f13", "f01", "f+1"] {
            assert!(check(&format!("<{key}>")).starts_with(&format!("there is no key `{key}`")), "{key}");
        }
        assert!(check("<ctrl-->").starts_with("there is no key ``"));
        assert_eq!(check(&"a".repeat(1001)), "1001 keys are more than 1000 at a time");
    }
}
