//! `lclaude local status` as text, one block per backend.

use std::time::Duration;

use super::seen::BackendView;
use crate::{
    base::ui::{self, format_bytes},
    keeper::{Activity, State},
};

/// Returns the blocks of all backends.
pub(crate) fn all(seen: &[BackendView]) -> String {
    if seen.is_empty() {
        return "No backend is running.\n".into();
    }
    seen.iter().map(block).collect::<Vec<_>>().join("\n")
}

fn block(seen: &BackendView) -> String {
    let BackendView { report, figures, resident } = seen;
    let about = &report.about;
    let models = if about.models.is_empty() { "no model".into() } else { about.models.join(", ") };
    let (id, kind) = (report.short_id(), &about.kind);
    let mut text = ui::one_line(format_args!("{id}  {kind}  {models}: {}", state(seen))) + "\n";
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<9} {}\n", ui::one_line(value)));
    line("model", about.origin.clone());
    // Only if a session has switched to another model.
    let switched = |loaded: &&Vec<String>| {
        report.served.iter().any(|served| loaded.iter().any(|name| served.others.contains(name)))
    };
    if let Some(loaded) = figures.loaded.as_ref().filter(switched) {
        line("loaded", loaded.join(", "));
    }
    if let Some(served) = &report.served {
        let used = figures.used.map(|used| format!(", {used} in use")).unwrap_or_default();
        line("context", format!("{} tokens{used}", served.context));
    }
    let activity = report.activity.as_ref();
    if let Some(activity) = activity.map(Activity::describe).filter(|words| !words.is_empty()) {
        line("now", activity.join(", "));
    }
    if let Some(prompt) = activity.and_then(|activity| activity.prompt_cache) {
        line("cache", format!("{} of {} tokens of the last prompt", prompt.cached, prompt.total));
    }
    let rates = [(figures.read_rate, "prefill"), (figures.write_rate, "generation")];
    let rates: Vec<String> =
        rates.iter().filter_map(|(rate, name)| Some(format!("{name} {:.0} tokens/s", (*rate)?))).collect();
    if !rates.is_empty() {
        line("speed", rates.join(", "));
    }
    let mut memory: Vec<String> =
        resident.iter().filter(|bytes| **bytes > 0).map(|bytes| format_bytes(*bytes)).collect();
    memory.extend(figures.model.map(|(bytes, card)| match card {
        0 => format!("{} reported by the server", format_bytes(bytes)),
        _ => {
            format!("{} reported by the server, {} of it on the graphics card", format_bytes(bytes), format_bytes(card))
        }
    }));
    if !memory.is_empty() {
        line("memory", memory.join("; "));
    }
    let process = report.group.map(|group| format!("process {}", group.leader.pid));
    let address: Vec<String> = report.endpoint.iter().map(|endpoint| endpoint.url.clone()).chain(process).collect();
    if !address.is_empty() {
        line("address", address.join(", "));
    }
    let restarts = match report.restarts {
        0 => String::new(),
        1 => ", restarted once".into(),
        times => format!(", restarted {times} times"),
    };
    if let Some(up_for) = report.up_for {
        line("up", format!("{}{restarts}", format_duration(up_for)));
    }
    for (at, session) in report.sessions.iter().enumerate() {
        let name = if at == 0 { "sessions" } else { "" };
        line(name, format!("{}  {}  {}", session.pid, session.directory, format_duration(session.held_for)));
    }
    if matches!(report.state, State::Stuck | State::LeftBehind) {
        line("stop with", format!("lclaude local stop {}", report.short_id()));
    }
    text
}

fn state(seen: &BackendView) -> String {
    let report = &seen.report;
    match &report.state {
        State::Starting => "starting".into(),
        State::Progress(progress) => {
            let percent = progress.fraction.map(|fraction| format!(" {:.0}%", fraction * 100.0)).unwrap_or_default();
            let detail = Some(&progress.detail).filter(|detail| !detail.is_empty());
            format!("{}{percent}{}", progress.stage, detail.map(|detail| format!(" ({detail})")).unwrap_or_default())
        }
        State::Ready if seen.figures.busy == Some(true) => "busy".into(),
        State::Ready => "ready".into(),
        State::Lingering { left } => format!("idle; stops in {}", format_duration(*left)),
        State::Restarting { reason } => format!("restarting: {reason}"),
        State::Failed { failure } => format!("failed: {}", failure.what),
        State::Stopping => "stopping".into(),
        State::Stuck => format!("stuck: its keeper (process {}) does not respond", report.about.keeper),
        State::LeftBehind => "left behind: its keeper was killed".into(),
        State::Unknown => {
            format!("unknown: started by lclaude {}, which does not report a state", report.about.version)
        }
    }
}

fn format_duration(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}
