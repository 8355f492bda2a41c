//! What a dead session leaves: its Claude Code, which is ended, and its private directory, which is removed.
//!
//! A live session removes its own directory. A throwaway home can contain a hundred thousand files, so nothing here runs
//! on the keeper's thread, and nothing but the keeper's exit waits for it.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokio::{
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{
    base::{
        process::{Identity, recorded, resume, suspended_tree},
        scratch::{self, Scratch},
    },
    claude::user_files,
};

/// How long Claude Code has to exit after its session died, before it is killed.
const CHILD_GRACE: Duration = Duration::from_millis(500);
/// Time between two looks at children that have to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);
/// How long the kernel may take to release the lock of a session whose connection it has closed.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the keeper's exit waits for removals. The next keeper finishes them.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// The removals that a keeper has begun.
#[derive(Default)]
pub(crate) struct Removals(RefCell<JoinSet<()>>);

impl Removals {
    /// Removes a directory in the background, once it is `claimed`.
    pub(crate) fn remove(&self, claimed: JoinHandle<Option<Scratch>>) {
        self.start(async move {
            if let Ok(Some(directory)) = claimed.await {
                let _ = spawn_blocking(move || restore_and_remove(directory)).await;
            }
        });
    }

    /// Starts a job that the keeper's exit waits for.
    pub(crate) fn start(&self, job: impl Future<Output = ()> + 'static) {
        let mut running = self.0.borrow_mut();
        while running.try_join_next().is_some() {}
        running.spawn_local(job);
    }

    /// Waits for all removals, but not forever.
    pub(crate) async fn finish(&self) {
        let running = self.0.take();
        let _ = timeout(REMOVAL_TIMEOUT, running.join_all()).await;
    }
}

/// Takes over the directory of a session whose connection is closed, if it is one of `runtime`. A blocked thread waits
/// for the kernel, which may close the connection before it releases the session's lock.
pub(crate) fn claim(directory: &Path, runtime: &Path) -> JoinHandle<Option<Scratch>> {
    let directory = (directory.parent() == Some(runtime)).then(|| directory.to_owned());
    spawn_blocking(move || Scratch::of_dying_session(&directory?))
}

/// Returns whether the session whose connection is closed still lives: it has given up on this keeper.
pub(crate) async fn lives(directory: &Path) -> bool {
    let released = async {
        while scratch::is_alive(directory) {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(RELEASE_TIMEOUT, released).await.is_err()
}

/// Takes over the private directories of all dead sessions in these places, ends their children, and puts the user's files
/// back. The directories are removed when they are dropped. Blocks the thread.
pub(crate) fn claim_all(places: &[PathBuf]) -> Vec<Scratch> {
    let all = places.iter().flat_map(|place| scratch::list(place));
    let dead: Vec<Scratch> = all.filter_map(|path| Scratch::of_dead_session(&path)).collect();
    end_children(dead.iter().filter_map(|directory| recorded(&child_file(directory.path()))).collect());
    dead.iter().for_each(|directory| user_files::restore(directory.path()));
    dead
}

/// Like [`end_child`], for the children of several sessions.
fn end_children(mut children: Vec<Identity>) {
    for child in &children {
        let held = suspended_tree(*child);
        match held.contains(child) {
            true => {
                child.signal(Signal::KILL);
                resume(&held);
            }
            false => child.signal(Signal::HUP),
        }
    }
    let deadline = Instant::now() + CHILD_GRACE;
    while children.iter().any(|child| child.is_alive()) && Instant::now() < deadline {
        thread::sleep(LOOK_INTERVAL);
    }
    children.drain(..).for_each(|child| child.signal(Signal::KILL));
}

/// Returns the file in a session's private directory in which its child writes its identity.
pub(crate) fn child_file(scratch: &Path) -> PathBuf {
    scratch.join("child")
}

fn restore_and_remove(directory: Scratch) {
    user_files::restore(directory.path());
    drop(directory);
}

/// Ends the Claude Code of a dead session. SIGCONT lets a suspended one handle the SIGHUP. One that is `held` doesn't run
/// again, since it could send one more prompt.
pub(crate) async fn end_child(child: Identity, held: Vec<Identity>) {
    if held.contains(&child) {
        child.signal(Signal::KILL);
        resume(&held);
        return;
    }
    child.signal(Signal::HUP);
    child.signal(Signal::CONT);
    child.ends_within(CHILD_GRACE).await;
    child.signal(Signal::KILL);
}
