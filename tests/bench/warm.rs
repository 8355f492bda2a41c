//! The wait for the first token, with and without the warm start, with the real Claude Code and the real llama-server.
//!
//! A first token's time runs from the last byte of Claude Code's request to the first content of the answer, as seen by a
//! relay between the two ([`Relay`]). That is what people wait for after they press Enter: the start of lclaude and of
//! Claude Code isn't part of it, so a server that restores or reads ahead while Claude Code opens gains from that.
//! "llama-server" is the same request, sent through the same relay to a plain llama-server that has just started.
//!
//! The models are scripted ([`Shape`]): their layers and caches are real, and narrow enough that two cores read 18,000
//! tokens in a minute. Each figure is the median of `LCLAUDE_BENCH_RUNS` runs (3 by default).

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use lclaude_fakes::scripted_model::{Script, Shape};
use support::{
    Session, Stage, Value, json,
    plain_server::PlainServer,
    real,
    relay::{Exchange, ONLY_START, Relay},
    terminal::Terminal,
};

/// The longest wait for a first token.
const PATIENCE: Duration = Duration::from_secs(900);
/// As long as somebody takes to type a first line.
const TYPING: Duration = Duration::from_secs(5);
const SHAPES: [Shape; 3] = [Shape::Full, Shape::Mla, Shape::Hybrid];

/// Prints a table of all figures, or of one group (`second`, `project`, `priming`, `harm`, `ready`, `wide`).
pub fn all(group: Option<&str>) {
    if real::programs().is_none() {
        return;
    }
    let wanted = |name: &str| group.is_none_or(|group| group == name);
    println!("| first token of | tokens reused | lclaude | llama-server | ratio | goal |\n|---|---|---|---|---|---|");
    if wanted("second") {
        SHAPES.into_iter().for_each(second_sessions);
    }
    if wanted("project") {
        other_project(Script { shape: Shape::Full, ..script() }, "tools first", "at most 1/4");
        other_project(Script { shape: Shape::Full, ..script() }.system_first(), "system first", "");
    }
    if wanted("priming") {
        priming();
    }
    if wanted("harm") {
        harm();
    }
    if wanted("ready") {
        SHAPES.into_iter().for_each(ready);
    }
    if wanted("wide") {
        wide();
    }
}

fn runs() -> usize {
    std::env::var("LCLAUDE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(3)
}

/// Answers every request with a short text.
fn script() -> Script {
    Script { act: vec!["A short ".into(), "answer.".into()], ..Script::default() }
}

/// A machine with the real programs and a relay between them.
struct Bench {
    stage: Stage,
    relay: Relay,
    started: PathBuf,
    project: PathBuf,
    config: String,
}

impl Bench {
    fn new(script: &Script) -> Self {
        let stage = real::stage(script).expect("the real programs");
        let relay = Relay::start();
        let started = relay.install(&stage);
        let project = stage.project();
        let config = format!("backend = \"llamacpp\"\nmodel = {:?}\n", stage.model().display().to_string());
        stage.config(&config);
        let mut bench = Bench { stage, relay, started, project, config };
        bench.enter("project");
        bench
    }

    /// Makes a project the working directory of the next sessions.
    fn enter(&mut self, name: &str) {
        self.project = self.stage.root().join(name);
        fs::create_dir_all(&self.project).expect("a directory");
        let trusted = json!({"hasTrustDialogAccepted": true});
        let answers =
            json!({"hasCompletedOnboarding": true, "projects": {self.project.display().to_string(): trusted}});
        fs::write(self.stage.home().join(".claude.json"), answers.to_string()).expect("a file");
    }

    /// Adds lines to the configuration.
    fn configure(&self, more: &str) {
        self.stage.config(&format!("{}{more}", self.config));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stage.lclaude(&["--toolset", "all"]);
        command.args(arguments);
        command.current_dir(&self.project);
        command
    }

    /// Runs a session with `-p`.
    fn print(&self, prompt: &str) -> Exchange {
        self.print_with(prompt, &[])
    }

    fn print_with(&self, prompt: &str, arguments: &[&str]) -> Exchange {
        let session = Session::start(self.command(&["-p", prompt]).args(arguments));
        let exchange = self.relay.next(PATIENCE);
        session.wait().expect(0);
        exchange
    }

    /// Runs an interactive session in which the user types for `typing`.
    fn interactive(&self, prompt: &str, typing: Duration) -> Exchange {
        let mut terminal = Terminal::start(self.command(&[]));
        real::wait_for_prompt(&terminal);
        std::thread::sleep(typing);
        terminal.type_in(prompt);
        terminal.wait_for(prompt.rsplit(' ').next().expect("a word"));
        terminal.type_in("\r");
        let exchange = self.relay.next(PATIENCE);
        terminal.wait_for("answer.");
        real::wait_for_prompt(&terminal);
        terminal.type_in("\x03");
        terminal.wait_for("again");
        terminal.type_in("\x03");
        terminal.wait_to_the_end(0);
        exchange
    }

    /// Returns the median time of a plain llama-server, just started each time, for a recorded request.
    fn plain(&self, body: &Value) -> Duration {
        median(runs(), || {
            let server = PlainServer::start(&self.stage, &self.stage.model(), &[]);
            self.relay.send(server.port, body, PATIENCE).first_content
        })
    }

    /// Returns the files that a server saved.
    fn snapshots(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.stage.warm()).into_iter().flatten().flatten();
        let files = files.map(|entry| entry.path());
        files.filter(|file| file.extension().is_some_and(|ending| ending == "slot")).collect()
    }

    fn snapshot_size(&self) -> u64 {
        self.snapshots().iter().map(|file| fs::metadata(file).map_or(0, |meta| meta.len())).sum()
    }

    /// Returns the time from the start of lclaude to the start of Claude Code, which exits immediately.
    fn ready(&self, arguments: &[&str]) -> Duration {
        let start = now();
        let status = self.command(&["-p", "x"]).args(arguments).env(ONLY_START, "1").stdout(Stdio::null()).status();
        assert!(status.expect("lclaude runs").success());
        let started = fs::read_to_string(&self.started).expect("Claude Code's start");
        Duration::from_nanos(started.trim().parse::<u64>().expect("nanoseconds")).saturating_sub(start)
    }
}

