//! `dryrack guide`: the guides.

use clap::builder::{PossibleValue, PossibleValuesParser};

use super::output::{self, Stop};
use crate::guide::{GUIDES, Guide};
use crate::report::exit;

/// Print a guide, as in `dryrack guide networks`, or list the topics
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Topic [default: list all topics]
    #[arg(value_name = "TOPIC", value_parser = topics())]
    topic: Option<String>,
}

fn topics() -> PossibleValuesParser {
    GUIDES.iter().map(|guide| PossibleValue::new(guide.topic).help(guide.title())).collect::<Vec<_>>().into()
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    match args.topic.as_deref().and_then(Guide::find) {
        Some(guide) => output::data(&guide.text()),
        None => {
            let widest = GUIDES.iter().map(|guide| guide.topic.len()).max().unwrap_or(0);
            let lines = GUIDES.iter().map(|guide| format!("{:widest$}  {}\n", guide.topic, guide.title()));
            output::data(&lines.collect::<String>());
        }
    }
    Ok(exit::MET)
}
