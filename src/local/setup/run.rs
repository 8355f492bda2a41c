//! Carries out the steps in order.

use std::{path::PathBuf, time::Duration};

use tokio::time::timeout;

use super::{
    configure::{self, WantedSettings},
    error::SetupError,
    install::{self, Installed},
    model::{self, ModelStep},
    programs::{self, Programs},
    step::{Action, INDENT, Install, Step, indented},
    verify,
};
use crate::{
    backend::{MissingModel, describe_status, registry, subject::Subject},
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        question::Enter,
        scratch::Scratch,
        signals::Signals,
        ui, wait,
    },
    cli::{self, Selection},
    config::{self, Edit, Overrides, Settings},
    keeper::{Lease, Ready},
    launch::{self, Asked, Instead},
    session::{
        plan::{Downloads, Plan},
        run::{self, BackendUp},
    },
};

/// How long a signal may arrive after a child process has already ended because of it.
const SIGNAL_DELAY: Duration = Duration::from_millis(100);

pub(crate) fn run(arguments: cli::SetupArguments) -> Result<Exit> {
    let environment = Environment::read()?;
    launch::start_log_and_warn(&environment);
    let cli::SetupArguments { choice: selection, dry_run } = arguments;
    let file = selection.choice.config.clone().unwrap_or_else(|| environment.places.config_file.clone());
    // The file may be missing, since setup writes it. The project file is ignored.
    let settings = config::load(&file, false, None, &selection.overrides(), &environment)?;
    let asked = Asked { is_dry_run: dry_run, ..Asked::new(&["lclaude", "local", "setup"], &selection.choice) };
    let settings = launch::with_model(settings, &environment, &asked)?;
    let mut setup = Setup { selection, environment, file, settings };
    let runtime = wait::event_loop()?;
    let outcome = runtime.block_on(async {
        if dry_run {
            return setup.describe().await.map(|text| {
                ui::print(&format!("{text}\n"));
                Exit::Code(0)
            });
        }
        let mut signals = Signals::listen()?;
        let outcome = match Box::pin(setup.run(&mut signals)).await {
            // Ctrl-C also reaches the child, whose failure may arrive before the signal.
            Err(SetupError::Failed(_)) if timeout(SIGNAL_DELAY, signals.next()).await.is_ok() => {
                Err(SetupError::Signalled)
            }
            outcome => outcome,
        };
        let command = setup.command_line();
        match outcome {
            Ok(()) => Ok(Exit::Code(0)),
            Err(SetupError::Failed(failure)) if failure.help.iter().any(|help| help.contains(&command)) => Err(failure),
            Err(SetupError::Failed(failure)) => Err(failure.help(format!("{command}  # continues from here"))),
            Err(SetupError::Signalled) => {
                ui::message_lines(format_args!("\nlclaude: interrupted; to continue: {command}"));
                Ok(signals.exit())
            }
        }
    });
    // Dropping it would block while a thread waits for an answer at the terminal.
    runtime.shutdown_background();
    outcome
}

struct Setup {
    selection: Selection,
    environment: Environment,
    /// The user's configuration file.
    file: PathBuf,
    settings: Settings,
}

/// A running backend with our lease on it.
struct Held {
    lease: Lease,
    ready: Ready,
    scratch: Scratch,
}

impl Setup {
    fn programs(&self) -> Programs {
        programs::look(&self.settings, &self.environment)
    }

    async fn model(&self, programs: &Programs) -> Result<ModelStep> {
        model::look(programs, &self.settings, &self.environment).await
    }

    fn chosen(&self, programs: &Programs) -> WantedSettings {
        WantedSettings::new(programs.kind, &self.settings, &self.environment)
    }

    /// Returns all steps, as far as they are known before the first one runs.
    async fn steps(&self) -> Result<[Step; 5]> {
        let programs = self.programs();
        let (mut kind, mut settings) = (programs.kind, self.settings.clone());
        let mut model = self.model(&programs).await?.step();
        if programs.has_backend() {
            let plan = Plan::new(self.settings.clone(), self.environment.clone())?;
            let usable = launch::offered(&plan, &plan.missing().await).await;
            if let Some(best) = usable.first() {
                kind = best.kind;
                settings = settings.with_picked_model(best.kind, &best.model.name);
                model.actions = vec![Action::Choose(usable.into_iter().map(|one| one.model.name).collect())];
            }
        }
        let edit = WantedSettings::new(kind, &settings, &self.environment).missing_from(&settings, &self.file)?;
        Ok([
            programs.step(),
            model,
            configure::step(edit.as_ref(), &self.file),
            configure::betas_off(),
            verify::step(kind),
        ])
    }

    /// Returns all steps as text.
    async fn describe(&self) -> Result<String> {
        let steps = self.steps().await?;
        let steps: Vec<String> = steps.iter().enumerate().map(|(at, step)| step.describe(at + 1)).collect();
        Ok(steps.join("\n"))
    }

