//! LM Studio itself: holds the loaded models, handles commands, and serves HTTP if started.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::exit;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use lclaude_fakes::control::{Command, Control};
use lclaude_fakes::process::die_of;
use lclaude_fakes::steps::{Client, Steps};
use rustix::process::setsid;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::fails;
use crate::home::Home;
use crate::models::{Loaded, Model};
use crate::web::Web;

const DEFAULT_CONTEXT: u32 = 4096;
const NO_MEMORY: &str = "Model loading was stopped due to insufficient system resources. Continuing to load the \
    model would likely overload your system and cause it to freeze. If you think this is incorrect, you can adjust \
    the model loading guardrails in settings.";

pub struct Studio {
    pub home: Home,
    pub control: Control,
    steps: Steps,
    loaded: Mutex<Vec<Loaded>>,
    web: Mutex<Option<Web>>,
}

pub fn run(home: Home) -> ! {
    setsid().expect("a fresh child leads no group");
    let caught = Signals::new([SIGINT, SIGTERM]).expect("these signals can be caught");
    // A killed daemon leaves its socket behind.
    let _ = std::fs::remove_file(home.socket());
    let studio = Arc::new(Studio {
        control: Control::connect("lmstudio", json!({})),
        home,
        steps: Steps::default(),
        loaded: Mutex::default(),
        web: Mutex::default(),
    });
    end_on_signals(caught, Arc::clone(&studio));
    obey_test(Arc::clone(&studio));
    if std::env::var("FAKE_LMS_START").is_ok_and(|value| value == "controlled") {
        studio.steps.wait(&["started"], &Client::default());
    }
    studio.show();
    let listener = UnixListener::bind(studio.home.socket()).expect("the path of the socket is short and free");
    loop {
        let Ok((stream, _)) = listener.accept() else { continue };
        let studio = Arc::clone(&studio);
        // Errors only mean that the client hung up.
        thread::spawn(move || drop(studio.talk(&stream)));
    }
}

impl Studio {
    fn talk(self: &Arc<Self>, mut stream: &UnixStream) -> std::io::Result<()> {
        for line in BufReader::new(stream).lines() {
            let question: Value = serde_json::from_str(&line?)?;
            if question["do"] == "get" {
                self.download(question["key"].as_str().unwrap_or_default(), stream)?;
            }
            let answer = match self.answer(&question) {
                Ok(answer) => json!({ "ok": answer }),
                Err(why) => json!({ "error": why }),
            };
            writeln!(stream, "{answer}")?;
            if question["do"] == "shutdown" {
                exit(0);
            }
        }
        Ok(())
    }

    fn answer(self: &Arc<Self>, question: &Value) -> Result<Value, String> {
        let text = |field: &str| question[field].as_str();
        match text("do").unwrap_or_default() {
            "info" => Ok(json!({ "pid": std::process::id(), "isDaemon": is_daemon(), "version": version() })),
            "ls" => Ok(self.home.installed().iter().map(Model::describe).collect()),
            "ps" => Ok(self.ps()),
            "load" => {
                let number = |field: &str| question[field].as_u64().and_then(|number| u32::try_from(number).ok());
                let key = text("key").unwrap_or_default();
                let ttl_ms = question["ttl"].as_u64().map(|seconds| seconds * 1000);
                self.load(key, text("identifier"), number("context"), number("parallel"), ttl_ms)
                    .map(|loaded| json!(loaded))
            }
            "unload" => Ok(json!(self.unload(text("identifier").unwrap_or_default()))),
            "get" => {
                let mut models = self.home.models();
                let is_it = |model: &Model| Some(&*model.model_key) == text("key") && model.device_identifier.is_none();
                for model in models.iter_mut().filter(|model| is_it(model)) {
                    model.installed = true;
                }
                self.home.set_models(&models);
                Ok(Value::Null)
            }
            "start_server" => {
                let port = question["port"].as_u64().and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
                self.start_server(port, text("interface").unwrap_or_default())
            }
            "stop_server" => {
                self.stop_server();
                Ok(Value::Null)
            }
            "shutdown" => {
                self.end();
                Ok(Value::Null)
            }
            other => panic!("LM Studio does not know how to {other:?}"),
        }
    }

    /// Downloads a model, and reports the progress.
    fn download(&self, key: &str, mut stream: &UnixStream) -> std::io::Result<()> {
        let models = self.home.models();
        let total = models.iter().find(|model| model.model_key == key).map_or(0, |model| model.size_bytes);
        let mut tell = |completed: u64| {
            let progress =
                json!({ "downloadedBytes": completed, "totalBytes": total, "speedBytesPerSecond": 35_000_000 });
            writeln!(stream, "{}", json!({ "progress": progress }))
        };
        self.control.event("getting", json!({ "key": key, "total": total }));
        if std::env::var("FAKE_LMS_GET").is_ok_and(|value| value == "controlled") {
            while let Some(step) = self.steps.wait(&["get_progress", "get_finish"], &Client::default())
                && step.name() == "get_progress"
            {
                tell(step.value("completed").as_u64().unwrap_or_default())?;
            }
        }
        tell(total)
    }

    pub fn ps(&self) -> Value {
        let models = self.home.models();
        let describe = |loaded: &Loaded| {
            let model = models.iter().find(|model| model.model_key == loaded.model_key)?;
            Some(loaded.describe(model))
        };
        self.loaded().iter().filter_map(describe).collect()
    }

