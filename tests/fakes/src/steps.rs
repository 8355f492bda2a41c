//! Where a fake waits for the test to say how it goes on.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::control::Command;

/// Commands that somebody waits for. They may come before anybody does.
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

    /// Waits for the next command with one of these names; none if the client hangs up before.
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

/// Whoever waits for an answer, and may stop waiting.
#[derive(Clone, Default)]
pub struct Client {
    gone: Arc<AtomicBool>,
}

impl Client {
    /// Watches the connection; `steps` wake up when it ends. Nothing is read from it.
    pub fn watch(stream: &TcpStream, steps: &Arc<Steps>) -> io::Result<Self> {
        let client = Self::default();
        let (watcher, steps, stream) = (client.clone(), Arc::clone(steps), stream.try_clone()?);
        thread::spawn(move || {
            if !matches!(stream.peek(&mut [0]), Ok(1..)) {
                // Under the lock: whoever is about to wait must not miss it.
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
