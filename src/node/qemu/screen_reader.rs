//! Reads the screen of a running QEMU.
//!
//! While a text mode is known, reading is one copy of its memory, which does not stop the machine. The registers tell
//! the mode and where the page begins; they are read through an index register that the guest uses, too, so the machine
//! is stopped for these milliseconds and the index is put back. That happens only when something changed beside the
//! page. In graphics modes the picture is enough.

use std::io;
use std::path::{Path, PathBuf};

use super::qmp::{Qmp, QmpError};
use crate::node::screen::ScreenText;
use crate::node::screen::picture::{Grid, Picture};
use crate::node::screen::text_mode::{ADDRESS, CRTC, ENABLE, MISCELLANEOUS, Page, Registers, SIZE};

/// The file of the memory, in the folder of the machine while it is read.
const MEMORY: &str = "vga.memory";

/// The file of the picture, in the folder of the machine while it is read.
const PICTURE: &str = "vga.ppm";

/// Ports of the index registers of a VGA: the CRTC, the graphics controller, the Bochs VBE interface. The register is at
/// the next port.
const CRTC_PORT: u16 = 0x3d4;
const GRAPHICS_PORT: u16 = 0x3ce;
const VBE_PORT: u16 = 0x1ce;

/// Why a screen could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// QEMU refused a command, or has ended.
    #[error(transparent)]
    Qmp(#[from] QmpError),
    /// What QEMU wrote could not be read.
    #[error("cannot read {}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// QEMU answered with something else than a value.
    #[error("QEMU answered `{0}` to a request for a register")]
    NoValue(String),
}

impl ReadError {
    /// Tells whether QEMU has ended.
    pub(super) fn is_end(&self) -> bool {
        matches!(self, Self::Qmp(error) if error.is_end())
    }
}

/// What is on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) text: ScreenText,
    /// Whether there are pixels that are no text.
    pub(super) is_picture: bool,
}

/// What QEMU itself draws before a firmware sets a mode.
const NOTHING_YET: &str = "Guest has not initialized the display (yet).";

/// A screen as it was read last.
enum Last {
    Nothing,
    Text { page: Page, memory: Vec<u8> },
    Graphics { file: Vec<u8>, grid: Option<Grid> },
}

/// Reads the screen of one QEMU.
pub(super) struct ScreenReader {
    qmp: Qmp,
    folder: PathBuf,
    last: Last,
}

impl ScreenReader {
    /// Creates a reader. `folder` is the folder of the machine.
    pub(super) fn new(qmp: Qmp, folder: &Path) -> Self {
        Self { qmp, folder: folder.to_owned(), last: Last::Nothing }
    }

    /// Reads the screen; `None` if it has not changed since the last time.
    pub(super) async fn read(&mut self) -> Result<Option<Shown>, ReadError> {
        match &self.last {
            Last::Text { page, memory } => {
                let now = self.memory().await?;
                if *memory == now {
                    return Ok(None);
                }
                if page.is_same_beside(memory, &now) {
                    return Ok(Some(self.text(*page, now)));
                }
            }
            Last::Graphics { file, .. } => {
                let now = self.picture().await?;
                if *file == now {
                    return Ok(None);
                }
                let size = |file| Picture::from_ppm(file).map(|picture| picture.size());
                if size(file) == size(&now) {
                    return Ok(Some(self.graphics(now)));
                }
            }
            Last::Nothing => {}
        }
        let (page, memory) = self.registers().await?;
        match page {
            Some(page) => Ok(Some(self.text(page, memory))),
            None => {
                let now = self.picture().await?;
                Ok(Some(self.graphics(now)))
            }
        }
    }

    fn text(&mut self, page: Page, memory: Vec<u8>) -> Shown {
        let text = page.read(&memory);
        self.last = Last::Text { page, memory };
        Shown { text, is_picture: false }
    }

