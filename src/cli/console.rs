//! `dryrack console`: attaches to a node's serial console.

use std::io;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{SignalKind, signal};

use super::completions;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::NodeName;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// The byte of Ctrl-], which detaches.
const LEAVE: u8 = 0x1d;

/// Undoes what firmware, boot menus and editors switch in a terminal. Control sequences of the VT100 and xterm, without
/// those that move the cursor (a full reset, `DECSTR`, `DECCOLM`) and without those that the Linux console would print.
const RESET: &[u8] = concat!(
    // Out of the alternate screen: leaving it restores the cursor, so the cursor is saved in case there is none.
    "\x1b7\x1b[?1049l",
    // The whole screen scrolls; this moves the cursor.
    "\x1b7\x1b[r\x1b8",
    // Lines wrap, characters replace others, a line feed does not return the carriage.
    "\x1b[?7h\x1b[4l\x1b[20l",
    // The cursor is visible, and colours are those of the user.
    "\x1b[?25h\x1b[?5l\x1b[0m",
    // ASCII, and no character set beside it.
    "\x1b(B\x0f",
    // Arrow keys and keypad send what they usually do.
    "\x1b[?1l\x1b>",
    // No reports of the mouse or the focus, no brackets around pasted text, no withheld output.
    "\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l",
    "\x1b[?2004l\x1b[?2026l",
)
.as_bytes();

/// How long a terminal may take for it. One that is gone or stopped takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Attach to a node's serial console; Ctrl-] detaches
///
/// Starts with the last lines of output. All input goes to the node, including Ctrl-C. Stays attached while the node
/// restarts. If standard input is not a terminal, end of file does not detach. At the end the terminal gets its usual
/// modes back, whatever the node has switched.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Node
    #[arg(add = completions::nodes())]
    node: NodeName,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The user detached.
    Left,
    /// The lab ended.
    Gone,
    /// A signal was received.
    Interrupted,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let up = args.lab.find_with(std::slice::from_ref(&args.node), locations)?;
    let client = Client::new(&up.socket);
    block_on(async {
        let console = client.console(&args.node).await.map_err(|error| Stop::host(&error))?;
        let name = args.node.as_str();
        ended(attach(console.stream, name).await, name)
    })?
}

/// Says how a session ended, and returns the exit code.
pub(super) fn ended(end: io::Result<End>, name: &str) -> Result<u8, Stop> {
    match end {
        Ok(End::Left) => output::note(&format!("left {name}")),
        Ok(End::Gone) => output::note(&format!("the console of {name} was closed")),
        Ok(End::Interrupted) => return Ok(exit::INTERRUPTED),
        Err(error) => {
            return Err(Stop::new(exit::UNFIT, format!("cannot use this terminal: {error}"), None::<String>));
        }
    }
    Ok(exit::MET)
}

/// Connects the terminal with a console, until the user detaches or the console ends.
pub(super) async fn attach(stream: impl AsyncRead + AsyncWrite, name: &str) -> io::Result<End> {
    let terminal = io::stdin().is_terminal();
    if terminal {
        output::note(&format!("attached to {name}; Ctrl-] detaches"));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // The guard restores the terminal on every return.
    let raw = terminal.then(Raw::enter).transpose()?;
    let mut shown = tokio::io::stdout();
    let talk = Box::pin(talk(stream, tokio::io::stdin(), &mut shown));
    let signals = std::pin::pin!(async {
        let (terminate, hang_up) = (std::pin::pin!(terminate.recv()), std::pin::pin!(hang_up.recv()));
        futures_util::future::select(terminate, hang_up).await;
        End::Interrupted
    });
    let end = futures_util::future::select(talk, signals).await.factor_first().0;
    if io::stdout().is_terminal() {
        // The same handle, so that output that is still being written comes first. A terminal that is gone needs none.
        tokio::time::timeout(PATIENCE, reset(&mut shown)).await.ok();
    }
    if raw.is_some() {
        drop(raw);
        // The node's last line may be incomplete.
        output::note("");
    }
    Ok(end)
}

async fn reset(shown: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    shown.write_all(RESET).await?;
    shown.flush().await
}

/// Forwards bytes in both directions until the other side closes or Ctrl-] is typed.
async fn talk(
    stream: impl AsyncRead + AsyncWrite,
    mut typed: impl AsyncRead + Unpin,
    mut shown: impl AsyncWrite + Unpin,
) -> End {
    let (mut from, mut to) = tokio::io::split(stream);
    let show = std::pin::pin!(async {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match from.read(&mut buffer).await {
                Ok(count @ 1..) => {
                    if shown.write_all(&buffer[..count]).await.is_err() || shown.flush().await.is_err() {
                        return End::Left;
                    }
                }
                Ok(0) | Err(_) => return End::Gone,
            }
        }
    });
    let send = std::pin::pin!(async {
        let mut buffer = [0; 1024];
        loop {
            let Ok(count @ 1..) = typed.read(&mut buffer).await else {
                // A pipe's input was sent; keep showing output.
                return std::future::pending().await;
            };
            let typed = &buffer[..count];
            let leave = typed.iter().position(|byte| *byte == LEAVE);
            if to.write_all(&typed[..leave.unwrap_or(count)]).await.is_err() {
                return End::Gone;
            }
            if leave.is_some() {
                return End::Left;
            }
        }
    });
    futures_util::future::select(show, send).await.factor_first().0
}

/// A terminal in raw mode.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone need not be restored.
        tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a session; returns why it ended, what the node received and what was shown.
    async fn check(said: &[u8], typed: &[u8], ends: bool) -> (End, Vec<u8>, Vec<u8>) {
        let (ours, mut machine) = tokio::io::duplex(4096);
        machine.write_all(said).await.unwrap();
        let mut shown = Vec::new();
        let mut got = Vec::new();
        let listen = async {
            if ends {
                machine.shutdown().await.unwrap();
            }
            machine.read_to_end(&mut got).await.unwrap();
        };
        let (end, ()) = tokio::join!(talk(ours, typed, &mut shown), listen);
        (end, got, shown)
    }

    #[tokio::test]
    async fn what_is_typed_before_ctrl_bracket_reaches_the_machine() {
        let (end, got, _) = check(b"login: ", b"root\r\x1dlost", false).await;
        assert_eq!((end, got.as_slice()), (End::Left, b"root\r".as_slice()));
    }

    #[tokio::test]
    async fn the_end_of_a_pipe_leaves_the_answer_to_come() {
        let (end, got, shown) = check(b"login: ", b"root\r", true).await;
        assert_eq!(end, End::Gone);
        assert_eq!(shown, b"login: ");
        assert!(b"root\r".starts_with(&got));
    }
}
