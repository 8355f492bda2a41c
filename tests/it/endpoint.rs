//! The `endpoint` backend: an existing server, which lclaude checks first, and neither starts nor stops.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use lclaude_fakes::scripted_model::Script;
use rustix::process::Signal;
use support::{
    Ended, Fake, Session, Stage, Value, finish, json,
    machine::needs_program,
    messages, real,
    server::{self, Request},
    write_program,
};

/// A server whose requests are recorded.
struct Server {
    url: String,
    requests: Receiver<Request>,
}

impl Server {
    /// Starts a server. `answer` gets `METHOD path` and returns status and body.
    fn start(answer: impl Fn(&str) -> (String, String) + Send + 'static) -> Self {
        Self::start_on("127.0.0.1", answer)
    }

    /// Starts a server that listens on this address.
    fn start_on(address: &str, answer: impl Fn(&str) -> (String, String) + Send + 'static) -> Self {
        let (sender, requests) = channel();
        let url = server::serve(TcpListener::bind((address, 0)).expect("a port"), move |request| {
            let _ = sender.send(request.clone());
            // A proxy gets the whole URL.
            answer(&request.route().replace("http://models.invalid", ""))
        });
        Server { url, requests }
    }
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
    assert!(
        server
            .requests
            .try_iter()
            .all(|request| request.header("authorization").is_none_or(|token| token == "Bearer none"))
    );
}

#[test]
fn remote_endpoint_is_announced() {
    messages!();
    let mut stage = Stage::new();
    let server = Server::start(vllm);
    // The server is the proxy on the way to another machine.
    let url = "http://models.invalid";
    stage.set("HTTP_PROXY", &server.url);
    configure(&stage, url, "");
    let (session, claude) = start(&stage, "org/model");
    let description = &claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL_DESCRIPTION"];
    assert!(description.starts_with(&format!("at {url}; a context of ")), "{description}");
    assert!(finish(session, &claude).record().stderr.contains(url));
    // If a project file chose it, the message says so.
    stage.config(&format!("[endpoint]\nurl = \"{url}\"\n"));
    let file = stage.project().join(".lclaude.toml");
    std::fs::write(&file, "backend = \"endpoint\"\n").expect("a file");
    let (session, claude) = start(&stage, "org/model");
    assert!(finish(session, &claude).record().stderr.contains(url));
}

#[test]
fn every_address_of_this_machine_is_local_and_reached_without_a_proxy() {
    let proxy = Server::start(vllm);
    let mut stage = Stage::new();
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        stage.set(name, &proxy.url);
    }
    let server = Server::start_on("0.0.0.0", vllm);
    let port = server.url.rsplit(':').next().expect("a port").to_owned();
    let mut hosts = vec!["0.0.0.0".to_owned(), "127.0.1.1".into(), "127.0.0.1".into(), "localhost".into()];
    let own = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("203.0.113.1:9")?;
        socket.local_addr()
    });
    hosts.extend(own.map(|own| own.ip().to_string()));
    let name = Command::new("uname").arg("-n").output().expect("uname runs").stdout;
    let name = String::from_utf8(name).expect("text").trim().to_lowercase();
    if (name.as_str(), 80).to_socket_addrs().is_ok_and(|mut found| found.all(|address| address.ip().is_loopback())) {
        hosts.push(name);
    }
    for host in hosts {
        let url = format!("http://{host}:{port}");
        configure(&stage, &url, "");
        let (session, claude) = start(&stage, "org/model");
        for name in ["NO_PROXY", "no_proxy"] {
            assert!(claude.env[name].split(',').any(|excepted| excepted == host), "{host}: {}", claude.env[name]);
        }
        let description = &claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL_DESCRIPTION"];
        assert!(description.starts_with("on this machine"), "{host}: {description}");
        let said = finish(session, &claude).stderr;
        assert!(!said.contains("your code is sent"), "{host}: {said}");
    }
    assert_eq!(proxy.requests.try_iter().count(), 0, "a request for this machine went through the proxy");
    assert!(server.requests.try_iter().count() > 0);
}

