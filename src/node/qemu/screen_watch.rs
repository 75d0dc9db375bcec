//! Watches the screen of one machine.
//!
//! A look is at most once a second, and rarer while nothing changes; output on the serial console and messages of QEMU
//! end such a pause. Each look is a few commands of QMP, which take milliseconds. What was seen last stays when the
//! machine is off.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::console::Port;
use super::qmp::Qmp;
use super::screen_reader::{ReadError, ScreenReader, Shown};
use crate::event::{Emitter, Known, RunTime};
use crate::name::NodeName;
use crate::node::screen::ScreenReading;

/// The picture of a screen that could not be read, in the folder of the machine.
const PICTURE: &str = "screen.png";

/// How often the picture of a screen that changes all the time is kept.
const BETWEEN_PICTURES: Duration = Duration::from_secs(5);

/// The least time between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// The time between two looks at a screen that does not change.
const LONGEST_PAUSE: Duration = Duration::from_secs(4);

/// How long after it was read a screen becomes an event. A line that is on the serial console, too, is reported from
/// there by then, even a prompt.
const CONSOLE_FIRST: Duration = Duration::from_millis(350);

/// How long the last look at a machine may take that is about to be ended.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// The screen of one machine, over power cycles.
pub(super) struct Screen {
    node: NodeName,
    folder: PathBuf,
    events: Emitter,
    last: Mutex<Option<ScreenReading>>,
    /// Wakes the watcher before its pause is over.
    stir: Notify,
    /// Asks the watcher of the running QEMU for a look.
    asker: Mutex<Option<mpsc::UnboundedSender<oneshot::Sender<()>>>>,
}

impl Screen {
    /// Creates the screen of a machine that is off. `folder` is the folder of the machine.
    pub(super) fn new(node: NodeName, folder: PathBuf, events: Emitter) -> Self {
        let (last, stir, asker) = (Mutex::default(), Notify::new(), Mutex::default());
        Self { node, folder, events, last, stir, asker }
    }

    /// Says that the screen may have changed.
    pub(super) fn stir(&self) {
        self.stir.notify_one();
    }

    /// Looks at the screen of a machine that is on; returns when its text is known.
    pub(super) async fn look(&self) {
        let (done, looked) = oneshot::channel();
        let asked = self.asker().as_ref().is_some_and(|asker| asker.send(done).is_ok());
        if asked {
            // An error means that QEMU ended meanwhile: then the last text counts.
            looked.await.ok();
        }
    }

    /// Looks at the screen of a machine that is about to be ended.
    pub(super) async fn look_last(&self) {
        if tokio::time::timeout(LAST_LOOK, self.look()).await.is_err() {
            tracing::debug!(node = %self.node, "no time for a last look at the screen");
        }
    }

    /// Returns what was seen last.
    pub(super) fn last(&self) -> Option<ScreenReading> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn asker(&self) -> MutexGuard<'_, Option<mpsc::UnboundedSender<oneshot::Sender<()>>>> {
        self.asker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to watch a QEMU.
    pub(super) fn watch(self: &Arc<Self>, qmp: Qmp, port: Arc<Port>) -> ScreenWatch {
        let (asker, asked) = mpsc::unbounded_channel();
        *self.asker() = Some(asker);
        let reader = ScreenReader::new(qmp.clone(), &self.folder);
        ScreenWatch {
            screen: Arc::clone(self),
            qmp,
            port,
            reader,
            asked,
            has_picture: false,
            is_stale: false,
            kept: None,
            position: 0,
        }
    }
}

/// Watches the screen of one QEMU.
pub(super) struct ScreenWatch {
    screen: Arc<Screen>,
    qmp: Qmp,
    port: Arc<Port>,
    reader: ScreenReader,
    asked: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    /// Whether the screen shows pixels that are no text.
    has_picture: bool,
    /// Whether they have changed since they were kept.
    is_stale: bool,
    /// When they were kept.
    kept: Option<RunTime>,
    /// Where the log of the serial console ended at the last look.
    position: u64,
}

