//! `--dry-run`: describes the plan as text or JSON, and starts nothing.
//!
//! `--json` prints one object: `format` (1); `settings`, a list of `key`, `value` and `source`; `backend` (null for a
//! command that needs none); and `claude`, or `program` for `lclaude local run`. Values that may be secret are masked.

mod text;
mod view;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use view::{BackendView, ChildView, PlanView, ProgramView, SettingView, StopView};

use super::{child::Child, plan::Plan};
use crate::{
    backend::{Endpoint, HOST, Program, PromptCache, Service, TOKEN, fit::ModelFacts, registry},
    base::ui::{self, MASKED},
    claude::{Routed, SessionPlan, WEB_SEARCH},
    config::{
        Settings, Source,
        values::{Setting, effective},
    },
};

/// The version of the JSON. Fields may be added without a new version, but not removed or redefined.
const FORMAT: u32 = 1;
/// Stands for a free port.
const PORT: &str = "PORT";
/// Stands for the session's private directory.
const PRIVATE: &str = "PRIVATE";

/// Prints what would run. `missing` are the models that would be downloaded.
pub(crate) fn print(plan: &Plan, child: &Child, missing: &[String], json: bool) {
    let known = plan.inspect_models();
    let backend = backend_view(plan, &known, missing);
    let endpoint = match &plan.endpoint {
        Some(endpoint) => endpoint.shown(),
        None => Endpoint::new(backend.url.clone(), 0, MASKED.into()),
    };
    let routed = plan.route(&endpoint, &known.expected, matches!(child, Child::ClaudeCode(_)));
    let child = child_view(child, &child.variables(&routed, Path::new(PRIVATE)));
    print_view(&PlanView { format: FORMAT, settings: settings(plan.settings()), backend: Some(backend), child }, json);
}

/// Prints that Claude Code would run without a backend and with an unchanged environment.
pub(crate) fn print_direct(from: &Settings, program: &Path, arguments: &[OsString], json: bool) {
    let claude = ProgramView {
        program: program.display().to_string(),
        arguments: to_text(arguments),
        environment: BTreeMap::new(),
        removed: Vec::new(),
        left_out: Vec::new(),
        throwaway: None,
    };
    let child = ChildView::Claude(claude);
    print_view(&PlanView { format: FORMAT, settings: settings(from), backend: None, child }, json);
}

fn print_view(view: &PlanView, json: bool) {
    if json {
        ui::print_json(&format!("{}\n", serde_json::to_string_pretty(view).expect("a view is plain data")));
    } else {
        ui::print(&text::render(view));
    }
}

fn settings(settings: &Settings) -> Vec<SettingView> {
    let shown = |setting: Setting| SettingView {
        line: setting.line(),
        value: setting.json(),
        source: setting.source.to_string(),
        key: setting.key,
    };
    effective(settings).into_iter().map(shown).collect()
}

fn backend_view(plan: &Plan, known: &ModelFacts, missing: &[String]) -> BackendView {
    let backend = &plan.backend;
    let mut view = BackendView {
        kind: backend.kind.to_string(),
        id: backend.id(),
        reason: plan.reason.clone(),
        program: None,
        arguments: Vec::new(),
        environment: BTreeMap::new(),
        removed: Vec::new(),
        key_variable: None,
        stop: None,
        url: format!("http://{HOST}:{PORT}"),
        models: backend.models.clone(),
        origin: backend.origin.clone(),
        context: backend.context,
        expected_context: known.is_context_known.then_some(known.expected.context),
        trained_context: known.expected.trained.filter(|_| known.is_context_known),
        context_note: plan.check_context(&known.expected).unwrap_or_else(|failure| Some(failure.to_string())),
        memory: known.memory.clone(),
        warm_start: None,
        downloads: missing.to_vec(),
        is_managed: false,
    };
    match &backend.service {
        Service::Program(program) => {
            view.program = Some(program.path.display().to_string());
            view.arguments = arguments(program);
            view.environment = environment(plan, program);
            view.removed.clone_from(&program.removed);
            view.key_variable.clone_from(&program.key_variable);
            view.stop = program.stop.as_ref().map(|stop| StopView {
                command: command(&stop.program.path, arguments(&stop.program)),
                timeout: humantime::format_duration(stop.timeout).to_string(),
            });
        }
        Service::Managed { program, .. } => {
            view.program = Some(program.display().to_string());
            view.is_managed = true;
        }
        Service::Running(url) => view.url.clone_from(url),
    }
    if !matches!(backend.service, Service::Running(_)) {
        view.warm_start = Some(warm_start(plan));
    }
    view
}

/// Returns the variables that the program gets. Those that the user sets are masked, because they may be secrets.
fn environment(plan: &Plan, program: &Program) -> BTreeMap<String, String> {
    let is_set_by_user =
        |name: &str| plan.settings().source(&format!("{}.env.{name}", plan.backend.kind)) != Source::Default;
    let shown = |(name, value): (&String, &String)| {
        let value = if is_set_by_user(name) { MASKED.into() } else { value.replace("{port}", PORT) };
        (name.clone(), value)
    };
    program.environment.iter().map(shown).collect()
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

fn child_view(child: &Child, routed: &Routed) -> ChildView {
    let mut environment: BTreeMap<String, String> =
        routed.environment.keys().map(|name| (name.clone(), MASKED.to_owned())).collect();
    environment.extend(routed.table.clone());
    // WebSearch runs on Anthropic's servers, so no session has it.
    let web_search = child.claude().map(|_| WEB_SEARCH);
    let left_out = web_search.into_iter().chain(routed.left_out.iter().copied()).collect();
    let view = |program: &Path, arguments: Vec<String>| ProgramView {
        program: program.display().to_string(),
        arguments,
        environment,
        removed: routed.removed.iter().map(|name| OsStr::display(name).to_string()).collect(),
        left_out,
        throwaway: child.throwaway().map(|throwaway| {
            let end = if throwaway.kept().is_some() { "kept" } else { "removed" };
            format!("in an empty home, {end} at the end; copied into it: {}", throwaway.carried())
        }),
    };
    match child {
        Child::ClaudeCode(plan) => ChildView::Claude(view(&plan.program, claude_arguments(plan, routed))),
        Child::Program(program) => ChildView::Program(view(&program.path, to_text(&program.arguments))),
    }
}

fn claude_arguments(session: &SessionPlan, routed: &Routed) -> Vec<String> {
    let mut words = to_text(&session.own_arguments);
    words.extend(to_text(&session.added(routed)));
    words.extend(["--settings".into(), "OVERLAY".into()]);
    words.extend(to_text(&session.arguments));
    words
}

fn arguments(program: &Program) -> Vec<String> {
    let filled = |argument: &String| {
        let argument = argument.replace("{port}", PORT);
        if program.fills_token { argument.replace(TOKEN, MASKED) } else { argument }
    };
    program.subcommand.iter().cloned().chain(program.arguments.iter().map(filled)).collect()
}

fn command(program: &Path, arguments: Vec<String>) -> Vec<String> {
    std::iter::once(program.display().to_string()).chain(arguments).collect()
}

fn to_text(arguments: &[OsString]) -> Vec<String> {
    arguments.iter().map(|argument| argument.to_string_lossy().into()).collect()
}
