//! The units of systemd that failed.

use super::{Answer, sections};

/// The last lines of each failed unit are evidence; a system that still starts may have more to fail.
pub(super) const SCRIPT: &str = r#"command -v systemctl >/dev/null 2>&1 || exit 0
echo '@@dryrack state'
systemctl is-system-running 2>/dev/null
echo '@@dryrack failed'
failed=$(systemctl list-units --all --state=failed --plain --no-legend --no-pager --full 2>/dev/null | while read -r unit rest; do echo "$unit"; done)
echo "$failed"
for unit in $failed; do
echo "@@dryrack log $unit"
$s journalctl -u "$unit" -n 5 -o cat --no-pager 2>/dev/null
done"#;

/// Judges the state of the system and its failed units.
pub(super) fn judge(said: &str, allowed: &[String]) -> Answer {
    let sections = sections(said);
    let (Some(state), Some(failed)) = (sections.get("state"), sections.get("failed")) else {
        return Answer::no("systemd is not installed there");
    };
    match state.trim() {
        "running" | "degraded" => {}
        "" | "offline" | "unknown" => return Answer::no("systemd does not run there"),
        state => return Answer::no(format!("the system is {state}")),
    }
    let failed = failed.split_whitespace();
    let (accepted, failed): (Vec<&str>, Vec<&str>) =
        failed.partition(|unit| allowed.iter().any(|allowed| allowed == unit));
    if failed.is_empty() {
        return Answer::yes(match accepted.as_slice() {
            [] => "no failed units".to_owned(),
            units => format!("no failed units but {}", units.join(", ")),
        });
    }
    let units = failed.iter().map(|unit| {
        let log = sections.get(format!("log {unit}").as_str()).copied().unwrap_or_default();
        match log.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(last) => format!("{unit} (`{}`)", last.trim()),
            None => (*unit).to_owned(),
        }
    });
    let what = if failed.len() == 1 { "failed unit" } else { "failed units" };
    Answer::no(format!("{what}: {}", units.collect::<Vec<_>>().join(", ")))
}