fn now() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().expect("after 1970")
}

fn median(runs: usize, mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..runs).map(|_| run()).collect();
    times.sort();
    times[runs / 2]
}

/// Returns the run with the median time.
fn median_exchange(mut run: impl FnMut() -> Exchange) -> Exchange {
    let mut exchanges: Vec<Exchange> = (0..runs()).map(|_| run()).collect();
    exchanges.sort_by_key(|exchange| exchange.first_content);
    exchanges.swap_remove(runs() / 2)
}

fn row(what: &str, exchange: &Exchange, plain: Duration, goal: &str) {
    let ratio = plain.as_secs_f64() / exchange.first_content.as_secs_f64();
    let tokens = format!("{} of {}", exchange.reused, exchange.reused + exchange.read);
    let [ours, plain] = [exchange.first_content, plain].map(seconds);
    println!("| {what} | {tokens} | {ours} | {plain} | {ratio:.1} | {goal} |");
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Measures the first and later sessions of a project.
fn second_sessions(shape: Shape) {
    for interactive in [false, true] {
        let bench = Bench::new(&Script { shape, ..script() });
        let name = format!("{}, {}", shape.name(), if interactive { "interactive" } else { "-p" });
        let run = |prompt: &str| {
            if interactive { bench.interactive(prompt, Duration::ZERO) } else { bench.print(prompt) }
        };
        let first = run("describe the project");
        let plain = bench.plain(&first.body);
        row(&format!("{name}: first session"), &first, plain, "");
        let second = median_exchange(|| run("list the files"));
        row(&format!("{name}: second session"), &second, plain, "at most 1/50");
    }
}

/// Measures the first session of a project, after sessions in others.
fn other_project(script: Script, template: &str, goal: &str) {
    for interactive in [false, true] {
        let mut bench = Bench::new(&script);
        let name =
            format!("another project, template with {template}, {}", if interactive { "interactive" } else { "-p" });
        let mut number = 0;
        let mut run = |bench: &mut Bench| {
            number += 1;
            bench.enter(&format!("project-{number}"));
            let prompt = "describe the project";
            if interactive { bench.interactive(prompt, Duration::ZERO) } else { bench.print(prompt) }
        };
        let first = run(&mut bench);
        let plain = bench.plain(&first.body);
        row(&name, &median_exchange(|| run(&mut bench)), plain, goal);
    }
}

/// Measures a kind of server whose cache can't be saved: all that helps is to read ahead while the user types.
fn priming() {
    let mut bench = Bench::new(&Script { shape: Shape::Full, ..script() });
    let server = real::programs().expect("the real programs").1;
    bench.config = format!(
        "backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = [{:?}, \"--model\", {:?}, \"--alias\", \"{{model}}\", \"-np\", \
         \"1\", \"--host\", \"{{host}}\", \"--port\", \"{{port}}\", \"-c\", \"{{context}}\"]\n",
        server.display().to_string(),
        bench.stage.model().display().to_string(),
    );
    bench.configure("");
    let first = bench.interactive("describe the project", TYPING);
    let plain = bench.plain(&first.body);
    let typed = median_exchange(|| bench.interactive("list the files", TYPING));
    let goal = format!("{} (cold minus typing)", seconds(plain.saturating_sub(TYPING)));
    row(&format!("command: after {} s of typing", TYPING.as_secs()), &typed, plain, &goal);
}

/// Measures a request that arrives while the server still reads ahead, against the same without a warm start.
fn harm() {
    // Its cache can't be saved, and another project's prompt differs from what is read in advance.
    let mut bench = Bench::new(&Script { shape: Shape::Sliding, ..script() }.system_first());
    let mut number = 0;
    let mut run = |bench: &mut Bench| {
        number += 1;
        bench.enter(&format!("project-{number}"));
        bench.print("describe the project")
    };
    run(&mut bench);
    let with = median_exchange(|| run(&mut bench));
    bench.configure("[warm]\nenabled = false\n");
    let without = median_exchange(|| run(&mut bench));
    row("request during priming (right column: without priming)", &with, without.first_content, "at least 1");
}

/// Measures how much later Claude Code starts because of a restore.
fn ready(shape: Shape) {
    const RUNS: usize = 9;
    let bench = Bench::new(&Script { shape, ..script() });
    // The second one saves a snapshot at the latest.
    (0..2).for_each(|_| drop(bench.print("describe the project")));
    let with = median(RUNS, || bench.ready(&[]));
    bench.configure("[warm]\nenabled = false\n");
    let without = median(RUNS, || bench.ready(&[]));
    ready_row(&format!("{}, {}", shape.name(), size(bench.snapshot_size())), with, without);
}

fn ready_row(what: &str, with: Duration, without: Duration) {
    let later = (with.as_secs_f64() / without.as_secs_f64() - 1.0) * 100.0;
    println!(
        "| {what}: Claude Code starts, after a restore (right column: without) | | {} | {} | {later:+.1} % | at most +5 % |",
        seconds(with),
        seconds(without),
    );
}

/// Measures a large snapshot, as far as this machine's disk has room for one. It isn't in the disk cache.
fn wide() {
    const FEW: [&str; 2] = ["--tools", "Bash"];
    let bench = Bench::new(&Script { shape: Shape::Wide, context: 16_384, ..script() });
    // Three quarters of a megabyte a token.
    let small = "context = 8192\ncontext_check = false\n[llamacpp]\ncache_type_k = \"f32\"\n";
    bench.configure(small);
    let first = bench.print_with("describe the project", &FEW);
    let plain = first.first_content;
    let second = bench.print_with("list the files", &FEW);
    row("wide, -p with one tool: second session (right column: the first one)", &second, plain, "");
    let with = median(runs(), || {
        bench.snapshots().iter().for_each(|file| forget(file));
        bench.ready(&FEW)
    });
    let disk = median(runs(), || {
        bench.snapshots().iter().for_each(|file| forget(file));
        let start = Instant::now();
        for file in bench.snapshots() {
            let mut file = fs::File::open(file).expect("a snapshot");
            io::copy(&mut file, &mut io::sink()).expect("it can be read");
        }
        start.elapsed()
    });
    bench.configure(&format!("{small}[warm]\nenabled = false\n"));
    let without = median(runs(), || bench.ready(&FEW));
    let bytes = bench.snapshot_size();
    ready_row(&format!("wide, {}", size(bytes)), with, without);
    let speed = |time: Duration| format!("{}/s", size((bytes as f64 / time.as_secs_f64()) as u64));
    let restore = with.saturating_sub(without);
    println!(
        "| wide: reading speed of a restore (right column: of the disk) | | {} | {} | | |",
        speed(restore),
        speed(disk)
    );
}

/// Takes a file out of the disk cache.
#[cfg(target_os = "linux")]
fn forget(file: &Path) {
    let file = fs::File::open(file).expect("a snapshot");
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("the file is on a disk");
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) {}

fn size(bytes: u64) -> String {
    if bytes < 1_000_000_000 {
        format!("{:.0} MB", bytes as f64 / 1e6)
    } else {
        format!("{:.1} GB", bytes as f64 / 1e9)
    }
}
