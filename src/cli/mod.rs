//! One file per verb: arguments in, calls into the library, words out.
//!
//! Must never decide anything: it parses, asks the library, prints.

mod attend;
mod down;
mod exec;
mod lab;
mod locations;
mod output;
mod prepare;
mod progress;
mod roles;
mod status;
mod test;
mod up;

use clap::{Parser, Subcommand};

use locations::LocationArgs;
use output::Stop;

/// Rehearses bare metal: builds a rack of netbooting machines from one TOML file and says whether it became ready.
#[derive(Debug, Parser)]
#[command(name = "dryrack", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    locations: LocationArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What can be done. In the order in which a newcomer meets it.
#[derive(Debug, Subcommand)]
enum Verb {
    Up(up::Args),
    Down(down::Args),
    Status(status::Args),
    Test(test::Args),
    Exec(exec::Args),
}

/// Runs the program and returns its exit code.
pub fn main() -> u8 {
    if let Some(code) = roles::play() {
        return code;
    }
    output::log_to_stderr();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    match run(cli) {
        Ok(code) => code,
        Err(stop) => {
            output::stop(&stop);
            stop.code
        }
    }
}

fn run(cli: Cli) -> Result<u8, Stop> {
    let locations = cli.locations.locations()?;
    match cli.verb {
        Verb::Up(args) => up::run(args, &locations),
        Verb::Down(args) => down::run(args, &locations),
        Verb::Status(args) => status::run(args, &locations),
        Verb::Test(args) => test::run(args, &locations),
        Verb::Exec(args) => exec::run(args, &locations),
    }
}
