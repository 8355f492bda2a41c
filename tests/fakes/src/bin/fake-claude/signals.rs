//! Signals, with the exit codes of the real Claude Code.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lclaude_fakes::control::Control;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Queues the signals for [`report`].
pub fn catch() -> Signals {
    Signals::new([SIGHUP, SIGINT, SIGTERM]).expect("these signals can be caught")
}

/// Reports each signal and exits like Claude Code, unless the returned switch is on.
pub fn report(mut caught: Signals, control: Control) -> Arc<AtomicBool> {
    let ignored = Arc::new(AtomicBool::new(false));
    let only_report = Arc::clone(&ignored);
    thread::spawn(move || {
        for signal in caught.forever() {
            control.event("signal", json!({ "number": signal }));
            if !only_report.load(Ordering::SeqCst) {
                exit(if signal == SIGINT { 0 } else { 128 + signal });
            }
        }
    });
    ignored
}
