//! `dryrack completions`: shell completions.

use clap_complete::Shell;

use super::output::{self, Stop};
use crate::report::exit;

/// Print the completion script of a shell
///
/// bash: `dryrack completions bash > ~/.local/share/bash-completion/completions/dryrack`.
/// zsh: save it as `_dryrack` in a folder of `$fpath`. fish: `~/.config/fish/completions/dryrack.fish`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<u8, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "dryrack", &mut script);
    output::bytes(&script);
    Ok(exit::MET)
}
