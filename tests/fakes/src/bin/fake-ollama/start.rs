//! The start of the server, up to the first response.

use std::env::var;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::exit;

use crate::{log, switches};

const DEFAULT_PORT: &str = "11434";

/// `host:port` of `OLLAMA_HOST`.
pub fn address() -> String {
    let given = var("OLLAMA_HOST").unwrap_or_default();
    let given = given.trim().trim_matches(['"', '\'']).trim().trim_start_matches("http://").trim_end_matches('/');
    match given.rsplit_once(':') {
        Some(("", port)) => format!("0.0.0.0:{port}"),
        Some(_) => given.to_owned(),
        None if given.is_empty() => format!("127.0.0.1:{DEFAULT_PORT}"),
        None => format!("{given}:{DEFAULT_PORT}"),
    }
}

pub fn bind(is_taken: bool) -> TcpListener {
    let address = address();
    let failed = |why: &str| give_up(&format!("listen tcp {address}: bind: {why}"));
    if is_taken {
        failed("address already in use");
    }
    TcpListener::bind(&address).unwrap_or_else(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => failed("address already in use"),
        std::io::ErrorKind::PermissionDenied => failed("permission denied"),
        _ => failed("cannot assign requested address"),
    })
}

/// Returns the home directory, in which the real program creates a key unless it has one.
pub fn home() -> PathBuf {
    let Some(home) = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from) else {
        give_up("$HOME is not defined");
    };
    let key = home.join(".ollama/id_ed25519");
    if !key.exists() {
        println!("Couldn't find '{}'. Generating new private key.", key.display());
        let write = || {
            fs::create_dir_all(home.join(".ollama"))?;
            fs::write(&key, "a private key\n")?;
            fs::write(key.with_extension("pub"), "ssh-ed25519 AAAA\n")
        };
        write().unwrap_or_else(|error| give_up(&format!("could not create directory {error}")));
        println!("Your new public key is: \n\nssh-ed25519 AAAA\n");
    }
    home
}

pub fn show_configuration() {
    let set = |name: &str| format!("{name}:{}", var(name).unwrap_or_default());
    let shown = ["OLLAMA_CONTEXT_LENGTH", "OLLAMA_HOST", "OLLAMA_KEEP_ALIVE", "OLLAMA_MODELS", "OLLAMA_NUM_PARALLEL"];
    log::info("routes.go:1951", &format!("server config env=map[{}]", shown.map(set).join(" ")));
    log::info("routes.go:1953", &format!("Ollama cloud disabled: {}", is_cloud_off()));
}

pub fn is_cloud_off() -> bool {
    var("OLLAMA_NO_CLOUD").is_ok_and(|value| !matches!(&*value, "" | "0" | "false"))
}

/// `ollama --version` asks the server from the environment, and warns if the version differs.
pub fn say_version() {
    let own = switches::version();
    let server = ask_version();
    match &server {
        Some(version) => println!("ollama version is {version}"),
        None => println!("Warning: could not connect to a running Ollama instance"),
    }
    if server.as_ref() != Some(&own) {
        println!("Warning: client version is {own}");
    }
}

fn ask_version() -> Option<String> {
    let mut stream = TcpStream::connect(address()).ok()?;
    write!(stream, "GET /api/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let body: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()?;
    body["version"].as_str().map(str::to_owned)
}

pub fn miss_library() -> ! {
    let program = std::env::args().next().unwrap_or_default();
    eprintln!(
        "{program}: error while loading shared libraries: libstdc++.so.6: \
         cannot open shared object file: No such file or directory"
    );
    exit(127)
}

pub fn give_up(why: &str) -> ! {
    eprintln!("Error: {why}");
    exit(1)
}
