//! Controls LM Studio with its command `lms`.

use std::{
    ffi::OsStr,
    io,
    path::Path,
    process::{Output, Stdio},
};

use serde::{Deserialize, de::DeserializeOwned};
use tokio::{process::Command, time::timeout};

use super::{
    download::is_exact,
    model::InstalledModel,
    pick::pick,
    plan::{LEAST_VERSION, Studio},
};
use crate::{
    backend::{
        context::{SMALLER_MODEL, smaller},
        http,
        plan::HOST,
        program::remove_variables,
        starting::{StartError, Starting},
        undo::{Started, Undo},
    },
    base::{
        error::{Code, Failure, Result},
        limits,
        port::free_port,
        process::Identity,
        spawn::not_started,
        ui,
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DaemonStatus {
    status: String,
    pid: Option<u32>,
    /// `false` for the desktop app.
    is_daemon: Option<bool>,
}

#[derive(Deserialize)]
struct ServerStatus {
    running: bool,
    port: Option<u16>,
}

/// A loaded instance of a model.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Loaded {
    identifier: String,
    #[serde(default)]
    model_key: String,
    context_length: Option<u32>,
    device_identifier: Option<String>,
}

impl DaemonStatus {
    fn is_running(&self) -> bool {
        self.status == "running"
    }

    fn process(&self) -> Option<Identity> {
        self.pid.and_then(Identity::of)
    }

    /// Returns the process that runs, if LM Studio reports it.
    fn started(&self) -> Option<Started> {
        let process = self.process()?;
        Some(if self.is_daemon == Some(false) { Started::App(process) } else { Started::Daemon(process) })
    }
}

/// Returns an `lms` command.
pub(crate) fn command(lms: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(lms);
    limits::restore_files(command.as_std_mut());
    remove_variables(command.as_std_mut(), |_| false);
    // Like the keeper, it must not run in a project's directory.
    command.current_dir("/").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs an `lms` command and ignores its output and status.
pub(crate) async fn run_quietly(lms: &Path, arguments: &[impl AsRef<OsStr>]) {
    let mut command = command(lms, arguments);
    if let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        let _ = timeout(http::ANSWER_TIMEOUT, child.wait()).await;
    }
}

/// Returns the LM Studio process that runs, or `None` if `lms` doesn't report it in time.
pub(crate) async fn started(lms: &Path) -> Option<Started> {
    let output = timeout(http::ANSWER_TIMEOUT, command(lms, &STATUS).output()).await.ok()?.ok()?;
    let status: DaemonStatus = serde_json::from_slice(&output.stdout).ok()?;
    status.started()
}

const STATUS: [&str; 3] = ["daemon", "status", "--json"];

impl Studio {
    /// Returns an `lms` command.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(&self.lms, arguments)
    }

    /// Runs `lms` and returns its standard output.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.stdout_of(arguments, self.command(arguments).output().await)
    }

    /// Returns the standard output of a command that succeeded.
    ///
    /// # Errors
    /// `Unavailable` if it didn't start or failed.
    pub(super) fn stdout_of(&self, arguments: &[&str], output: io::Result<Output>) -> Result<String> {
        let words =
            std::iter::once(self.lms.display().to_string()).chain(arguments.iter().map(|&word| word.to_owned()));
        let line = ui::quote_command(words);
        let output = output.map_err(|error| not_started(Code::Unavailable, &self.lms, &error))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(Code::Unavailable, format!("{line} failed"))
            .cause(stderr.lines().next().unwrap_or("no error message"))
            .log_tail(stderr.lines().map(str::to_owned))
            .help(line))
    }

    /// Runs `lms` and parses its output as JSON.
    async fn run_json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        parse(arguments, &self.run(arguments).await?)
    }

    async fn daemon(&self) -> Result<DaemonStatus> {
        self.run_json(&STATUS).await
    }

    /// Returns whether LM Studio is running. Most other commands would start it.
    pub(crate) async fn is_running(&self) -> Result<bool> {
        Ok(self.daemon().await?.is_running())
    }

    /// Returns all installed models, including those on other machines (LM Link).
    pub(crate) async fn all_models(&self) -> Result<Vec<InstalledModel>> {
        self.run_json(&["ls", "--llm", "--json"]).await
    }

    /// Returns the models that are installed on this machine.
    pub(crate) async fn local_models(&self) -> Result<Vec<InstalledModel>> {
        let mut models = self.all_models().await?;
        models.retain(InstalledModel::is_local);
        Ok(models)
    }

    /// Returns the port of its server, if that is running.
    pub(crate) async fn port(&self) -> Result<Option<u16>> {
        let status: ServerStatus = self.run_json(&["server", "status", "--json", "--quiet"]).await?;
        Ok(status.port.filter(|_| status.running))
    }

    /// Returns the instance with this name on this machine, and those on other machines.
    async fn instances(&self, name: &str) -> Result<(Option<Loaded>, Vec<Loaded>)> {
        let mut loaded: Vec<Loaded> = self.run_json(&["ps", "--json"]).await?;
        loaded.retain(|loaded| loaded.identifier == name);
        let (mut local, remote): (Vec<_>, Vec<_>) =
            loaded.into_iter().partition(|loaded| loaded.device_identifier.is_none());
        Ok((local.pop(), remote))
    }

    /// Returns the undo that runs an `lms` command, unless this daemon is gone: `lms` would then start another one.
    fn undo(&self, arguments: &[&str], daemon: Option<Identity>) -> Undo {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Undo::Tell { lms: self.lms.clone(), arguments, of: daemon }
    }

    /// Starts LM Studio unless it is running, and returns its process if LM Studio reports it. This comes first, since
    /// most other commands would start LM Studio.
    pub(crate) async fn start_daemon(&self, starting: &Starting<'_>) -> Result<Option<Identity>> {
        let status = self.daemon().await?;
        // LM Studio saves the last used port and models in these files.
        for file in ["http-server-config.json", "cli-pref.json"] {
            if let Some(undo) = Undo::restore(self.home.join(".internal").join(file)) {
                starting.record_undo(undo).await;
            }
        }
        if status.is_running() {
            return Ok(status.process());
        }
        starting.report("starting LM Studio", None, "");
        let started = self.daemon_up(starting).await?;
        starting
            .record_undo(match started.started() {
                Some(started) => self.end(started),
                None => self.undo(&["daemon", "down"], None),
            })
            .await;
        Ok(started.process())
    }

    fn end(&self, started: Started) -> Undo {
        Undo::End { lms: self.lms.clone(), started }
    }

    async fn daemon_up(&self, starting: &Starting<'_>) -> Result<DaemonStatus> {
        let arguments = ["daemon", "up", "--json"];
        let mut command = self.command(&arguments);
        // Killing it would not stop LM Studio from starting, and nothing would stop that LM Studio later.
        command.kill_on_drop(false).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = match command.spawn() {
            Ok(up) => {
                if let (Some(command), Some(keeper)) = (up.id().and_then(Identity::of), Identity::of_self()) {
                    starting.record_undo(self.end(Started::By { command, keeper })).await;
                }
                up.wait_with_output().await
            }
            Err(error) => Err(error),
        };
        parse(&arguments, &self.stdout_of(&arguments, output)?)
    }

    /// Checks that LM Studio's version is supported. Only the human-readable status includes it.
    ///
    /// # Errors
    /// `Unavailable` if it is too old.
    pub(crate) async fn check_version(&self) -> Result<()> {
        let output = self.command(&["daemon", "status"]).output().await.ok();
        let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let version = text.split_whitespace().find_map(|word| word.strip_prefix('v').filter(|rest| rest.contains('.')));
        let Some(version) = version else {
            return Ok(());
        };
        if http::parse_version(version) >= LEAST_VERSION {
            return Ok(());
        }
        Err(http::too_old(&format!("LM Studio {version}"), "0.4.1 (January 2026)")
            .help(format!("{} daemon update", ui::quote_path(&self.lms))))
    }

    /// Returns the model with exactly this key, and downloads it if the user agreed. An exact match is needed since
    /// `lms load -y` takes the first similar one.
    ///
    /// # Errors
    /// `Unavailable` if it is missing, lacks tool support or doesn't fit in memory.
    pub(crate) async fn find(
        &self,
        key: &str,
        context: u32,
        starting: &Starting<'_>,
    ) -> Result<InstalledModel, StartError> {
        let mut known = self.all_models().await?;
        let is_installed = known.iter().any(|model| model.is_local() && model.model_key == key);
        if !is_installed && starting.may_pull && is_exact(key) {
            self.check_download(key, context)?;
            self.download(key, starting).await?;
            known = self.all_models().await?;
        }
        Ok(pick(key, known)?)
    }

    /// Returns whether an instance with this name is loaded on this machine.
    pub(crate) async fn is_loaded(&self, name: &str) -> Result<bool> {
        Ok(self.instances(name).await?.0.is_some())
    }

    /// Loads a model under lclaude's own name, next to any instance of the user's, and returns its context.
    ///
    /// # Errors
    /// `Unavailable` if the load fails, or another machine or another model was loaded.
    pub(crate) async fn load(
        &self,
        model: &InstalledModel,
        name: &str,
        context: u32,
        daemon: Option<Identity>,
        starting: &Starting<'_>,
    ) -> Result<u32> {
        if !self.is_loaded(name).await? {
            starting.report(&format!("loading {}", model.model_key), None, "");
            starting.record_undo(self.undo(&["unload", name], daemon)).await;
            let (length, parallel) = (context.to_string(), self.parallel.map(|count| count.to_string()));
            let mut arguments = vec!["load", &model.model_key, "--identifier", name, "-c", &length, "--gpu", &self.gpu];
            if let Some(parallel) = &parallel {
                arguments.extend(["--parallel", parallel]);
            }
            arguments.push("-y");
            self.run(&arguments).await.map_err(|failure| {
                failure
                    .help(smaller(context))
                    .help(SMALLER_MODEL)
                    .help("lclaude local config set lmstudio.gpu off  # if GPU memory is short")
            })?;
        }
        let (loaded, remote) = self.instances(name).await?;
        if loaded.is_none() && !remote.is_empty() {
            return Err(Failure::new(
                Code::Unavailable,
                format!("LM Studio loaded {} on another machine", model.model_key),
            )
            .cause("LM Link prefers that machine, so your code would be sent there")
            .help("lms link set-preferred-device  # choose this machine"));
        }
        if let Some(other) = loaded.as_ref().filter(|loaded| loaded.model_key != model.model_key) {
            return Err(Failure::new(
                Code::Unavailable,
                format!("LM Studio loaded {} instead of {}", other.model_key, model.model_key),
            )
            .cause("lms loads the first model with a similar name")
            .help("lms ls  # rename or remove the other model"));
        }
        Ok(loaded.and_then(|loaded| loaded.context_length).unwrap_or(context))
    }

    /// Returns the port of the running server, or starts one on a free port.
    ///
    /// # Errors
    /// `Unavailable` if it doesn't start.
    pub(crate) async fn start_server(&self, daemon: Option<Identity>, starting: &Starting<'_>) -> Result<u16> {
        if let Some(port) = self.port().await? {
            return Ok(port);
        }
        starting.record_undo(self.undo(&["server", "stop"], daemon)).await;
        // After a crash the port stays the same, since Claude Code still uses it.
        let before = reqwest::Url::parse(&starting.endpoint.url).ok().and_then(|url| url.port());
        let port = before.map_or_else(free_port, Ok)?;
        self.run(&["server", "start", "-p", &port.to_string(), "--bind", HOST]).await?;
        Ok(port)
    }
}

fn parse<T: DeserializeOwned>(arguments: &[&str], text: &str) -> Result<T> {
    serde_json::from_str(text.trim()).map_err(|error| {
        Failure::new(Code::Unavailable, format!("unrecognized output from lms {}", arguments.join(" ")))
            .cause(error)
            .help("upgrade LM Studio or lclaude")
    })
}
