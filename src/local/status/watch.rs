//! `lclaude local status --watch`: the status, refreshed on the alternate screen.
//!
//! It polls once a second, because memory and speed have no events. It reacts to keys and window size changes at once.

use std::{
    io::{self, IsTerminal, Read},
    path::PathBuf,
    time::Duration,
};

use console::{Term, truncate_str};
use rustix::process::Signal;
use tokio::{sync::mpsc, time::sleep};

use super::{seen::Viewer, text};
use crate::base::{
    error::{Code, Failure, Result},
    exit::Exit,
    process::LiveScreen,
    signals::{Repeated, Signals},
    ui,
};

const PERIOD: Duration = Duration::from_secs(1);
const CTRL_C: u8 = 3;

/// Returns exit code 0 after `q`, and the signal after Ctrl-C.
pub(crate) async fn run(places: &[PathBuf]) -> Result<Exit> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new(Code::Usage, "--watch requires a terminal")
            .cause("it redraws the screen and waits for keys")
            .help("lclaude local status"));
    }
    let failed = |error: io::Error| {
        Failure::new(Code::Unavailable, "the terminal cannot be used").cause(error).help("lclaude local status")
    };
    let mut signals = Signals::listen()?;
    let mut resized = Repeated::resized().map_err(failed)?;
    let mut keys = keys();
    let _screen = LiveScreen::open().map_err(failed)?;
    let mut viewer = Viewer::new(places);
    loop {
        let seen = viewer.look().await;
        let shown = text::all(&seen);
        draw(&shown).map_err(failed)?;
        let period = sleep(PERIOD);
        tokio::pin!(period);
        loop {
            tokio::select! {
                () = &mut period => break,
                () = resized.next() => draw(&shown).map_err(failed)?,
                _ = signals.next() => return Ok(signals.exit()),
                key = keys.recv() => match key {
                    Some(b'q' | b'Q') => return Ok(Exit::Code(0)),
                    // The screen turns signal keys off, because Ctrl-Z would leave it open. So Ctrl-C arrives as a key.
                    Some(CTRL_C) => return Ok(Exit::Signal(Signal::INT)),
                    Some(_) => {}
                    // The terminal was closed.
                    None => return Ok(Exit::Signal(Signal::HUP)),
                },
            }
        }
    }
}

/// Draws as much of the text as fits in the window.
fn draw(text: &str) -> io::Result<()> {
    let (rows, columns) = Term::stdout().size();
    let hint = "\nPress q to quit; the backends keep running.";
    let lines: Vec<&str> = text.lines().chain(hint.lines()).take(rows.into()).collect();
    let lines: Vec<String> =
        lines.iter().map(|line| format!("{}\x1b[K", truncate_str(line, columns.into(), "…"))).collect();
    // Overwrites from the top left corner, then clears the rest, which avoids flicker.
    ui::write_stdout(format!("\x1b[H{}\x1b[J", lines.join("\r\n")).as_bytes())
}

/// Returns the keys as they are typed. A thread reads them, because non-blocking terminal reads differ between systems;
/// it ends with the process.
fn keys() -> mpsc::UnboundedReceiver<u8> {
    let (sender, keys) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for key in io::stdin().lock().bytes().map_while(io::Result::ok) {
            if sender.send(key).is_err() {
                return;
            }
        }
    });
    keys
}
