//! A plan that was printed as JSON and is handed back.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Plan, SCHEMA};
use crate::hint::Hint;

/// Why a text is no plan that can be carried out.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is something else, or was changed.
    #[error("this is not a plan of Dryrack")]
    Malformed(#[source] serde_json::Error),
    /// Its format is another one.
    #[error("the plan has schema {found}; this version of Dryrack reads schema {SCHEMA}")]
    Schema {
        /// The number of its format.
        found: u32,
    },
    /// Another version made it.
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

/// What every plan begins with, whatever its format.
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