    async fn run(&mut self, signals: &mut Signals) -> Result<(), SetupError> {
        if !self.selection.choice.yes && !ui::can_ask() && self.steps().await?.iter().any(Step::needs_consent) {
            ui::message_lines(self.describe().await?);
            return Err(Failure::new(Code::Unavailable, "setup needs confirmation for the steps above")
                .cause("there is no terminal to ask on, so nothing was changed")
                .help(format!("{} --yes", self.command_line()))
                .into());
        }
        self.install_programs(signals).await?;
        let (plan, is_download_agreed, held) = self.choose_model(signals).await?;
        // It may be a model of another backend.
        let programs = self.programs();
        // The backend keeps running between the steps, because loading a model takes long.
        let mut held = self.get_model(&programs, &plan, is_download_agreed, held, signals).await?;
        let outcome = self.configure_and_verify(&programs, &plan, &mut held, signals).await;
        if let Some(held) = held {
            run::release(held.lease, signals).await;
        }
        outcome?;
        ui::message_lines(format_args!(
            "\nReady. Start a session with: {}",
            ui::one_line(self.session_command(&programs)?)
        ));
        Ok(())
    }

    async fn install_programs(&self, signals: &mut Signals) -> Result<(), SetupError> {
        let mut step = self.programs().step();
        ui::message_lines(step.heading(1));
        if step.actions.is_empty() {
            return Ok(());
        }
        for action in std::mem::take(&mut step.actions) {
            if let Action::Install(install) = action {
                self.install(&install, signals).await?;
            }
        }
        step = self.programs().step();
        ui::message_lines(step.findings());
        // An installer may report success without installing the program.
        if let Some(Action::Install(Install { what, missing, .. })) = step.actions.pop() {
            let why = format!("its installer succeeded, but {}: {}", missing.what, missing.why.unwrap_or_default());
            let failure =
                Failure::new(Code::Unavailable, format!("{what} was not found after the installation")).cause(why);
            return Err(failure.helps(missing.help).into());
        }
        Ok(())
    }

    /// Lets the user choose another model if one is missing, as a session does. Returns the plan, whether the user wants
    /// to download what is missing, and the backend if it had to be started to know that.
    async fn choose_model(&mut self, signals: &mut Signals) -> Result<(Plan, bool, Option<Held>), SetupError> {
        let plan = Plan::new(self.settings.clone(), self.environment.clone())?;
        let asked = Asked { saves: false, ..Asked::new(&["lclaude", "local", "setup"], &self.selection.choice) };
        let instead = if plan.is_up() {
            None
        } else if registry::backend(plan.backend.kind).knows_models_offline() {
            let missing = signals.unless_interrupted(plan.missing()).await.ok_or(SetupError::Signalled)?;
            launch::instead(&plan, &missing, &asked, signals).await?
        } else {
            let missing = match self.bring_up(&plan, Downloads::NotAgreed, signals).await? {
                Ok(held) => return Ok((plan, false, Some(held))),
                Err(missing) => missing,
            };
            match launch::instead_of_reported(&plan, &missing, &asked, signals).await? {
                None => {
                    let held = self.download(&plan, missing, signals).await?;
                    return Ok((plan, true, Some(held)));
                }
                Some(Instead::Download) => {
                    let held = self.bring_up_with_downloads(&plan, signals).await?;
                    return Ok((plan, true, Some(held)));
                }
                other => other,
            }
        };
        match instead {
            Some(Instead::Installed(settings)) => self.settings = *settings,
            Some(Instead::Download) => return Ok((plan, true, None)),
            Some(Instead::Interrupted) => return Err(SetupError::Signalled),
            None => return Ok((plan, false, None)),
        }
        Ok((Plan::new(self.settings.clone(), self.environment.clone())?, false, None))
    }

    /// Offers the install commands one by one, and runs the first that the user agrees to.
    async fn install(&self, install: &Install, signals: &mut Signals) -> Result<(), SetupError> {
        let Install { what, commands, missing } = install;
        let failed = |failure: Failure| failure.helps(&missing.help);
        for command in commands {
            if !self.agrees(&format!("Run `{command}`?"), signals).await? {
                continue;
            }
            return match install::run(command, signals).await.map_err(failed)? {
                Installed::Interrupted => Err(SetupError::Signalled),
                Installed::Exited(Some(status)) if status.success() => Ok(()),
                Installed::Exited(status) => Err(failed(
                    Failure::new(Code::Unavailable, format!("{what} could not be installed"))
                        .cause(format!("`{command}` {}; its output is above", describe_status(status))),
                )
                .into()),
            };
        }
        let why = if commands.is_empty() { "no supported installer was found" } else { "you declined to install it" };
        let failure = Failure::new(Code::Unavailable, format!("{what} is not installed")).cause(why);
        Err(failed(failure).into())
    }

