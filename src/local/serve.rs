//! `lclaude local serve`: a session without a child, for programs that somebody else starts.

use super::format::Variables;
use crate::cli::Format;
use crate::cli::Serve;
use crate::{
    base::{environment::Environment, error::Result, scratch::Scratch, signals::Signals, ui},
    keeper::{Event, Lease, Ready},
    launch,
    session::{
        plan::{Downloads, Plan},
        run,
    },
};

pub fn run(arguments: Serve) -> Result<u8> {
    let Serve { choice, json } = arguments;
    let environment = Environment::read()?;
    let settings = choice.settings(&environment)?;
    let plan = Plan::new(settings, environment.clone())?;
    super::selection::warn_of_settings(&environment, true)?;
    let hint = format!("eval \"$({})\"", choice.line("env"));
    launch::carry_out(&plan, choice.choice.yes, async |downloads, signals| {
        serve(&plan, downloads, json, &hint, signals).await
    })
}

async fn serve(plan: &Plan, downloads: Downloads, json: bool, hint: &str, signals: &mut Signals) -> Result<u8> {
    let scratch = Scratch::make(plan.runtime())?;
    let Some((mut lease, ready)) = run::backend_up(plan, downloads, scratch.path(), signals).await? else {
        return Ok(signals.exit_code());
    };
    let ended = match say_how_to_use_it(plan, &ready, json, hint) {
        Ok(()) => stay(&mut lease, signals).await,
        Err(failure) => Err(failure),
    };
    lease.release().await;
    ended
}

/// Whoever reads standard output has it all before the wait begins.
fn say_how_to_use_it(plan: &Plan, ready: &Ready, json: bool, hint: &str) -> Result<()> {
    run::say_what_it_has(plan, ready, false)?;
    let routed = plan.routing.route(&ready.endpoint, &ready.served, plan.is_lean(&ready.served));
    let variables = Variables { set: routed.variables(), removed: routed.removed_anywhere() };
    ui::print(&if json {
        let told = serde_json::json!({
            "url": ready.endpoint.url,
            "token": ready.endpoint.token,
            "models": plan.backend.models,
            "context": ready.served.context,
            "env": variables.set,
            "removed": variables.removed,
        });
        format!("{told}\n")
    } else {
        variables.written(Format::Bash)
    });
    let url = &ready.endpoint.url;
    ui::say(format_args!("lclaude: {} at {url} until Ctrl-C; in another shell: {hint}", plan.backend.kind));
    Ok(())
}

/// Until a signal comes, or the backend is lost for good.
async fn stay(lease: &mut Lease, signals: &mut Signals) -> Result<u8> {
    let mut up = true;
    loop {
        let event = tokio::select! {
            event = lease.event() => event,
            _ = signals.next() => return Ok(signals.exit_code()),
        };
        match event {
            Event::Failed { failure } => return Err(failure),
            Event::Ready(_) if !up => {
                ui::say("lclaude: the backend is up again, where it was");
                up = true;
            }
            Event::Ready(_) | Event::Stopping | Event::Released => {}
            event @ (Event::Starting | Event::Progress(_) | Event::Restarting { .. }) => {
                if std::mem::take(&mut up) {
                    ui::say(match event {
                        Event::Restarting { reason } => format!("lclaude: starting the backend again: {reason}"),
                        _ => "lclaude: starting the backend again: its keeper was lost".into(),
                    });
                }
            }
        }
    }
}