#[test]
fn unusable_proxies_are_reported_before_anything_is_sent() {
    messages!();
    let mut stage = Stage::new();
    configure(&stage, "http://models.invalid", "");
    stage.set("ALL_PROXY", "socks5://127.0.0.1:9");
    stage.set("https_proxy", "socks5h://me:secret@127.0.0.1:9");
    let ended = stage.output(&["--model", "any", "-p", "x"]).expect_failure(65);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    stage.output(&["local", "models"]).expect_failure(65);
    // Claude Code ignores a SOCKS proxy in this variable.
    let server = Server::start(vllm);
    let mut stage = Stage::new();
    stage.set("ALL_PROXY", "socks5://127.0.0.1:9").set("HTTP_PROXY", &server.url);
    configure(&stage, "http://models.invalid", "");
    let (session, claude) = start(&stage, "org/model");
    finish(session, &claude);
    assert!(server.requests.try_iter().count() > 0);
}

#[test]
fn headers_and_api_key_are_sent_and_never_shown() {
    let mut stage = Stage::new();
    stage.set("MY_TOKEN", "sk-secret-of-mine").set("ACCESS", "access-secret\n");
    let server = Server::start(vllm);
    let more = "token_env = \"MY_TOKEN\"\nauth = \"x-api-key\"\nheaders = { X-Team = \"blue\" }\n\
                headers_env = { CF-Access-Client-Secret = \"ACCESS\" }\n";
    configure(&stage, &server.url, more);
    let (session, claude) = start(&stage, "org/model");
    let headers = "x-api-key: sk-secret-of-mine\nX-Team: blue\nCF-Access-Client-Secret: access-secret";
    assert_eq!(claude.env["ANTHROPIC_CUSTOM_HEADERS"], headers);
    // Some gateways read this header first.
    assert_eq!(claude.env["ANTHROPIC_AUTH_TOKEN"], "sk-secret-of-mine");
    assert!(!claude.env.contains_key("ANTHROPIC_API_KEY"), "Claude Code asks the user about this variable");
    assert!(!format!("{:?}", claude.argv).contains("secret"), "{:?}", claude.argv);
    let ended = finish(session, &claude);
    let plan = stage.output(&["--dry-run", "--model", "any", "-p", "x"]).expect(0);
    assert!(
        plan.stdout.contains("X-Team: ••••••••") && plan.stdout.contains("CF-Access-Client-Secret: ••••••••"),
        "{plan:#?}"
    );
    let listed = stage.output(&["local", "models"]).expect(0);
    assert!(!format!("{ended:?}{plan:?}{listed:?}").contains("secret"), "{ended:?} {plan:?}");
    let requests: Vec<Request> = server.requests.try_iter().filter(|request| request.path.contains("/v1/")).collect();
    assert!(!requests.is_empty());
    for request in requests {
        for (name, value) in headers.lines().filter_map(|line| line.split_once(": ")) {
            assert_eq!(request.header(&name.to_lowercase()), Some(value), "{request:?}");
        }
    }
}

#[test]
fn invalid_headers_are_configuration_errors() {
    messages!();
    let stage = Stage::new();
    for more in [
        "headers = { \"X Y\" = \"a\" }",
        "headers = { X-Y = \"a\\nInjected: b\" }",
        "headers = { Authorization = \"Bearer x\" }",
        "headers = { Host = \"x\" }",
        "headers = { X-Y = \"a\" }\nheaders_env = { x-y = \"B\" }",
        "headers_env = { X-Key = \"NOT_SET\" }",
        "auth = \"basic\"",
    ] {
        messages::note(more);
        configure(&stage, "http://127.0.0.1:9", &format!("{more}\n"));
        stage.output(&["--model", "any", "-p", "x"]).expect_failure(65);
    }
    let mut stage = Stage::new();
    stage.set("SECRET", "one-secret\ntwo-secret");
    configure(&stage, "http://127.0.0.1:9", "headers_env = { X-Key = \"SECRET\" }\n");
    let ended = stage.output(&["--model", "any", "-p", "x"]).expect_failure(65);
    assert!(!ended.stderr.contains("one-secret"), "{ended:#?}");
}

