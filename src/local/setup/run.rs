//! `lclaude local setup`: the backend, its model and the configuration, each only as far as it is missing.
//!
//! Each step is first data, made of what is found, which `--dry-run` prints; here they are carried out, in order. What is
//! done is never written down: a later setup finds it, and goes on from there.

use super::{configure, model, programs, verify};
use crate::cli;
use crate::session::plan::Downloads;
use std::{path::PathBuf, time::Duration};

use tokio::{process::Command, time::timeout};

use super::configure::Chosen;
use super::model::Model;
use super::programs::Programs;
use super::step::{Action, INDENT, Install, Step, indented};
use crate::{
    backend::describe_status,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        process::Identity,
        scratch::Scratch,
        signals::Signals,
        ui,
    },
    claude,
    config::{self, Edit, Overrides, Settings},
    keeper::{Lease, Ready},
    launch,
    session::{plan::Plan, run},
};
use crate::{backend::subject::Subject, cli::Selection};

/// How much later than its effect on a child a signal may come.
const MOMENT: Duration = Duration::from_millis(100);

pub fn run(arguments: cli::Setup) -> Result<u8> {
    let environment = Environment::read()?;
    launch::warn(&environment);
    let cli::Setup { choice: selection, dry_run } = arguments;
    let file = selection.choice.config.clone().unwrap_or_else(|| environment.places.config_file.clone());
    // One that is named need not be there yet: it is what will be written. A project's own file is no concern of a setup.
    let settings = config::load(&file, false, None, &selection.overrides(), &environment)?;
    let setup = Setup { environment, selection, file, settings };
    let runtime = launch::event_loop()?;
    let ended = runtime.block_on(async {
        if dry_run {
            return setup.in_words().await.map(|words| {
                ui::print(&format!("{words}\n"));
                0
            });
        }
        let mut signals = Signals::listen()?;
        let ended = match setup.run(&mut signals).await {
            // Ctrl-C reaches what we run as well, and its end may be heard of first.
            Err(Stop::Failed(_)) if timeout(MOMENT, signals.next()).await.is_ok() => Err(Stop::Signalled),
            ended => ended,
        };
        let again = setup.again();
        match ended {
            Ok(()) => Ok(0),
            Err(Stop::Failed(failure)) if failure.help.iter().any(|help| help.contains(&again)) => Err(failure),
            Err(Stop::Failed(failure)) => Err(failure.help(format!("{again} goes on from here"))),
            Err(Stop::Signalled) => {
                ui::say(format_args!("\nlclaude: stopped; {again} goes on from here"));
                Ok(signals.exit_code())
            }
        }
    });
    // Not by dropping it: a thread may still wait for an answer at the terminal.
    runtime.shutdown_background();
    ended
}

/// Why a setup ends early.
enum Stop {
    Failed(Failure),
    Signalled,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

struct Setup {
    selection: Selection,
    environment: Environment,
    /// The user's configuration.
    file: PathBuf,
    settings: Settings,
}

/// A backend that is up, and what its session holds.
struct Held {
    lease: Lease,
    ready: Ready,
    scratch: Scratch,
}

impl Setup {
    fn programs(&self) -> Programs {
        programs::look(&self.settings, &self.environment)
    }

    async fn model(&self, programs: &Programs) -> Result<Model> {
        model::look(programs, &self.settings, &self.environment).await
    }

    fn chosen(&self, programs: &Programs) -> Chosen {
        Chosen::new(programs.kind, &self.settings, &self.environment)
    }

    /// Every step, as far as it can be told before the first is done.
    async fn steps(&self) -> Result<[Step; 5]> {
        let programs = self.programs();
        let edit = self.chosen(&programs).lacking(&self.settings, &self.file)?;
        Ok([
            programs.step(),
            self.model(&programs).await?.step(),
            configure::step(edit.as_ref(), &self.file),
            betas_off(),
            verify::step(programs.kind),
        ])
    }

    async fn in_words(&self) -> Result<String> {
        let steps = self.steps().await?;
        let words: Vec<String> = steps.iter().enumerate().map(|(at, step)| step.in_full(at + 1)).collect();
        Ok(words.join("\n"))
    }

