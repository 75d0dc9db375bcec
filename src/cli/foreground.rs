//! Follows a run in the foreground until it ends or is detached.

use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::output::Stop;
use super::progress::RunProgress;
use crate::event::{Event, Kind, Known};
use crate::report::{Report, RunError, Whose, exit};
use crate::run::client::{Client, Events};
use crate::run::{Launched, store};

/// When the command detaches from a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detach {
    /// Never: the run ends with the command.
    Never,
    /// As soon as all steps are done.
    WhenUp,
    /// When every expectation is decided that can be before the end.
    WhenDecided,
    /// When an expectation was missed.
    WhenMissed,
}

/// How following a run ended.
#[derive(Debug)]
pub(super) enum ForegroundEnd {
    /// The run has ended.
    Ended(Box<Ended>),
    /// The command detached; the run continues.
    Left,
}

/// A run that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The exit code.
    pub(super) code: u8,
    /// Its report; `None` if it wrote none.
    pub(super) report: Option<Report>,
}

/// Inputs of the loop.
enum Input {
    Event(Option<Box<Event>>),
    Interrupt(&'static str),
}

/// SIGINT, SIGTERM and SIGHUP.
pub(super) struct Interrupts([(Signal, &'static str); 3]);

impl Interrupts {
    /// Begins to catch them.
    pub(super) fn listen() -> Result<Self, Stop> {
        let listen = |kind, name| {
            let signal = signal(kind).map_err(|error| Stop::host(&error))?;
            Ok::<_, Stop>((signal, name))
        };
        Ok(Self([
            listen(SignalKind::interrupt(), "Ctrl-C")?,
            listen(SignalKind::terminate(), "SIGTERM")?,
            listen(SignalKind::hangup(), "the terminal was closed")?,
        ]))
    }

    /// Waits for the next one, and returns its name.
    pub(super) async fn next(&mut self) -> &'static str {
        let waits = self.0.iter_mut().map(|(signal, name)| {
            Box::pin(async {
                signal.recv().await;
                *name
            })
        });
        futures_util::future::select_all(waits).await.0
    }
}

/// Follows a run and shows its progress.
pub(super) async fn foreground(
    mut launched: Launched,
    leave: Detach,
    progress: &mut RunProgress,
) -> Result<ForegroundEnd, Stop> {
    let mut interrupts = Interrupts::listen()?;
    let client = Client::new(&launched.socket);
    let mut interrupted = false;
    // If the supervisor failed at once, nothing answers; its report has the reason.
    let mut events = client.events(None).await.ok();
    while let Some(following) = &mut events {
        match next(following, &mut interrupts).await {
            Input::Event(None) => break,
            Input::Event(Some(event)) => {
                progress.see(&event);
                if leaves(leave, &event) {
                    launched.namespaces.untie().map_err(|error| Stop::host(&error))?;
                    return Ok(ForegroundEnd::Left);
                }
            }
            Input::Interrupt(why) if !interrupted => {
                interrupted = true;
                progress.say(&format!("{why}: tearing down; repeat to kill the lab"));
                if client.down(why, true).await.is_err() {
                    launched.namespaces.terminate();
                }
            }
            Input::Interrupt(_) => {
                launched.namespaces.kill();
                break;
            }
        }
    }
    let code = loop {
        if let Some(code) = end_or_interrupt(&mut launched, &mut interrupts).await {
            break code;
        }
        interrupted = true;
        launched.namespaces.kill();
    };
    progress.end();
    Ok(ForegroundEnd::Ended(Box::new(Ended::of(&launched.run_dir, code, interrupted))))
}

/// Waits until the supervisor has ended; `None` if the wait was interrupted.
async fn end_or_interrupt(launched: &mut Launched, interrupts: &mut Interrupts) -> Option<u8> {
    let wait = std::pin::pin!(launched.namespaces.wait());
    let interrupt = std::pin::pin!(interrupts.next());
    match futures_util::future::select(wait, interrupt).await {
        futures_util::future::Either::Left((code, _)) => Some(code.unwrap_or(exit::BUG)),
        futures_util::future::Either::Right(_) => None,
    }
}

async fn next(events: &mut Events, interrupts: &mut Interrupts) -> Input {
    let event = std::pin::pin!(events.next());
    let interrupt = std::pin::pin!(interrupts.next());
    match futures_util::future::select(event, interrupt).await {
        futures_util::future::Either::Left((event, _)) => Input::Event(event.map(Box::new)),
        futures_util::future::Either::Right((why, _)) => Input::Interrupt(why),
    }
}

fn leaves(leave: Detach, event: &Event) -> bool {
    match (leave, &event.kind) {
        (Detach::WhenUp, Kind::Known(Known::LabUp {})) => true,
        (Detach::WhenDecided, Kind::Known(Known::Judged { .. })) => true,
        (Detach::WhenMissed, Kind::Known(Known::Judged { met })) => !met,
        _ => false,
    }
}

impl Ended {
    /// Reads the result of a run whose supervisor exited with a code; `asked` tells whether our user stopped it.
    fn of(run_dir: &Path, code: u8, interrupted: bool) -> Self {
        let report = store::report(run_dir).ok();
        let code = match &report {
            Some(report) => report.exit,
            None if interrupted => exit::INTERRUPTED,
            // Killed by the kernel (out of memory) or by another process, not by us.
            None if code > 128 => exit::UNFIT,
            None => code,
        };
        Self { code, report }
    }

    /// Returns the error of a run without a report.
    pub(super) fn silence(&self, run_dir: &Path) -> Option<RunError> {
        if self.report.is_some() || self.code == exit::INTERRUPTED {
            return None;
        }
        let log = run_dir.join("supervisor.log").display().to_string();
        Some(match self.code {
            exit::UNFIT => RunError {
                whose: Whose::Host,
                what: "the supervisor of the lab was killed".to_owned(),
                causes: Vec::new(),
                hint: Some(format!(
                    "if `dmesg` shows that the host ran out of memory, give the nodes less; its last messages are in {log}"
                )),
                output: Vec::new(),
            },
            _ => RunError {
                whose: Whose::Ours,
                what: "the run ended without a report".to_owned(),
                causes: Vec::new(),
                hint: Some(format!("its last messages are in {log}")),
                output: Vec::new(),
            },
        })
    }
}
