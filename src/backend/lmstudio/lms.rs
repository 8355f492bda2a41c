//! What LM Studio is asked and told, each in the words of `lms`.

use super::model::Model;
use crate::backend::http;
use crate::backend::starting::Starting;
use crate::backend::undo::Undo;
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
    pick::pick,
    plan::{LEAST_VERSION, Studio},
};
use crate::{
    backend::{plan::HOST, program::conceal, undo::Started},
    base::{
        error::{Code, Failure, Result},
        port::free_port,
        process::Identity,
    },
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DaemonStatus {
    status: String,
    pid: Option<u32>,
    /// Otherwise it is the app, which has a window.
    is_daemon: Option<bool>,
}

#[derive(Deserialize)]
struct ServerStatus {
    running: bool,
    port: Option<u16>,
}

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
    fn runs(&self) -> bool {
        self.status == "running"
    }

    fn process(&self) -> Option<Identity> {
        self.pid.and_then(Identity::of)
    }

    /// What was started, where LM Studio names it.
    fn started(&self) -> Option<Started> {
        let process = self.process()?;
        Some(if self.is_daemon == Some(false) { Started::App(process) } else { Started::Daemon(process) })
    }
}

/// A command of `lms`.
pub fn command(lms: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(lms);
    conceal(command.as_std_mut(), |_| false);
    // Never in a project's directory, as the keeper is not either.
    command.current_dir("/").args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Tells LM Studio something; what it says to that is of no interest any more.
pub async fn tell(lms: &Path, arguments: &[impl AsRef<OsStr>]) {
    let mut command = command(lms, arguments);
    if let Ok(mut child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        let _ = timeout(http::PROMPT, child.wait()).await;
    }
}

/// What runs, as far as LM Studio says so in time.
pub async fn started(lms: &Path) -> Option<Started> {
    let output = timeout(http::PROMPT, command(lms, &STATUS).output()).await.ok()?.ok()?;
    let status: DaemonStatus = serde_json::from_slice(&output.stdout).ok()?;
    status.started()
}

const STATUS: [&str; 3] = ["daemon", "status", "--json"];

impl Studio {
    pub fn command(&self, arguments: &[&str]) -> Command {
        command(&self.lms, arguments)
    }

    /// Runs `lms` and gives its standard output.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.said(arguments, self.command(arguments).output().await)
    }

    /// What came of a command.
    pub(super) fn said(&self, arguments: &[&str], output: io::Result<Output>) -> Result<String> {
        let line = format!("{} {}", self.lms.display(), arguments.join(" "));
        let output = output.map_err(|error| {
            Failure::new(Code::Unavailable, format!("{} could not be started", self.lms.display()))
                .why(error)
                .help(format!("file {}", self.lms.display()))
        })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::new(Code::Unavailable, format!("{line} failed"))
            .why(said.lines().next().unwrap_or("it did not say why"))
            .log_tail(said.lines().map(str::to_owned))
            .help(format!("run it by hand: {line}")))
    }

    async fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        understood(arguments, &self.run(arguments).await?)
    }

    async fn daemon(&self) -> Result<DaemonStatus> {
        self.ask(&STATUS).await
    }

    /// Whether it runs: to ask it anything more would start it.
    pub async fn runs(&self) -> Result<bool> {
        Ok(self.daemon().await?.runs())
    }

    /// Every model that is installed, here or on another machine.
    pub async fn known(&self) -> Result<Vec<Model>> {
        self.ask(&["ls", "--llm", "--json"]).await
    }

    /// Every model that is installed here.
    pub async fn models(&self) -> Result<Vec<Model>> {
        let mut models = self.known().await?;
        models.retain(Model::is_here);
        Ok(models)
    }

    /// The port of its server, if that runs.
    pub async fn port(&self) -> Result<Option<u16>> {
        let status: ServerStatus = self.ask(&["server", "status", "--json", "--quiet"]).await?;
        Ok(status.port.filter(|_| status.running))
    }

    /// The instances of this name: the one that is here, and those on other machines.
    async fn instances(&self, name: &str) -> Result<(Option<Loaded>, Vec<Loaded>)> {
        let mut loaded: Vec<Loaded> = self.ask(&["ps", "--json"]).await?;
        loaded.retain(|loaded| loaded.identifier == name);
        let (mut here, elsewhere): (Vec<_>, Vec<_>) =
            loaded.into_iter().partition(|loaded| loaded.device_identifier.is_none());
        Ok((here.pop(), elsewhere))
    }

    /// What tells this very daemon something; `lms` would start another one to tell it, if this one has gone.
    fn undo(&self, arguments: &[&str], daemon: Option<Identity>) -> Undo {
        let arguments = arguments.iter().map(|&word| word.to_owned()).collect();
        Undo::Tell { lms: self.lms.clone(), arguments, of: daemon }
    }

    /// Most of the other commands would start LM Studio by themselves, so this one comes first. Gives its process, where
    /// LM Studio names it.
    pub async fn start_daemon(&self, starting: &Starting<'_>) -> Result<Option<Identity>> {
        let status = self.daemon().await?;
        // They remember what was used last: the server's port, and what was loaded.
        for file in ["http-server-config.json", "cli-pref.json"] {
            if let Some(undo) = Undo::restore(self.home.join(".internal").join(file)) {
                starting.will_undo(undo);
            }
        }
        if status.runs() {
            return Ok(status.process());
        }
        starting.tell("starting LM Studio", None, "");
        let started = self.up(starting).await?;
        starting.will_undo(match started.started() {
            Some(started) => self.end(started),
            None => self.undo(&["daemon", "down"], None),
        });
        Ok(started.process())
    }

    fn end(&self, started: Started) -> Undo {
        Undo::End { lms: self.lms.clone(), started }
    }

    async fn up(&self, starting: &Starting<'_>) -> Result<DaemonStatus> {
        let arguments = ["daemon", "up", "--json"];
        let mut command = self.command(&arguments);
        // Cut short, it would leave an LM Studio that comes up all the same, and that nobody knows of.
        command.kill_on_drop(false).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = match command.spawn() {
            Ok(up) => {
                if let (Some(command), Some(keeper)) = (up.id().and_then(Identity::of), Identity::of_self()) {
                    starting.will_undo(self.end(Started::By { command, keeper }));
                }
                up.wait_with_output().await
            }
            Err(error) => Err(error),
        };
        understood(&arguments, &self.said(&arguments, output)?)
    }

    /// Only the words for people tell LM Studio's own version.
    pub async fn check_version(&self) -> Result<()> {
        let output = self.command(&["daemon", "status"]).output().await.ok();
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let version = said.split_whitespace().find_map(|word| word.strip_prefix('v').filter(|rest| rest.contains('.')));
        let Some(version) = version else {
            return Ok(());
        };
        if http::release(version) >= LEAST_VERSION {
            return Ok(());
        }
        Err(http::too_old(&format!("LM Studio {version}"), "0.4.1, of January 2026")
            .help("update it in its own window, or lms daemon update"))
    }

    /// The model of exactly this key: `lms load -y` takes the first that looks like it.
    pub async fn find(&self, key: &str, context: u32, starting: &Starting<'_>) -> Result<Model> {
        let mut known = self.known().await?;
        let is_here = known.iter().any(|model| model.is_here() && model.model_key == key);
        if !is_here && starting.may_pull && is_exact(key) {
            self.check_download(key, context)?;
            self.download(key, starting).await?;
            known = self.known().await?;
        }
        pick(key, known)
    }

    /// Whether there is an instance of this name.
    pub async fn is_loaded(&self, name: &str) -> Result<bool> {
        Ok(self.instances(name).await?.0.is_some())
    }

    /// Loads a model under our own name, beside any instance of the user's, and gives its context.
    pub async fn load(
        &self,
        model: &Model,
        name: &str,
        context: u32,
        daemon: Option<Identity>,
        starting: &Starting<'_>,
    ) -> Result<u32> {
        if !self.is_loaded(name).await? {
            starting.tell(&format!("loading {}", model.model_key), None, "");
            starting.will_undo(self.undo(&["unload", name], daemon));
            let (length, parallel) = (context.to_string(), self.parallel.map(|count| count.to_string()));
            let mut arguments = vec!["load", &model.model_key, "--identifier", name, "-c", &length, "--gpu", &self.gpu];
            if let Some(parallel) = &parallel {
                arguments.extend(["--parallel", parallel]);
            }
            arguments.push("-y");
            self.run(&arguments).await.map_err(|failure| {
                failure.help("a smaller --context, a smaller model, or [lmstudio] gpu = \"off\" where memory is short")
            })?;
        }
        let (loaded, elsewhere) = self.instances(name).await?;
        if loaded.is_none() && !elsewhere.is_empty() {
            return Err(Failure::new(
                Code::Unavailable,
                format!("LM Studio loaded {} on another machine", model.model_key),
            )
            .why("LM Link prefers that one, and your code would go there")
            .help("lms link set-preferred-device, and choose this machine"));
        }
        if let Some(other) = loaded.as_ref().filter(|loaded| loaded.model_key != model.model_key) {
            return Err(Failure::new(
                Code::Unavailable,
                format!("LM Studio loaded {} for {}", other.model_key, model.model_key),
            )
            .why("lms takes the first model that looks like the one it is asked for")
            .help("lms ls shows what is installed; rename or remove the one that gets in the way"));
        }
        Ok(loaded.and_then(|loaded| loaded.context_length).unwrap_or(context))
    }

    /// The port of the server that runs, or of one on a free port.
    pub async fn start_server(&self, daemon: Option<Identity>, starting: &Starting<'_>) -> Result<u16> {
        if let Some(port) = self.port().await? {
            return Ok(port);
        }
        starting.will_undo(self.undo(&["server", "stop"], daemon));
        // After a crash where it was, since a Claude Code goes on asking there.
        let before = reqwest::Url::parse(&starting.endpoint.url).ok().and_then(|url| url.port());
        let port = before.map_or_else(free_port, Ok)?;
        self.run(&["server", "start", "-p", &port.to_string(), "--bind", HOST]).await?;
        Ok(port)
    }
}

fn understood<T: DeserializeOwned>(arguments: &[&str], text: &str) -> Result<T> {
    serde_json::from_str(text.trim()).map_err(|error| {
        Failure::new(Code::Unavailable, format!("lms {} answers what lclaude does not know", arguments.join(" ")))
            .why(error)
            .help("update LM Studio, or lclaude")
    })
}
