//! A diagnosed cause of a failure, with its evidence and its fix.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::words::{Certainty, Channel};
use super::{RunTime, Stage};

/// Why a boot did not go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// Its name in the catalogue: `dryrack explain ID` has a page for it.
    pub id: String,
    /// What is wrong, in a few words.
    pub title: String,
    /// How sure it is.
    pub certainty: Certainty,
    /// How far a machine comes that has this failure.
    pub stage: Stage,
    /// What is wrong, in sentences.
    pub cause: String,
    /// What would help; each of these alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<String>,
    /// The place in the lab file, such as `lab.toml:12 (profile.install)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// What was seen, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<FindingEvidence>,
    /// Standards and sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference: Vec<String>,
}

/// One thing that shows a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FindingEvidence {
    /// When it was seen; the begin of the boot for what a machine is made of.
    pub at: RunTime,
    /// Where it was seen.
    pub channel: Channel,
    /// What was seen.
    pub text: String,
    /// The number of the frame in the capture, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame: Option<u64>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let possibly = match self.certainty {
            Certainty::Possible => "possibly: ",
            Certainty::Sure | Certainty::Unexplained | Certainty::Other(_) => "",
        };
        write!(f, "{possibly}{} ({})", self.title, self.id)
    }
}

impl fmt::Display for FindingEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.channel, self.text)?;
        match self.frame {
            Some(frame) => write!(f, " (frame {frame})"),
            None => Ok(()),
        }
    }
}
