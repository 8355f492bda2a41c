//! The terminal, as it was before Claude Code had it, or before we drew on it.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::unix::is_foreground_of;

/// What a full-screen program switches on and a killed one leaves on: alternate screen, hidden cursor, mouse reports,
/// focus reports, bracketed paste, the kitty keyboard protocol, colours (xterm's control sequences).
const SWITCH_OFF: &[u8] =
    b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[0m";

/// The terminal's settings, kept from before the child started.
pub struct Terminal {
    settings: Option<Termios>,
}

impl Terminal {
    pub fn save() -> Self {
        Terminal { settings: tcgetattr(io::stdin()).ok() }
    }

    /// Undoes what a killed child could not; for one that ended by itself there is nothing to do.
    pub fn restore(&self) {
        let Some(settings) = &self.settings else {
            return;
        };
        // From the background it would stop us, and the terminal is somebody else's by then.
        if !is_foreground_of(io::stdin()) {
            return;
        }
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
        let mut stdout = io::stdout();
        if stdout.is_terminal() {
            let _ = stdout.write_all(SWITCH_OFF).and_then(|()| stdout.flush());
        }
    }
}

/// A screen that is drawn again and again, beside the one with the user's work on it, and keys that come as they are
/// typed. Dropping it puts the terminal back.
pub struct LiveScreen {
    settings: Termios,
}

impl LiveScreen {
    /// Opens it on standard input and output, which both have to be the terminal.
    pub fn open() -> io::Result<Self> {
        let settings = tcgetattr(io::stdin())?;
        let mut live = settings.clone();
        // Keys that send signals too: whoever draws has to tidy up first.
        live.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Now, &live)?;
        let screen = LiveScreen { settings };
        let mut stdout = io::stdout();
        stdout.write_all(b"\x1b[?1049h\x1b[?25l").and_then(|()| stdout.flush())?;
        Ok(screen)
    }
}

impl Drop for LiveScreen {
    fn drop(&mut self) {
        Terminal { settings: Some(self.settings.clone()) }.restore();
    }
}
