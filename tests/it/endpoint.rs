//! The `endpoint` backend: an existing server, which lclaude checks first, and neither starts nor stops.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use lclaude_fakes::scripted_model::Script;
use support::{Fake, Session, Stage, finish, json, machine::needs_program, messages, real};

/// A server that answers each request with a status and a body.
struct Server {
    url: String,
    /// The requests: `METHOD path` and the `Authorization` header.
    requests: Receiver<(String, String)>,
}

impl Server {
    /// Starts a server. `answer` gets `METHOD path` and returns status and body.
    fn start(answer: impl Fn(&str) -> (String, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, requests) = channel();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if let Some((line, token)) = serve(&stream, &answer) {
                    let _ = sender.send((line, token));
                }
            }
        });
        Server { url, requests }
    }
}

fn serve(mut stream: &TcpStream, answer: impl Fn(&str) -> (String, String)) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let route = first.rsplit_once(' ')?.0.to_owned();
    let (mut token, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        match &*name.to_lowercase() {
            "authorization" => value.clone_into(&mut token),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).ok()?;
    let (head, body) = answer(&route);
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).ok()?;
    Some((route, token))
}

/// Answers like vLLM.
fn vllm(route: &str) -> (String, String) {
    let models = json!({"data": [{"id": "org/model", "max_model_len": 50_000}, {"id": "org/other"}]});
    match route {
        "POST /v1/messages" => ("400 Bad Request".into(), "{}".into()),
        "GET /v1/models" => ("200 OK".into(), models.to_string()),
        _ => ("404 Not Found".into(), String::new()),
    }
}

#[test]
fn unknown_context_is_reported_as_assumed() {
    messages!();
    let server = Server::start(vllm);
    for (model, is_assumed) in [("org/model", false), ("org/other", true)] {
        let stage = Stage::with(&["fake-claude"]);
        configure(&stage, &server.url, "");
        let session = Session::start(stage.lclaude(&["--model", model, "-p", "x"]).stdin(Stdio::null()));
        let said = finish(session, &stage.events.next("claude")).record().stderr;
        assert_eq!(said.contains("--context TOKENS"), is_assumed, "{said}");
    }
}

fn configure(stage: &Stage, url: &str, more: &str) {
    stage.config(&format!("backend = \"endpoint\"\n[endpoint]\nurl = \"{url}\"\n{more}"));
}

fn start(stage: &Stage, model: &str) -> (Session, Fake) {
    let session = Session::start(stage.lclaude(&["--model", model, "-p", "hello"]).stdin(Stdio::null()));
    (session, stage.events.next("claude"))
}

#[test]
fn existing_server_is_used_as_is() {
    messages!();
    let stage = Stage::new();
    let server = Server::start(vllm);
    configure(&stage, &format!("{}/v1/", server.url), "");
    let (session, claude) = start(&stage, "org/model");
    assert_eq!(claude.env["ANTHROPIC_BASE_URL"], server.url);
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], "org/model");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "50000");
    let said = finish(session, &claude).record().stderr;
    assert!(!said.contains(&server.url), "a local server is announced as remote: {said}");
    // lclaude started neither a keeper nor a server.
    stage.assert_nothing_started();
    assert!(server.requests.try_iter().all(|(_, token)| token.is_empty() || token == "Bearer none"));
}

#[test]
fn remote_endpoint_is_announced() {
    messages!();
    let stage = Stage::new();
    let server = Server::start(vllm);
    // Not a loopback address, but on Linux it connects to this machine.
    let url = server.url.replace("127.0.0.1", "0.0.0.0");
    configure(&stage, &url, "");
    let (session, claude) = start(&stage, "org/model");
    let description = &claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL_DESCRIPTION"];
    assert!(description.starts_with(&format!("at {url}; a context of ")), "{description}");
    assert!(finish(session, &claude).record().stderr.contains(&url));
    // If a project file chose it, the message says so.
    stage.config(&format!("[endpoint]\nurl = \"{url}\"\n"));
    let file = stage.project().join(".lclaude.toml");
    std::fs::write(&file, "backend = \"endpoint\"\n").expect("a file");
    let (session, claude) = start(&stage, "org/model");
    assert!(finish(session, &claude).record().stderr.contains(&url));
}

#[test]
fn token_is_read_from_a_variable_and_never_shown() {
    let mut stage = Stage::new();
    stage.set("MY_TOKEN", "sk-secret-of-mine\n");
    let server = Server::start(|route| match route {
        "GET /v1/models" => ("404 Not Found".into(), String::new()),
        _ => ("400 Bad Request".into(), "{}".into()),
    });
    configure(&stage, &server.url, "token_env = \"MY_TOKEN\"\n");
    let (session, claude) = start(&stage, "any");
    assert_eq!(claude.env["ANTHROPIC_AUTH_TOKEN"], "sk-secret-of-mine");
    let ended = finish(session, &claude);
    let plan = stage.output(&["--dry-run", "--model", "any", "-p", "x"]).expect(0);
    let keyed = server.requests.try_iter().any(|(_, token)| token == "Bearer sk-secret-of-mine");
    assert!(keyed && !format!("{ended:?}{plan:?}").contains("secret"), "{ended:?} {plan:?}");
}

