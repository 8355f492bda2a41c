//! Loaded models: loads each model into its own runner, and unloads it.

use std::env::var;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use lclaude_fakes::control::Control;
use lclaude_fakes::steps::{Client, Steps};
use serde_json::{Value, json};

use crate::keep_alive::{self, FOREVER};
use crate::models::{Model, Store};
use crate::switches::{Failure, Pace, Switches, fails_this_time};
use crate::{RUNNER, log};

/// The default number of loaded models on a machine without a GPU.
const MOST_LOADED: usize = 3;
const DEFAULT_CONTEXT: u32 = 4096;

pub struct Scheduler {
    switches: Arc<Switches>,
    store: Arc<Store>,
    control: Control,
    steps: Arc<Steps>,
    loaded: Mutex<Vec<Loaded>>,
    /// One load at a time; other requests for the same model wait.
    alone: Mutex<()>,
    loading: Mutex<Option<Loaded>>,
}

struct Loaded {
    model: Model,
    runner: Child,
    context: u32,
    keep_alive: Duration,
    used: SystemTime,
}

impl Scheduler {
    pub fn new(switches: Arc<Switches>, store: Arc<Store>, control: Control, steps: Arc<Steps>) -> Self {
        let scheduler = Self {
            switches,
            store,
            control,
            steps,
            loaded: Mutex::default(),
            alone: Mutex::default(),
            loading: Mutex::default(),
        };
        for model in scheduler.store.installed().into_iter().filter(|model| model.loaded) {
            let context = model.loaded_context.unwrap_or_else(|| scheduler.context(&model));
            let loaded = scheduler.start(model, context, keep_alive::from_environment());
            scheduler.lock().push(loaded);
        }
        scheduler
    }

    /// Loads the model if needed, and waits for it. `Err` is the error message for the client.
    pub fn load(&self, model: &Model, keep_alive: Option<Duration>, client: &Client) -> Result<(), String> {
        let _alone = self.alone.lock().expect("no thread panics with it");
        self.expire();
        {
            let mut loaded = self.lock();
            if let Some(at) = loaded.iter().position(|known| known.model.name == model.name) {
                // A model that was loaded with another client's context is reloaded for a request without one.
                let fits = loaded[at].context == self.context(model);
                if fits && matches!(loaded[at].runner.try_wait(), Ok(None)) {
                    loaded[at].used = SystemTime::now();
                    loaded[at].keep_alive = keep_alive.unwrap_or(loaded[at].keep_alive);
                    return Ok(());
                }
                loaded.remove(at).end();
            }
        }
        self.make_room(model);
        let loading =
            self.start(model.clone(), self.context(model), keep_alive.unwrap_or_else(keep_alive::from_environment));
        let described = json!({ "model": model.name, "context": loading.context });
        *self.loading() = Some(loading);
        self.control.event("loading", described.clone());
        log::info("llama_server.go:1295", "waiting for llama-server to start responding");
        let result = self.finish(client);
        let mut loading = self.loading().take().expect("one load at a time");
        if let Err(why) = result {
            loading.end();
            log::error("sched.go:641", &format!("Load failed: {why}"));
            self.control.event("load_failed", json!({ "model": model.name, "error": why }));
            return Err(why);
        }
        self.lock().push(loading);
        log::info("llama_server.go:1362", "llama-server started in 0.26 seconds");
        self.control.event("loaded", described);
        Ok(())
    }

    /// Waits until the runner has started, or fails to start.
    fn finish(&self, client: &Client) -> Result<(), String> {
        if self.switches.load == Pace::WhenTold {
            let Some(step) = self.steps.wait(&["loaded", "load_fail"], client) else {
                return Err("timed out waiting for llama-server to start: context canceled".to_owned());
            };
            if step.name() == "load_fail" {
                return Err(step.value("error").as_str().unwrap_or(NO_MEMORY).to_owned());
            }
        }
        let failure = self.switches.failure.filter(|failure| !failure.is_at_start() && fails_this_time());
        let Some(failure) = failure else { return Ok(()) };
        Err(match failure {
            Failure::NoMemory => NO_MEMORY.to_owned(),
            Failure::Killed => "llama-server process has terminated: signal: killed".to_owned(),
            Failure::IllegalInstruction => {
                "llama-server process has terminated: signal: illegal instruction".to_owned()
            }
            Failure::Architecture => "llama-server process has terminated: exit status 1: \
                                      error loading model: unknown model architecture: 'newarch'"
                .to_owned(),
            Failure::Bind | Failure::MissingLibrary => unreachable!("the server has started"),
        })
    }

