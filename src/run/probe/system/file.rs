//! A file of a running node.

use super::super::file::{Facts, compare};
use super::{Answer, quoted, sections};
use crate::lab::NodeFile;

/// Returns what prints the facts about a file. Its content comes last, because it can contain anything.
pub(super) fn script(file: &NodeFile) -> String {
    let path = quoted(&file.path.to_string_lossy());
    format!(
        r#"f={path}
if $s test -e "$f"; then
echo '@@dryrack found'
$s stat -L -c '%a %U:%G' "$f"
echo '@@dryrack content'
[ -d "$f" ] || $s head -c 1048576 "$f"
elif $s test -L "$f"; then echo '@@dryrack dangling'
else echo '@@dryrack missing'
fi"#
    )
}

/// Judges the facts.
pub(super) fn judge(said: &str, file: &NodeFile) -> Answer {
    let path = file.path.display();
    let Some((facts, content)) = split(said) else {
        let sections = sections(said);
        return match (file.exists, sections.contains_key("missing"), sections.contains_key("dangling")) {
            (false, true, _) | (false, _, true) => Answer::yes(format!("{path} does not exist")),
            (true, true, _) => Answer::no(format!("{path} does not exist")),
            (true, _, true) => Answer::no(format!("{path} is a link to nothing")),
            (_, false, false) => Answer::no("the login works, but no file can be looked for"),
        };
    };
    let (mode, owner) = facts.trim().split_once(' ').unwrap_or_default();
    let facts =
        Facts { mode: u32::from_str_radix(mode, 8).ok(), owner: Some(owner.into()), content: content.into() };
    compare(&facts, file)
}

/// Returns facts and content of a file that exists.
fn split(said: &str) -> Option<(&str, &str)> {
    let rest = said.split_once("@@dryrack found\n")?.1;
    rest.split_once("@@dryrack content")
        .map(|(facts, content)| (facts, content.strip_prefix('\n').unwrap_or(content)))
}