impl ScreenWatch {
    /// Watches until QEMU has ended. `powered` tells whether its guest has ever run.
    pub(super) async fn run(mut self, mut ended: watch::Receiver<bool>, powered: impl Fn() -> bool) {
        let ended = async move { drop(ended.wait_for(|ended| *ended).await) };
        let watched = async {
            let mut pause = PAUSE;
            loop {
                let asked = self.wait(pause).await;
                let looked = if powered() { self.look(asked.is_some()).await } else { Ok(false) };
                pause = match looked {
                    Ok(true) => PAUSE,
                    Ok(false) => (pause * 2).min(LONGEST_PAUSE),
                    Err(error) if error.is_end() => return,
                    Err(error) => {
                        tracing::warn!(node = %self.screen.node, %error, "the screen cannot be read");
                        LONGEST_PAUSE
                    }
                };
                if let Some(asked) = asked {
                    // Nobody may wait any more.
                    asked.send(()).ok();
                }
            }
        };
        let (watched, ended) = (pin!(watched), pin!(ended));
        select(watched, ended).await;
    }

    /// Waits until a look is due; returns who asked for it.
    async fn wait(&mut self, pause: Duration) -> Option<oneshot::Sender<()>> {
        if let Ok(Some(asked)) = tokio::time::timeout(PAUSE, self.asked.recv()).await {
            return Some(asked);
        }
        let mut waited = PAUSE;
        while waited < pause {
            // Where something is printed, the screen may have changed, too.
            let position = self.port.catch_up().await;
            if std::mem::replace(&mut self.position, position) != position {
                return None;
            }
            let stirred = pin!(self.screen.stir.notified());
            let asked = pin!(self.asked.recv());
            match tokio::time::timeout(PAUSE, select(stirred, asked)).await {
                Ok(Either::Right((asked, _))) => return asked,
                Ok(Either::Left(_)) => return None,
                Err(_) => waited += PAUSE,
            }
        }
        None
    }

    /// Looks at the screen; returns whether it has changed.
    #[expect(clippy::disallowed_methods, reason = "the lines of the serial console come first")]
    async fn look(&mut self, at_once: bool) -> Result<bool, ReadError> {
        let Some(shown) = self.reader.read().await? else {
            if let Some(last) = self.last().as_mut() {
                last.at = self.screen.events.now().at;
            }
            self.keep_picture(at_once).await?;
            return Ok(false);
        };
        let Shown { text, is_picture } = shown;
        let is_new = !std::mem::replace(&mut self.has_picture, is_picture);
        let picture =
            is_picture.then(|| ["node", self.screen.node.as_str(), PICTURE].iter().collect::<PathBuf>());
        self.is_stale = is_picture;
        self.keep_picture(at_once || is_new).await?;
        let at = self.screen.events.now().at;
        let reading = ScreenReading { text, picture, at, off: false };
        let before = self.last().replace(reading.clone());
        let is_same = |before: ScreenReading| {
            (before.text, before.picture) == (reading.text.clone(), reading.picture.clone())
        };
        if before.is_some_and(is_same) {
            return Ok(true);
        }
        if !at_once {
            tokio::time::sleep(CONSOLE_FIRST).await;
        }
        self.port.catch_up().await;
        let ScreenReading { text, picture, at: _, off: _ } = reading;
        let (mode, columns, lines) = (text.mode, text.columns, text.lines);
        self.screen.events.emit_of(&self.screen.node, Known::ScreenShown { mode, columns, lines, picture });
        Ok(true)
    }

    /// Keeps the picture that the screen shows, if it has changed; not each picture of a moving one.
    async fn keep_picture(&mut self, at_once: bool) -> Result<(), ReadError> {
        let now = self.screen.events.now().at;
        let is_due = self.kept.is_none_or(|kept| now.since(kept) >= BETWEEN_PICTURES);
        if self.is_stale && (at_once || is_due) {
            self.qmp.screendump(PICTURE).await?;
            (self.is_stale, self.kept) = (false, Some(now));
        }
        Ok(())
    }

    fn last(&self) -> MutexGuard<'_, Option<ScreenReading>> {
        self.screen.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