    fn start(&self, model: Model, context: u32, keep_alive: Duration) -> Loaded {
        let parallel = var("OLLAMA_NUM_PARALLEL").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1);
        let program = std::env::current_exe().expect("a running program has a path");
        let mut runner = Command::new(program);
        runner.arg(RUNNER).arg("--model").arg(self.store.blob(&model)).args(["--alias", &model.name]);
        runner.args(["-c", &(context * parallel).to_string(), "-np", &parallel.to_string()]);
        if let Ok(kind) = var("OLLAMA_KV_CACHE_TYPE") {
            runner.args(["--cache-type-k", &kind, "--cache-type-v", &kind]);
        }
        log::info("llama_server.go:433", &format!("starting llama-server cmd={runner:?}"));
        let runner = runner.spawn().expect("a program that runs can be started again");
        Loaded { model, runner, context, keep_alive, used: SystemTime::now() }
    }

    fn context(&self, model: &Model) -> u32 {
        let set = var("OLLAMA_CONTEXT_LENGTH").ok().and_then(|text| text.parse().ok()).filter(|&set| set > 0);
        let asked = model.num_ctx.or(set).unwrap_or(DEFAULT_CONTEXT);
        self.switches.context.unwrap_or(asked.min(model.context_length))
    }

    /// Unloads the least recently used models if this one needs their place.
    fn make_room(&self, model: &Model) {
        let most = var("OLLAMA_MAX_LOADED_MODELS").ok().and_then(|text| text.parse().ok()).filter(|&most| most > 0);
        let most: usize = most.unwrap_or(MOST_LOADED);
        loop {
            let loaded = self.lock();
            let needed = model.size + loaded.iter().map(|known| known.model.size).sum::<u64>();
            let fits = loaded.len() < most && self.switches.memory.is_none_or(|memory| needed <= memory);
            let Some(oldest) = loaded.iter().min_by_key(|known| known.used).filter(|_| !fits) else { return };
            let name = oldest.model.name.clone();
            drop(loaded);
            self.unload(&name);
        }
    }

    /// Returns whether the model was loaded. The real program doesn't report it.
    pub fn unload(&self, name: &str) -> bool {
        let mut loaded = self.lock();
        let Some(at) = loaded.iter().position(|known| known.model.name == name) else {
            return false;
        };
        loaded.remove(at).end();
        self.control.event("unloaded", json!({ "model": name }));
        true
    }

    pub fn end_all(&self) {
        self.loading().iter_mut().for_each(Loaded::end);
        self.lock().drain(..).for_each(|mut loaded| loaded.end());
    }

    fn expire(&self) {
        let now = SystemTime::now();
        let mut loaded = self.lock();
        for at in (0..loaded.len()).rev() {
            if loaded[at].expires() <= now {
                loaded.remove(at).end();
            }
        }
    }

    /// The list for `/api/ps`: models that stay longest come first, and dead runners stay in the list.
    pub fn list(&self) -> Value {
        self.expire();
        let mut loaded = self.lock();
        loaded.sort_by_key(|known| std::cmp::Reverse(known.expires()));
        loaded.iter().map(Loaded::describe).collect()
    }

    fn loading(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.loading.lock().expect("no thread panics with it")
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Loaded>> {
        self.loaded.lock().expect("no thread panics with it")
    }
}

impl Loaded {
    fn expires(&self) -> SystemTime {
        self.used + self.keep_alive.min(FOREVER)
    }

    fn end(&mut self) {
        // The runner may have died before.
        let _ = self.runner.kill();
        let _ = self.runner.wait();
    }

    fn describe(&self) -> Value {
        json!({
            "name": self.model.name,
            "model": self.model.name,
            "size": self.model.size + u64::from(self.context) * 2048,
            "digest": self.model.digest(),
            "details": self.model.details(),
            "expires_at": log::timestamp(self.expires()),
            "size_vram": 0,
            "context_length": self.context,
        })
    }
}

/// Recorded with a runner that had too little memory.
const NO_MEMORY: &str = "llama-server process has terminated: exit status 1: \
    ggml_aligned_malloc: insufficient memory (attempted to allocate 514.82 MB)\n\
    ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 539828256\n\
    ggml_gallocr_reserve_n_impl: failed to allocate CPU buffer of size 539828256\n\
    graph_reserve: failed to allocate compute buffers\n\
    llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers";