    async fn run(&self, signals: &mut Signals) -> Result<(), Stop> {
        if !self.selection.choice.yes && !ui::can_ask() && self.steps().await?.iter().any(Step::needs_a_yes) {
            ui::say(self.in_words().await?);
            return Err(Failure::new(Code::Unavailable, "the setup needs your yes to what is missing")
                .why("there is no terminal to ask on, so nothing was done")
                .help(format!("{} --yes, or run it in a terminal", self.again()))
                .into());
        }
        let programs = self.install_programs(signals).await?;
        let plan = Plan::new(self.settings.clone(), self.environment.clone())?;
        // Loading a model takes long enough to be done only once.
        let mut held = self.get_model(&programs, &plan, signals).await?;
        let ended = self.configure_and_verify(&programs, &plan, &mut held, signals).await;
        if let Some(held) = held {
            held.lease.release().await;
        }
        ended?;
        ui::say(format_args!("\nReady. Type: {}", self.line(&programs)?));
        Ok(())
    }

    async fn install_programs(&self, signals: &mut Signals) -> Result<Programs, Stop> {
        let mut programs = self.programs();
        let mut step = programs.step();
        ui::say(step.heading(1));
        if step.actions.is_empty() {
            return Ok(programs);
        }
        for action in std::mem::take(&mut step.actions) {
            if let Action::Install(install) = action {
                self.install(&install, signals).await?;
            }
        }
        programs = self.programs();
        step = programs.step();
        ui::say(indented(step.found.join("\n")));
        // An installer's last words are not always true.
        if let Some(Action::Install(Install { what, missing, .. })) = step.actions.pop() {
            let why = format!("its installer ended well, but {}: {}", missing.what, missing.why.unwrap_or_default());
            let failure = Failure::new(Code::Unavailable, format!("{what} is still not found")).why(why);
            return Err(missing.help.into_iter().fold(failure, Failure::help).into());
        }
        Ok(programs)
    }

    /// Offers the ways one after the other, and runs the first that the user wants.
    async fn install(&self, install: &Install, signals: &mut Signals) -> Result<(), Stop> {
        let Install { what, ways, missing } = install;
        let failed = |failure: Failure| missing.help.iter().cloned().fold(failure, Failure::help);
        for line in ways {
            if !self.agrees(&format!("Run `{line}`?"), signals).await? {
                continue;
            }
            let shell = Command::new("sh").args(["-c", line]).spawn();
            let mut shell = shell.map_err(|error| {
                failed(Failure::new(Code::Unavailable, format!("`{line}` could not be started")).why(error))
            })?;
            let identity = shell.id().and_then(Identity::of);
            let mut signalled = false;
            let status = loop {
                tokio::select! {
                    status = shell.wait() => break status.ok(),
                    signal = signals.next() => {
                        signalled = true;
                        run::forward(signal, identity);
                    }
                }
            };
            return match status {
                _ if signalled => Err(Stop::Signalled),
                Some(status) if status.success() => Ok(()),
                status => Err(failed(
                    Failure::new(Code::Unavailable, format!("{what} could not be installed"))
                        .why(format!("`{line}` ended with {}; what it said is above", describe_status(status))),
                )
                .into()),
            };
        }
        let why = if ways.is_empty() { "nothing that could install it is on this machine" } else { "you said no" };
        let failure = Failure::new(Code::Unavailable, format!("{what} is missing")).why(why);
        Err(failed(failure).into())
    }

    /// Downloads what is missing, if the user agrees; the backend is up then.
    async fn get_model(&self, programs: &Programs, plan: &Plan, signals: &mut Signals) -> Result<Option<Held>, Stop> {
        let model = self.model(programs).await?;
        let step = model.step();
        ui::say(step.heading(2));
        if !plan.is_up() {
            // Before any bytes come; whether it is tight has just been said.
            plan.weigh()?;
        }
        let Some(action @ Action::Download(names, _)) = step.actions.first() else {
            return Ok(None);
        };
        ui::say(indented(action));
        if !self.agrees(&format!("Download {}?", names.join(" and ")), signals).await? {
            let failure = Failure::new(Code::Unavailable, format!("{} is not downloaded", names.join(" and ")));
            return Err(model.by_hand().into_iter().fold(failure.why("you said no"), Failure::help).into());
        }
        self.bring_up(plan, Downloads::Agreed, signals).await.map(Some)
    }

