//! What every test of lclaude stands on: a home, a runtime directory and a PATH of its own, with fakes on it.
//!
//! A test makes a [`Stage`]. Dropping it proves that nothing was left behind, so every test that passes has shown that
//! too.

pub mod doctor;
pub mod home;
pub mod installers;
pub mod leftovers;
pub mod lmstudio;
pub mod machine;
pub mod messages;
pub mod models;
pub mod ollama;
pub mod real;
pub mod session;
pub mod terminal;
pub mod throwaway;
pub mod told;

use std::{
    collections::BTreeMap,
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    os::unix::{fs::symlink, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use lclaude_fakes::events::PATIENCE;
pub use lclaude_fakes::events::{Events, Fake};
use rustix::process::{Pid, Signal};
pub use serde_json::{Value, json};
pub use session::{Ended, Session};

/// How the path of every stage begins. Short, since the paths of sockets are.
const STAGE: &str = "/tmp/lc-";

/// A machine with nothing on it but what a test puts there.
pub struct Stage {
    root: tempfile::TempDir,
    pub events: Events,
    variables: BTreeMap<String, String>,
}

/// The program under test. Cargo builds it two directories above the test program, `target/debug/deps/it-…`.
pub fn lclaude() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let test = env::current_exe().expect("this program has a path");
        let directory = test.parent().and_then(Path::parent).expect("cargo's directory");
        let program = directory.join("lclaude");
        assert!(program.exists(), "cargo has not built {}", program.display());
        program
    })
}

/// lclaude's sources.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("this crate is in tests/support")
}

/// The directory of the fake programs, built if `cargo test` has not. The whole workspace is named, since its packages
/// alone would be built with other features of what they share, and so all over again.
fn fakes() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = lclaude().parent().expect("a program is in a directory");
        let target = directory.parent().expect("cargo's target directory");
        let release = directory.ends_with("release").then_some("--release");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--workspace", "--bins"]).args(release).arg("--target-dir").arg(target);
        // What `cargo test` says of the test program's package would have build scripts run again, ring's for one.
        for (name, _) in env::vars_os() {
            if ["CARGO_MANIFEST_", "CARGO_PKG_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                cargo.env_remove(name);
            }
        }
        let built = cargo.current_dir(repository()).status();
        assert!(built.expect("cargo runs").success(), "the fakes cannot be built");
        directory.to_owned()
    })
}

/// Signals as a shell leaves them, also where the tests were started with nohup or in the background; for a child, before
/// its `exec`.
fn signals_by_default() -> io::Result<()> {
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: the default action needs no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    Ok(())
}

