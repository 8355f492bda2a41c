//! The commands that ask a running server: `list`, `ps`, `run`, `pull`, `rm` and `create`. As in the real program, nothing
//! works without one.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::start::address;

/// Runs a command. Returns `None` if it isn't one of the client.
pub fn run(arguments: &[&str]) -> Option<ExitCode> {
    let done = match *arguments {
        ["list" | "ls"] => list("tags"),
        ["ps"] => list("ps"),
        ["run", model] => ask("POST", "generate", &json!({ "model": model })).map(drop),
        ["pull", model] => ask("POST", "pull", &json!({ "model": model })).map(drop),
        ["rm", model] => ask("DELETE", "delete", &json!({ "model": model })).map(|_| println!("deleted '{model}'")),
        ["create", model, "-f", file] => create(model, file),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("Error: {why}");
            ExitCode::FAILURE
        }
    })
}

fn list(what: &str) -> Result<(), String> {
    let models = ask("GET", what, &Value::Null)?;
    println!("NAME    ID    SIZE    MODIFIED ");
    for model in models["models"].as_array().into_iter().flatten() {
        println!("{}", model["name"].as_str().unwrap_or_default());
    }
    Ok(())
}

fn create(model: &str, file: &str) -> Result<(), String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    let from = value("FROM ").ok_or("no FROM line")?;
    let context: Option<u32> = value("PARAMETER num_ctx ").and_then(|number| number.parse().ok());
    let parameters = json!({ "num_ctx": context });
    ask("POST", "create", &json!({ "model": model, "from": from, "parameters": parameters })).map(drop)
}

/// Sends a request and returns the last line of the response, unless it is an error.
fn ask(method: &str, route: &str, body: &Value) -> Result<Value, String> {
    let answer = send(method, route, body)
        .map_err(|_| "could not connect to ollama server, run 'ollama serve' to start it".to_owned())?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    // A streamed response has the length of each line before it.
    let mut objects = body.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = objects.find(Value::is_object).unwrap_or_default();
    match last["error"].as_str() {
        Some(why) => Err(why.to_owned()),
        None => Ok(last),
    }
}

fn send(method: &str, route: &str, body: &Value) -> io::Result<String> {
    let mut stream = TcpStream::connect(address())?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let head = format!("Host: localhost\r\nConnection: close\r\nContent-Length: {}", body.len());
    write!(stream, "{method} /api/{route} HTTP/1.1\r\n{head}\r\n\r\n{body}")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
