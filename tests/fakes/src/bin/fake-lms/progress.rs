//! The progress that `lms get` draws on stdout, to terminals and pipes alike (`get.ts`, `ProgressBar.ts`,
//! `downloadPbUpdater.ts`).

use std::io::Write;

use serde_json::Value;

const BLOCKS: usize = 22;

/// Prints the resolved download plan.
pub fn plan(key: &str, total: u64) {
    print!("\x1b[?25l");
    for line in [
        String::new(),
        format!("   ↓ To download: model {key}"),
        String::new(),
        format!("Resolution completed. Downloading {}...", size(total)),
    ] {
        print!("\r{line}\x1b[0K\n");
    }
    print!("\x1b[?25h");
    flush();
}

/// Redraws one line, without a line end. The real program does so every 50 ms, even without progress.
pub fn step(step: &Value) {
    let number = |field: &str| step[field].as_u64().unwrap_or_default();
    let (downloaded, total, speed) = (number("downloadedBytes"), number("totalBytes"), number("speedBytesPerSecond"));
    let ratio = downloaded as f64 / total as f64;
    let left = total.saturating_sub(downloaded) / speed;
    let full = (ratio * BLOCKS as f64) as usize;
    let blocks = match full {
        BLOCKS => "█".repeat(BLOCKS),
        _ => format!("{}▏{}", "█".repeat(full), " ".repeat(BLOCKS - full - 1)),
    };
    print!(
        "\x1b[?25l\x1b[s\x1b[2K\r⠋ [{blocks}] {:.2}% | {:>6} / {:>6} | {:>6}/s | ETA {:02}:{:02}          \x1b[u",
        ratio * 100.0,
        size(downloaded),
        size(total),
        size(speed),
        left / 60,
        left % 60
    );
    flush();
}

pub fn end() {
    print!("\x1b[2K\x1b[1G\x1b[?25h");
    flush();
}

fn size(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        ..1e3 => format!("{bytes} B"),
        ..1e6 => format!("{:.2} KB", bytes / 1e3),
        ..1e9 => format!("{:.2} MB", bytes / 1e6),
        _ => format!("{:.2} GB", bytes / 1e9),
    }
}

fn flush() {
    // Errors only mean that the reader is gone.
    let _ = std::io::stdout().flush();
}