#[test]
fn missing_or_rejected_token_is_reported() {
    messages!();
    let mut stage = Stage::new();
    let server = Server::start(|_| ("401 Unauthorized".into(), "{}".into()));
    configure(&stage, &server.url, "token_env = \"MY_TOKEN\"\n");
    let run = |stage: &Stage| stage.output(&["--model", "any", "-p", "x"]);
    run(&stage).expect_failure(65);
    stage.set("MY_TOKEN", "a b");
    run(&stage).expect_failure(65);
    stage.set("MY_TOKEN", "wrong");
    let ended = run(&stage).expect_failure(69);
    assert!(!ended.stderr.contains("wrong"), "{}", ended.stderr);
    stage.assert_nothing_started();
}

#[test]
fn server_problems_are_reported_before_claude_code_starts() {
    messages!();
    let stage = Stage::new();
    let server = Server::start(vllm);
    let run = |url: &str, model: &str| {
        configure(&stage, url, "");
        stage.output(&["--model", model, "-p", "x"])
    };
    run(&server.url, "org/modle").expect_failure(69);
    let chat_only = Server::start(|route| match route {
        "GET /v1/models" => vllm(route),
        _ => ("404 Not Found".into(), String::new()),
    });
    run(&chat_only.url, "org/model").expect_failure(69);
    let moved =
        Server::start(|_| ("308 Permanent Redirect\r\nLocation: https://elsewhere.example/".into(), String::new()));
    run(&moved.url, "org/model").expect_failure(69);
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    run(&format!("http://{free}"), "org/model").expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn invalid_url_is_a_configuration_error() {
    messages!();
    let stage = Stage::new();
    for url in [
        "models.example.net",
        "ftp://models.example.net",
        "https://me:secret@models.example.net",
        "htps://me:secret@models.example.net",
        "https://me:secret@models.example.net:x",
        "https://models.example.net/v1?key=secret",
        "https://models.example.net/#secret",
    ] {
        messages::note(url);
        configure(&stage, url, "");
        let ended = stage.output(&["--model", "any", "-p", "x"]).expect_failure(65);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    }
    stage.config("backend = \"endpoint\"\n");
    stage.output(&["--model", "any", "-p", "x"]).expect_failure(65);
}

#[test]
fn untrusted_certificate_is_reported() {
    if !needs_program("openssl") {
        return;
    }
    messages!();
    let stage = Stage::new();
    let (key, certificate) = (stage.root().join("key.pem"), stage.root().join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
        .output();
    assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{made:?}");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", &free.to_string()])
        .args(["-key".as_ref(), key.as_os_str(), "-cert".as_ref(), certificate.as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs");
    wait_for_port(&free.to_string());
    configure(&stage, &format!("https://{free}"), "");
    let ended = stage.output(&["--model", "any", "-p", "x"]);
    let _ = server.kill();
    let _ = server.wait();
    ended.expect_failure(69);
}

/// Waits until a server listens at `address`.
fn wait_for_port(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nothing listens at {address}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn real_claude_code_works_with_an_existing_real_server() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
    // Started with another HOME, so that the stage doesn't count it as a leftover.
    let server = stage
        .command(stage.bin().join("llama-server"))
        .args(["--host", "127.0.0.1", "--jinja", "-np", "1", "-c", "65536", "--alias", "tiny", "--port"])
        .arg(free.port().to_string())
        .arg("--model")
        .arg(stage.model())
        .env("HOME", "/nonexistent")
        .env("LLAMA_API_KEY", "sk-of-mine")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut server = KillOnDrop(server.expect("llama-server runs"));
    wait_until_healthy(&free.to_string());
    configure(&stage, &format!("http://{free}"), "token_env = \"MY_TOKEN\"\n");
    let mut command =
        stage.lclaude(&["--model", "tiny", "-p", "create the proof", "--tools", "Bash", "--allowedTools", "Bash"]);
    command.stdin(Stdio::null()).env("MY_TOKEN", "sk-of-mine");
    let ended = stage.run(command).expect(0);
    assert_eq!(
        (&*ended.stdout, &*stage.proof()),
        ("The local model wrote proof.txt.\n", "made-by-local-model\n"),
        "{ended:#?}"
    );
    assert!(server.0.try_wait().expect("a child of this test").is_none(), "lclaude stopped the server");
}

/// Kills the child when the test ends, even by a panic.
struct KillOnDrop(Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until_healthy(address: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_healthy = || {
        let mut stream = TcpStream::connect(address).ok()?;
        write!(stream, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    while is_healthy().is_none() {
        assert!(Instant::now() < deadline, "{address} is not healthy");
        thread::sleep(Duration::from_millis(10));
    }
}
