//! `lclaude local status --watch`: the same, live, on a screen of its own.
//!
//! Memory and speed have no events, so it looks once a second; keys and a change of the window's size are seen at once.

use std::{
    io::{self, IsTerminal, Read, Write},
    path::Path,
    time::Duration,
};

use console::{Term, truncate_str};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::sleep,
};

use super::{seen::look, text};
use crate::base::{
    error::{Code, Failure, Result},
    process::LiveScreen,
    signals::Signals,
};

const PERIOD: Duration = Duration::from_secs(1);
const CTRL_C: u8 = 3;

/// Exit code 0 after `q`, 130 after Ctrl-C.
pub async fn run(runtime: &Path) -> Result<u8> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Failure::new(Code::Usage, "--watch needs a terminal")
            .why("it redraws what it shows, and waits for a key")
            .help("lclaude local status shows it once; --json is for scripts"));
    }
    let failed = |error: io::Error| {
        Failure::new(Code::Unavailable, "the terminal cannot be used").why(error).help("lclaude local status")
    };
    let mut signals = Signals::listen()?;
    let mut resized = signal(SignalKind::window_change()).map_err(failed)?;
    let mut keys = keys();
    let _screen = LiveScreen::open().map_err(failed)?;
    loop {
        let seen = look(runtime).await;
        let shown = text::all(&seen);
        draw(&shown).map_err(failed)?;
        let period = sleep(PERIOD);
        tokio::pin!(period);
        loop {
            tokio::select! {
                () = &mut period => break,
                _ = resized.recv() => draw(&shown).map_err(failed)?,
                _ = signals.next() => return Ok(signals.exit_code()),
                key = keys.recv() => match key {
                    Some(b'q' | b'Q') => return Ok(0),
                    // The screen takes it for itself: otherwise a Ctrl-Z would leave the terminal as it is.
                    Some(CTRL_C) => return Ok(130),
                    Some(_) => {}
                    // The terminal has gone.
                    None => return Ok(129),
                },
            }
        }
    }
}

/// As much of the text as the window holds.
fn draw(text: &str) -> io::Result<()> {
    let (rows, columns) = Term::stdout().size();
    let hint = "\nq ends this; the backends go on.";
    let lines: Vec<&str> = text.lines().chain(hint.lines()).take(rows.into()).collect();
    let lines: Vec<String> =
        lines.iter().map(|line| format!("{}\x1b[K", truncate_str(line, columns.into(), "…"))).collect();
    // From the top left corner, over what was there; then what is left of it.
    let mut stdout = io::stdout();
    write!(stdout, "\x1b[H{}\x1b[J", lines.join("\r\n"))?;
    stdout.flush()
}

/// A thread that ends with the process: a terminal cannot be read without waiting in every system alike.
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
