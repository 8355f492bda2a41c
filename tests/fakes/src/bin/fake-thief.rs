//! Another user of the machine who tries to take a backend's port: `fake-thief PORT`, started by root.
//!
//! It gives up its rights, binds the port again and again with every socket option, and answers whoever connects once it
//! listens. It counts the requests.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::exit;
use std::sync::{Arc, Mutex};
use std::thread;

use lclaude_fakes::control::Control;
use lclaude_fakes::http::{Answer, Request};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use serde_json::json;

/// `nobody`, whose processes a test may run.
const NOBODY: u32 = 65534;
const BACKLOG: i32 = 50;

/// Requests by method and path.
type Stolen = Arc<Mutex<BTreeMap<String, u32>>>;

fn main() {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("fake-thief PORT");
    let control = Control::connect("thief", json!({}));
    become_nobody();
    let stolen = Stolen::default();
    {
        let (control, stolen) = (control.clone(), Arc::clone(&stolen));
        thread::spawn(move || steal(port, &control, &stolen));
    }
    for command in control.commands() {
        match command.name() {
            "report" => {
                let stolen = stolen.lock().expect("no thread panics while it counts").clone();
                control.event("report", json!({ "requests": stolen }));
            }
            "exit" => exit(0),
            other => panic!("fake-thief does not know how to {other:?}"),
        }
    }
}

fn become_nobody() {
    // SAFETY: the calls take numbers, and no other thread runs yet.
    let done =
        unsafe { libc::setgroups(0, std::ptr::null()) == 0 && libc::setgid(NOBODY) == 0 && libc::setuid(NOBODY) == 0 };
    assert!(done, "root can become another user: {}", io::Error::last_os_error());
}

/// Binds until it succeeds. Reports when it begins and when it has won.
fn steal(port: u16, control: &Control, stolen: &Stolen) {
    let ways =
        [(Ipv4Addr::LOCALHOST, true, true), (Ipv4Addr::LOCALHOST, true, false), (Ipv4Addr::UNSPECIFIED, true, true)];
    let mut attempts: u64 = 0;
    let mut all = ways.iter().cycle();
    let listener = loop {
        let (address, reuse_address, reuse_port) = *all.next().expect("it never ends");
        if let Ok(listener) = take(SocketAddrV4::new(address, port), reuse_address, reuse_port) {
            break listener;
        }
        attempts += 1;
        if attempts == 1000 {
            control.event("trying", json!({}));
        }
    };
    control.event("won", json!({ "attempts": attempts }));
    for stream in listener.incoming().flatten() {
        let stolen = Arc::clone(stolen);
        // Errors only mean that the client hung up.
        thread::spawn(move || drop(answer(stream, &stolen)));
    }
}

fn take(address: SocketAddrV4, reuse_address: bool, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, reuse_address)?;
    sockopt::set_socket_reuseport(&socket, reuse_port)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Answers as a healthy backend.
fn answer(mut stream: TcpStream, stolen: &Stolen) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    while let Some(request) = Request::read(&mut reader)? {
        *stolen.lock().expect("no thread panics while it counts").entry(request.route()).or_default() += 1;
        let answer = match &*request.path {
            "/v1/messages" => Answer::json(400, &json!({"type": "error", "error": {"type": "invalid_request_error"}})),
            "/v1/models" => Answer::json(200, &json!({"data": [{"id": "tiny"}]})),
            _ => Answer::json(200, &json!({"status": "ok", "version": "0.33.0"})),
        };
        answer.write(&mut stream, "")?;
    }
    Ok(())
}
