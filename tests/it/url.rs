//! `--url` and `LCLAUDE_URL` use a server that is already running, and its only model.

use std::{
    fs,
    net::TcpListener,
    process::Stdio,
    sync::{Arc, Mutex},
};

use support::{Session, Stage, Value, finish, json, messages, server, terminal::Terminal};

/// A server with these models, which records what it is sent.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<server::Request>>>,
}

impl Server {
    fn with(models: &[&str]) -> Self {
        let data: Vec<Value> = models.iter().map(|id| json!({"id": id, "max_model_len": 50_000})).collect();
        let list = json!({"data": data}).to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let recorded = Arc::clone(&requests);
        let url = server::start(move |request| {
            recorded.lock().expect("no thread panics with it").push(request.clone());
            match request.route().as_str() {
                "POST /v1/messages" => ("400 Bad Request", "{}".to_owned()),
                "GET /v1/models" => ("200 OK", list.clone()),
                _ => ("404 Not Found", String::new()),
            }
        });
        Server { url, requests }
    }

    fn port(&self) -> &str {
        self.url.rsplit(':').next().expect("a port")
    }
}

/// Runs a session to its end and returns the model and URL that Claude Code was given, and the messages.
fn session(stage: &Stage, arguments: &[&str]) -> (String, String, String) {
    let session = Session::start(stage.lclaude(arguments).args(["-p", "x"]).stdin(Stdio::null()));
    let claude = stage.events.next("claude");
    let said = finish(session, &claude).stderr;
    stage.assert_nothing_started();
    (claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"].clone(), claude.env["ANTHROPIC_BASE_URL"].clone(), said)
}

#[test]
fn only_model_of_the_server_is_used() {
    let server = Server::with(&["org/model"]);
    let mut stage = Stage::with(&["fake-claude"]);
    let expected = ("org/model".to_owned(), server.url.clone());
    for config in [
        "",
        // What is configured for another backend is not used.
        "backend = \"ollama\"\nmodel = \"other\"\n[models]\nhaiku = \"small\"\n",
        "profile = \"p\"\n[profiles.p]\nbackend = \"llamacpp\"\nmodel = \"other\"\n",
    ] {
        stage.config(config);
        let (model, url, _) = session(&stage, &["--url", &server.url]);
        assert_eq!((model, url), expected, "{config}");
        stage.set("LCLAUDE_URL", &server.url);
        let (model, url, _) = session(&stage, &[]);
        assert_eq!((model, url), expected, "{config}");
        stage.unset("LCLAUDE_URL");
    }
    // So is that of a configured endpoint.
    stage.config(&format!("backend = \"endpoint\"\n[endpoint]\nurl = \"{}\"\n", server.url));
    let (model, url, _) = session(&stage, &[]);
    assert_eq!((model, url), expected);
    // Verbs too.
    let printed = stage.output(&["local", "env", "--url", &server.url]).expect(0).stdout;
    assert!(printed.contains(&format!("ANTHROPIC_BASE_URL='{}'", server.url)), "{printed}");
}

#[test]
fn named_model_is_not_asked_for() {
    let server = Server::with(&["a", "b"]);
    let mut stage = Stage::with(&["fake-claude"]);
    assert_eq!(session(&stage, &["--url", &server.url, "--model", "b"]).0, "b");
    // A configured model stays if the server has it.
    stage.config("model = \"b\"\n");
    assert_eq!(session(&stage, &["--url", &server.url]).0, "b");
    stage.set("LCLAUDE_MODEL", "a");
    assert_eq!(session(&stage, &["--url", &server.url]).0, "a");
    stage.output(&["--url", &server.url, "--model", "c", "-p", "x"]).expect(69);
}

#[test]
fn several_models_are_listed_as_commands() {
    messages!();
    let server = Server::with(&["org/model", "with space", "c", "d", "e", "f"]);
    let mut stage = Stage::with(&["fake-claude"]);
    stage.output(&["--url", &server.url, "-p", "x"]).expect_failure(65);
    stage.output(&["local", "serve", "--context", "40000", "--url", &server.url]).expect_failure(65);
    stage.output(&["local", "run", "--url", &server.url, "--", "echo", "a b"]).expect_failure(65);
    stage.set("LCLAUDE_URL", &server.url);
    stage.output(&["-p", "x"]).expect_failure(65);
    let none = Server::with(&[]);
    stage.output(&["--url", &none.url, "-p", "x"]).expect_failure(65);
}

#[test]
fn model_is_chosen_on_a_terminal() {
    let server = Server::with(&["first", "second"]);
    let stage = Stage::with(&["fake-claude"]);
    for (answer, model) in [("2\n", Some("second")), ("\n", Some("first")), ("3\n1\n", Some("first")), ("No\n", None)] {
        let mut terminal = Terminal::start(stage.lclaude(&["--url", &server.url, "-p", "x"]));
        terminal.wait_for("  2  second");
        terminal.wait_for("Which one? [1-2, Enter for 1, q to quit] ");
        terminal.type_in(answer);
        match model {
            Some(model) => {
                let claude = stage.events.next("claude");
                assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], model, "{answer:?}");
                claude.send(json!({"do": "exit", "code": 0}));
                terminal.wait_to_the_end(0);
            }
            None => assert!(terminal.wait_to_the_end(65).contains("--model second"), "{answer:?}"),
        }
    }
    for (key, code) in [("\x04", 65), ("\x03", 130)] {
        let mut terminal = Terminal::start(stage.lclaude(&["--url", &server.url, "-p", "x"]));
        terminal.wait_for("Which one? [1-2, Enter for 1, q to quit] ");
        terminal.type_in(key);
        if code == 65 {
            // The message has a line of its own.
            terminal.wait_for("\r\nlclaude: error: ");
        }
        assert_eq!(terminal.wait(), Some(code), "{key:?}");
    }
}

