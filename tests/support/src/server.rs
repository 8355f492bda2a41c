//! Small HTTP servers, which run until the tests are over.

use std::{
    fmt::Display,
    io::{self, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

pub use lclaude_fakes::http::Request;

/// Starts a server on a port of its own and returns its URL. `answer` returns the status and body for a request.
pub fn start<S: Display, B: Display>(answer: impl FnMut(&Request) -> (S, B) + Send + 'static) -> String {
    serve(TcpListener::bind("127.0.0.1:0").expect("a port"), answer)
}

/// Like [`start`], on this socket.
pub fn serve<S, B>(listener: TcpListener, mut answer: impl FnMut(&Request) -> (S, B) + Send + 'static) -> String
where
    S: Display,
    B: Display,
{
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            // Errors only mean that the client hung up.
            let _ = reply(stream, &mut answer);
        }
    });
    url
}

fn reply<S: Display, B: Display>(stream: TcpStream, answer: impl FnOnce(&Request) -> (S, B)) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let Some(request) = Request::read(&mut reader)? else { return Ok(()) };
    let (status, body) = answer(&request);
    let body = body.to_string();
    let head = format!("Content-Length: {}\r\nConnection: close", body.len());
    write!(reader.get_mut(), "HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}")
}
