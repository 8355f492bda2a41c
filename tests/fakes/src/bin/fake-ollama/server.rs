//! Serves each connection in its own thread. The checks are in the order of the real program: the host is
//! local, the route exists, the method is allowed.

use std::io::{self, BufReader};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lclaude_fakes::control::Control;
use lclaude_fakes::http::{Answer, Request};
use lclaude_fakes::steps::{Client, Steps};
use serde_json::Value;

use crate::models::Store;
use crate::scheduler::Scheduler;
use crate::switches::Switches;
use crate::{answers, messages, pull};

pub struct Server {
    pub switches: Arc<Switches>,
    pub store: Arc<Store>,
    pub control: Control,
    pub steps: Arc<Steps>,
    pub scheduler: Scheduler,
    hanging: AtomicBool,
}

impl Server {
    pub fn new(switches: Arc<Switches>, store: Arc<Store>, control: Control, steps: Arc<Steps>) -> Self {
        let scheduler = Scheduler::new(Arc::clone(&switches), Arc::clone(&store), control.clone(), Arc::clone(&steps));
        Self { switches, store, control, steps, scheduler, hanging: AtomicBool::new(false) }
    }

    /// Makes the server accept connections without answering them from now on, or answer new requests again.
    pub fn hang(&self, on: bool) {
        self.hanging.store(on, Ordering::SeqCst);
    }

    pub fn serve(self: Arc<Self>, listener: TcpListener) -> ! {
        loop {
            let Ok((stream, _)) = listener.accept() else { continue };
            let server = Arc::clone(&self);
            // Errors only mean that the client hung up.
            thread::spawn(move || drop(server.talk(stream)));
        }
    }

    fn talk(&self, mut stream: TcpStream) -> io::Result<()> {
        // Responses are sent in several writes, and the kernel would delay the later ones by 40 ms.
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            if self.hanging.load(Ordering::SeqCst) {
                self.control.event("hanging", request.describe());
            }
            while self.hanging.load(Ordering::SeqCst) {
                thread::park();
            }
            // Polls of a running server are not reported.
            if !matches!(&*request.path, "/api/version" | "/") {
                self.control.event("request", request.describe());
            }
            let client = Client::watch(&stream, &self.steps)?;
            if (&*request.method, &*request.path) == ("POST", "/api/pull") {
                pull::pull(&request, &mut stream, &client, self)?;
            } else {
                let headers = if request.closes_connection() { "Connection: close\r\n" } else { "" };
                self.answer(&request, &client).write(&mut stream, headers)?;
            }
            if request.closes_connection() {
                // The watcher keeps the connection open.
                return stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request, client: &Client) -> Answer {
        if !is_local(request.header("host").unwrap_or_default()) {
            return Answer::Text(403, String::new());
        }
        match (&*request.method, &*request.path) {
            ("GET", "/") => Answer::Text(200, "Ollama is running".to_owned()),
            ("GET", "/api/version") => answers::version(self),
            ("GET", "/api/status") => answers::status(),
            ("GET", "/api/tags") => answers::tags(self),
            ("GET", "/api/ps") => answers::ps(self),
            ("GET", "/v1/models") => answers::models(self),
            ("POST", "/api/show") => answers::show(request, self),
            ("POST", "/api/generate") => answers::generate(request, client, self),
            ("POST", "/api/create") => answers::create(request, self),
            ("DELETE", "/api/delete") => answers::delete(request, self),
            ("POST", "/v1/messages") => messages::messages(request, client, self),
            (
                _,
                "/" | "/api/version" | "/api/status" | "/api/tags" | "/api/ps" | "/v1/models" | "/api/show"
                | "/api/create" | "/api/delete" | "/api/generate" | "/v1/messages" | "/api/pull",
            ) => Answer::Text(405, "405 method not allowed".to_owned()),
            _ => Answer::Text(404, "404 page not found".to_owned()),
        }
    }
}

/// Returns whether the host name is local. Others are rejected, so that web pages can't use the server by DNS rebinding.
fn is_local(host: &str) -> bool {
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.is_empty() || host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok() || host.starts_with('[')
}

/// Returns the body as JSON, or the error message of the real program.
pub fn body(request: &Request) -> Result<Value, &'static str> {
    if request.body.is_empty() {
        return Err("missing request body");
    }
    serde_json::from_slice(&request.body).map_err(|_| "invalid character in the body")
}
