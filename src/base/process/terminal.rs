//! Saves and restores the terminal around Claude Code and around our own live screen.

use std::io::{self, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::unix::is_foreground_of;

/// Turns off what a killed full-screen program leaves on: alternate screen, hidden cursor, mouse reports, focus
/// reports, bracketed paste, the kitty keyboard protocol, colors (xterm's control sequences).
///
/// Leaving the alternate screen also restores the cursor that was saved on the main screen. If the program used only that,
/// entering the alternate screen first saves the cursor where it is, so that nothing moves. (ESC 7 isn't enough: tmux
/// keeps the two saved positions apart.) On the alternate screen, entering it changes nothing on the main screen.
const RESET: &[u8] =
    b"\x1b[?1049h\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[<u\x1b[0m";

/// The terminal's settings from before the child started.
pub(crate) struct Terminal {
    settings: Option<Termios>,
}

impl Terminal {
    pub(crate) fn save() -> Self {
        Terminal { settings: tcgetattr(io::stdin()).ok() }
    }

    /// Restores the terminal after a child was killed. A child that exits normally does this itself.
    pub(crate) fn restore(&self) {
        let Some(settings) = &self.settings else {
            return;
        };
        // In the background, tcsetattr would stop us, and another program owns the terminal.
        if !is_foreground_of(io::stdin()) {
            return;
        }
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, settings);
        let mut stdout = io::stdout();
        if stdout.is_terminal() {
            let _ = stdout.write_all(RESET).and_then(|()| stdout.flush());
        }
    }
}

/// The alternate screen, with each key delivered as it is typed. Dropping this value restores the terminal.
pub(crate) struct LiveScreen {
    settings: Termios,
}

impl LiveScreen {
    /// Opens the screen on stdin and stdout, which must both be the terminal.
    pub(crate) fn open() -> io::Result<Self> {
        let settings = tcgetattr(io::stdin())?;
        let mut live = settings.clone();
        // ISIG too: Ctrl-C must arrive as a key, so that the screen can be closed first.
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
