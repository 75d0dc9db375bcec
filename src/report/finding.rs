//! A finding as text: what is wrong, what would help, and what shows it.

use super::paragraph::{paragraph, tame};
use crate::event::{Certainty, Finding};

/// How much evidence is shown.
const SHOWN: usize = 6;

/// Returns a finding as text in a number of columns.
pub fn finding(finding: &Finding, width: usize) -> String {
    let Finding { id, title, certainty, cause, fix, place, evidence, reference, stage: _ } = finding;
    let head = match certainty {
        Certainty::Possible => "possible finding: ",
        Certainty::Sure | Certainty::Unexplained | Certainty::Other(_) => "finding: ",
    };
    let mut text = paragraph(head, "  ", &format!("{title} ({id})"), width);
    text += &paragraph("  ", "  ", cause, width);
    for (index, fix) in fix.iter().enumerate() {
        let head = if index == 0 { "  fix: " } else { "   or: " };
        text += &paragraph(head, "       ", fix, width);
    }
    if let Some(place) = place {
        text += &paragraph("  see: ", "       ", place, width);
    }
    for evidence in evidence.iter().take(SHOWN) {
        text += &paragraph("   at: ", "       ", evidence, width);
    }
    if !reference.is_empty() {
        text += &paragraph("  ref: ", "       ", &reference.join("; "), width);
    }
    tame(&text)
}