    async fn configure_and_verify(
        &self,
        programs: &Programs,
        plan: &Plan,
        held: &mut Option<Held>,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        let edit = self.chosen(programs).lacking(&self.settings, &self.file)?;
        ui::say(configure::step(edit.as_ref(), &self.file).heading(3));
        if let Some(edit) = edit {
            self.configure(&edit, signals).await?;
        }
        ui::say(betas_off().heading(4));
        ui::say(verify::step(programs.kind).heading(5));
        if held.is_none() {
            *held = Some(self.bring_up_asking(plan, signals).await?);
        }
        let Some(Held { lease, ready, scratch }) = held else {
            return Err(Stop::Signalled);
        };
        let subject = Subject {
            settings: &self.settings,
            environment: &self.environment,
            file: &self.file,
            yes: self.selection.choice.yes,
        };
        verify::run(&subject, plan, ready, lease, scratch.path(), signals).await?.ok_or(Stop::Signalled)
    }

    /// Lines that are not there are added; one that is there is changed only on a yes.
    async fn configure(&self, edit: &Edit, signals: &mut Signals) -> Result<(), Stop> {
        ui::say(indented(edit));
        if edit.changes && !self.agrees("Change it?", signals).await? {
            ui::say(format_args!("{INDENT}left as it is"));
            return Ok(());
        }
        edit.write()?;
        ui::say(format_args!("{INDENT}written"));
        Ok(())
    }

    async fn bring_up(&self, plan: &Plan, downloads: Downloads, signals: &mut Signals) -> Result<Held, Stop> {
        self.environment.places.ready_runtime()?;
        let scratch = Scratch::make(plan.runtime())?;
        let up = run::backend_up(plan, downloads, scratch.path(), signals).await?;
        up.map(|(lease, ready)| Held { lease, ready, scratch }).ok_or(Stop::Signalled)
    }

    /// The same, where only the server can tell that a model is missing.
    async fn bring_up_asking(&self, plan: &Plan, signals: &mut Signals) -> Result<Held, Stop> {
        let up = self.bring_up(plan, Downloads::NotAgreed, signals).await;
        let Err(Stop::Failed(Failure { missing: Some(model), .. })) = &up else {
            return up;
        };
        let asks = self.selection.choice.yes || ui::can_ask();
        if !asks || !self.agrees(&format!("{model} is not here yet. Download it?"), signals).await? {
            return up;
        }
        self.bring_up(plan, Downloads::Agreed, signals).await
    }

    async fn agrees(&self, question: &str, signals: &mut Signals) -> Result<bool, Stop> {
        let question = format!("{INDENT}{question}");
        if self.selection.choice.yes {
            ui::say(format_args!("{question} yes"));
            return Ok(true);
        }
        signals.agrees(question).await.ok_or(Stop::Signalled)
    }

    /// What to type from now on, where the configuration does not say all of it.
    fn line(&self, programs: &Programs) -> Result<String> {
        let profile = self.selection.choice.profile.clone();
        let configured =
            config::load(&self.file, false, None, &Overrides { profile, ..Overrides::default() }, &self.environment)?;
        let choice = &self.selection.choice;
        let mut words = vec!["lclaude".to_owned()];
        if let Some(file) = &choice.config {
            words.extend(["--config".to_owned(), self.environment.working_dir()?.join(file).display().to_string()]);
        }
        if let Some(profile) = &choice.profile {
            words.extend(["--profile".to_owned(), profile.clone()]);
        }
        words.extend(self.chosen(programs).options(&configured, &self.environment));
        Ok(ui::command_line(words.into_iter()))
    }

    /// The command line of this setup.
    fn again(&self) -> String {
        self.selection.line("setup")
    }
}

fn betas_off() -> Step {
    let given = claude::BETAS_OFF.map(|(name, value)| format!("{name}={value}"));
    let mut found =
        vec!["every session gets these, among others (lclaude --dry-run shows all), and nobody else does:".into()];
    found.extend(given.map(|line| format!("  {line}")));
    found.push("nothing to be written: no settings file of Claude Code's and no shell profile is touched".into());
    Step { title: "betas off", found, actions: Vec::new() }
}
