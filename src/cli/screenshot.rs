//! `dryrack screenshot`: a picture of a node's screen, or the text on it.

use std::path::{Path, PathBuf};

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::event::ScreenMode;
use crate::name::NodeName;
use crate::node::screen::ScreenReading;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Save a screenshot of a node as PNG, or print the text on its screen
///
/// The text is read from the memory of the machine in text modes, and recognised by its font in graphics modes. For a
/// node that is off, it is the text that was there last.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    /// Output file, `-` for standard output [default: NODE.png]
    #[arg(conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Print the text on the screen
    #[arg(long)]
    text: bool,
    /// Print the text as JSON: the mode, the lines, and when they were read
    #[arg(long, requires = "text")]
    json: bool,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find_with(std::slice::from_ref(&args.node), locations)?;
    let client = Client::new(&up.socket);
    if args.text {
        let reading = block_on(client.screen(&args.node))?.map_err(|error| Stop::host(&error))?;
        return show(args, &reading, &up.run_dir);
    }
    let picture = block_on(client.screenshot(&args.node))?;
    let picture = picture.map_err(|error| Stop::host(&error))?;
    let file = args.file.clone().unwrap_or_else(|| format!("{}.png", args.node).into());
    if file == Path::new("-") {
        output::bytes(&picture);
        return Ok(exit::MET);
    }
    std::fs::write(&file, picture).map_err(|error| {
        let what = format!("cannot write {}: {error}", file.display());
        Stop::new(exit::UNFIT, what, Some("choose a writable file, or `-`"))
    })?;
    output::note(&format!("wrote {}", file.display()));
    Ok(exit::MET)
}

/// Prints the text of a screen.
fn show(args: &Args, reading: &ScreenReading, run_dir: &Path) -> Result<u8, Stop> {
    if args.json {
        output::data(&output::json_line(reading)?);
        return Ok(exit::MET);
    }
    let ScreenReading { text, picture, at, off } = reading;
    output::data(&text.lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    if text.lines.is_empty() && text.mode == ScreenMode::Graphics {
        let picture = picture.as_ref().map(|picture| format!(": {}", run_dir.join(picture).display()));
        output::note(&format!("graphics without a text that can be read{}", picture.unwrap_or_default()));
    }
    if *off {
        output::note(&format!("`{}` is off; this was on its screen at {at}", args.node));
    }
    Ok(exit::MET)
}
