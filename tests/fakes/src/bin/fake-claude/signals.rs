//! Signals, with the exit codes of the real Claude Code.

use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lclaude_fakes::control::Control;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

/// Queues the signals for [`report`].
pub fn catch() -> Signals {
    Signals::new([SIGHUP, SIGINT, SIGTERM]).expect("these signals can be caught")
}

/// The switch that makes the fake report signals and keep running.
pub struct OnlyReport {
    on: Arc<AtomicBool>,
    caught: Handle,
}

impl OnlyReport {
    /// Turns it on. QUIT is caught only from then on, since Claude Code doesn't handle it.
    pub fn turn_on(&self) {
        self.on.store(true, Ordering::SeqCst);
        self.caught.add_signal(SIGQUIT).expect("it can be caught");
    }
}

/// Reports each signal and exits like Claude Code, unless the returned switch is on.
pub fn report(mut caught: Signals, control: Control) -> OnlyReport {
    let switch = OnlyReport { on: Arc::default(), caught: caught.handle() };
    let only_report = Arc::clone(&switch.on);
    thread::spawn(move || {
        for signal in caught.forever() {
            control.event("signal", json!({ "number": signal }));
            if !only_report.load(Ordering::SeqCst) {
                exit(if signal == SIGINT { 0 } else { 128 + signal });
            }
        }
    });
    switch
}
