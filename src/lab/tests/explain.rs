//! The pages of `dryrack explain`: every example fails as documented, and every fix works.

use super::{Outcome, drawn, outcome};
use crate::config::Source;
use crate::diag::Code;

/// Context that examples need.
const AROUND: [&str; 3] =
    ["dryrack = 1", "network.lan.address = \"10.0.0.1/24\"", "profile.tiny.kernel = \"image:tiny/kernel\""];

/// Completes an example to a lab: adds the keys that it lacks.
fn completed(part: &str) -> Source {
    let key = |line: &&&str| line.split(" = ").next().is_some_and(|key| !part.contains(&format!("{key} = ")));
    let around: String = AROUND.iter().filter(key).map(|line| format!("{line}\n")).collect();
    Source::new("lab.toml", around + part)
}

/// The fenced blocks of a page: info string and text.
fn blocks(page: &str) -> Vec<(&str, &str)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').expect("a fence has a line of its own")).collect()
}

/// Runs one block of a page.
fn run(code: Code, (kind, text): (&str, &str)) -> Outcome {
    match kind {
        "toml" if text.starts_with("# over.toml") => {
            outcome(&completed(""), &[Source::new("over.toml", text)], &[])
        }
        "toml" if code == Code::Empty => outcome(&Source::new("lab.toml", text), &[], &[]),
        "toml" => outcome(&completed(text), &[], &[]),
        "sh" => {
            let command = text.trim().strip_prefix("dryrack check ").expect("a check");
            let mut arguments = command.split(" --set ");
            let lab = match arguments.next() {
                Some("lab.toml") => completed(""),
                Some("disk.img") if code == Code::TooLarge => Source::new("disk.img", vec![b'#'; 2 << 20]),
                Some("disk.img") => Source::new("disk.img", b"QFI\xfb\0\0\0\x03".as_slice()),
                other => panic!("{code:?}: {other:?} is no file of the examples"),
            };
            let sets: Vec<_> = arguments.map(|set| set.trim_matches('\'')).collect();
            outcome(&lab, &[], &sets)
        }
        other => panic!("{code:?}: what is a block of {other:?}?"),
    }
}

#[test]
fn every_example_fails_as_its_page_says() {
    // Lints are tested with matchbox's answers, and the files of other programs by their own test.
    for code in Code::ALL.iter().copied().filter(|code| !code.is_lint() && !code.is_foreign()) {
        let blocks = blocks(code.page());
        let (example, fixes) =
            blocks.split_first().unwrap_or_else(|| panic!("{} has no example", code.number()));
        assert!(!fixes.is_empty(), "{} has no fix", code.number());
        let failed = run(code, *example);
        assert!(
            failed.diagnostics.iter().any(|diagnostic| diagnostic.code == code),
            "the example of {} gives:\n{}",
            code.number(),
            drawn(&failed)
        );
        // An example shows one error only.
        let others: Vec<_> = failed.diagnostics.iter().filter(|d| d.code != code).collect();
        assert!(others.is_empty(), "the example of {} also gives:\n{}", code.number(), drawn(&failed));
        for fix in fixes {
            let fixed = run(code, *fix);
            assert!(fixed.diagnostics.is_empty(), "the fix of {} gives:\n{}", code.number(), drawn(&fixed));
        }
    }
}
