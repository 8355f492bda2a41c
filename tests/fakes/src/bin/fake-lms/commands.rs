//! The commands and their output. As in the real program, output for programs goes to stdout and
//! messages go to stderr.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::fails;
use crate::home::Home;
use crate::models::{Model, fuzzy};
use crate::options::{Opt, Options, checked, opt, port, positive, ratio};
use crate::progress;

const DEFAULT_PORT: u16 = 1234;
const COMMIT: &str = "0a1b2c3";

static JSON: [Opt; 1] = [opt("--json")];
static NONE: [Opt; 0] = [];
static SERVER_START: [Opt; 3] = [checked("-p, --port <port>", port), opt("--bind <address>"), opt("--cors")];
static LS: [Opt; 5] = [opt("--llm"), opt("--embedding"), opt("--detailed"), opt("--variants"), opt("--json")];
static LOAD: [Opt; 9] = [
    checked("--gpu <offload-ratio>", ratio),
    checked("-c, --context-length <length>", positive),
    checked("--parallel <count>", positive),
    checked("--ttl <seconds>", positive),
    opt("--exact"),
    opt("--local"),
    opt("--identifier <identifier>"),
    opt("--estimate-only"),
    opt("-y, --yes"),
];
static UNLOAD: [Opt; 1] = [opt("-a, --all")];
static GET: [Opt; 4] = [opt("--mlx"), opt("--gguf"), opt("-y, --yes"), opt("--select")];

type Outcome = Result<(), String>;

/// Runs one command line. The error goes to stderr before an exit with code 1.
pub fn run(home: &Home, arguments: &[String]) -> Outcome {
    if arguments.iter().any(|argument| argument == "-v" || argument == "--version") {
        println!("CLI commit: {COMMIT}");
        return Ok(());
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let options = |name: &str, known: &'static [Opt], most: usize| {
        let words = if matches!(words[0], "server" | "daemon") { 2 } else { 1 };
        Options::parse(name, known, most, &arguments[words..])
    };
    match words[..] {
        ["server", "start", ..] => server_start(home, &options("start", &SERVER_START, 0)?),
        ["server", "stop", ..] => server_stop(home, &options("stop", &NONE, 0)?),
        ["server", "status", ..] => server_status(home, &options("status", &JSON, 0)?),
        ["daemon", "up", ..] => daemon_up(home, &options("up", &JSON, 0)?),
        ["daemon", "down", ..] => daemon_down(home, &options("down", &NONE, 0)?),
        ["daemon", "status", ..] => daemon_status(home, &options("status", &JSON, 0)?),
        ["ls", ..] => ls(home, &options("ls", &LS, 1)?),
        ["ps", ..] => ps(home, &options("ps", &JSON, 0)?),
        ["load", ..] => load(home, &options("load", &LOAD, 1)?),
        ["unload", ..] => unload(home, &options("unload", &UNLOAD, 1)?),
        ["get", ..] => get(home, &options("get", &GET, 1)?),
        ["version", ..] => version(&options("version", &JSON, 0)?),
        ["server" | "daemon", other, ..] | [other, ..] if other.starts_with('-') => {
            Err(format!("error: unknown option '{other}'"))
        }
        ["server" | "daemon"] | [] => Err("Usage: lms [options] [command]".to_owned()),
        ["server" | "daemon", other, ..] | [other, ..] => Err(format!("error: unknown command '{other}'")),
    }
}

/// Prints a message for the user.
fn say(options: &Options, message: &str) {
    if !options.has("--quiet") {
        eprintln!("{message}");
    }
}

