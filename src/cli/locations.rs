//! The folders of runs, images and sockets: XDG folders, unless the environment or options override them.

use std::ffi::OsString;
use std::path::PathBuf;

use etcetera::BaseStrategy;

use super::output::Stop;
use crate::report::exit;
use crate::run::Locations;

/// Folders that tests and users may move.
///
/// Global arguments share their ids with those of every command, hence the long ids.
#[derive(Debug, clap::Args)]
pub(super) struct LocationArgs {
    /// Where runs are kept [default: the XDG state folder]
    #[arg(
        id = "state_folder",
        long = "state",
        env = "DRYRACK_STATE",
        global = true,
        hide = true,
        value_name = "DIR"
    )]
    state: Option<OsString>,
    /// Where images are kept [default: the XDG cache folder]
    #[arg(
        id = "cache_folder",
        long = "cache",
        env = "DRYRACK_CACHE",
        global = true,
        hide = true,
        value_name = "DIR"
    )]
    cache: Option<OsString>,
    /// Where locks and sockets are kept [default: the XDG runtime folder]
    #[arg(
        id = "runtime_folder",
        long = "runtime",
        env = "DRYRACK_RUNTIME",
        global = true,
        hide = true,
        value_name = "DIR"
    )]
    runtime: Option<OsString>,
}

/// Returns the given folder; an empty value counts as unset, as in the XDG specification.
fn named(given: &Option<OsString>) -> Option<PathBuf> {
    given.as_ref().filter(|name| !name.is_empty()).map(PathBuf::from)
}

impl LocationArgs {
    /// Determines all folders.
    pub(super) fn locations(&self) -> Result<Locations, Stop> {
        let xdg = etcetera::choose_base_strategy().ok();
        let of = |given: &Option<OsString>, usual: Option<PathBuf>, variable: &str| {
            let found = named(given).or(usual.map(|folder| folder.join("dryrack")));
            let found = found.and_then(|path| std::path::absolute(path).ok());
            found.ok_or_else(|| {
                let hint = format!("set {variable} to a writable folder");
                Stop::new(exit::UNFIT, "no home folder", Some(hint))
            })
        };
        let temporary = || PathBuf::from(format!("/tmp/dryrack-{}", nix::unistd::geteuid()));
        let runtime = xdg.as_ref().and_then(|xdg| xdg.runtime_dir()).map(|folder| folder.join("dryrack"));
        let runtime = named(&self.runtime).or(runtime).unwrap_or_else(temporary);
        Ok(Locations {
            state: of(&self.state, xdg.as_ref().and_then(|xdg| xdg.state_dir()), "DRYRACK_STATE")?,
            cache: of(&self.cache, xdg.as_ref().map(|xdg| xdg.cache_dir()), "DRYRACK_CACHE")?,
            runtime: std::path::absolute(&runtime).unwrap_or(runtime),
        })
    }
}
