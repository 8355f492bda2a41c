//! Starts servers that break a rule of HTTP or of the API.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

/// The ways to answer a request wrongly, or strangely.
pub const MODES: &[&str] = &[
    "endless",
    "endless-chunks",
    "endless-header",
    "endless-line",
    "slow",
    "slow-header",
    "deep",
    "deep-object",
    "bad-utf8",
    "redirect",
    "redirect-307",
    "http10",
    "too-short",
    "too-long",
    "negative-length",
    "two-lengths",
    "garbage",
    "close",
    "reset",
    "gzip",
    "many",
    "long-name",
    "escape",
    "huge-number",
    "zero",
    "status-400",
    "status-401",
    "status-403",
    "status-404",
    "status-429",
    "status-500",
    "status-503",
    "bad-chunk",
    "continue",
    "nothing",
    "not-a-list",
    "no-names",
];

/// The list of a good server.
pub const MODELS: &str = r#"{"data":[{"id":"m","max_model_len":65536}]}"#;

/// Starts a server that answers requests for `path` in this mode, and others as vLLM does. Returns its URL.
pub fn start(mode: &'static str, path: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // A client that hangs up ends the answer with an error, which is the point.
            thread::spawn(move || serve(&stream, mode, path).ok());
        }
    });
    url
}

fn serve(mut stream: &TcpStream, mode: &str, path: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        head.push(if head.is_empty() { line.trim().to_owned() } else { line.trim().to_lowercase() });
    }
    let Some(first) = head.first() else { return Ok(()) };
    let token = head.iter().find_map(|line| line.strip_prefix("authorization: bearer ")).unwrap_or("none");
    if first.contains(path) {
        return answer(stream, mode, token);
    }
    match first.split(' ').nth(1) {
        Some("/v1/models") => respond(stream, "200 OK", "", MODELS.as_bytes()),
        Some("/v1/messages") => respond(stream, "400 Bad Request", "", br#"{"type":"error","error":{"message":"x"}}"#),
        _ => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"),
    }
}

fn respond(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

fn answer(mut stream: &TcpStream, mode: &str, token: &str) -> io::Result<()> {
    let ok = |body: &str| respond(stream, "200 OK", "", body.as_bytes());
    let nested = |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    match mode {
        "endless" => {
            stream.write_all(OK)?;
            stream.write_all(b"\r\n{\"data\":[\"")?;
            forever(stream, &vec![b'a'; 1 << 20], Duration::ZERO)
        }
        "endless-chunks" => {
            stream.write_all(OK)?;
            stream.write_all(b"Transfer-Encoding: chunked\r\n\r\n")?;
            forever(stream, b"1\r\na\r\n".repeat(10_000).as_slice(), Duration::ZERO)
        }
        "endless-header" => {
            stream.write_all(OK)?;
            forever(stream, format!("X-A: {}\r\n", "a".repeat(60_000)).as_bytes(), Duration::ZERO)
        }
        "endless-line" => forever(stream, &vec![b'H'; 1 << 20], Duration::ZERO),
        "slow" => {
            stream.write_all(OK)?;
            stream.write_all(b"\r\n")?;
            forever(stream, b" ", Duration::from_millis(100))
        }
        "slow-header" => forever(stream, b"H", Duration::from_millis(100)),
        "deep" => ok(&nested("[", "]")),
        "deep-object" => ok(&format!(r#"{{"data":[{{"id":"m","meta":{}}}]}}"#, nested("{\"a\":", "}"))),
        "bad-utf8" => respond(stream, "200 OK", "", b"{\"data\":[{\"id\":\"m\xff\xfe\"}]}"),
        "redirect" => respond(stream, "302 Found", "Location: http://127.0.0.1:1/\r\n", b""),
        "redirect-307" => respond(stream, "307 Temporary Redirect", "Location: http://127.0.0.1:1/\r\n", b""),
        "http10" => write!(stream, "HTTP/1.0 200 OK\r\n\r\n{MODELS}"),
        "too-short" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{MODELS}"),
        "too-long" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{MODELS}"),
        "negative-length" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{MODELS}"),
        "two-lengths" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\n{MODELS}")
        }
        "garbage" => {
            stream.write_all(&(0..5000).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>())
        }
        "close" => Ok(()),
        "reset" => {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            let size = u32::try_from(size_of_val(&linger)).expect("a small size");
            let fd = std::os::fd::AsRawFd::as_raw_fd(stream);
            // SAFETY: the option's value lives until the call returns.
            unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size) };
            Ok(())
        }
        // Not a gzip stream: lclaude asks for none, so it must not unpack one.
        "gzip" => respond(stream, "200 OK", "Content-Encoding: gzip\r\n", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
        "many" => {
            let models: Vec<String> = (0..100_000).map(|at| format!(r#"{{"id":"model-{at}"}}"#)).collect();
            ok(&format!(r#"{{"data":[{}]}}"#, models.join(",")))
        }
        "long-name" => ok(&format!(r#"{{"data":[{{"id":"{}"}}]}}"#, "m".repeat(4 << 20))),
        "escape" => ok(r#"{"data":[{"id":"\u001b]0;PWNED\u0007\u001b[31mred"}]}"#),
        "huge-number" => ok(r#"{"data":[{"id":"m","max_model_len":99999999999999999999999}]}"#),
        "zero" => ok(r#"{"data":[{"id":"m","max_model_len":0}]}"#),
        "bad-chunk" => {
            stream.write_all(OK)?;
            stream.write_all(b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nabc")
        }
        // Faster ones only keep this machine's cores busy.
        "continue" => forever(stream, b"HTTP/1.1 100 Continue\r\n\r\n", Duration::from_millis(1)),
        // The client ends the connection.
        "nothing" => io::copy(&mut { stream }, &mut io::sink()).map(drop),
        "not-a-list" => ok(r#"{"data":{"m":1}}"#),
        "no-names" => ok(r#"{"data":[{"name":"m"}]}"#),
        mode => {
            let status = mode.strip_prefix("status-").unwrap_or_else(|| panic!("no mode {mode}"));
            let body = format!(r#"{{"error":{{"message":"\u001b]0;PWNED\u0007 denied {token}"}}}}"#);
            respond(stream, &format!("{status} X"), "", body.as_bytes())
        }
    }
}

/// Sends the same bytes until the client hangs up.
fn forever(mut stream: &TcpStream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    loop {
        stream.write_all(bytes)?;
        thread::sleep(pause);
    }
}
