//! `lclaude local serve`: holds a lease without a child, for programs started elsewhere.

use std::io::{self, IsTerminal};

use super::{format::VariableChanges, selection::warn_about_settings};
use crate::{
    backend::MissingModel,
    base::{environment::Environment, error::Result, exit::Exit, scratch::Scratch, signals::Signals, ui},
    cli::{Format, Selection, ServeArguments},
    config::{Settings, Source},
    keeper::{Event, Lease, Ready},
    launch::{self, Asked},
    session::{
        plan::{Downloads, Plan},
        run::{self, BackendUp, Outcome},
    },
};

pub(crate) fn run(arguments: ServeArguments) -> Result<Exit> {
    let ServeArguments { choice, json } = arguments;
    let environment = Environment::read()?;
    let settings = choice.settings(&environment)?;
    let asked = Asked::new(&["lclaude", "local", "serve"], &choice.choice);
    let plan = launch::plan(settings, environment.clone(), &asked)?;
    warn_about_settings(&environment, true)?;
    launch::prepare_and_run(plan, &asked, async |plan, downloads, signals| {
        let hint = format!("eval \"$({})\"", chosen(&choice, plan.settings()).line("env"));
        serve(plan, downloads, json, &hint, signals).await
    })
}

/// Returns the options with the model that the user chose when asked.
fn chosen(choice: &Selection, settings: &Settings) -> Selection {
    let is_chosen = |key: &str| matches!(settings.source(key), Source::Option(_));
    let mut choice = choice.clone();
    choice.choice.backend = settings.backend.filter(|_| is_chosen("backend") && choice.choice.url.is_none());
    choice.model = settings.model.clone().filter(|_| is_chosen("model")).or(choice.model);
    choice
}

async fn serve(plan: &Plan, downloads: Downloads, json: bool, hint: &str, signals: &mut Signals) -> Result<Outcome> {
    let scratch = Scratch::make(plan.runtime())?;
    let (mut lease, ready) =
        match run::backend_up(plan, Lease::new(plan.start(downloads), scratch.path()).into(), signals).await? {
            BackendUp::Ready(lease, ready) => (lease, ready),
            BackendUp::ModelMissing(missing) => return Ok(Outcome::ModelMissing(missing)),
            BackendUp::Interrupted => return Ok(Outcome::Exited(signals.exit())),
        };
    let ended = match print_variables(plan, &ready, json, hint) {
        Ok(()) => hold(&mut lease, signals).await,
        Err(failure) => Err(failure),
    };
    run::release(*lease, signals).await;
    ended.map(Outcome::Exited)
}

/// Prints the variables, and how to use them. Stdout is complete and flushed before the wait begins.
fn print_variables(plan: &Plan, ready: &Ready, json: bool, hint: &str) -> Result<()> {
    run::print_notes(plan, ready, false)?;
    let routed = plan.routing.route(&ready.endpoint, &ready.served, plan.tools(&ready.served));
    let variables = VariableChanges { set: routed.variables(), removed: routed.removed_anywhere() };
    if json {
        let object = serde_json::json!({
            "url": ready.endpoint.url,
            "token": ready.endpoint.token,
            "models": plan.backend.models,
            "context": ready.served.context,
            "env": variables.set,
            "removed": variables.removed,
        });
        ui::print_json(&format!("{object}\n"));
    } else if io::stdout().is_terminal() {
        // A person reads it, so the key stays out of sight.
        ui::print(&summary(plan, ready, hint));
        return Ok(());
    } else {
        ui::print_exact(&variables.render(Format::Bash));
    }
    let url = &ready.endpoint.url;
    ui::note(format_args!("lclaude: serving {} at {url} until Ctrl-C; in another shell: {hint}", plan.backend.kind));
    Ok(())
}

/// Returns what is served, and how to use and stop it.
fn summary(plan: &Plan, ready: &Ready, hint: &str) -> String {
    let rows = [
        ("URL", ready.endpoint.url.clone()),
        ("model", plan.backend.model_list()),
        ("context", format!("{} tokens", ready.served.context)),
        ("use it", format!("{hint}  # in another shell")),
        ("stop it", "Ctrl-C".into()),
    ];
    let row = |(title, value): (&str, String)| format!("  {title:<7}  {}\n", ui::one_line(value));
    format!("serving {}\n{}", plan.backend.kind, rows.into_iter().map(row).collect::<String>())
}

/// Holds the lease until a signal comes or the backend fails.
async fn hold(lease: &mut Lease, signals: &mut Signals) -> Result<Exit> {
    let mut up = true;
    loop {
        let event = tokio::select! {
            event = lease.event() => event,
            _ = signals.next() => return Ok(signals.exit()),
        };
        match event {
            Event::Failed { failure }
            | Event::Refused { failure }
            | Event::ModelMissing(MissingModel { failure, .. }) => return Err(failure),
            Event::Ready(_) if !up => {
                ui::note("lclaude: the backend is up again at the same URL");
                up = true;
            }
            Event::Ready(_)
            | Event::Queued
            | Event::Listening
            | Event::Activity(_)
            | Event::Stopping
            | Event::Released => {}
            event @ (Event::Waiting { .. } | Event::Starting | Event::Progress(_) | Event::Restarting { .. }) => {
                if std::mem::take(&mut up) {
                    ui::message(match event {
                        Event::Restarting { reason } => format!("lclaude: restarting the backend: {reason}"),
                        _ => "lclaude: restarting the backend: its keeper was lost".into(),
                    });
                }
            }
        }
    }
}