    /// Downloads missing models if the user agrees. Returns the backend if it was started for that.
    async fn get_model(
        &self,
        programs: &Programs,
        plan: &Plan,
        is_agreed: bool,
        held: Option<Held>,
        signals: &mut Signals,
    ) -> Result<Option<Held>, SetupError> {
        let mut model = self.model(programs).await?;
        if held.is_some() {
            model.set_served();
        }
        let step = model.step();
        ui::message_lines(step.heading(2));
        if !plan.is_up() {
            // Checked before the download. The step has just shown a warning for a tight fit.
            plan.check_memory()?;
        }
        let Some(action @ Action::Download(names, _)) = step.actions.first() else {
            return Ok(held);
        };
        ui::message_lines(indented(action));
        if !is_agreed && !self.agrees(&format!("Download {}?", names.join(" and ")), signals).await? {
            let failure = Failure::new(Code::Unavailable, format!("{} is not installed", names.join(" and ")));
            return Err(failure.cause("you declined the download").helps(model.manual_help()).into());
        }
        self.bring_up_with_downloads(plan, signals).await.map(Some)
    }

    async fn configure_and_verify(
        &self,
        programs: &Programs,
        plan: &Plan,
        held: &mut Option<Held>,
        signals: &mut Signals,
    ) -> Result<(), SetupError> {
        let edit = self.chosen(programs).missing_from(&self.settings, &self.file)?;
        ui::message_lines(configure::step(edit.as_ref(), &self.file).heading(3));
        if let Some(edit) = edit {
            self.configure(&edit, signals).await?;
        }
        ui::message_lines(configure::betas_off().heading(4));
        ui::message_lines(verify::step(programs.kind).heading(5));
        if held.is_none() {
            *held = Some(self.bring_up_asking(plan, signals).await?);
        }
        let Some(Held { lease, ready, scratch }) = held else {
            return Err(SetupError::Signalled);
        };
        let subject = Subject {
            settings: &self.settings,
            environment: &self.environment,
            file: &self.file,
            yes: self.selection.choice.yes,
        };
        verify::run(&subject, plan, ready, lease, scratch.path(), signals).await?.ok_or(SetupError::Signalled)
    }

    /// Writes the configuration. Replacing an existing value requires the user's consent.
    async fn configure(&self, edit: &Edit, signals: &mut Signals) -> Result<(), SetupError> {
        ui::message_lines(indented(edit));
        if edit.changes && !self.agrees("Change it?", signals).await? {
            ui::message(format_args!("{INDENT}unchanged"));
            return Ok(());
        }
        edit.write()?;
        ui::message(format_args!("{INDENT}written"));
        Ok(())
    }

    /// Starts the backend and takes a lease on it.
    async fn bring_up(
        &self,
        plan: &Plan,
        downloads: Downloads,
        signals: &mut Signals,
    ) -> Result<Result<Held, MissingModel>, SetupError> {
        plan.ready_runtime()?;
        let scratch = Scratch::make(plan.runtime())?;
        match run::backend_up(plan, Lease::new(plan.start(downloads), scratch.path()).into(), signals).await? {
            BackendUp::Ready(lease, ready) => Ok(Ok(Held { lease: *lease, ready, scratch })),
            BackendUp::ModelMissing(missing) => Ok(Err(missing)),
            BackendUp::Interrupted => Err(SetupError::Signalled),
        }
    }

    /// Starts the backend, and offers to download a model if the server reports that it is missing.
    async fn bring_up_asking(&self, plan: &Plan, signals: &mut Signals) -> Result<Held, SetupError> {
        match self.bring_up(plan, Downloads::NotAgreed, signals).await? {
            Ok(held) => Ok(held),
            Err(missing) => self.download(plan, missing, signals).await,
        }
    }

    /// Offers to download a model that the server reports as missing, and starts the backend with it.
    async fn download(&self, plan: &Plan, missing: MissingModel, signals: &mut Signals) -> Result<Held, SetupError> {
        let MissingModel { model, failure, can_download, .. } = missing;
        let can_ask = can_download && (self.selection.choice.yes || ui::can_ask());
        if !can_ask || !self.agrees(&format!("{model} is not installed. Download it?"), signals).await? {
            return Err(failure.into());
        }
        self.bring_up_with_downloads(plan, signals).await
    }

    /// Starts the backend with the user's agreement to downloads.
    async fn bring_up_with_downloads(&self, plan: &Plan, signals: &mut Signals) -> Result<Held, SetupError> {
        let up = self.bring_up(plan, Downloads::Agreed, signals).await?;
        up.map_err(|missing| missing.failure.into())
    }

    async fn agrees(&self, question: &str, signals: &mut Signals) -> Result<bool, SetupError> {
        let question = format!("{INDENT}{question}");
        if self.selection.choice.yes {
            ui::message(format_args!("{question} yes"));
            return Ok(true);
        }
        signals.agrees(question, Enter::No).await.ok_or(SetupError::Signalled)
    }

    /// Returns the command that starts a session, with the options that the configuration doesn't contain.
    fn session_command(&self, programs: &Programs) -> Result<String> {
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
        Ok(ui::quote_command(words.into_iter()))
    }

    /// Returns the command line of this setup.
    fn command_line(&self) -> String {
        self.selection.line("setup")
    }
}