fn server_start(home: &Home, options: &Options) -> Outcome {
    let mut client = Client::find_or_start(home)?;
    let remembered = home.server_config()["port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let given = options.number("--port").and_then(|port| u16::try_from(port).ok());
    let port = given.or(remembered).unwrap_or(DEFAULT_PORT);
    let from_environment = std::env::var("LMS_SERVER_HOST").ok().filter(|host| !host.is_empty());
    let interface = options.text("--bind").map(str::to_owned).or(from_environment);
    let interface = interface.unwrap_or_else(|| "127.0.0.1".to_owned());
    client.ask(&json!({ "do": "start_server", "port": port, "interface": interface }))?;
    // With port 0 the system chooses the port, which the real program then doesn't know.
    if !is_running(&interface, port) {
        return Err("Error: Failed to verify the server is running. Please try to use another port.".to_owned());
    }
    say(options, &format!("Success! Server is now running on port {port}"));
    Ok(())
}

fn server_stop(home: &Home, options: &Options) -> Outcome {
    let Some(port) = running_port(home) else {
        return Err("Error: The server is not running.".to_owned());
    };
    Client::find_or_start(home)?.ask(&json!({ "do": "stop_server" }))?;
    say(options, &format!("Stopped the server on port {port}."));
    Ok(())
}

fn server_status(home: &Home, options: &Options) -> Outcome {
    let running = running_port(home);
    if options.has("--json") {
        let mut status = json!({ "running": running.is_some() });
        if let Some(port) = home.server_config()["port"].as_u64() {
            status["port"] = json!(port);
        }
        println!("{status}");
    } else {
        match running {
            Some(port) => say(options, &format!("The server is running on port {port}.")),
            None => say(options, "The server is not running."),
        }
    }
    Ok(())
}

/// Returns the remembered port if LM Studio answers there.
fn running_port(home: &Home) -> Option<u16> {
    let config = home.server_config();
    let port = u16::try_from(config["port"].as_u64()?).ok()?;
    let interface = config["networkInterface"].as_str().unwrap_or("127.0.0.1");
    is_running(interface, port).then_some(port)
}

fn is_running(interface: &str, port: u16) -> bool {
    let greet = || {
        let mut stream = TcpStream::connect((interface, port))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        write!(stream, "GET /lmstudio-greeting HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    greet().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"lmstudio":true}"#))
}

fn daemon_up(home: &Home, options: &Options) -> Outcome {
    let was_running = Client::find(home).is_some();
    let info = Client::find_or_start(home)?.ask(&json!({ "do": "info" }))?;
    let (pid, is_daemon) = (&info["pid"], info["isDaemon"] == true);
    if options.has("--json") {
        println!("{}", json!({ "status": "running", "pid": pid, "isDaemon": is_daemon, "version": info["version"] }));
    } else {
        match (was_running, is_daemon) {
            (true, true) => println!("The daemon is already running (PID: {pid})."),
            (true, false) => println!("LM Studio is already running (PID: {pid}); not starting a second daemon."),
            (false, true) => println!("llmster started (PID: {pid})."),
            (false, false) => println!("LM Studio started (PID: {pid})."),
        }
    }
    Ok(())
}

fn daemon_down(home: &Home, options: &Options) -> Outcome {
    let Some(mut client) = Client::find(home) else {
        say(options, "Daemon is not running.");
        return Err(String::new());
    };
    if client.ask(&json!({ "do": "info" }))?["isDaemon"] != true {
        say(options, "The daemon is currently running as part of LM Studio. Please exit LM Studio to stop it.");
        return Err(String::new());
    }
    say(options, "Shutting down llmster...");
    client.ask(&json!({ "do": "shutdown" }))?;
    say(options, "Done.");
    Ok(())
}

fn daemon_status(home: &Home, options: &Options) -> Outcome {
    let info = Client::find(home).map(|mut client| client.ask(&json!({ "do": "info" }))).transpose()?;
    match info {
        Some(info) if options.has("--json") => {
            println!("{}", json!({ "status": "running", "pid": info["pid"], "isDaemon": info["isDaemon"] }));
        }
        None if options.has("--json") => println!("{}", json!({ "status": "not-running" })),
        Some(info) => {
            let name = if info["isDaemon"] == true { "llmster" } else { "LM Studio" };
            let version = info["version"].as_str().unwrap_or_default();
            println!("{name} v{version} is running (PID: {})", info["pid"]);
        }
        None => println!("LM Studio is not running"),
    }
    Ok(())
}

fn ls(home: &Home, options: &Options) -> Outcome {
    let models = Client::find_or_start(home)?.ask(&json!({ "do": "ls" }))?;
    print_list(&models, options, |model| {
        let wanted = |kind: &str, flag: &str| options.has(flag) && model["type"] == kind;
        wanted("llm", "--llm")
            || wanted("embedding", "--embedding")
            || !(options.has("--llm") || options.has("--embedding"))
    });
    Ok(())
}

fn ps(home: &Home, options: &Options) -> Outcome {
    let loaded = Client::find_or_start(home)?.ask(&json!({ "do": "ps" }))?;
    print_list(&loaded, options, |_| true);
    Ok(())
}

fn print_list(list: &Value, options: &Options, is_shown: impl Fn(&Value) -> bool) {
    let shown: Vec<&Value> = list.as_array().into_iter().flatten().filter(|entry| is_shown(entry)).collect();
    if options.has("--json") {
        println!("{}", json!(shown));
    } else {
        for entry in shown {
            println!("{}", entry["modelKey"].as_str().unwrap_or_default());
        }
    }
}

fn load(home: &Home, options: &Options) -> Outcome {
    let mut client = Client::find_or_start(home)?;
    let given = options.operands.first().map_or("", String::as_str);
    let mut models = home.installed();
    let mut last_loaded = home.last_loaded();
    let rank = |model: &Model| last_loaded.iter().position(|key| *key == model.model_key).unwrap_or(usize::MAX);
    models.sort_by_key(rank);
    let key = if options.has("--exact") {
        let exact = models.iter().find(|model| model.path() == given);
        let not_found = || format!("Model not found\n\nNo model found with path being exactly \"{given}\".");
        exact.ok_or_else(not_found)?.model_key.clone()
    } else {
        let keys: Vec<&str> = models.iter().map(|model| &*model.model_key).collect();
        let found = fuzzy(given, &keys);
        let Some(first) = found.first() else {
            return Err(format!("Model not found\n\nNo model found that matches model key \"{given}\"."));
        };
        if !options.has("--yes") && (given.is_empty() || found.len() > 1) {
            return Err("ExitPromptError: User force closed the prompt with 0 null".to_owned());
        }
        if found.len() > 1 {
            say(
                options,
                &format!(
                    "W {} models match the provided model key on the same device. Loading the first one.",
                    found.len()
                ),
            );
        }
        let first = (*first).to_owned();
        if !options.has("--estimate-only") {
            last_loaded.retain(|key| *key != first);
            last_loaded.insert(0, first.clone());
            last_loaded.truncate(20);
            home.set_last_loaded(&last_loaded);
        }
        first
    };
    if options.has("--estimate-only") {
        let estimate = models.iter().find(|model| model.model_key == key).map_or("", |model| &model.estimated_memory);
        say(options, &format!("Model: {key}\nEstimated Total Memory: {estimate}"));
        return Ok(());
    }
    let loaded = client.ask(&json!({
        "do": "load",
        "key": key,
        "identifier": options.text("--identifier"),
        "context": options.number("--context-length"),
        "parallel": options.number("--parallel"),
        "ttl": options.number("--ttl"),
    }))?;
    say(options, "Model loaded successfully in 1.20s.\n(4.36 GiB)");
    let identifier = loaded["identifier"].as_str().unwrap_or_default();
    say(options, &format!("To use the model in the API/SDK, use the identifier \"{identifier}\"."));
    Ok(())
}

fn unload(home: &Home, options: &Options) -> Outcome {
    let mut client = Client::find_or_start(home)?;
    let loaded = client.ask(&json!({ "do": "ps" }))?;
    let loaded: Vec<String> = loaded
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["identifier"].as_str().map(str::to_owned))
        .collect();
    let mut end = |identifier: &String| client.ask(&json!({ "do": "unload", "identifier": identifier })).map(drop);
    match options.operands.first() {
        // The error is printed, but the exit code is 0.
        Some(_) if options.has("--all") => say(options, "Invalid Usage\n\nYou cannot provide [path] with --all."),
        Some(given) if !loaded.contains(given) => {
            say(options, &format!("Model Not Found\n\nCannot find a model with the identifier \"{given}\"."));
        }
        Some(given) => {
            end(given)?;
            say(options, &format!("Model \"{given}\" unloaded."));
        }
        None if options.has("--all") => loaded.iter().try_for_each(&mut end)?,
        None => match &loaded[..] {
            [] => return Err("You don't have any models loaded. Use \"lms load\" to load a model.".to_owned()),
            [only] => end(only)?,
            _ => return Err("ExitPromptError: User force closed the prompt with 0 null".to_owned()),
        },
    }
    Ok(())
}

fn get(home: &Home, options: &Options) -> Outcome {
    let mut client = Client::find_or_start(home)?;
    if fails("get") {
        return Err("Error: fetch failed".to_owned());
    }
    let given = options.operands.first().map_or("", String::as_str).split('@').next().unwrap_or_default();
    let models = home.models();
    let keys: Vec<&str> = models.iter().map(|model| &*model.model_key).collect();
    // PUBLISHER/NAME is taken literally; anything else is a search.
    let found = if given.split('/').count() == 2 {
        keys.iter().find(|key| **key == given.to_lowercase()).copied()
    } else {
        fuzzy(given, &keys).first().copied()
    };
    let found = found.ok_or("Error: No staff picks found with the specified search criteria.")?;
    if !options.has("--yes") {
        return Err("ExitPromptError: User force closed the prompt with 0 null".to_owned());
    }
    let total = models.iter().find(|model| model.model_key == found).map_or(0, |model| model.size_bytes);
    progress::plan(found, total);
    client.follow(&json!({ "do": "get", "key": found }), progress::step)?;
    progress::end();
    say(options, "Finalizing download...");
    say(options, "Download completed.");
    Ok(())
}

fn version(options: &Options) -> Outcome {
    if options.has("--json") {
        println!("{}", json!({ "version": COMMIT }));
    } else {
        println!(
            "lms is LM Studio's CLI utility for your models, server, and inference runtime.\nCLI commit: {COMMIT}"
        );
    }
    Ok(())
}
