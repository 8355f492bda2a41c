//! The test environment of lclaude: a home, a runtime directory and a PATH with fake programs.
//!
//! Each test creates a [`Stage`]. Dropping it asserts that no process and no private file is left.

pub mod doctor;
pub mod home;
pub mod hostile;
pub mod installers;
pub mod leftovers;
pub mod lmstudio;
pub mod machine;
pub mod messages;
pub mod models;
pub mod ollama;
pub mod picture;
pub mod plain_server;
pub mod real;
pub mod relay;
pub mod release;
pub mod requests;
pub mod server;
pub mod session;
pub mod system;
pub mod terminal;
pub mod throwaway;
pub mod told;
#[cfg(target_os = "linux")]
pub mod wsl;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use lclaude_fakes::events::PATIENCE;
pub use lclaude_fakes::events::{Events, Fake};
use rustix::{
    io::Errno,
    process::{Pid, Signal, test_kill_process},
};
pub use serde_json::{Value, json};
pub use session::{Ended, Session};
pub use system::process_state;

/// How the path of every stage begins. It is short, since the length of socket paths is limited.
const STAGE: &str = if cfg!(target_os = "macos") { "/private/tmp/lc-" } else { "/tmp/lc-" };

/// A simulated machine that contains only what a test installs.
pub struct Stage {
    root: tempfile::TempDir,
    pub events: Events,
    variables: BTreeMap<String, String>,
}

/// Returns the path of the program under test: the one that `LCLAUDE_TEST_BINARY` names, such as that of a package, or
/// cargo's.
pub fn lclaude() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let named = env::var_os("LCLAUDE_TEST_BINARY").filter(|name| !name.is_empty());
        let program = named.map_or_else(|| built().join("lclaude"), PathBuf::from);
        assert!(program.is_absolute() && program.exists(), "{} is not a program", program.display());
        program
    })
}

/// Returns cargo's directory of programs, one above the test program, `target/debug/deps/it-…`.
fn built() -> PathBuf {
    let test = env::current_exe().expect("this program has a path");
    test.parent().and_then(Path::parent).expect("cargo's directory").to_owned()
}

/// Returns the root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is in tests/support")
}

/// Returns the directory of the fake programs, and builds them if needed. It builds the whole workspace, since a single
/// package would get other features of shared dependencies, and so recompile them.
fn fakes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = built();
        let target = directory.parent().expect("cargo's target directory");
        let release = directory.ends_with("release").then_some("--release");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--bins"]).args(release).arg("--target-dir").arg(target);
        // The package variables of `cargo test` would make build scripts run again, such as ring's.
        for (name, _) in env::vars_os() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                cargo.env_remove(name);
            }
        }
        let done = cargo.current_dir(repository()).status();
        assert!(done.expect("cargo runs").success(), "the fakes cannot be built");
        directory
    })
}

/// Resets signals to their defaults, which nohup and background jobs change. For a child, before `exec`.
fn reset_signals() -> io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(())
}

impl Stage {
    /// Creates a stage with a fake Claude Code and a fake llama-server on PATH, and `tiny.gguf` in the project.
    #[expect(clippy::new_without_default, reason = "it creates directories")]
    pub fn new() -> Self {
        let stage = Self::bare();
        symlink(fakes().join("fake-claude"), stage.bin().join("claude")).expect("a link");
        symlink(fakes().join("fake-llama-server"), stage.bin().join("llama-server")).expect("a link");
        stage
    }

    /// Creates a stage with these fakes on PATH, under the names of the programs that they simulate.
    pub fn with(fakes: &[&str]) -> Self {
        let stage = Self::bare();
        for fake in fakes {
            stage.install(fake, &stage.bin().join(fake.trim_start_matches("fake-")));
        }
        stage
    }

    /// Installs a fake program at `place`.
    pub fn install(&self, fake: &str, place: &Path) {
        symlink(fakes().join(fake), place).expect("a link");
    }

