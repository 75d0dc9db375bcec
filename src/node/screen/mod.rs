//! What a screen shows, as text.
//!
//! In text modes the characters are in the memory of the machine ([`text_mode`]); in graphics modes they are recognised
//! by their fonts ([`picture`]), which draw the same pixels each time. Pure: bytes come in, lines come out.

mod fonts;
pub mod picture;
pub mod text_mode;

use serde::{Deserialize, Serialize};

use crate::event::{RunTime, ScreenMode};

/// The text on a screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenText {
    /// The mode.
    pub mode: ScreenMode,
    /// The number of characters after which a longer line continues in the next one; 0 if there is no text.
    pub columns: u16,
    /// The lines, without spaces at their ends and without empty lines at the end.
    pub lines: Vec<String>,
}

impl ScreenText {
    /// Creates it from lines as they are on the screen.
    fn new(mode: ScreenMode, columns: usize, lines: impl IntoIterator<Item = String>) -> Self {
        let mut lines: Vec<String> = lines.into_iter().map(|line| line.trim_end().to_owned()).collect();
        let used = lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
        lines.truncate(used);
        Self { mode, columns: u16::try_from(columns).unwrap_or(u16::MAX), lines }
    }

    /// Returns a screen in a graphics mode without text.
    pub fn graphics() -> Self {
        Self { mode: ScreenMode::Graphics, columns: 0, lines: Vec::new() }
    }
}

/// The screen of a node when it was last read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenReading {
    /// The text.
    #[serde(flatten)]
    pub text: ScreenText,
    /// The picture in the run folder, if there are pixels that are no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<std::path::PathBuf>,
    /// When it was read.
    pub at: RunTime,
    /// Whether the node is off since.
    pub off: bool,
}