    fn graphics(&mut self, file: Vec<u8>) -> Shown {
        let before = match &self.last {
            Last::Graphics { grid, .. } => *grid,
            Last::Nothing | Last::Text { .. } => None,
        };
        let picture = Picture::from_ppm(&file);
        let read = picture.and_then(|picture| picture.read(before));
        let is_off = read.as_ref().is_some_and(|(_, text)| text.lines == [NOTHING_YET]);
        let read = read.filter(|_| !is_off);
        let is_picture = !is_off && read.is_none() && picture.is_some_and(|picture| !picture.is_blank());
        let (grid, text) =
            read.map_or_else(|| (None, ScreenText::graphics()), |(grid, text)| (Some(grid), text));
        self.last = Last::Graphics { file, grid };
        Shown { text, is_picture }
    }

    async fn memory(&self) -> Result<Vec<u8>, ReadError> {
        self.qmp.save_memory(ADDRESS, SIZE, MEMORY).await?;
        self.take(MEMORY).await
    }

    async fn picture(&self) -> Result<Vec<u8>, ReadError> {
        self.qmp.screendump_ppm(PICTURE).await?;
        self.take(PICTURE).await
    }

    /// Reads a file that QEMU wrote, and removes it.
    async fn take(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        let file = self.folder.join(name);
        let bytes = tokio::fs::read(&file).await;
        // No longer needed, whether or not it could be read.
        tokio::fs::remove_file(&file).await.ok();
        bytes.map_err(|source| ReadError::File { file, source })
    }

    /// Stops the machine, and reads the registers and the memory. It stays stopped if QEMU itself has stopped it, as
    /// for a full disk.
    async fn registers(&self) -> Result<(Option<Page>, Vec<u8>), ReadError> {
        let status = self.qmp.status().await?;
        // Only a look pauses a machine: `paused` is one that failed. `prelaunch` is about to run.
        let resume = matches!(status.as_str(), "running" | "paused" | "prelaunch");
        self.qmp.stop().await?;
        let read = self.stopped().await;
        if resume && matches!(self.qmp.status().await?.as_str(), "paused" | "prelaunch") {
            self.qmp.cont().await?;
        }
        read
    }

    async fn stopped(&self) -> Result<(Option<Page>, Vec<u8>), ReadError> {
        let mut crtc = [0; CRTC.len()];
        let mut vga = [0; 1];
        let mut vbe = [0; 1];
        self.indexed('b', CRTC_PORT, &CRTC, &mut crtc).await?;
        self.indexed('b', GRAPHICS_PORT, &[MISCELLANEOUS], &mut vga).await?;
        self.indexed('h', VBE_PORT, &[ENABLE], &mut vbe).await?;
        let registers =
            Registers { crtc: crtc.map(|value| value as u8), graphics: vga[0] as u8, vbe: vbe[0] };
        Ok((registers.page(), self.memory().await?))
    }

    /// Reads registers behind an index register, and puts the index back.
    async fn indexed(
        &self,
        size: char,
        port: u16,
        indices: &[u8],
        values: &mut [u16],
    ) -> Result<(), ReadError> {
        let before = value(&self.qmp.monitor(&format!("i /{size} {port}")).await?)?;
        let mut lines = Vec::new();
        for index in indices {
            lines.push(format!("o /{size} {port} {index}"));
            lines.push(format!("i /{size} {}", port + 1));
        }
        lines.push(format!("o /{size} {port} {before}"));
        // All of them, so that the index is put back even if one was refused.
        let answers = futures_util::future::join_all(lines.iter().map(|line| self.qmp.monitor(line))).await;
        let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
        for (to, answer) in values.iter_mut().zip(answers.iter().skip(1).step_by(2)) {
            *to = value(answer)?;
        }
        Ok(())
    }
}

/// Returns the value in an answer such as `portb[0x03d5] = 0x0d`.
fn value(answer: &str) -> Result<u16, ReadError> {
    let number = answer.trim().rsplit_once("= 0x").and_then(|(_, hex)| u16::from_str_radix(hex, 16).ok());
    number.ok_or_else(|| ReadError::NoValue(answer.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_the_monitor_are_read() {
        assert_eq!(value("portb[0x03d5] = 0x0d\r\n").unwrap(), 0x0d);
        assert_eq!(value("portw[0x01cf] = 0xb0c5\r\n").unwrap(), 0xb0c5);
        assert!(value("unknown command: 'i'").is_err());
    }
}