/// Runs a session against a server with these answers to an empty message and to the list of models.
fn run_against(message: (&'static str, &'static str), list: (&'static str, &'static str), model: &str) -> Ended {
    let mut stage = Stage::new();
    stage.set("MY_TOKEN", "sk-wrong");
    let server = Server::start(move |route| match route {
        "POST /v1/messages" => (message.0.into(), message.1.into()),
        "GET /v1/models" => (list.0.into(), list.1.into()),
        _ => ("404 Not Found".into(), String::new()),
    });
    configure(&stage, &server.url, "token_env = \"MY_TOKEN\"\n");
    write_program(&stage.root().join("claude"), b"#!/bin/sh\necho \"started $CLAUDE_CODE_MAX_CONTEXT_TOKENS\"\n");
    stage.set("PATH", format!("{}:/usr/bin:/bin", stage.root().display()));
    stage.output(&["--model", model, "-p", "x"])
}

const BAD_REQUEST: (&str, &str) = ("400 Bad Request", r#"{"type":"error","error":{"message":"model is required"}}"#);

#[test]
fn gateways_are_recognized_by_their_own_answers() {
    messages!();
    let list =
        ("200 OK", r#"{"data":[{"id":"m","max_input_tokens":40000,"meta":{"llamaswap":{"aliases":["coder"]}}}]}"#);
    // llama-swap 250.
    let swap = ("404 Not Found", r#"{"error":{"message":"no model id could be identified","type":"not_found_error"}}"#);
    run_against(swap, list, "coder").expect(0).expect_stdout("started 40000\n");
    // claude-code-router 2.0.0.
    let router = ("200 OK", r#"{"type":"message","role":"assistant","content":[]}"#);
    run_against(router, list, "m").expect(0).expect_stdout("started 40000\n");
    // Servers without the route.
    for missing in [r#"{"detail":"Not Found"}"#, r#"{"error":{"message":"File Not Found"}}"#, "404 page not found"] {
        run_against(("404 Not Found", missing), list, "m").expect_failure(69);
    }
}

#[test]
fn rejected_token_is_reported_with_its_variable() {
    messages!();
    // LiteLLM 1.106.
    let rejected = ("400 Bad Request", r#"{"error":{"message":"No connected db. sk-wrong"}}"#);
    let ended = run_against(rejected, rejected, "m").expect_failure(69);
    assert!(ended.stderr.contains("export MY_TOKEN=") && !ended.stderr.contains("sk-wrong"), "{ended:#?}");
    run_against(BAD_REQUEST, ("401 Unauthorized", "{}"), "m").expect_failure(69);
    // A gateway may forbid the list alone.
    let ended = run_against(BAD_REQUEST, ("403 Forbidden", "{}"), "m").expect(0).record();
    assert!(ended.stderr.contains("export MY_TOKEN="), "{ended:#?}");
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
    let keyed =
        server.requests.try_iter().any(|request| request.header("authorization") == Some("Bearer sk-secret-of-mine"));
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

/// An https server with its own certificate, made by openssl. It answers as a server without the Messages API.
struct Tls {
    server: KillOnDrop,
    url: String,
    certificate: PathBuf,
}

impl Tls {
    /// Starts a server whose certificate is for this IP address. `more`: options of `openssl req`.
    fn start(stage: &Stage, ip: &str, more: &[&str]) -> Self {
        let (key, certificate) = (stage.root().join("key.pem"), stage.root().join("certificate.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test"])
            .args(["-addext", &format!("subjectAltName=IP:{ip}")])
            .args(if more.is_empty() { &["-days", "1"] } else { more })
            .args(["-keyout".as_ref(), key.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
            .output();
        assert!(made.as_ref().is_ok_and(|made| made.status.success()), "{made:?}");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
        let server = Command::new("openssl")
            .args(["s_server", "-quiet", "-www", "-accept", &free.to_string()])
            .args(["-key".as_ref(), key.as_os_str(), "-cert".as_ref(), certificate.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl runs");
        let server = KillOnDrop(server);
        wait_for_port(&free.to_string());
        Tls { server, url: format!("https://{free}"), certificate }
    }

    /// Runs lclaude, which this server can't serve in any case.
    fn run(self, stage: &Stage, has_extra: bool, arguments: &[&str]) -> Ended {
        configure(stage, &self.url, "");
        let mut command = stage.lclaude(arguments);
        if has_extra {
            command.env("NODE_EXTRA_CA_CERTS", &self.certificate);
        }
        let ended = stage.ended(&mut command);
        drop(self.server);
        ended
    }
}

#[test]
fn rejected_certificates_are_described() {
    if !needs_program("openssl") {
        return;
    }
    messages!();
    for (note, ip, more, has_extra) in [
        ("self-signed", "127.0.0.1", &[][..], false),
        ("for another host", "192.0.2.9", &["-days", "1", "-addext", "basicConstraints=critical,CA:FALSE"], true),
        ("for another host, an authority", "192.0.2.9", &[], true),
    ] {
        let stage = Stage::new();
        messages::note(note);
        Tls::start(&stage, ip, more).run(&stage, has_extra, &["--model", "any", "-p", "x"]).expect_failure(69);
    }
}

#[test]
fn certificates_of_node_extra_ca_certs_are_trusted() {
    if !needs_program("openssl") {
        return;
    }
    // `openssl req -x509` marks its certificate as an authority, unless told otherwise.
    for more in [&[][..], &["-days", "1", "-addext", "basicConstraints=critical,CA:FALSE"]] {
        let stage = Stage::new();
        let ended = Tls::start(&stage, "127.0.0.1", more).run(&stage, true, &["local", "models"]).expect(69);
        assert!(ended.stderr.contains("its answer is not JSON"), "{ended:#?}");
    }
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

#[test]
fn status_shows_the_endpoint_of_each_session() {
    let mut stage = Stage::new();
    stage.set("MY_TOKEN", "sk-secret-of-mine");
    let server = Server::start(vllm);
    configure(&stage, &server.url, "token_env = \"MY_TOKEN\"\n");
    let status = |stage: &Stage| {
        let ended = stage.output(&["local", "status", "--json"]).expect(0);
        let text = stage.output(&["local", "status"]).expect(0).stdout;
        assert!(!ended.stdout.contains("secret") && !text.contains("secret"), "{ended:#?} {text}");
        let status: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        (status["backends"].as_array().expect("a list").clone(), text)
    };
    assert_eq!(status(&stage).0.len(), 0);
    let (first, first_claude) = start(&stage, "org/model");
    let (second, second_claude) = start(&stage, "org/model");
    let (backends, text) = status(&stage);
    assert_eq!(backends.len(), 1, "{backends:#?}");
    let backend = &backends[0];
    assert_eq!(
        (&backend["kind"], &backend["state"], &backend["url"]),
        (&json!("endpoint"), &json!("ready"), &json!(server.url))
    );
    assert_eq!((&backend["models"], &backend["context"]["granted"]), (&json!(["org/model"]), &json!(50_000)));
    assert_eq!((&backend["keeper"], &backend["log"], &backend["pid"]), (&Value::Null, &Value::Null, &Value::Null));
    let mut pids: Vec<i64> =
        backend["sessions"].as_array().expect("a list").iter().filter_map(|s| s["pid"].as_i64()).collect();
    pids.sort_unstable();
    let mut expected: [i64; 2] = [first.pid().into(), second.pid().into()];
    expected.sort_unstable();
    assert_eq!(pids, expected);
    assert!(text.contains("endpoint  org/model: ready") && text.contains(&server.url), "{text}");
    // A killed session is no longer shown, whether or not its directory is still there.
    second.signal(Signal::KILL);
    drop(second);
    second_claude.wait_gone();
    assert_eq!(status(&stage).0[0]["sessions"].as_array().map(Vec::len), Some(1));
    finish(first, &first_claude);
    assert_eq!(status(&stage).0.len(), 0);
    // The next session removes the directory of the killed one.
    let (session, claude) = start(&stage, "org/model");
    finish(session, &claude);
}