    /// Creates a stage with only system programs on PATH.
    pub fn bare() -> Self {
        let (directory, prefix) = STAGE.rsplit_once('/').expect("a path");
        let root = tempfile::Builder::new().prefix(prefix).tempdir_in(directory).expect("a directory");
        for directory in ["home", "run", "bin", "project", "tmp", "cache"] {
            fs::create_dir(root.path().join(directory)).expect("a directory");
        }
        // Hides this machine's graphics card.
        symlink(system::FALSE, root.path().join("bin/nvidia-smi")).expect("a link");
        fs::write(root.path().join("project/tiny.gguf"), "GGUF and no more: the fake reads no further")
            .expect("a file");
        // Texts are compared on terminals too; `it/screens.rs` tests colors and the pager.
        let plain = [("NO_COLOR", "1"), ("PAGER", "cat")];
        let variables = plain.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Stage { root, events: Events::new(), variables }
    }

    /// Returns the directory that contains everything else.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Returns the home directory.
    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    /// Returns a path as lclaude shows it to people.
    pub fn shown(&self, path: &Path) -> String {
        match path.strip_prefix(self.home()) {
            Ok(rest) => Path::new("~").join(rest).display().to_string(),
            Err(_) => path.display().to_string(),
        }
    }

    /// Returns the first directory on PATH.
    pub fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }

    /// Returns the working directory of commands.
    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// Returns lclaude's runtime directory.
    pub fn runtime(&self) -> PathBuf {
        self.root().join("run/lclaude")
    }

    /// Returns the directory of caches, where `~/.cache` would be.
    pub fn cache(&self) -> PathBuf {
        self.root().join("cache")
    }

    /// Returns the directory of lclaude's records and snapshots, which may be missing.
    pub fn warm(&self) -> PathBuf {
        self.cache().join("lclaude/warm")
    }

    /// Returns the path of `tiny.gguf`.
    pub fn model(&self) -> PathBuf {
        self.project().join("tiny.gguf")
    }

    /// Sets an environment variable for all later commands.
    pub fn set(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.variables.insert(name.into(), value.to_string());
        self
    }

    /// Removes a variable that [`Stage::set`] set.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.variables.remove(name);
        self
    }

    /// Writes the user's configuration file and returns its path.
    pub fn config(&self, text: &str) -> PathBuf {
        let file = self.home().join(".config/lclaude/config.toml");
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(&file, text).expect("a file");
        file
    }

    /// Returns a command with the environment and working directory of this stage.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.root().join("run"))
            .env("XDG_CACHE_HOME", self.cache())
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin().display()))
            .env("USUAL_LCLAUDE_PLACES", "")
            // Otherwise Claude Code uses one directory for all sessions of the user.
            .env("CLAUDE_CODE_TMPDIR", self.root().join("tmp"))
            .env("TERM", "xterm-256color")
            .env("FAKE_EVENTS", self.events.addr())
            .envs(&self.variables)
            .current_dir(self.project());
        // SAFETY: the function makes only system calls.
        unsafe { command.pre_exec(reset_signals) };
        command
    }

    /// Returns a command that runs lclaude with these arguments and without stdin.
    pub fn lclaude(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(lclaude());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts lclaude on the fake llama-server, in its own process group, as a shell would.
    pub fn session(&self, arguments: &[&str]) -> Session {
        Session::start(self.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]).args(arguments))
    }

    /// Starts a session and waits for its backend and Claude Code.
    pub fn running(&self) -> (Session, Fake, Fake) {
        let session = self.session(&["-p", "hello"]);
        let backend = self.events.next("llama-server");
        let claude = self.events.next("claude");
        (session, claude, backend)
    }

    /// Starts another session, which joins a running backend.
    pub fn joining(&self) -> (Session, Fake) {
        let session = self.session(&["-p", "hello again"]);
        (session, self.events.next("claude"))
    }

    /// Runs lclaude to its end and returns its output.
    pub fn output(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.lclaude(arguments))
    }

    /// Starts a command as a session and waits for its backend and Claude Code.
    pub fn started(&self, command: &mut Command) -> (Session, Fake, Fake) {
        let session = Session::start(command);
        let backend = self.events.next("llama-server");
        let claude = self.events.next("claude");
        (session, claude, backend)
    }

    /// Runs a command that must exit by itself, and returns its output. It fails after a time limit, since a program that
    /// was started by mistake would wait for this test forever.
    #[track_caller]
    pub fn ended(&self, command: &mut Command) -> Ended {
        let child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().expect("the command runs");
        let pid = i32::try_from(child.id()).expect("a process ID");
        let (sender, output) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        match output.recv_timeout(Duration::from_secs(30)) {
            Ok(output) => Ended::new(command, output.expect("it can be waited for")),
            Err(_) => {
                kill(pid, Signal::KILL);
                let started: Vec<String> = self.events.rest().iter().map(|fake| fake.argv.join(" ")).collect();
                panic!("{command:?} does not exit; it started {started:#?}");
            }
        }
    }

    /// Fails if a keeper, a backend or Claude Code was started on this stage.
    #[track_caller]
    pub fn assert_nothing_started(&self) {
        let started: Vec<Vec<String>> = self.events.rest().iter().map(|fake| fake.argv.clone()).collect();
        assert!(started.is_empty(), "started: {started:#?}");
        // A keeper's lock file remains after it exits.
        let locks = self.runtime_files("lock");
        assert!(locks.is_empty(), "a keeper was started: {locks:#?}");
    }

    /// Returns all files of the home directory with their content, except lclaude's state.
    pub fn home_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.home(), &mut files);
        files.retain(|path, _| !path.starts_with(self.home().join(".local/state/lclaude")));
        files
    }

    /// Returns the record of the only plan's keeper.
    pub fn record(&self) -> Value {
        let record = self.runtime_files("json").pop().expect("a keeper's record");
        serde_json::from_slice(&fs::read(record).expect("the record's text")).expect("JSON")
    }

    /// Returns the process ID of the only plan's keeper.
    pub fn keeper(&self) -> i32 {
        self.record()["keeper"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process ID")
    }

    /// Returns the process ID of the guard of the only plan's keeper.
    pub fn guard(&self) -> i32 {
        self.record()["guard"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process ID")
    }

    /// Returns the process ID of the only plan's backend.
    pub fn backend(&self) -> i32 {
        self.record()["backend"]["leader"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process ID")
    }

    /// Returns the files with this extension in the runtime directory.
    pub fn runtime_files(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.runtime()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    }

    /// Returns the logs of backends.
    pub fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.home().join(".local/state/lclaude/logs")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|found| found == "log")).collect()
    }

    /// Returns the private directories of sessions.
    pub fn runtime_sessions(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.runtime()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).collect()
    }

    /// Makes the first process that reaches `point` (`src/base/failpoint.rs`) stop there, once the returned file exists.
    pub fn trap(&mut self, point: &str) -> PathBuf {
        let armed = self.root().join("armed");
        self.set("STOP_LCLAUDE_AT", format!("{point}:{}", armed.display()));
        armed
    }

    /// Waits until a process has stopped in the trap, and returns it.
    pub fn caught(&self, armed: &Path) -> i32 {
        let mut found = None;
        until("a process has stopped", || {
            let stopped = self.processes().into_iter().find(|pid| process_state(*pid) == Some('T'));
            found = stopped.filter(|_| !armed.exists());
            found.is_some()
        });
        found.expect("just found")
    }

    /// Waits until there are `count` private directories of sessions.
    pub fn wait_for_sessions(&self, count: usize) {
        until(&format!("there are {count} sessions"), || self.runtime_sessions().len() == count);
    }

    /// Waits until the keeper has begun to shut down, which removes its socket first.
    pub fn wait_for_ending(&self) {
        until("the keeper accepts no more sessions", || self.runtime_files("sock").is_empty());
    }

    /// Fails if a process of this stage still runs or a private file still exists. It doesn't wait, since everything must
    /// be gone when lclaude exits.
    pub fn assert_nothing_left(&self) {
        let left = self.running_commands();
        assert!(left.is_empty(), "still running: {left:#?}");
        let private: Vec<PathBuf> = fs::read_dir(self.runtime())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| {
                path.extension().is_none_or(|ending| !["lock", "lease", "json"].iter().any(|kept| ending == *kept))
            })
            .collect();
        assert!(private.is_empty(), "private files left: {private:#?}");
        assert_private(&self.warm());
    }

    /// Like [`Stage::assert_nothing_left`], but waits for processes to end, such as after lclaude was killed.
    pub fn wait_for_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.processes().is_empty() && Instant::now() < deadline {
            // No system call waits for processes that aren't children.
            std::thread::sleep(Duration::from_millis(5));
        }
        self.assert_nothing_left();
    }

    /// Returns all processes with this stage's home directory in their environment.
    pub fn processes(&self) -> Vec<i32> {
        let mark = format!("HOME={}", self.home().display());
        system::pids().into_iter().filter(|pid| system::has_variable(*pid, &mark)).collect()
    }

    /// Returns these processes as `PID command`.
    pub fn running_commands(&self) -> Vec<String> {
        let command = |pid: i32| format!("{pid} {}", system::command_line(pid));
        self.processes().into_iter().map(command).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_nothing_left();
        }
    }
}

