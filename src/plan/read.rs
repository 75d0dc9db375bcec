//! Reads a plan from its JSON form.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Plan, SCHEMA};
use crate::hint::Hint;

/// Why a text cannot be executed as a plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is not a plan, or was edited.
    #[error("this is not a plan of Dryrack")]
    Malformed(#[source] serde_json::Error),
    /// It has another format version.
    #[error("the plan has schema {found}; this version of Dryrack reads schema {SCHEMA}")]
    Schema {
        /// The version of its format.
        found: u32,
    },
    /// Another version of Dryrack made it.
    #[error("the plan was made by Dryrack {found}; this is {}", env!("CARGO_PKG_VERSION"))]
    Version {
        /// The version that made it.
        found: String,
    },
}

impl Hint for PlanError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Malformed(_) => "`dryrack plan LAB --json > FILE` writes a plan".into(),
            Self::Schema { .. } | Self::Version { .. } => {
                "make it again with this version: `dryrack plan LAB --json > FILE`".into()
            }
        })
    }
}

/// The fields at the start of every plan, independent of its format.
#[derive(Deserialize)]
struct Header {
    dryrack_plan: u32,
    version: String,
}

/// Reads a plan that this version of Dryrack printed as JSON.
pub fn read(json: &[u8]) -> Result<Plan, PlanError> {
    let header: Header = serde_json::from_slice(json).map_err(PlanError::Malformed)?;
    if header.dryrack_plan != SCHEMA {
        return Err(PlanError::Schema { found: header.dryrack_plan });
    }
    if header.version != env!("CARGO_PKG_VERSION") {
        return Err(PlanError::Version { found: header.version });
    }
    serde_json::from_slice(json).map_err(PlanError::Malformed)
}
