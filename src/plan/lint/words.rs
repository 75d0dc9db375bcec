//! What GRUB and iPXE make of the words of a profile, which matchbox writes into their scripts as they are.

use crate::lab::arguments::Variable;
use crate::matchbox::model::NetBoot;

/// Variables that GRUB has; it replaces others by nothing. Those of the network begin with `net_` or `pxe_`.
const OF_GRUB: [&str; 6] = ["root", "prefix", "cmdpath", "grub_cpu", "grub_platform", "default"];

/// A word that a loader misreads, and what it makes of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misread {
    /// The word, as in the profile.
    pub(super) word: String,
    /// What the loader makes of it.
    pub(super) message: String,
    /// The fix.
    pub(super) help: &'static str,
}

/// Returns the words that GRUB misreads in the menu of matchbox.
pub(super) fn grub(boot: &NetBoot) -> Vec<Misread> {
    let files = [&boot.kernel].into_iter().chain(&boot.initrd).filter_map(|file| {
        let (message, help) = grub_file(file)?;
        Some(Misread { word: file.clone(), message, help })
    });
    let args = boot.args.iter().filter_map(|arg| {
        let (message, help) = Scan::default().argument(arg)?;
        Some(Misread { word: arg.clone(), message, help })
    });
    files.chain(args).collect()
}

/// Returns the words that iPXE misreads in the script of matchbox.
pub(super) fn ipxe(boot: &NetBoot) -> Vec<Misread> {
    const QUOTE: &str = "iPXE has no quotes that protect it: write it without spaces around it";
    let words = [&boot.kernel].into_iter().chain(&boot.initrd).chain(&boot.args);
    let misread = words.filter_map(|word| {
        let (message, help) = if word.contains(['\n', '\r']) {
            ("iPXE reads what follows a line break as another command".to_owned(), "remove the line break")
        } else {
            let operator = word.split([' ', '\t']).find(|part| matches!(*part, "&&" | "||" | ";"))?;
            (format!("iPXE ends the command at `{operator}`, so what follows is lost"), QUOTE)
        };
        Some(Misread { word: word.clone(), message, help })
    });
    misread.collect()
}

const LITERAL: &str =
    r#"put it in quotes, which GRUB removes: it replaces $variables within "…", and nothing within '…'"#;
const VARIABLE: &str = "put it in single quotes, or use a variable of GRUB such as $net_default_mac";

/// Returns what GRUB makes of the name of a file, which matchbox puts in double quotes.
fn grub_file(file: &str) -> Option<(String, &'static str)> {
    const PATH: &str = "write a path such as (http,10.0.0.1:8080)/assets/vmlinuz, or /assets/vmlinuz";
    if file.contains(['"', '\n']) {
        return Some((
            "GRUB cannot read a menu with this text in quotes, and boots nothing".to_owned(),
            PATH,
        ));
    }
    if file.contains("://") || file.contains(' ') {
        return Some(("GRUB reads the whole text as the name of a file on its own server".to_owned(), PATH));
    }
    let mut scan = Scan { quote: Some('"') };
    scan.text(file)
}

/// GRUB's reading of a text: within which quotes it is.
#[derive(Default)]
struct Scan {
    quote: Option<char>,
}

impl Scan {
    /// Returns what GRUB makes of an argument.
    fn argument(mut self, text: &str) -> Option<(String, &'static str)> {
        let found = self.text(text);
        let open = || {
            let quote = self.quote?;
            Some((
                format!("GRUB cannot read a menu with an open `{quote}`, and boots nothing"),
                "close the quote",
            ))
        };
        found.or_else(open)
    }

