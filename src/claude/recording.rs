//! Records what a session's first request starts with, as Claude Code itself writes it.
//!
//! With `OTEL_LOG_RAW_API_BODIES=file:DIR` Claude Code 2.1.331 writes the body of each request to a file in DIR before it
//! sends it, without any telemetry. The files hold prompts, so DIR is in the session's private directory, each file is
//! removed as soon as it is read, and after the first one nothing can be written there any more.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::IgnoredAny;
use tokio::time::sleep;

use crate::{
    base::{
        disk,
        watch::{Changes, DirectoryWatch},
    },
    warm::Prefix,
};

/// The variable that names the directory.
const VARIABLE: &str = "OTEL_LOG_RAW_API_BODIES";
/// A file exists before it is complete, and its completion is no event on macOS.
const RETRY: Duration = Duration::from_millis(2);
const MAX_RETRIES: u32 = 500;
/// How often the directory is replaced while Claude Code makes it again.
const ATTEMPTS: u32 = 20;
/// The longest body that is read.
const MAX_BODY: u64 = 16 << 20;

/// A session whose first request is still to come.
pub(crate) struct Recording {
    directory: PathBuf,
    watch: DirectoryWatch,
}

/// The beginning of the first request.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub prefix: Prefix,
    /// The length of the whole request, in bytes.
    pub size: usize,
}

impl Recording {
    /// Starts to record in `scratch`, the session's private directory. Returns `None` if the system can't watch it.
    pub(crate) fn start(scratch: &Path) -> Option<Self> {
        let directory = scratch.join("requests");
        disk::create_private_dir(&directory).ok()?;
        let watch = DirectoryWatch::new(&directory, Changes::Added).ok()?;
        Some(Recording { directory, watch })
    }

    /// Returns the variable that makes Claude Code write its requests, and its value.
    pub(crate) fn variable(&self) -> (String, String) {
        (VARIABLE.into(), format!("file:{}", self.directory.display()))
    }

    /// Waits for the first request of the conversation and returns its beginning, or `None` if the directory can't be
    /// watched any more. May be dropped and called again until it has returned; then nothing is recorded any more.
    pub(crate) async fn first(&mut self) -> Option<Recorded> {
        loop {
            for _ in 0..MAX_RETRIES {
                match self.read() {
                    Found::Nothing => break,
                    Found::Partial => sleep(RETRY).await,
                    Found::Request(recorded) => {
                        self.end();
                        return Some(recorded);
                    }
                }
            }
            self.watch.changed().await.ok()?;
        }
    }

    /// Looks at the files, and removes those that aren't a conversation's request.
    fn read(&self) -> Found {
        let mut found = Found::Nothing;
        for path in fs::read_dir(&self.directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let is_request = path.to_string_lossy().ends_with(".request.json")
                && fs::symlink_metadata(&path).is_ok_and(|about| about.len() <= MAX_BODY);
            let body = if is_request { disk::read(&path).unwrap_or_default() } else { Vec::new() };
            if let Some(prefix) = Prefix::of(&body) {
                return Found::Request(Recorded { prefix, size: body.len() });
            }
            if is_request && serde_json::from_slice::<IgnoredAny>(&body).is_err() {
                found = Found::Partial;
            } else {
                let _ = fs::remove_file(path);
            }
        }
        found
    }

    /// Removes what was written, and puts a file in the directory's place, without which Claude Code would make it again.
    /// It ignores that it can't write (seen).
    fn end(&self) {
        for _ in 0..ATTEMPTS {
            let _ = fs::remove_dir_all(&self.directory);
            if disk::create_private(&self.directory, b"").is_ok() {
                return;
            }
        }
        tracing::warn!("requests are written until the session ends");
    }
}

enum Found {
    Nothing,
    /// A file that isn't complete yet.
    Partial,
    Request(Recorded),
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const REQUEST: &str = r#"{"tools": [{"name": "Bash"}], "messages": [{"role": "user", "content": "private"}]}"#;

    fn files(scratch: &Path) -> Vec<PathBuf> {
        fs::read_dir(scratch.join("requests")).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }

    #[tokio::test]
    async fn only_the_first_request_of_a_conversation_is_read_and_nothing_stays() {
        let scratch = tempfile::tempdir().expect("a directory");
        let mut recording = Recording::start(scratch.path()).expect("it can be watched");
        let directory = scratch.path().join("requests");
        fs::write(directory.join("1.request.json"), r#"{"messages": []}"#).expect("a file");
        fs::write(directory.join("1.response.json"), "{}").expect("a file");
        assert!(timeout(Duration::from_millis(50), recording.first()).await.is_err(), "it was no conversation");
        assert_eq!(files(scratch.path()), [] as [PathBuf; 0]);
        // In two steps.
        fs::write(directory.join("2.request.json"), &REQUEST[..20]).expect("a file");
        assert!(timeout(Duration::from_millis(50), recording.first()).await.is_err(), "it isn't complete");
        fs::write(directory.join("2.request.json"), REQUEST).expect("a file");
        fs::write(directory.join("another"), "").expect("a file");
        let recorded = recording.first().await.expect("a request");
        assert_eq!(recorded.size, REQUEST.len());
        assert!(fs::write(directory.join("3.request.json"), REQUEST).is_err(), "nothing more can be written");
        assert_eq!(fs::read(&directory).expect("a file"), b"");
    }
}