#[test]
fn all_of_many_models_can_be_chosen() {
    for (count, chosen) in [(14, 14), (14, 10), (100, 50)] {
        let names: Vec<String> = (1..=count).map(|number| format!("model-{number}")).collect();
        let server = Server::with(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let stage = Stage::with(&["fake-claude"]);
        let mut terminal = Terminal::start(stage.lclaude(&["--url", &server.url, "-p", "x"]));
        if count > 20 {
            terminal
                .wait_for(&format!("  … and 80 more: lclaude local models --url {}\r\n  100  model-100", server.url));
        }
        terminal.wait_for(&format!("Which one? [1-{count}, Enter for 1, q to quit] "));
        terminal.type_in(&format!("{chosen}\n"));
        let claude = stage.events.next("claude");
        assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], format!("model-{chosen}"));
        claude.send(json!({"do": "exit", "code": 0}));
        terminal.wait_to_the_end(0);
    }
}

#[test]
fn dry_run_asks_neither_server_nor_user() {
    let server = Server::with(&["m", "n"]);
    let stage = Stage::with(&["fake-claude"]);
    let model = format!("(the model that {} serves)", server.url);
    for words in [
        &["--dry-run", "-p", "x"][..],
        &["--dry-run", "--json", "-p", "x"],
        &["local", "run", "--dry-run", "--", "true"],
        &["local", "setup", "--dry-run"],
    ] {
        let (verb, rest) = words.split_at(if words[0] == "local" { 2 } else { 0 });
        let arguments = [verb, &["--url", &server.url], rest].concat();
        let shown = Terminal::start(stage.lclaude(&arguments)).wait_to_the_end(0);
        assert!(shown.contains(&model) && !shown.contains("Which one?"), "{shown}");
        assert!(server.requests.lock().expect("no thread panics with it").is_empty(), "{words:?}");
    }
}

#[test]
fn url_is_taken_as_people_write_it() {
    messages!();
    let server = Server::with(&["m"]);
    let mut stage = Stage::with(&["fake-claude"]);
    let port = server.port();
    for (written, expected) in [
        (format!("localhost:{port}"), format!("http://localhost:{port}")),
        (format!("127.0.0.1:{port}/"), server.url.clone()),
        (format!("{}/v1", server.url), server.url.clone()),
        (format!("{}/v1/messages", server.url), server.url.clone()),
    ] {
        let (_, url, said) = session(&stage, &["--url", &written]);
        assert_eq!(url, expected);
        assert_eq!(said.contains("since Claude Code adds /v1/messages"), written.contains("/v1"), "{said}");
    }
    for url in ["gpu-box:8080", "ftp://gpu-box", "https://me:secret@gpu-box", "https://gpu-box?key=secret", ""] {
        let ended = stage.output(&["--url", url, "--model", "m", "-p", "x"]);
        ended.expect_failure(64);
    }
    stage.set("LCLAUDE_URL", "gpu-box:8080");
    stage.output(&["--model", "m", "-p", "x"]).expect_failure(65);
    stage.unset("LCLAUDE_URL");
    stage.config("backend = \"endpoint\"\nmodel = \"m\"\n[endpoint]\nurl = \"gpu-box:8080\"\n");
    stage.output(&["-p", "x"]).expect_failure(65);
}

