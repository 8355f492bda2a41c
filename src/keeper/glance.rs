//! A question to a keeper that is answered at once, for the status line.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{
    protocol::{Answer, ToKeeper, encode},
    report::Glance,
};
use crate::base::socket::BlockingStream;

/// How long the answer may take. A keeper that is suspended or gone gives none.
const TIMEOUT: Duration = Duration::from_millis(100);
/// The most bytes of an answer.
const MAX_ANSWER: u64 = 64 * 1024;

/// Asks the keeper at `socket`, and returns `None` if it doesn't answer in time.
pub(crate) fn glance(socket: &Path) -> Option<Glance> {
    let (sender, answer) = mpsc::channel();
    let socket = socket.to_owned();
    // A connection to a suspended keeper can block, and no option limits that. The thread ends with the process.
    thread::spawn(move || sender.send(ask(&socket)));
    answer.recv_timeout(TIMEOUT).ok()?
}

fn ask(socket: &Path) -> Option<Glance> {
    let mut stream = BlockingStream::connect(socket).ok()?;
    stream.write_all(&encode(&ToKeeper::Glance)).ok()?;
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_ANSWER)).read_until(b'\n', &mut line).ok()?;
    match serde_json::from_slice(&line).ok()? {
        Answer::Glance(glance) => Some(*glance),
        _ => None,
    }
}
