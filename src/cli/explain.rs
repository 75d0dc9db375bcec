//! `dryrack explain`: explains a diagnostic.

use super::output::{self, Stop};
use crate::diag::{self, Code};
use crate::report::exit;

/// Explain a diagnostic by its code, as in `dryrack explain L105`
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Code of the diagnostic [default: list all codes]
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let Some(number) = &args.code else {
        let lines = Code::ALL.iter().map(|code| format!("{}  {}\n", code.number(), code.title()));
        output::data(&lines.collect::<String>());
        return Ok(exit::MET);
    };
    let Some(page) = diag::explain(number) else {
        let hint = Some("`dryrack explain` lists every code");
        return Err(Stop::new(exit::WRONG, format!("unknown code `{number}`"), hint));
    };
    output::data(&page);
    Ok(exit::MET)
}