impl Stage {
    /// With a fake Claude Code and a fake llama-server on PATH, and `tiny.gguf` in the project.
    #[expect(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        let stage = Self::bare();
        symlink(fakes().join("fake-claude"), stage.bin().join("claude")).expect("a link");
        symlink(fakes().join("fake-llama-server"), stage.bin().join("llama-server")).expect("a link");
        stage
    }

    /// With these fakes on PATH, under the names of the programs they stand for.
    pub fn with(fakes: &[&str]) -> Self {
        let stage = Self::bare();
        for fake in fakes {
            stage.install(fake, &stage.bin().join(fake.trim_start_matches("fake-")));
        }
        stage
    }

    /// Puts a fake program at `place`.
    pub fn install(&self, fake: &str, place: &Path) {
        symlink(fakes().join(fake), place).expect("a link");
    }

    /// With nothing on PATH.
    pub fn bare() -> Self {
        let (directory, prefix) = STAGE.rsplit_once('/').expect("a path");
        let root = tempfile::Builder::new().prefix(prefix).tempdir_in(directory).expect("a directory");
        for directory in ["home", "run", "bin", "project", "tmp"] {
            fs::create_dir(root.path().join(directory)).expect("a directory");
        }
        // Whatever graphics card this machine has is none of a test's.
        symlink("/bin/false", root.path().join("bin/nvidia-smi")).expect("a link");
        fs::write(root.path().join("project/tiny.gguf"), "GGUF and no more: the fake reads no further")
            .expect("a file");
        Stage { root, events: Events::new(), variables: BTreeMap::new() }
    }

    pub fn root(&self) -> &Path {
        self.root.path()
    }

    pub fn home(&self) -> PathBuf {
        self.root().join("home")
    }

    pub fn bin(&self) -> PathBuf {
        self.root().join("bin")
    }

    pub fn project(&self) -> PathBuf {
        self.root().join("project")
    }

    /// lclaude's own runtime directory.
    pub fn runtime(&self) -> PathBuf {
        self.root().join("run/lclaude")
    }

    pub fn model(&self) -> PathBuf {
        self.project().join("tiny.gguf")
    }

    /// Sets a variable for every later command.
    pub fn set(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.variables.insert(name.into(), value.to_string());
        self
    }

    /// Writes the user's configuration.
    pub fn config(&self, text: &str) -> PathBuf {
        let file = self.home().join(".config/lclaude/config.toml");
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        fs::write(&file, text).expect("a file");
        file
    }

    /// A command in this machine's surroundings.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.home())
            .env("XDG_RUNTIME_DIR", self.root().join("run"))
            .env("PATH", format!("{}:/usr/bin:/bin", self.bin().display()))
            // Else Claude Code's are in one directory for all of the user's.
            .env("CLAUDE_CODE_TMPDIR", self.root().join("tmp"))
            .env("TERM", "xterm-256color")
            .env("FAKE_EVENTS", self.events.addr())
            .envs(&self.variables)
            .current_dir(self.project());
        // SAFETY: between fork and exec it makes system calls only.
        unsafe { command.pre_exec(signals_by_default) };
        command
    }

    /// lclaude with these arguments and no standard input.
    pub fn lclaude(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(lclaude());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// lclaude on the fake llama-server, in a process group of its own as a shell would start it.
    pub fn session(&self, arguments: &[&str]) -> Session {
        Session::start(self.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf"]).args(arguments))
    }

    /// A session with its Claude Code and backend up.
    pub fn running(&self) -> (Session, Fake, Fake) {
        let session = self.session(&["-p", "hello"]);
        let backend = self.events.next("llama-server");
        let claude = self.events.next("claude");
        (session, claude, backend)
    }

    /// A further session, which is to find a backend that is up.
    pub fn joining(&self) -> (Session, Fake) {
        let session = self.session(&["-p", "hello again"]);
        (session, self.events.next("claude"))
    }

    /// What lclaude says when it is run to its end.
    pub fn output(&self, arguments: &[&str]) -> Ended {
        Ended::of(&mut self.lclaude(arguments))
    }

    /// This command line, with its Claude Code and backend up.
    pub fn started(&self, command: &mut Command) -> (Session, Fake, Fake) {
        let session = Session::start(command);
        let backend = self.events.next("llama-server");
        let claude = self.events.next("claude");
        (session, claude, backend)
    }

    /// What a command says that is to end by itself. Anything it starts by mistake would wait for this test for ever,
    /// so here, and only here, the wait has a limit.
    #[track_caller]
    pub fn ended(&self, command: &mut Command) -> Ended {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().expect("it runs");
        let pid = i32::try_from(child.id()).expect("a process number");
        let (sender, output) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        match output.recv_timeout(Duration::from_secs(30)) {
            Ok(output) => Ended::new(command, output.expect("it can be waited for")),
            Err(_) => {
                kill(pid, Signal::KILL);
                let started: Vec<String> = self.events.rest().iter().map(|fake| fake.argv.join(" ")).collect();
                panic!("{command:?} does not end; it started {started:#?}");
            }
        }
    }

    /// Fails if a keeper, a backend or Claude Code was ever started on this stage.
    #[track_caller]
    pub fn assert_nothing_started(&self) {
        let started: Vec<Vec<String>> = self.events.rest().iter().map(|fake| fake.argv.clone()).collect();
        assert!(started.is_empty(), "started: {started:#?}");
        // A keeper's lock stays when the keeper goes.
        let locks = self.runtime_files("lock");
        assert!(locks.is_empty(), "a keeper was started: {locks:#?}");
    }

    /// Every file under the home directory, with its content, but for what Claude Code and lclaude may write.
    pub fn home_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.home(), &mut files);
        files.retain(|path, _| !path.starts_with(self.home().join(".local/state/lclaude")));
        files
    }

    /// The keeper's process number, from the lock of the only plan there is.
    pub fn keeper(&self) -> i32 {
        let lock = self.runtime_files("lock").pop().expect("a keeper's lock");
        let holder: Value = serde_json::from_slice(&fs::read(lock).expect("the lock's text")).expect("JSON");
        holder["keeper"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process number")
    }

    /// The backend's process number, likewise.
    pub fn backend(&self) -> i32 {
        let lock = self.runtime_files("lock").pop().expect("a keeper's lock");
        let holder: Value = serde_json::from_slice(&fs::read(lock).expect("the lock's text")).expect("JSON");
        holder["backend"]["leader"]["pid"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a process number")
    }

    pub fn runtime_files(&self, ending: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.runtime()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    }

    /// The private directories of sessions.
    pub fn runtime_sessions(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.runtime()).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.filter(|path| path.is_dir()).collect()
    }

    /// Until there are so many of them.
    pub fn wait_for_sessions(&self, count: usize) {
        until(&format!("there are {count} sessions"), || self.runtime_sessions().len() == count);
    }

    /// Until a keeper has begun to end: its socket goes first.
    pub fn wait_for_ending(&self) {
        until("the keeper takes no sessions any more", || self.runtime_files("sock").is_empty());
    }

    /// Fails if any process of this stage still runs, or a private file is still there. No waiting: by the time lclaude
    /// has returned, all is to be gone.
    pub fn assert_nothing_left(&self) {
        let left = self.processes();
        assert!(left.is_empty(), "still running: {left:#?}");
        let private: Vec<PathBuf> = fs::read_dir(self.runtime())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_none_or(|ending| ending != "lock" && ending != "gate"))
            .collect();
        assert!(private.is_empty(), "still there: {private:#?}");
    }

    /// The same for what ends by itself soon after, as when lclaude was killed.
    pub fn wait_for_nothing_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.processes().is_empty() && Instant::now() < deadline {
            // No system call waits for the end of processes that are no children of ours.
            std::thread::sleep(Duration::from_millis(5));
        }
        self.assert_nothing_left();
    }

    /// Every process that has this stage's home directory in its environment, as `PID command`.
    fn processes(&self) -> Vec<String> {
        let mark = format!("HOME={}", self.home().display());
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
            if read("environ").split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes()) {
                let line = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
                found.push(format!("{} {line}", entry.file_name().display()));
            }
        }
        found
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_nothing_left();
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

