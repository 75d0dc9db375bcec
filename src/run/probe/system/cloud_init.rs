//! What `cloud-init status` says: as JSON where it can, else as text.

use serde_json::Value;

use super::Answer;
use crate::lab::CloudInitStatus;

/// Its exit code is 1 for errors and 2 for such from which it recovered, except where a distribution has changed that;
/// so only the text counts.
pub(super) const SCRIPT: &str = r#"command -v cloud-init >/dev/null 2>&1 || { echo none; exit 0; }
out=$(cloud-init status --format json 2>/dev/null)
case $out in
*\{*) printf '%s\n' "$out" ;;
*) cloud-init status --long 2>&1 ;;
esac"#;

/// The status, in either form.
#[derive(Debug, Default, PartialEq)]
struct Status {
    status: String,
    /// Where it is, or what went wrong.
    detail: String,
    errors: Vec<String>,
    /// Errors from which it recovered, each with its level.
    recovered: Vec<(String, String)>,
}

/// Judges the status.
pub(super) fn judge(said: &str, wanted: CloudInitStatus, degraded: bool) -> Answer {
    if said.trim() == "none" {
        return Answer::no("cloud-init is not installed there");
    }
    let Some(status) = read(said) else {
        let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("nothing");
        return Answer::no(format!("cloud-init says no status: `{}`", line.trim()));
    };
    let Status { status, detail, errors, recovered } = status;
    let is_wanted = match wanted {
        CloudInitStatus::Done => status == "done",
        CloudInitStatus::Disabled => status == "disabled",
    };
    if !is_wanted {
        let why = if errors.is_empty() { detail } else { errors.join("; ") };
        let why = if why.is_empty() { String::new() } else { format!(": {why}") };
        return Answer::no(format!("status {status}{why}"));
    }
    if let Some(error) = errors.first() {
        return Answer::no(format!("status {status}, but with errors: {error}"));
    }
    let deprecations = recovered.iter().filter(|(level, _)| level == "DEPRECATED").count();
    let others: Vec<_> = recovered.iter().filter(|(level, _)| level != "DEPRECATED").collect();
    if let (false, Some((level, text))) = (degraded, others.first()) {
        let further = match others.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        return Answer::no(format!("status {status}, but degraded: {level}: {text}{further}"));
    }
    let notes = [(others.len(), "recovered error"), (deprecations, "deprecation")];
    let notes = notes.iter().filter(|(count, _)| *count > 0);
    let notes: String = notes
        .map(|(count, what)| format!(", {count} {what}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    Answer::yes(format!("status {status}{notes}"))
}

fn read(said: &str) -> Option<Status> {
    match said.find('{').and_then(|start| serde_json::from_str::<Value>(&said[start..]).ok()) {
        Some(json) => read_json(&json),
        None => read_text(said),
    }
}

fn read_json(json: &Value) -> Option<Status> {
    let text = |key: &str| json.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let texts = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect()
    };
    let status = json.get("status")?.as_str()?.to_owned();
    let levels = json.get("recoverable_errors").and_then(Value::as_object).into_iter().flatten();
    let recovered = levels
        .flat_map(|(level, list)| texts(Some(list)).into_iter().map(|text| (level.clone(), text)))
        .collect();
    Some(Status { status, detail: text("detail"), errors: texts(json.get("errors")), recovered })
}

fn read_text(said: &str) -> Option<Status> {
    let mut status = Status::default();
    let mut lines = said.lines();
    while let Some(line) = lines.next() {
        match line.split_once(':') {
            Some(("status", word)) => status.status = word.trim().to_owned(),
            // The oldest form has the detail on the next line.
            Some(("detail", text)) if text.trim().is_empty() => {
                status.detail = lines.next().unwrap_or_default().trim().to_owned();
            }
            Some(("detail", text)) => status.detail = text.trim().to_owned(),
            _ => {}
        }
    }
    (!status.status.is_empty()).then_some(status)
}
