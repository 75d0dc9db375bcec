//! Checks what matchbox would serve, and reports problems with file and line.

use std::collections::BTreeMap;
use std::path::Path;

use crate::diag::{Diagnostic, Sources, Span};
use crate::lab::Lab;
use crate::plan::lint::{Lint, LintContext, lint};
use crate::plan::{self, DataEntry, MatchboxPlan, Netboots};
use crate::serve::Store;

/// Checks matchbox's answers on each network of a lab.
pub(super) fn look(lab: &Lab, sources: &mut Sources) -> Vec<Diagnostic> {
    let netboots = Netboots::new(lab);
    let mut found = Vec::new();
    for network in lab.networks.values() {
        let Some(plan) = plan::matchbox(&netboots, network) else { continue };
        let store = Store::open(plan.data.clone(), plan.entries.clone(), plan.newest);
        let text = |file: &str| text(&plan, file);
        let look = LintContext { source: &store, text: &text, existing: &Path::exists };
        let lints = lint(&netboots, network, &look);
        let mut known = BTreeMap::new();
        found.extend(lints.into_iter().map(|lint| diagnostic(lint, &plan, lab, sources, &mut known)));
    }
    found
}

/// Returns the text of a file of the data directory, or of the lab file that replaces it.
fn text(plan: &MatchboxPlan, file: &str) -> Option<String> {
    let read = |path: &Path| Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned());
    match plan.entries.get(file) {
        Some(DataEntry::Text(text)) => Some(text.clone()),
        Some(DataEntry::File(path)) => read(path),
        None => read(&plan.data.as_ref()?.join(file)),
    }
}

/// Attaches file and line to a problem, if it comes from a file of the user.
fn diagnostic(
    lint: Lint,
    plan: &MatchboxPlan,
    lab: &Lab,
    sources: &mut Sources,
    known: &mut BTreeMap<String, Option<usize>>,
) -> Diagnostic {
    let index = *known.entry(lint.file.clone()).or_insert_with(|| {
        let path = match plan.entries.get(&lint.file) {
            // A text within the lab file, at an unknown line.
            Some(DataEntry::Text(_)) => return None,
            Some(DataEntry::File(path)) => path.clone(),
            None => plan.data.as_ref()?.join(&lint.file),
        };
        let name = path.strip_prefix(&lab.folder).unwrap_or(&path).display().to_string();
        Some(sources.add(name, text(plan, &lint.file)?))
    });
    let span = index.and_then(|file| position(&lint, file, sources.text(file)));
    let message = match &span {
        Some(_) => lint.message,
        None => format!("{}: {}", lint.file, lint.message),
    };
    Diagnostic::new(lint.code, span, message).help(lint.help)
}

/// Returns the span of a problem in its file: the line, the text at fault, or the first line.
fn position(lint: &Lint, file: usize, text: &str) -> Option<Span> {
    let found = lint.what.as_ref().and_then(|what| {
        // As a literal, or as a JSON string.
        let quoted = serde_json::Value::from(what.as_str()).to_string();
        let forms = [what.as_str(), quoted.trim_matches('"')];
        forms.into_iter().find_map(|form| Some((text.find(form)?, form.len())))
    });
    if let Some((start, length)) = found {
        return Some(Span { file, start, end: start + length });
    }
    let mut start = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if index + 1 == lint.line.unwrap_or(1) {
            let blank = line.len() - line.trim_start().len();
            return Some(Span { file, start: start + blank, end: start + line.trim_end().len().max(blank) });
        }
        start += line.len();
    }
    None
}
