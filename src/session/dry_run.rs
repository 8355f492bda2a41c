//! `--dry-run`: prints the plan and starts nothing.

use std::{
    ffi::{OsStr, OsString},
    fmt::{self, Write},
    path::Path,
};

use super::{child::Child, plan::Plan};
use crate::{
    backend::{Endpoint, HOST, MASKED, Program, PromptCache, Service, TOKEN, fit::ModelFacts, registry},
    base::ui,
    claude::{Routed, SessionPlan},
    config::Settings,
};

const PORT: &str = "PORT";
/// Stands for the session's private directory.
const PRIVATE: &str = "PRIVATE";

/// Writes a line. It contains names, paths and arguments, whose line breaks must not imitate ours.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {
        writeln!($out, "{}", ui::one_line(format_args!($($text)*)))
    };
}

pub(crate) fn print(plan: &Plan, child: &Child, missing: &[String]) {
    let mut text = String::new();
    describe(&mut text, plan, child, missing).expect("a String takes any text");
    ui::print(&text);
}

fn describe(out: &mut String, plan: &Plan, child: &Child, missing: &[String]) -> fmt::Result {
    describe_settings(out, plan.settings())?;
    let known = plan.inspect_models();
    let url = describe_backend(out, plan, &known, missing)?;
    if let Some(memory) = &known.memory {
        line!(out, "  {memory}")?;
    }
    let endpoint = match &plan.endpoint {
        Some(endpoint) => endpoint.shown(),
        None => Endpoint::new(url, 0, MASKED.into()),
    };
    let expected = &known.expected;
    let routed = plan.route(&endpoint, expected, matches!(child, Child::ClaudeCode(_)));
    describe_child(out, child, &child.variables(&routed, Path::new(PRIVATE)))
}

fn describe_settings(out: &mut String, settings: &Settings) -> fmt::Result {
    line!(out, "settings")?;
    let mut from = settings.sources().peekable();
    if from.peek().is_none() {
        line!(out, "  (all defaults)")?;
    }
    for (key, source) in from {
        line!(out, "  {key:<24} from {source}")?;
    }
    Ok(())
}

/// Describes the backend and returns its URL.
fn describe_backend(
    out: &mut String,
    plan: &Plan,
    known: &ModelFacts,
    missing: &[String],
) -> Result<String, fmt::Error> {
    let backend = &plan.backend;
    writeln!(out)?;
    line!(out, "backend {} ({})", backend.kind, backend.id())?;
    if let Some(reason) = &plan.reason {
        line!(out, "  {reason}")?;
    }
    let url = match &backend.service {
        Service::Program(program) => {
            describe_program(out, program)?;
            format!("http://{HOST}:{PORT}")
        }
        Service::Managed { program, .. } => {
            line!(out, "  {} starts the server if it isn't running, and stops it afterwards", program.display())?;
            format!("http://{HOST}:{PORT}")
        }
        Service::Running(url) => {
            line!(out, "  uses {url}; nothing is started")?;
            url.clone()
        }
    };
    let asked = backend.context;
    let rest = if known.is_context_known {
        let trained = known.expected.trained.map(|trained| format!(", trained for {trained}")).unwrap_or_default();
        format!(", {} expected{trained}", known.expected.context)
    } else {
        " (the granted context is known once the backend is up)".into()
    };
    line!(out, "  {} from {}; context: {asked} tokens requested{rest}", backend.model_list(), backend.origin)?;
    let context_note = plan.check_context(&known.expected).unwrap_or_else(|failure| Some(failure.to_string()));
    context_note.iter().flat_map(|note| note.lines()).try_for_each(|line| line!(out, "  {line}"))?;
    if !matches!(backend.service, Service::Running(_)) {
        line!(out, "  warm start: {}", warm_start(plan))?;
    }
    if !missing.is_empty() {
        line!(out, "  downloads first: {}", missing.join(", "))?;
    }
    Ok(url)
}

/// Describes what is kept between sessions.
fn warm_start(plan: &Plan) -> String {
    let Some(store) = plan.store(false) else { return "off".into() };
    let how = match registry::backend(plan.backend.kind).prompt_cache(&plan.backend, plan.environment()) {
        PromptCache::Slot(_) => "keeps what the server has read",
        PromptCache::Memory => "the server reads ahead",
        PromptCache::Unknown => return "off".into(),
    };
    let (most, place) = (ui::format_bytes(plan.settings().warm.max_size), store.directory().display());
    format!("{how}; at most {most} in {place}")
}

fn describe_child(out: &mut String, child: &Child, routed: &Routed) -> fmt::Result {
    let (title, words) = match child {
        Child::ClaudeCode(plan) => ("claude", claude_words(plan, routed)),
        Child::Program(program) => ("program", command_words(&program.path, to_text(&program.arguments))),
    };
    writeln!(out)?;
    line!(out, "{title}")?;
    if let Some(throwaway) = child.throwaway() {
        let end = if throwaway.kept().is_some() { "kept" } else { "removed" };
        line!(out, "  in an empty home, {end} at the end; copied into it: {}", throwaway.carried())?;
    }
    line!(out, "  {}", ui::quote_command(words.into_iter()))?;
    if !routed.left_out.is_empty() {
        line!(out, "  without {}", routed.left_out.join(", "))?;
    }
    for name in routed.environment.keys().filter(|name| !routed.table.contains_key(name.as_str())) {
        line!(out, "  + {name}={MASKED}")?;
    }
    for (name, value) in &routed.table {
        line!(out, "  + {name}={value}")?;
    }
    for name in &routed.removed {
        line!(out, "  - {}", OsStr::display(name))?;
    }
    Ok(())
}

fn claude_words(session: &SessionPlan, routed: &Routed) -> Vec<String> {
    let mut words = to_text(&session.own_arguments);
    words.extend(to_text(&session.added(routed)));
    words.extend(["--settings".into(), "OVERLAY".into()]);
    words.extend(to_text(&session.arguments));
    command_words(&session.program, words)
}

fn command_words(program: &Path, arguments: Vec<String>) -> Vec<String> {
    let mut words = vec![program.display().to_string()];
    words.extend(arguments);
    words
}

fn to_text(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|argument| argument.to_string_lossy().into()).collect()
}

fn program_words(program: &Program) -> Vec<String> {
    let filled = |argument: &String| {
        let argument = argument.replace("{port}", PORT);
        if program.fills_token { argument.replace(TOKEN, MASKED) } else { argument }
    };
    let arguments = program.subcommand.iter().cloned().chain(program.arguments.iter().map(filled));
    command_words(&program.path, arguments.collect())
}

fn describe_program(out: &mut String, program: &Program) -> fmt::Result {
    line!(out, "  {}", ui::quote_command(program_words(program).into_iter()))?;
    let key = program.key_variable.as_ref().map(|name| format!(", with a random key in {name}")).unwrap_or_default();
    line!(out, "  on a free port of {HOST}{key}")?;
    if let Some(stop) = &program.stop {
        let (words, limit) = (program_words(&stop.program), humantime::format_duration(stop.timeout));
        line!(out, "  ended by {}, which may take {limit}", ui::quote_command(words.into_iter()))?;
    }
    for name in program.environment.keys() {
        // Masked, because the user's own variables may be secrets.
        line!(out, "  + {name}={MASKED}")?;
    }
    for pattern in &program.removed {
        line!(out, "  - {pattern}")?;
    }
    Ok(())
}