#[test]
fn another_backend_contradicts_a_url() {
    messages!();
    let mut stage = Stage::with(&["fake-claude"]);
    let url = "http://localhost:1";
    stage.output(&["--url", url, "--backend", "ollama", "-p", "x"]).expect_failure(64);
    stage.output(&["local", "env", "--url", url, "--backend", "llamacpp"]).expect_failure(64);
    let plan = ["--url", url, "--backend", "endpoint", "--model", "m", "--dry-run"];
    assert!(stage.output(&plan).expect(0).stdout.contains(&format!("uses {url}")));
    stage.set("LCLAUDE_URL", url).set("LCLAUDE_BACKEND", "ollama");
    stage.output(&["-p", "x"]).expect_failure(65);
    stage.set("LCLAUDE_BACKEND", "endpoint");
    assert!(stage.output(&["--model", "m", "--dry-run"]).expect(0).stdout.contains("from LCLAUDE_URL"));
    // An option overrides the variable.
    stage.unset("LCLAUDE_BACKEND");
    stage.install("fake-llama-server", &stage.bin().join("llama-server"));
    let plan = stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run"]).expect(0).stdout;
    assert!(plan.contains("llama-server") && !plan.contains(&format!("uses {url}")), "{plan}");
}

#[test]
fn unreachable_server_fails_at_once() {
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    stage.output(&["--url", &format!("http://127.0.0.1:{port}"), "-p", "x"]).expect_failure(69);
}

/// The token and headers that the user configured.
const TOKEN: &str = "token_env = \"GW_TOKEN\"\nauth = \"x-api-key\"\nheaders = { X-Team = \"team-secret\" }\n\
                     headers_env = { X-Key = \"GW_TOKEN\" }\n";

const SECRETS: [&str; 2] = ["gateway-secret", "team-secret"];

/// Runs a session with the model `m` and returns whether `server` was sent a secret, or Claude Code given one to send.
fn sends_secret(stage: &Stage, arguments: &[&str], server: &Server) -> bool {
    let arguments = [arguments, &["--model", "m"]].concat();
    let session = Session::start(stage.lclaude(&arguments).args(["-p", "x"]).stdin(Stdio::null()));
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], server.url, "{arguments:?}");
    let said = finish(session, &claude).stderr;
    // The variable that the user set is inherited.
    let routed: Vec<_> = claude.env.iter().filter(|(name, _)| *name != "GW_TOKEN").collect();
    let routed = format!("{routed:?} {:?}", claude.argv);
    let requests = std::mem::take(&mut *server.requests.lock().expect("no thread panics with it"));
    assert!(!requests.is_empty(), "nothing was sent to {}", server.url);
    let sent = format!("{requests:?}");
    assert!(!SECRETS.iter().any(|secret| said.contains(secret)), "{said}");
    let has_secret = |text: &str| SECRETS.iter().any(|secret| text.contains(secret));
    let is_said = said.contains("are not sent to");
    assert!(!(is_said && (has_secret(&sent) || has_secret(&routed))), "{arguments:?}: {said}");
    has_secret(&sent) || has_secret(&routed)
}