/// Writes a program that is to be run. Another process does it: while this one has the file open, a child that another
/// test starts inherits that, and nobody can run the file ("Text file busy").
pub fn write_program(path: &Path, content: &[u8]) {
    let mut install =
        Command::new("install").args(["-D", "-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn();
    let install = install.as_mut().expect("install is everywhere");
    install.stdin.take().expect("a pipe").write_all(content).expect("it reads");
    assert!(install.wait().expect("it ends").success(), "{}", path.display());
}

/// The same for a copy of one.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("cp is everywhere").success(), "{}", to.display());
}

pub fn kill(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("a process number");
    rustix::process::kill_process(pid, signal).expect("the process is there");
}

/// Has Claude Code end, and waits for lclaude.
#[track_caller]
pub fn finish(session: Session, claude: &Fake) -> Ended {
    claude.send(json!({"do": "exit", "code": 0}));
    session.wait().expect(0)
}

/// The port a backend was given.
pub fn port(backend: &Fake) -> u16 {
    let mut arguments = backend.argv.iter().skip_while(|argument| *argument != "--port");
    arguments.nth(1).and_then(|port| port.parse().ok()).expect("a port")
}

/// Kills keeper and launcher, so that neither sees the other's end, and waits for Claude Code's.
#[track_caller]
pub fn kill_both(stage: &Stage, session: Session, claude: &Fake) {
    kill(stage.keeper(), Signal::STOP);
    session.signal(Signal::KILL);
    kill(stage.keeper(), Signal::KILL);
    drop(session);
    claude.wait_gone();
}

/// One question of Claude Code's to its backend, by the name it was given, which is to be answered.
#[track_caller]
pub fn turn(claude: &Fake) {
    let model = &claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"];
    let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    claude.send(json!({"do": "request", "path": "/v1/messages", "body": body}));
    let response = claude.wait_event("response");
    assert_eq!(response["status"], 200, "{response}");
}

/// Waits for what no system call waits for.
#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Whether a process has a file with this ending open.
pub fn has_open(pid: i32, ending: &str) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut files = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    files.any(|file| file.extension().is_some_and(|found| found == ending))
}

/// The letter that stands for what a process does: `T` for one that is stopped, `Z` for one that has ended and was not
/// waited for (proc(5)).
pub fn process_state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a fake's process has ended by now. The kernel knows; [`Fake::is_gone`] hears of it a moment later.
pub fn has_ended(fake: &Fake) -> bool {
    process_state(fake.pid).is_none_or(|state| state == 'Z')
}