/// Fails if others may read or write what is in a directory, which may be missing.
fn assert_private(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| (entry.path(), 0o600));
    for (path, mode) in std::iter::once((directory.to_owned(), 0o700)).chain(entries) {
        if let Ok(found) = fs::symlink_metadata(&path) {
            assert_eq!(found.permissions().mode() & 0o7777, mode, "{}", path.display());
        }
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
}

/// Writes an executable file in another process. If this process wrote it, a child that another test starts meanwhile
/// would inherit the open file, and running it would fail ("Text file busy").
pub fn write_program(path: &Path, content: impl AsRef<[u8]>) {
    let mut install =
        Command::new("install").args(["-D", "-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn();
    let install = install.as_mut().expect("install runs");
    install.stdin.take().expect("a pipe").write_all(content.as_ref()).expect("install reads its stdin");
    assert!(install.wait().expect("it can be waited for").success(), "{}", path.display());
}

/// Copies an executable file in another process, for the same reason as [`write_program`].
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp runs").success(), "{}", to.display());
}

/// Sends a signal to a process.
pub fn kill(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process ID");
    rustix::process::kill_process(pid, signal).expect("the process exists");
}

/// Makes Claude Code exit with code 0, and waits until lclaude does too.
#[track_caller]
pub fn finish(session: Session, claude: &Fake) -> Ended {
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0)
}