    pub fn load(
        &self,
        key: &str,
        identifier: Option<&str>,
        context: Option<u32>,
        parallel: Option<u32>,
        ttl_ms: Option<u64>,
    ) -> Result<Loaded, String> {
        let installed = self.home.installed();
        let preferred = std::env::var("FAKE_LMS_DEVICE").ok();
        // The model of the preferred machine, otherwise the first.
        let model = installed
            .iter()
            .filter(|model| model.model_key == key)
            .min_by_key(|model| preferred.is_none() || model.device_identifier != preferred);
        let model = model.ok_or_else(|| format!("Cannot find a model with the key \"{key}\"."))?;
        let granted = std::env::var("FAKE_LMS_CONTEXT").ok().and_then(|number| number.parse().ok());
        let loaded = Loaded {
            identifier: self.free_identifier(identifier, key)?,
            model_key: key.to_owned(),
            context_length: granted.or(context).unwrap_or(DEFAULT_CONTEXT),
            ttl_ms,
            parallel: parallel.or(Some(4)),
            device_identifier: model.device_identifier.clone(),
        };
        self.control.event("loading", json!(loaded));
        if std::env::var("FAKE_LMS_LOAD").is_ok_and(|value| value == "controlled") {
            let step = self.steps.wait(&["loaded", "load_fail"], &Client::default());
            if let Some(step) = step.filter(|step| step.name() == "load_fail") {
                return Err(step.value("error").as_str().unwrap_or(NO_MEMORY).to_owned());
            }
        }
        if fails("load") {
            return Err(NO_MEMORY.to_owned());
        }
        self.loaded().push(loaded.clone());
        self.show();
        self.control.event("loaded", json!(loaded));
        Ok(loaded)
    }

    /// Returns the requested identifier, or the model's name with a number if it is already loaded.
    fn free_identifier(&self, asked: Option<&str>, key: &str) -> Result<String, String> {
        let loaded = self.loaded();
        let is_free = |name: &str| loaded.iter().all(|loaded| loaded.identifier != name);
        match asked {
            Some(asked) if is_free(asked) => Ok(asked.to_owned()),
            Some(asked) => Err(format!("A model with the identifier \"{asked}\" is already loaded.")),
            None if is_free(key) => Ok(key.to_owned()),
            None => Ok((2..).map(|n| format!("{key}:{n}")).find(|name| is_free(name)).unwrap_or_default()),
        }
    }

    /// Returns whether the model was loaded.
    pub fn unload(&self, identifier: &str) -> bool {
        let mut loaded = self.loaded();
        let before = loaded.len();
        loaded.retain(|loaded| loaded.identifier != identifier);
        let was_loaded = loaded.len() < before;
        drop(loaded);
        if was_loaded {
            self.show();
            self.control.event("unloaded", json!({ "identifier": identifier }));
        }
        was_loaded
    }

    /// Starts the server, or moves it to another port.
    fn start_server(self: &Arc<Self>, port: u16, interface: &str) -> Result<Value, String> {
        let mut web = self.web();
        if web.as_ref().is_none_or(|web| web.port != port) {
            if let Some(old) = web.take() {
                old.stop();
            }
            let started = Web::start(interface, port, Arc::clone(self)).map_err(|error| match error.kind() {
                std::io::ErrorKind::AddrInUse => {
                    format!("listen EADDRINUSE: address already in use {interface}:{port}")
                }
                _ => format!("listen: {error}"),
            })?;
            self.control.event("listening", json!({ "port": started.port }));
            *web = Some(started);
        }
        drop(web);
        self.home.set_server_config(port, interface);
        self.show();
        Ok(Value::Null)
    }

    fn stop_server(&self) {
        let web = self.web().take();
        if let Some(web) = web {
            let port = web.port;
            web.stop();
            self.show();
            self.control.event("stopped", json!({ "port": port }));
        }
    }

    /// Writes `running.json`.
    fn show(&self) {
        let running = json!({ "daemon": true, "server": self.web().is_some(), "loaded": json!(*self.loaded()) });
        self.home.set_running(&running);
    }

    /// Cleans up before a regular exit.
    fn end(&self) {
        let _ = std::fs::remove_file(self.home.socket());
        self.home.set_running(&json!({ "daemon": false, "server": false, "loaded": [] }));
    }

    fn loaded(&self) -> MutexGuard<'_, Vec<Loaded>> {
        self.loaded.lock().expect("no thread panics with it")
    }

    fn web(&self) -> MutexGuard<'_, Option<Web>> {
        self.web.lock().expect("no thread panics with it")
    }

    fn obey(&self, command: Command) {
        let name = command.name().to_owned();
        match &*name {
            "started" | "loaded" | "load_fail" | "get_progress" | "get_finish" => return self.steps.say(command),
            "evict" => drop(self.unload(command.text("identifier"))),
            "stop_server" => self.stop_server(),
            "exit" => exit(command.number("code")),
            "signal" => die_of(command.number("number")),
            other => panic!("fake-lms does not know how to {other:?}"),
        }
        self.control.event("done", json!({ "do": name }));
    }
}

fn is_daemon() -> bool {
    std::env::var("FAKE_LMS_APP").is_err()
}

fn version() -> String {
    std::env::var("FAKE_LMS_VERSION").unwrap_or_else(|_| "0.4.4+1".to_owned())
}

fn obey_test(studio: Arc<Studio>) {
    if !studio.control.is_connected() {
        return;
    }
    thread::spawn(move || {
        studio.control.commands().for_each(|command| studio.obey(command));
        // The test is over.
        exit(1);
    });
}

fn end_on_signals(mut caught: Signals, studio: Arc<Studio>) {
    thread::spawn(move || {
        let signal = caught.forever().next();
        studio.control.event("signal", json!({ "number": signal }));
        studio.end();
        exit(0);
    });
}
