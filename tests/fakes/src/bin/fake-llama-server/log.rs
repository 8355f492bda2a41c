//! The log lines of llama.cpp on stderr: time since the start, a letter for the level, the text.

use std::sync::OnceLock;
use std::time::Instant;

static START: OnceLock<Instant> = OnceLock::new();

/// Starts the clock.
pub fn start() {
    START.get_or_init(Instant::now);
}

pub fn info(text: &str) {
    line('I', text);
}

pub fn warning(text: &str) {
    line('W', text);
}

pub fn error(text: &str) {
    line('E', text);
}

fn line(level: char, text: &str) {
    let time = START.get_or_init(Instant::now).elapsed();
    let (seconds, micros) = (time.as_secs(), time.subsec_micros());
    eprintln!("{}.{:02}.{:03}.{:03} {level} {text}", seconds / 60, seconds % 60, micros / 1000, micros % 1000);
}
