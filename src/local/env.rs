//! `lclaude local env`: prints the variables of a running backend. Starts nothing and holds no lease.

use super::{format::VariableChanges, selection::warn_about_settings};
use crate::{
    backend::{self, registry},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        ui, wait,
    },
    cli::{EnvArguments, Format, Selection},
    config::Settings,
    keeper::{self, Ready, Report, State},
    launch::{self, Asked},
    session::{plan::Plan, run},
};

pub(crate) fn run(arguments: EnvArguments) -> Result<u8> {
    let EnvArguments { choice, format } = arguments;
    let environment = Environment::read()?;
    let settings = choice.settings(&environment)?;
    let asked = Asked::new(&["lclaude", "local", "env"], &choice.choice);
    let plan = launch::plan(settings, environment.clone(), &asked)?;
    let runtime = wait::event_loop()?;
    let ready = runtime.block_on(find(&plan, &choice, &environment))?;
    run::print_notes(&plan, &ready, false)?;
    warn_about_settings(&environment, true)?;
    let routed = plan.routing.route(&ready.endpoint, &ready.served, plan.tools(&ready.served));
    let variables = VariableChanges {
        set: routed.variables(),
        // Only variables that are set in this environment, which is that of the calling shell.
        removed: routed.removed.iter().filter_map(|name| name.to_str().map(str::to_owned)).collect(),
    };
    for name in variables.unsupported_names(format) {
        ui::message(format_args!("lclaude: warning: left out {name:?} from [claude] env: not a valid variable name"));
    }
    match format {
        Format::Json => ui::print_json(&variables.render(format)),
        _ => ui::print_exact(&variables.render(format)),
    }
    Ok(0)
}

/// Returns the backend that a session here would use.
///
/// # Errors
/// `NotReady` if it is starting, `Unavailable` if it isn't running.
async fn find(plan: &Plan, choice: &Selection, environment: &Environment) -> Result<Ready> {
    if let Some(endpoint) = &plan.endpoint {
        // Somebody else runs this server, so there is no keeper to ask.
        let served = backend::visit(registry::backend(plan.backend.kind), &plan.backend, endpoint).await?;
        return Ok(Ready { endpoint: endpoint.clone(), served, group: None });
    }
    match keeper::query_backend(plan.runtime(), &plan.backend.id()).await {
        Some(Report { endpoint: Some(endpoint), served: Some(served), group, state, .. }) if is_up(&state) => {
            Ok(Ready { endpoint, served, group })
        }
        Some(Report { state: State::Starting | State::Progress(_) | State::Restarting { .. }, .. }) => {
            Err(Failure::new(Code::NotReady, format!("{} is still starting", plan.backend.kind))
                .cause("it is loading its model")
                .help(format!("{}  # waits until it is ready", choice.line("serve"))))
        }
        _ => Err(not_running(plan, choice, &keeper::list_backends(plan.places()).await, environment)),
    }
}

fn is_up(state: &State) -> bool {
    matches!(state, State::Ready | State::Lingering { .. })
}

fn not_running(plan: &Plan, choice: &Selection, all: &[Report], environment: &Environment) -> Failure {
    let wanted = &plan.backend;
    let mut why = format!(
        "{} with {} and a context of {} tokens is not running",
        wanted.kind,
        wanted.models.join(", "),
        wanted.context
    );
    let up: Vec<&Report> = all.iter().filter(|report| is_up(&report.state)).collect();
    if up.is_empty() {
        why.push_str(", and no other backend is");
    }
    let mut failure = Failure::new(Code::Unavailable, "the backend is not running").cause(why);
    for report in up {
        let about = &report.about;
        let (kind, models, context) = (&about.kind, about.models.join(", "), about.context);
        failure = failure.help(match command_for(report, choice, environment) {
            Some(line) => format!("{line}  # for {kind} with {models}, which is running"),
            None => {
                format!("lclaude local status  # {kind} with {models} and {context} tokens runs with other settings")
            }
        });
    }
    failure.help(format!("{}  # starts it", choice.line("serve")))
}

/// Returns the shortest command line that selects a running backend, checked by planning it.
fn command_for(report: &Report, choice: &Selection, environment: &Environment) -> Option<String> {
    let about = &report.about;
    // Fewest options first.
    let backends = [None, Some(&about.kind)];
    let names = [None, about.models.first(), Some(&about.origin)];
    for context in [None, Some(about.context)] {
        for backend in backends {
            for name in names {
                let mut selection = Selection { model: name.cloned(), ..choice.clone() };
                selection.choice.backend = backend.and_then(|name| name.parse().ok());
                selection.choice.context = context;
                if selects(&selection, &about.id, environment) {
                    return Some(selection.line("env"));
                }
            }
        }
    }
    None
}

fn selects(selection: &Selection, id: &str, environment: &Environment) -> bool {
    let settings: Result<Settings> = selection.settings_without_warnings(environment);
    settings.and_then(|settings| Plan::new(settings, environment.clone())).is_ok_and(|plan| plan.backend.id() == id)
}
