//! Printing, exiting, and other rules that no lint can check.

use crate::tidy::source::Tree;

const PRINTS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];

/// Processes of our own whose standard streams only we read: the supervisor's log, an answer.
const TALK_TO_US: &[&str] = &["system/namespace/outer.rs", "system/doctor/trial.rs"];

/// Functions that end the process without returning from `main`, as a child after `fork` must.
const ENDS: &[&str] = &["exit", "_exit", "abort", "quick_exit"];
const AFTER_FORK: &str = "system/sys.rs";

/// Returns every location outside of `cli` that prints.
pub(crate) fn prints(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in tree.sources.iter().filter(|source| source.top() != "cli") {
        for window in source.tokens.windows(2) {
            if let [name, bang] = window
                && bang.text == "!"
                && PRINTS.contains(&name.text.as_str())
            {
                wrong
                    .push(source.at(name.line, &format!("only `cli` prints, this does by `{}!`", name.text)));
            }
        }
        for path in &source.paths {
            let last = path.segments.last().map(String::as_str);
            let io = path.begins("std::io") || path.begins("io") || path.begins("tokio::io");
            if io && matches!(last, Some("stdout" | "stderr")) && !TALK_TO_US.contains(&source.file.as_str())
            {
                let what = format!("only `cli` prints, this does by `{}`", path.segments.join("::"));
                wrong.push(source.at(path.line, &what));
            }
        }
    }
    wrong
}

/// Returns every location outside of `main` that ends the process.
pub(crate) fn exits(tree: &Tree) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in tree.sources.iter().filter(|source| !matches!(source.file.as_str(), "main.rs" | AFTER_FORK))
    {
        for path in &source.paths {
            let process = path.begins("std::process") || path.begins("process") || path.begins("nix::libc");
            let process = process || path.begins("libc");
            let last = path.segments.last().map(String::as_str).unwrap_or_default();
            if process && ENDS.contains(&last) {
                let what = format!("only `main` exits, this does by `{}`", path.segments.join("::"));
                wrong.push(source.at(path.line, &what));
            }
        }
    }
    wrong
}

/// Returns every diagnostic code that is not used in exactly one location, and every one that no snapshot shows.
///
/// `shown` is the text of all tests and snapshots.
pub(crate) fn codes(tree: &Tree, shown: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut places: Vec<(String, String)> = Vec::new();
    for source in &tree.sources {
        for token in &source.tokens {
            let number = token.text.trim_matches('"');
            let is_number = number.len() == 4
                && number.starts_with(['L', 'H', 'R'])
                && number[1..].bytes().all(|digit| digit.is_ascii_digit());
            if !(is_number && token.text.starts_with('"')) {
                continue;
            }
            match places.iter().find(|(known, _)| known == number) {
                None => places.push((number.to_owned(), format!("src/{}:{}", source.file, token.line))),
                Some((_, first)) => {
                    wrong.push(source.at(token.line, &format!("{number} is already written at {first}")));
                }
            }
        }
    }
    for (number, place) in &places {
        if !shown.contains(&format!("[{number}]")) {
            wrong.push(format!("{place}: no snapshot shows {number}"));
        }
    }
    if places.is_empty() {
        wrong.push("there is no catalogue of diagnostics".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_is_found() {
        let print = |file: &str, text: &str| prints(&Tree::of(file, text)).len();
        assert_eq!(print("run/mod.rs", "fn f() { println!(\"a\") }"), 1);
        assert_eq!(print("run/mod.rs", "use std::io::{self, stderr};"), 1);
        assert_eq!(print("run/mod.rs", "fn f() { io::stdout().lock() }"), 1);
        assert_eq!(print("run/mod.rs", "fn f() { writeln!(out, \"println!\") } // println!()"), 0);
        assert_eq!(print("run/mod.rs", "#[cfg(test)] mod tests { fn f() { println!() } }"), 0);
        assert_eq!(print("cli/up.rs", "fn f() { println!() }"), 0);
    }

    #[test]
    fn exiting_is_found() {
        let exit = |file: &str, text: &str| exits(&Tree::of(file, text)).len();
        assert_eq!(exit("cli/mod.rs", "fn f() { std::process::exit(1) }"), 1);
        assert_eq!(exit("run/mod.rs", "fn f() { process::abort() }"), 1);
        assert_eq!(exit("run/mod.rs", "use std::process::{Command, exit};"), 1);
        assert_eq!(exit("system/sys.rs", "fn f() { libc::_exit(1) }"), 0);
        assert_eq!(exit("main.rs", "fn main() { std::process::exit(dryrack::cli::main()) }"), 0);
    }

    #[test]
    fn codes_are_written_once_and_shown() {
        let check = |text: &str, shown: &str| codes(&Tree::of("diag.rs", text), shown);
        assert_eq!(check("A = \"L001\"; B = \"H002\";", "error[L001]: … warning[H002]"), [""; 0]);
        assert_eq!(check("A = \"L001\";", "L001"), ["src/diag.rs:1: no snapshot shows L001"]);
        assert_eq!(
            check("A = \"L001\";\nB = \"L001\";", "[L001]"),
            ["src/diag.rs:2: L001 is already written at src/diag.rs:1"]
        );
        assert_eq!(check("A = \"L12\"; // \"L003\"", ""), ["there is no catalogue of diagnostics"]);
    }
}
