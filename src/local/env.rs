//! `lclaude local env`: the variables of a backend that is up. Starts nothing, and holds nothing up.

use super::format::Variables;
use crate::cli::Env;
use crate::cli::Selection;
use crate::{
    backend::{self, registry},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        ui,
    },
    config::Settings,
    keeper::{self, Ready, Report, State},
    launch,
    session::{plan::Plan, run},
};

pub fn run(arguments: Env) -> Result<u8> {
    let Env { choice, format } = arguments;
    let environment = Environment::read()?;
    let settings = choice.settings(&environment)?;
    let plan = Plan::new(settings, environment.clone())?;
    let runtime = launch::event_loop()?;
    let ready = runtime.block_on(find(&plan, &choice, &environment))?;
    run::say_what_it_has(&plan, &ready, false)?;
    super::selection::warn_of_settings(&environment, true)?;
    let routed = plan.routing.route(&ready.endpoint, &ready.served, plan.is_lean(&ready.served));
    let variables = Variables {
        set: routed.variables(),
        // Those of the shell that asks, which is the one to be told.
        removed: routed.removed.iter().filter_map(|name| name.to_str().map(str::to_owned)).collect(),
    };
    for name in variables.left_out(format) {
        ui::say(format_args!("lclaude: warning: [claude] env: no shell can have a variable {name:?}; it is left out"));
    }
    ui::print(&variables.written(format));
    Ok(0)
}

/// The backend that a session would have here.
async fn find(plan: &Plan, choice: &Selection, environment: &Environment) -> Result<Ready> {
    if let Some(endpoint) = &plan.endpoint {
        // Somebody else's: up or not, it is not ours to start.
        let served = backend::visit(registry::backend(plan.backend.kind), &plan.backend, endpoint).await?;
        return Ok(Ready { endpoint: endpoint.clone(), served, group: None });
    }
    match keeper::report(plan.runtime(), &plan.backend.id()).await {
        Some(Report { endpoint: Some(endpoint), served: Some(served), group, state, .. }) if is_up(&state) => {
            Ok(Ready { endpoint, served, group })
        }
        Some(Report { state: State::Starting | State::Progress(_) | State::Restarting { .. }, .. }) => {
            Err(Failure::new(Code::NotReady, format!("{} is still coming up", plan.backend.kind))
                .why("its model is being loaded, so nothing can answer yet")
                .help(format!("{} says when it is ready", choice.line("serve"))))
        }
        _ => Err(not_up(plan, choice, &keeper::survey(plan.runtime()).await, environment)),
    }
}

fn is_up(state: &State) -> bool {
    matches!(state, State::Ready | State::Lingering { .. })
}

fn not_up(plan: &Plan, choice: &Selection, all: &[Report], environment: &Environment) -> Failure {
    let wanted = &plan.backend;
    let mut why = format!(
        "nothing runs {} with {} and {} tokens of context",
        wanted.kind,
        wanted.models.join(", "),
        wanted.context
    );
    let up: Vec<&Report> = all.iter().filter(|report| is_up(&report.state)).collect();
    if up.is_empty() {
        why.push_str(", and no other backend of lclaude's is up");
    }
    let mut failure = Failure::new(Code::Unavailable, "the backend is not up").why(why);
    for report in up {
        let about = &report.about;
        let (kind, models, context) = (&about.kind, about.models.join(", "), about.context);
        failure = failure.help(match naming(report, choice, environment) {
            Some(line) => format!("{line} is for {kind} with {models}, which is up"),
            None => format!("{kind} with {models} and {context} tokens is up, on settings that are not those here"),
        });
    }
    failure.help(format!("{} starts it and keeps it up", choice.line("serve")))
}

/// The line that names a backend that is up, proven by the plan it leads to.
fn naming(report: &Report, choice: &Selection, environment: &Environment) -> Option<String> {
    let about = &report.about;
    // The fewest words first.
    let backends = [None, Some(&about.kind)];
    let names = [None, about.models.first(), Some(&about.origin)];
    for context in [None, Some(about.context)] {
        for backend in backends {
            for name in names {
                let mut selection = Selection { model: name.cloned(), ..choice.clone() };
                selection.choice.backend = backend.cloned();
                selection.choice.context = context;
                if leads_to(&selection, &about.id, environment) {
                    return Some(selection.line("env"));
                }
            }
        }
    }
    None
}

fn leads_to(selection: &Selection, id: &str, environment: &Environment) -> bool {
    let settings: Result<Settings> = selection.quiet_settings(environment);
    settings.and_then(|settings| Plan::new(settings, environment.clone())).is_ok_and(|plan| plan.backend.id() == id)
}
