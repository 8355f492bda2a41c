//! What `lclaude local status` shows people: a block a backend.

use std::time::Duration;

use super::seen::Seen;
use crate::{
    base::ui::{self, size},
    keeper::State,
};

pub fn all(seen: &[Seen]) -> String {
    if seen.is_empty() {
        return "No backend is up.\n".into();
    }
    // Directories are named by whoever made them.
    ui::harmless(&seen.iter().map(block).collect::<Vec<_>>().join("\n"))
}

fn block(seen: &Seen) -> String {
    let Seen { report, figures, resident } = seen;
    let about = &report.about;
    let mut text = format!("{}  {}  {}: {}\n", report.short_id(), about.kind, about.models.join(", "), state(seen));
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<9} {}\n", value.replace('\n', "\\n")));
    line("model", about.origin.clone());
    if let Some(served) = &report.served {
        let used = figures.used.map(|used| format!(", {used} of them in use")).unwrap_or_default();
        line("context", format!("{} tokens{used}", served.context));
    }
    let rates = [(figures.read_rate, "read"), (figures.write_rate, "written")];
    let rates: Vec<String> =
        rates.iter().filter_map(|(rate, how)| Some(format!("{:.0} tokens/s {how}", (*rate)?))).collect();
    if !rates.is_empty() {
        line("speed", rates.join(", "));
    }
    let mut memory: Vec<String> = resident.iter().filter(|bytes| **bytes > 0).map(|bytes| size(*bytes)).collect();
    memory.extend(figures.model.map(|(bytes, card)| match card {
        0 => format!("{} by its own account", size(bytes)),
        _ => format!("{} by its own account, {} of it on the graphics card", size(bytes), size(card)),
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
        1 => ", started again once".into(),
        times => format!(", started again {times} times"),
    };
    if let Some(up_for) = report.up_for {
        line("up", format!("{}{restarts}", seconds(up_for)));
    }
    for (at, session) in report.sessions.iter().enumerate() {
        let name = if at == 0 { "sessions" } else { "" };
        line(name, format!("{}  {}  {}", session.pid, session.directory, seconds(session.held_for)));
    }
    if matches!(report.state, State::Stuck | State::LeftBehind) {
        line("end it", format!("lclaude local stop {}", report.short_id()));
    }
    text
}

fn state(seen: &Seen) -> String {
    let report = &seen.report;
    match &report.state {
        State::Starting => "starting".into(),
        State::Progress(progress) => {
            let percent = progress.fraction.map(|fraction| format!(" {:.0}%", fraction * 100.0)).unwrap_or_default();
            let detail = Some(&progress.detail).filter(|detail| !detail.is_empty());
            format!("{}{percent}{}", progress.stage, detail.map(|detail| format!(" ({detail})")).unwrap_or_default())
        }
        State::Ready if seen.figures.busy == Some(true) => "at work".into(),
        State::Ready => "ready".into(),
        State::Lingering { left } => format!("ready, without a session; ends in {}", seconds(*left)),
        State::Restarting { reason } => format!("starting again: {reason}"),
        State::Failed { failure } => format!("failed: {}", failure.what),
        State::Stopping => "ending".into(),
        State::Stuck => format!("its keeper, process {}, does not answer", report.about.keeper),
        State::LeftBehind => "left behind, since its keeper was killed".into(),
        State::Unknown => format!("lclaude {} keeps it, and does not say more", report.about.version),
    }
}

fn seconds(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}
