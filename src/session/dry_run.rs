//! `--dry-run`: the plan, printed, and nothing started.

use std::{
    ffi::{OsStr, OsString},
    fmt::{self, Write},
    path::Path,
};

use super::{child::Child, plan::Plan};
use crate::{
    backend::{Endpoint, HOST, MASKED, Program, Service},
    base::ui,
    claude::{Routed, SessionPlan},
    config::Settings,
};

const PORT: &str = "PORT";
/// The session's private directory.
const PRIVATE: &str = "PRIVATE";

pub fn print(plan: &Plan, child: &Child, missing: &[String]) {
    let mut text = String::new();
    describe(&mut text, plan, child, missing).expect("a String takes any text");
    ui::print(&ui::harmless(&text));
}

fn describe(out: &mut String, plan: &Plan, child: &Child, missing: &[String]) -> fmt::Result {
    describe_settings(out, plan.settings())?;
    let known = plan.look();
    let url = describe_backend(out, plan, known.trained, missing)?;
    if let Some(memory) = &known.memory {
        writeln!(out, "  {memory}")?;
    }
    let endpoint = Endpoint { url, port: 0, token: MASKED.into() };
    let expected = plan.expected(known.trained);
    let routed = plan.routing.route(&endpoint, &expected, plan.is_lean(&expected));
    describe_child(out, child, &child.housed(&routed, Path::new(PRIVATE)))
}

fn describe_settings(out: &mut String, settings: &Settings) -> fmt::Result {
    writeln!(out, "settings")?;
    let mut from = settings.sources().peekable();
    if from.peek().is_none() {
        writeln!(out, "  (all defaults)")?;
    }
    for (key, source) in from {
        writeln!(out, "  {key:<24} from {source}")?;
    }
    Ok(())
}

/// Gives where it will be.
fn describe_backend(
    out: &mut String,
    plan: &Plan,
    trained: Option<u32>,
    missing: &[String],
) -> Result<String, fmt::Error> {
    let backend = &plan.backend;
    writeln!(out, "\nbackend {} ({})", backend.kind, backend.id())?;
    if let Some(reason) = &plan.reason {
        writeln!(out, "  {reason}")?;
    }
    let url = match &backend.service {
        Service::Program(program) => {
            describe_program(out, program)?;
            format!("http://{HOST}:{PORT}")
        }
        Service::Managed { program, .. } => {
            writeln!(out, "  has {} start what does not run yet, and undoes that afterwards", program.display())?;
            format!("http://{HOST}:{PORT}")
        }
        Service::Running(url) => {
            writeln!(out, "  uses {url}; nothing is started")?;
            url.clone()
        }
    };
    let asked = backend.context;
    let rest = match trained {
        Some(trained) => format!(", {} to be granted, trained for {trained}", trained.min(asked)),
        None => " (what is granted and what it was trained for is known once it is up)".into(),
    };
    writeln!(out, "  {} from {}; {asked} tokens of context asked{rest}", backend.models.join(", "), backend.origin)?;
    if !missing.is_empty() {
        writeln!(out, "  to be downloaded first: {}", missing.join(", "))?;
    }
    Ok(url)
}

fn describe_child(out: &mut String, child: &Child, routed: &Routed) -> fmt::Result {
    let (title, words) = match child {
        Child::ClaudeCode(plan) => ("claude", words_of_claude(plan, routed)),
        Child::Program(program) => ("program", words_of(&program.path, text(&program.arguments))),
    };
    writeln!(out, "\n{title}")?;
    if let Some(throwaway) = child.throwaway() {
        let end = if throwaway.kept().is_some() { "kept" } else { "gone" };
        writeln!(out, "  in an empty home, {end} at the end; carried over: {}", throwaway.carried())?;
    }
    writeln!(out, "  {}", ui::command_line(words.into_iter()))?;
    for name in routed.environment.keys().filter(|name| !routed.table.contains_key(name.as_str())) {
        writeln!(out, "  + {name}={MASKED}")?;
    }
    for (name, value) in &routed.table {
        writeln!(out, "  + {name}={value}")?;
    }
    for name in &routed.removed {
        writeln!(out, "  - {}", OsStr::display(name))?;
    }
    Ok(())
}

fn words_of_claude(session: &SessionPlan, routed: &Routed) -> Vec<String> {
    let mut words = text(&session.own_arguments);
    if routed.lean {
        words.extend(text(&session.lean()));
    }
    words.extend(["--settings".into(), "OVERLAY".into()]);
    words.extend(text(&session.arguments));
    words_of(&session.program, words)
}

fn words_of(program: &Path, arguments: Vec<String>) -> Vec<String> {
    let mut words = vec![program.display().to_string()];
    words.extend(arguments);
    words
}

fn text(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|argument| argument.to_string_lossy().into()).collect()
}

fn describe_program(out: &mut String, program: &Program) -> fmt::Result {
    let arguments = program.arguments.iter().map(|argument| argument.replace("{port}", PORT));
    writeln!(out, "  {}", ui::command_line(std::iter::once(program.path.display().to_string()).chain(arguments)))?;
    let key =
        program.key_variable.as_ref().map(|name| format!(", with a key of its own in {name}")).unwrap_or_default();
    writeln!(out, "  on a free port of {HOST}{key}")?;
    for name in program.environment.keys() {
        // The user's own may be secrets.
        writeln!(out, "  + {name}={MASKED}")?;
    }
    for pattern in &program.removed {
        writeln!(out, "  - {pattern}")?;
    }
    Ok(())
}
