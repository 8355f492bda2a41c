//! `lclaude local status --json`, for scripts: names and their meaning never change, and unknown values are null. It
//! contains no API key of a backend; `lclaude local env` prints that.

use serde_json::{Value, json};

use super::seen::BackendView;
use crate::keeper::{Phase, State};

pub(crate) fn text(seen: &[BackendView]) -> String {
    let backends: Vec<Value> = seen.iter().map(backend).collect();
    format!("{:#}\n", json!({ "backends": backends }))
}

fn backend(seen: &BackendView) -> Value {
    let BackendView { report, figures, resident } = seen;
    let about = &report.about;
    let sessions = report
        .sessions
        .iter()
        .map(|session| json!({ "pid": session.pid, "directory": session.directory, "seconds": session.held_for }));
    let activity = report.activity.as_ref();
    json!({
        "id": about.id,
        "state": state(&report.state),
        "kind": about.kind,
        "program": about.name,
        "models": about.models,
        "loaded": figures.loaded,
        "origin": about.origin,
        "context": {
            "asked": about.context,
            "granted": report.served.as_ref().map(|served| served.context),
            "trained": report.served.as_ref().and_then(|served| served.trained),
            "used": figures.used,
        },
        "busy": figures.busy,
        "tokens_per_second": { "read": figures.read_rate, "written": figures.write_rate },
        "progress": activity.map(|activity| json!({
            "phase": phase(activity.phase),
            "tokens": activity.tokens,
            "of": activity.of,
            "tokens_per_second": activity.tokens_per_second,
            "seconds_left": activity.seconds_left,
        })),
        "prompt_cache": activity
            .and_then(|activity| activity.prompt_cache)
            .map(|prompt| json!({ "cached": prompt.cached, "total": prompt.total })),
        "memory": {
            "resident_bytes": resident,
            "model_bytes": figures.model.map(|(bytes, _)| bytes),
            "graphics_card_bytes": figures.model.map(|(_, card)| card),
        },
        "url": report.endpoint.as_ref().map(|endpoint| &endpoint.url),
        "port": report.endpoint.as_ref().map(|endpoint| endpoint.port).filter(|port| *port != 0),
        "pid": report.group.map(|group| group.leader.pid),
        "keeper": Some(about.keeper).filter(|keeper| *keeper != 0),
        "sessions": sessions.collect::<Vec<_>>(),
        "restarts": report.up_for.map(|_| report.restarts),
        "seconds": report.up_for,
        "log": Some(&about.log).filter(|log| !log.is_empty()),
        "lclaude": about.version,
    })
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::Reading => "reading",
        Phase::Writing => "writing",
        Phase::Unknown => "unknown",
    }
}

fn state(state: &State) -> &'static str {
    match state {
        State::Starting | State::Progress(_) => "starting",
        State::Ready => "ready",
        State::Lingering { .. } => "lingering",
        State::Restarting { .. } => "restarting",
        State::Failed { .. } => "failed",
        State::Stopping => "stopping",
        State::Stuck => "stuck",
        State::LeftBehind => "left-behind",
        State::Unknown => "unknown",
    }
}