    fn text(&mut self, text: &str) -> Option<(String, &'static str)> {
        let mut begins = true;
        let mut rest = text.char_indices();
        while let Some((at, letter)) = rest.next() {
            let first = std::mem::replace(&mut begins, self.quote.is_none() && matches!(letter, ' ' | '\t'));
            match (self.quote, letter) {
                (Some('\''), '\'') | (Some('"'), '"') => self.quote = None,
                (Some('\''), _) => {}
                (_, '\\') => {
                    let removed = "GRUB removes the backslash".to_owned();
                    return Some((removed, "put it in single quotes; GRUB then passes two backslashes"));
                }
                (_, '$') => match Variable::at_start(&text[at..]) {
                    Some(variable) if is_of_grub(variable.name) => {
                        for _ in 1..variable.written.len() {
                            rest.next();
                        }
                    }
                    Some(_) => {
                        let replaced = "GRUB removes `$` and what follows, because it has no such variable";
                        return Some((replaced.to_owned(), VARIABLE));
                    }
                    None => {
                        let refused = "GRUB cannot read a menu with this `$`, and boots nothing";
                        return Some((refused.to_owned(), LITERAL));
                    }
                },
                (None, '\'' | '"') => self.quote = Some(letter),
                (None, ';' | '\n') => {
                    return Some((
                        "GRUB ends the command here, so the kernel is not told what follows".to_owned(),
                        LITERAL,
                    ));
                }
                (None, '&' | '|' | '<' | '>' | '{' | '}') => {
                    return Some((
                        format!("GRUB cannot read a menu with `{letter}`, and boots nothing"),
                        LITERAL,
                    ));
                }
                (None, '#') if first => {
                    return Some(("GRUB ignores the rest of the line as a comment".to_owned(), LITERAL));
                }
                (_, _) => {}
            }
        }
        None
    }
}

/// Returns whether GRUB has a variable.
fn is_of_grub(name: &str) -> bool {
    OF_GRUB.contains(&name) || name.starts_with("net_") || name.starts_with("pxe_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_grub(arg: &str) -> Option<String> {
        Scan::default().argument(arg).map(|(message, _)| message)
    }

    /// `grub-script-check` of GRUB 2.06 says the same of each.
    #[test]
    fn arguments_that_break_a_menu_of_grub() {
        for arg in [
            "a&b",
            "a|b",
            "a<b",
            "a>b",
            "a{b",
            "{a}",
            "a=$(b)",
            "a=$$",
            "a=$/b",
            "a=$",
            "${mac:hexhyp}",
            "a=${1a}",
            "a=\"b",
            "it's",
            "\"a$/b\"",
            "\"a${b:c}\"",
        ] {
            assert!(of_grub(arg).is_some_and(|message| message.ends_with("boots nothing")), "{arg}");
        }
        for arg in [
            "a=b",
            "a#b",
            "[b]",
            "a=!b",
            "(a)",
            "a,b",
            "x=\"a\"b\"c\"",
            "a%b",
            "a`b",
            "a=*",
            "a=\"b;c&d{\"",
            "'a$/b${b:c}&;|{'",
            "a=$net_default_mac",
            "a=${net_default_mac}&".trim_end_matches('&'),
            "b=\"$root c\"",
        ] {
            assert_eq!(of_grub(arg), None, "{arg}");
        }
    }

    #[test]
    fn arguments_that_grub_changes() {
        for (arg, start) in [
            ("a=b;c", "GRUB ends the command"),
            ("a #b", "GRUB ignores the rest"),
            ("#b", "GRUB ignores the rest"),
            ("map=64K$0x1e", "GRUB removes `$`"),
            ("a=$b", "GRUB removes `$`"),
            ("a=\"${b}\"", "GRUB removes `$`"),
            ("a\\;b", "GRUB removes the backslash"),
        ] {
            assert!(of_grub(arg).is_some_and(|message| message.starts_with(start)), "{arg}");
        }
    }

    #[test]
    fn files_that_a_loader_does_not_find() {
        assert_eq!(grub_file("/assets/k"), None);
        assert_eq!(grub_file("(http,10.0.0.1)/a/k"), None);
        for file in ["http://h/k", "--name main /k", "/a/$x/k"] {
            assert!(grub_file(file).is_some(), "{file}");
        }
    }

    #[test]
    fn words_at_which_ipxe_ends_a_command() {
        let of = |arg: &str| ipxe(&NetBoot { args: vec![arg.to_owned()], ..NetBoot::default() }).len();
        assert_eq!([of("a && b"), of(";"), of("a || b"), of("a\nb")], [1; 4]);
        assert_eq!([of("a;b"), of("a&&b"), of("a=\"b c\"")], [0; 3]);
    }
}
