//! Listens, and answers each connection in its own thread. The checks are in the order of the real program:
//! the model is loaded, the key is right, the route exists.

use std::io::{self, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use lclaude_fakes::control::Control;
use lclaude_fakes::http::{Answer, Request};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};

use crate::answers;
use crate::log;
use crate::options::Options;
use crate::switches::{Illness, Switches};

const BACKLOG: i32 = 512;
const HEADERS: &str = "Server: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n";
/// The context that the fake's model was "trained" for, which is the default.
const TRAINED_CONTEXT: u32 = 131_072;

pub struct Server {
    pub options: Options,
    /// The context of one slot, in tokens.
    pub context: u32,
    /// The context that the model was trained for, in tokens.
    pub trained: u32,
    pub knows_tools: bool,
    pub illness: Option<Illness>,
    pub control: Control,
    ready: AtomicBool,
    hanging: AtomicBool,
    answered: AtomicU32,
}

impl Server {
    pub fn new(options: Options, switches: &Switches, control: Control) -> Self {
        let trained = switches.trained.unwrap_or(TRAINED_CONTEXT);
        let context = switches.context.unwrap_or_else(|| granted(&options, trained));
        Self {
            options,
            context,
            trained,
            knows_tools: switches.knows_tools,
            illness: switches.illness,
            control,
            ready: AtomicBool::new(false),
            hanging: AtomicBool::new(false),
            answered: AtomicU32::new(0),
        }
    }

    pub fn slots(&self) -> u32 {
        if self.options.slots == 0 { 4 } else { self.options.slots }
    }

    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    pub fn become_ready(&self) {
        self.ready.store(true, Ordering::SeqCst);
    }

    /// The number of answered messages.
    pub fn answered(&self) -> u32 {
        self.answered.load(Ordering::SeqCst)
    }

    pub fn count_answer(&self) {
        self.answered.fetch_add(1, Ordering::SeqCst);
    }

    /// Makes the server accept connections without answering them from now on.
    pub fn hang(&self) {
        self.hanging.store(true, Ordering::SeqCst);
    }

    /// Binds the port and starts to answer. Returns the listening socket.
    pub fn listen(self: &Arc<Self>, reuse_address: bool) -> io::Result<TcpListener> {
        let listener = self.bind(reuse_address)?;
        let socket = listener.try_clone()?;
        let server = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = Arc::clone(&server);
                // Errors only mean that the client hung up.
                thread::spawn(move || drop(server.serve(stream)));
            }
        });
        Ok(socket)
    }

    fn bind(&self, reuse_address: bool) -> io::Result<TcpListener> {
        let host = match &*self.options.host {
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host => host.parse().map_err(|_| io::ErrorKind::AddrNotAvailable)?,
        };
        let family = match host {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = socket(family, SocketType::STREAM, None)?;
        fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        sockopt::set_socket_reuseaddr(&socket, reuse_address)?;
        // Without this option no other program can hold the port, even if that program sets it.
        if self.options.reuse_port {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        bind(&socket, &SocketAddr::new(host, self.options.port))?;
        listen(&socket, BACKLOG)?;
        Ok(TcpListener::from(socket))
    }

    fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        // Responses are sent in several writes, and the kernel would delay the later ones by 40 ms.
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            while self.hanging.load(Ordering::SeqCst) {
                thread::park();
            }
            let answer = self.answer(&request);
            // An error ends the connection.
            let keeps_connection = answer.status() < 400 && !request.closes_connection();
            let connection = if keeps_connection { "Keep-Alive: timeout=5, max=100" } else { "Connection: close" };
            answer.write(&mut stream, &format!("{HEADERS}{connection}\r\n"))?;
            if !keeps_connection {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> Answer {
        if !self.is_ready() {
            return answers::loading();
        }
        let is_public = matches!(&*request.path, "/health" | "/v1/health" | "/");
        if !is_public {
            self.report(request);
            if !self.is_authorized(request) {
                log::warning("srv    operator(): unauthorized: Invalid API Key");
                return answers::unauthorized();
            }
        }
        answers::to(request, self)
    }

    fn is_authorized(&self, request: &Request) -> bool {
        let keys = &self.options.api_keys;
        let key = request
            .header("authorization")
            .filter(|key| !key.is_empty())
            .or_else(|| request.header("x-api-key"))
            .unwrap_or_default();
        let key = key.strip_prefix("Bearer ").unwrap_or(key);
        keys.is_empty() || keys.iter().any(|known| known == key)
    }

    /// Reports a request to the test, except the frequent polls of `/health`.
    fn report(&self, request: &Request) {
        self.control.event("request", request.describe());
    }
}

/// Returns the context of one slot: the requested context divided among the slots, rounded up to 256 each time, and at
/// most what the model was trained for.
fn granted(options: &Options, trained: u32) -> u32 {
    let asked = match options.context {
        0 => trained,
        asked => asked.next_multiple_of(256),
    };
    let shared_out = match options.slots {
        // The default is four slots that share the whole context.
        0 => asked,
        slots => (asked / slots).next_multiple_of(256),
    };
    shared_out.min(trained)
}
