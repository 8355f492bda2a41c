//! From a plan to its run: asks about models that aren't installed, checks memory, and runs the plan with the answers.

use super::{
    asked::Asked,
    model::{Instead, instead, instead_of_reported, is_default, is_default_missing},
    set_up,
};
use crate::{
    backend::{refuse_download, registry},
    base::{error::Result, exit::Exit, question::Enter, signals::Signals, ui, wait},
    session::{
        plan::{Downloads, Plan},
        run::Outcome,
        said,
    },
};

/// Asks about models that aren't installed, checks memory, and runs `job` with the answer.
pub(crate) fn prepare_and_run<Job>(plan: Plan, asked: &Asked<'_>, job: Job) -> Result<Exit>
where
    Job: AsyncFn(&Plan, Downloads, &mut Signals) -> Result<Outcome>,
{
    let runtime = wait::event_loop()?;
    let ended = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let Some((plan, downloads)) = prepare(plan, asked, &mut signals).await? else {
            return Ok(signals.exit());
        };
        run_job(plan, downloads, job, asked, &mut signals).await
    });
    // Dropping the runtime would wait for a thread that may be waiting for another process's lock.
    runtime.shutdown_background();
    ended
}

/// Returns the plan with models that are installed or may be downloaded, or `None` if a signal arrives.
async fn prepare(mut plan: Plan, asked: &Asked<'_>, signals: &mut Signals) -> Result<Option<(Plan, Downloads)>> {
    let mut downloads = Downloads::NotAgreed;
    let mut missing = Vec::new();
    // A running backend already has its memory and models.
    let mut is_up = plan.is_up();
    while !is_up {
        let Some(found) = signals.unless_interrupted(plan.missing()).await else {
            return Ok(None);
        };
        missing = found;
        if missing.is_empty() {
            break;
        }
        match instead(&plan, &missing, asked, signals).await? {
            // Another model may be missing, so this looks again.
            Some(Instead::Installed(settings)) => {
                plan = Plan::new(*settings, plan.environment().clone())?;
                is_up = plan.is_up();
                missing.clear();
            }
            Some(Instead::Download) => {
                downloads = Downloads::Agreed;
                break;
            }
            Some(Instead::Interrupted) => return Ok(None),
            None => break,
        }
    }
    if let Some(reason) = &plan.reason {
        let remembers = plan.settings().throwaway != Some(true);
        said::print_once("backends.json", reason, &ui::one_line(reason), &plan.environment().places.state, remembers);
    }
    let tight = if is_up { None } else { plan.check_memory()? };
    let yes = asked.choice.yes || downloads == Downloads::Agreed;
    let Some(downloads) = ask_to_download(&plan, &missing, yes, asked, signals).await? else {
        return Ok(None);
    };
    if let Some(warning) = tight {
        ui::message_lines(format_args!("lclaude: {warning}"));
    }
    Ok(Some((plan, downloads)))
}

/// Runs the job. If it fails because a model is missing and the user agrees to download it or to use another, runs it
/// again.
async fn run_job<Job>(
    mut plan: Plan,
    mut downloads: Downloads,
    job: Job,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Exit>
where
    Job: AsyncFn(&Plan, Downloads, &mut Signals) -> Result<Outcome>,
{
    loop {
        plan.ready_runtime()?;
        let missing = match job(&plan, downloads, signals).await? {
            Outcome::Exited(exit) => return Ok(exit),
            Outcome::ModelMissing(missing) => missing,
        };
        if downloads == Downloads::Agreed {
            refuse_download(plan.untrusted(), &missing.model)?;
            return Err(missing.failure);
        }
        match instead_of_reported(&plan, &missing, asked, signals).await? {
            Some(Instead::Installed(settings)) => {
                plan = Plan::new(*settings, plan.environment().clone())?;
                continue;
            }
            Some(Instead::Download) => {}
            Some(Instead::Interrupted) => return Ok(signals.exit()),
            None => {
                refuse_download(plan.untrusted(), &missing.model)?;
                if !missing.can_download {
                    return Err(missing.failure);
                }
                let agrees = match asked.choice.yes {
                    true => Some(true),
                    false => signals.agrees(download_question(&missing.model), Enter::No).await,
                };
                match agrees {
                    None => return Ok(signals.exit()),
                    Some(false) => return Err(missing.failure),
                    Some(true) => {}
                }
            }
        }
        downloads = Downloads::Agreed;
    }
}

/// Asks whether to download missing models, which can take many gigabytes. Returns `None` if a signal arrives.
async fn ask_to_download(
    plan: &Plan,
    missing: &[String],
    yes: bool,
    asked: &Asked<'_>,
    signals: &mut Signals,
) -> Result<Option<Downloads>> {
    let Some(first) = missing.first() else {
        // Some servers report a missing model only when it is loaded. `run_job` asks then, or `--yes` uses another model
        // that is installed instead of the default.
        let knows_missing = registry::backend(plan.backend.kind).knows_models_offline() || !is_default(plan);
        return Ok(Some(if yes && knows_missing { Downloads::Agreed } else { Downloads::NotAgreed }));
    };
    refuse_download(plan.untrusted(), first)?;
    if !asked.choice.yes {
        match signals.unless_interrupted(plan.out_of_reach(first)).await {
            None => return Ok(None),
            Some(Some(failure)) => return Err(failure),
            Some(None) => {}
        }
    }
    if yes {
        return Ok(Some(Downloads::Agreed));
    }
    // The size is known only for all models together.
    let size = plan.inspect_models().weights.filter(|_| missing.len() == plan.backend.models.len());
    let size = size.map(|size| format!(" ({})", ui::format_bytes(size))).unwrap_or_default();
    match signals.agrees(download_question(&(missing.join(" and ") + &size)), Enter::No).await {
        None => Ok(None),
        Some(true) => Ok(Some(Downloads::Agreed)),
        Some(false) => match plan.not_installed(first) {
            Some(failure) if is_default_missing(plan, missing) => Err(set_up::suggest(failure, asked.choice)),
            Some(failure) => Err(failure),
            None => Ok(Some(Downloads::NotAgreed)),
        },
    }
}

fn download_question(models: &str) -> String {
    format!("{models} is not installed. Download it now?")
}