/// Returns the port in a backend's arguments.
pub fn port(backend: &Fake) -> u16 {
    let mut arguments = backend.argv.iter().skip_while(|argument| *argument != "--port");
    arguments.nth(1).and_then(|port| port.parse().ok()).expect("a port")
}

/// Kills the keeper, its guard and the launcher so that none notices the others' death, and waits until Claude Code is gone.
#[track_caller]
pub fn kill_all(stage: &Stage, session: Session, claude: &Fake) {
    kill(stage.guard(), Signal::KILL);
    kill_both(stage, session, claude);
}

/// Kills keeper and launcher so that neither notices the other's death, and waits until Claude Code is gone.
#[track_caller]
pub fn kill_both(stage: &Stage, session: Session, claude: &Fake) {
    kill(stage.keeper(), Signal::STOP);
    session.signal(Signal::KILL);
    kill(stage.keeper(), Signal::KILL);
    drop(session);
    claude.wait_gone();
}

/// Makes Claude Code send one request to its backend and model, which must succeed.
#[track_caller]
pub fn turn(claude: &Fake) {
    let model = &claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"];
    let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    claude.send(json!({"do": "request", "path": "/v1/messages", "body": body}));
    let response = claude.wait_event("response");
    assert_eq!(response["status"], 200, "{response}");
}

/// Waits until a condition holds for which no system call waits.
#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Returns whether a process has a file with this extension open.
pub fn has_open(pid: i32, ending: &str) -> bool {
    system::open_files(pid).iter().any(|file| file.extension().is_some_and(|found| found == ending))
}

/// Returns whether a process has ended. Its parent may not have noticed yet, and leave it a zombie.
pub fn has_ended(pid: i32) -> bool {
    let probe = test_kill_process(Pid::from_raw(pid).expect("a PID is positive"));
    probe == Err(Errno::SRCH) || process_state(pid) == Some('Z')
}
