//! The progress of the prompt while `-p` waits for the first word.
//!
//! Claude Code prints to the same terminal, so the line has to be gone before that. It prints at the end of its work, after
//! the model has written something, and the line is only there while the prompt takes seconds to be read. So a session
//! that the user watches otherwise (the terminal interface, a stream) gets none. If other sessions use the server too, it may
//! be the prompt of one of them.

use std::io::{self, IsTerminal};

use super::child::Child;
use crate::{
    base::progress::ProgressLine,
    keeper::{Activity, Phase},
};

/// The line disappears this many seconds before the prompt is expected to be read, since that is an estimate, and the keeper
/// reports it once a second.
const MIN_LEFT: u64 = 3;

/// The line. A session that gets none hears nothing of what the server is doing.
#[derive(Default)]
pub(super) struct ReadingLine {
    shown: Option<ProgressLine>,
}

impl ReadingLine {
    /// Returns whether a session with this child gets one: it prints an answer at its end, and everything goes to a terminal,
    /// so that nothing else writes in between.
    pub(super) fn is_wanted(child: &Child) -> bool {
        let Child::ClaudeCode(session) = child else {
            return false;
        };
        let streams = session.option("--output-format").is_some_and(|format| format == "stream-json");
        session.is_print() && !streams && io::stdout().is_terminal() && io::stderr().is_terminal()
    }

    /// Shows or clears the line.
    pub(super) fn update(&mut self, activity: &Activity) {
        let is_reading = activity.phase == Phase::Reading && activity.seconds_left.is_some_and(|left| left >= MIN_LEFT);
        if is_reading {
            let detail = activity.describe().split_off(1).join(", ");
            let line = self.shown.get_or_insert_with(ProgressLine::new);
            line.show("reading the prompt", activity.fraction.map(|fraction| fraction as f32), &detail);
        } else {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.shown = None;
    }
}
