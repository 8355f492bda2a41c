//! One HTTP request to the backend, retried while the backend is unreachable, as Claude Code does.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long it retries. The real program retries for about three minutes, at growing intervals.
const PATIENCE: Duration = Duration::from_secs(10);
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);
/// Short enough to hit any moment in which somebody else has the port.
const BETWEEN_PROMPTS: Duration = Duration::from_millis(1);

/// POSTs `body` to `path` of the backend in the environment. Returns the fields of the event `response`:
/// status, body (parsed if it is JSON) and attempts, or error and attempts.
pub fn send(path: &str, body: &Value) -> Value {
    let (host, request) = compose(path, body);
    let deadline = Instant::now() + PATIENCE;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let answer = exchange(&host, &request);
        // 503 means that the backend is loading its model.
        let again = matches!(answer, Err(_) | Ok((503, _)));
        if again && Instant::now() < deadline {
            thread::sleep(BETWEEN_ATTEMPTS);
            continue;
        }
        return match answer {
            Ok((status, text)) => {
                let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
                json!({ "status": status, "body": body, "attempts": attempts })
            }
            Err(error) => json!({ "error": error.to_string(), "attempts": attempts }),
        };
    }
}

/// POSTs `body` to `path` of the backend again and again, whatever the answer.
pub fn send_forever(path: &str, body: &Value) -> ! {
    let (host, request) = compose(path, body);
    loop {
        // Anybody may answer, in any way.
        let _ = exchange(&host, &request);
        thread::sleep(BETWEEN_PROMPTS);
    }
}

/// Returns the host of the backend in the environment, and the request.
fn compose(path: &str, body: &Value) -> (String, String) {
    let base = std::env::var("ANTHROPIC_BASE_URL").expect("ANTHROPIC_BASE_URL is set");
    let host = base
        .strip_prefix("http://")
        .unwrap_or_else(|| panic!("{base} is not a plain HTTP address"))
        .trim_end_matches('/');
    let token = std::env::var("ANTHROPIC_AUTH_TOKEN").unwrap_or_default();
    let body = body.to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    (host.to_owned(), request)
}

/// Returns the status and the body of the response.
fn exchange(host: &str, request: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(host)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok((status, body.to_owned()))
}
