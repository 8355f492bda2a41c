//! Lets a fake wait until the test says how to continue.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::control::Command;

/// Commands that a thread waits for. They may arrive before the wait begins.
#[derive(Default)]
pub struct Steps {
    said: Mutex<Vec<Command>>,
    changed: Condvar,
}

impl Steps {
    pub fn say(&self, command: Command) {
        self.said.lock().expect("no thread panics with it").push(command);
        self.changed.notify_all();
    }

    /// Waits for the next command with one of these names. Returns `None` if the client hangs up first.
    pub fn wait(&self, names: &[&str], client: &Client) -> Option<Command> {
        let mut said = self.said.lock().expect("no thread panics with it");
        loop {
            if let Some(at) = said.iter().position(|command| names.contains(&command.name())) {
                return Some(said.remove(at));
            }
            if client.is_gone() {
                return None;
            }
            said = self.changed.wait(said).expect("no thread panics with it");
        }
    }
}

/// A client that waits for a response, and may hang up.
#[derive(Clone, Default)]
pub struct Client {
    gone: Arc<AtomicBool>,
}

impl Client {
    /// Watches the connection without reading from it, and wakes `steps` when it ends.
    pub fn watch(stream: &TcpStream, steps: &Arc<Steps>) -> io::Result<Self> {
        let client = Self::default();
        let (watcher, steps, stream) = (client.clone(), Arc::clone(steps), stream.try_clone()?);
        thread::spawn(move || {
            if !matches!(stream.peek(&mut [0]), Ok(1..)) {
                // Takes the lock, so that a thread about to wait doesn't miss the wakeup.
                let _said = steps.said.lock().expect("no thread panics with it");
                watcher.leave();
                steps.changed.notify_all();
            }
        });
        Ok(client)
    }

    pub fn leave(&self) {
        self.gone.store(true, Ordering::SeqCst);
    }

    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::SeqCst)
    }
}