#[test]
fn configured_token_is_sent_only_to_the_configured_server() {
    messages!();
    let (own, other) = (Server::with(&["m"]), Server::with(&["m"]));
    let mut stage = Stage::with(&["fake-claude"]);
    stage.set("GW_TOKEN", "gateway-secret");
    let in_profile = format!(
        "[endpoint]\n{TOKEN}[profiles.gw]\nbackend = \"endpoint\"\n[profiles.gw.endpoint]\nurl = \"{}\"\n",
        own.url
    );
    for (config, options) in [
        (format!("backend = \"endpoint\"\n[endpoint]\nurl = \"{}\"\n{TOKEN}", own.url), &[][..]),
        (in_profile.clone(), &["--profile", "gw"]),
        (format!("profile = \"gw\"\n{in_profile}"), &[]),
    ] {
        stage.config(&config);
        assert!(sends_secret(&stage, options, &own), "{config}");
        for (server, is_own) in [(&own, true), (&other, false)] {
            let typed = [options, &["--url", &server.url]].concat();
            assert_eq!(sends_secret(&stage, &typed, server), is_own, "{typed:?}\n{config}");
            stage.set("LCLAUDE_URL", &server.url);
            assert_eq!(sends_secret(&stage, options, server), is_own, "LCLAUDE_URL {options:?}\n{config}");
            stage.unset("LCLAUDE_URL");
        }
        // Another name of the same server is another server, and so is a path of it.
        let local = format!("http://localhost:{}", own.port());
        for arguments in [["local", "env", "--url", &local], ["local", "env", "--url", &format!("{}/x", own.url)]] {
            let ended = stage.output(&[&arguments[..], options, &["--model", "m"]].concat());
            assert!(!SECRETS.iter().any(|secret| format!("{ended:?}").contains(secret)), "{ended:?}");
            let requests = std::mem::take(&mut *own.requests.lock().expect("no thread panics with it"));
            assert!(!SECRETS.iter().any(|secret| format!("{requests:?}").contains(secret)), "{requests:?}");
        }
    }
    // Without the profile, the token still belongs to the profile's server.
    stage.config(&in_profile);
    assert!(!sends_secret(&stage, &["--url", &other.url], &other));
    // A token for no particular server is for the one that is typed.
    stage.config(&format!("[endpoint]\n{TOKEN}"));
    assert!(sends_secret(&stage, &["--url", &other.url], &other));
    stage.config(&format!("[endpoint]\nurl = \"{}\"\n{TOKEN}", own.url));
    stage.output(&["local", "env", "--model", "m", "--url", &other.url]).expect(0).record();
}

#[test]
fn untrusted_project_cannot_redirect_or_use_the_token() {
    messages!();
    let (own, other) = (Server::with(&["m"]), Server::with(&["m"]));
    let mut stage = Stage::with(&["fake-claude"]);
    stage.set("GW_TOKEN", "gateway-secret");
    stage.config(&format!("[endpoint]\nurl = \"{}\"\n{TOKEN}", own.url));
    let file = stage.project().join(".lclaude.toml");
    fs::write(&file, format!("backend = \"endpoint\"\n[endpoint]\nurl = \"{}\"\n", other.url)).expect("a file");
    stage.output(&["--model", "m", "-p", "x"]).expect_failure(77);
    stage.output(&["--url", &own.url, "--model", "m", "-p", "x"]).expect_failure(77);
    assert!(other.requests.lock().expect("no thread panics with it").is_empty());
    // What it may select has no effect on the token.
    fs::write(&file, "backend = \"endpoint\"\nmodel = \"m\"\n").expect("a file");
    assert!(!sends_secret(&stage, &["--url", &other.url], &other));
    assert!(sends_secret(&stage, &["--url", &own.url], &own));
}

#[test]
fn setup_and_doctor_use_the_url() {
    let server = Server::with(&["m"]);
    let stage = Stage::with(&["fake-claude"]);
    let steps = stage.output(&["local", "setup", "--url", &server.url, "--dry-run"]).expect(0).stdout;
    for line in
        ["+ backend = \"endpoint\"", "+ model = \"(the model that", &format!("+ endpoint.url = \"{}\"", server.url)]
    {
        assert!(steps.contains(line), "{steps}");
    }
    let report = stage.output(&["local", "doctor", "--url", &server.url]).stdout;
    assert!(report.contains(&format!("{} answers", server.url)), "{report}");
}

#[test]
fn init_writes_the_url_which_requires_trust() {
    messages!();
    let stage = Stage::with(&["fake-claude"]);
    let init = ["local", "init", "--url", "localhost:8000/v1", "--model", "m"];
    stage.output(&init).expect(0).record();
    let file = stage.project().join(".lclaude.toml");
    let text = fs::read_to_string(&file).expect("it was written");
    assert_eq!(text, "backend = \"endpoint\"\nmodel = \"m\"\n\n[endpoint]\nurl = \"http://localhost:8000\"\n");
    stage.output(&["--dry-run"]).expect_failure(77);
    stage.output(&["local", "init", "--url", "gpu-box:8000", "--yes"]).expect_failure(64);
    stage.output(&["local", "init", "--url", "https://gpu-box", "--yes"]).expect(0);
    assert!(fs::read_to_string(&file).expect("it was written").ends_with("[endpoint]\nurl = \"https://gpu-box\"\n"));
}
