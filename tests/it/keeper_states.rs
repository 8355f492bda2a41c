//! Keepers go from state to state only as the table in docs/architecture.md says, and take every step of it except those
//! in `NOT_WALKED`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::PathBuf,
};

use rustix::process::Signal;
use support::{Session, Stage, finish, json, kill, repository, turn, until};

/// A pair of states that follow each other.
type Step = (String, String);

/// Documented steps that no scenario here takes for certain: a keeper that doesn't answer for 20 seconds, two failures at
/// the same moment, other kinds of backends, and steps that depend on which of two lines of a log comes first.
const NOT_WALKED: [(&str, &str); 10] = [
    ("waiting", "failed"),
    ("starting", "restarting"),
    ("progress", "restarting"),
    ("listening", "restarting"),
    ("listening", "failed"),
    ("starting", "ready"),
    ("starting", "listening"),
    ("progress", "listening"),
    ("starting", "model_missing"),
    ("progress", "model_missing"),
];

/// Returns the steps in the table.
fn documented() -> BTreeSet<Step> {
    let text = fs::read_to_string(repository().join("docs/architecture.md")).expect("a document");
    let table = text.split("| state | meaning | may be followed by |").nth(1).expect("the table");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let steps = rows.flat_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let from = words(cells[0]).remove(0);
        words(cells[2]).into_iter().map(move |to| (from.clone(), to))
    });
    steps.collect()
}

/// Returns the steps of all keepers of a stage.
fn taken(stage: &Stage) -> BTreeSet<Step> {
    let log = fs::read_to_string(stage.home().join(".local/state/lclaude/lclaude.log")).expect("lclaude's log");
    let mut now: BTreeMap<String, String> = BTreeMap::new();
    let mut steps = BTreeSet::new();
    for line in log.lines().filter(|line| line.contains("keeper state")) {
        let value = |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).expect("a field");
            rest.split(' ').next().unwrap_or_default().trim_matches('"').to_owned()
        };
        let before = now.insert(value("pid"), value("state")).unwrap_or_else(|| "queued".into());
        steps.insert((before, value("state")));
    }
    steps
}

/// A stage whose keepers log their states.
fn stage(kind: &str, more: &str) -> Stage {
    let mut stage = Stage::new();
    stage.set("LCLAUDE_LOG", "info");
    let run = ["llama-server", "--model", "MODEL", "--alias", "{model}", "--port", "{port}", "-c", "{context}"];
    let run = format!("{run:?}").replace("MODEL", &stage.model().display().to_string());
    stage.config(&match kind {
        "command" => format!("backend = \"command\"\nmodel = \"tiny\"\n[command]\nrun = {run}\n{more}"),
        _ => format!("backend = \"llamacpp\"\nmodel = \"{}\"\n{more}", stage.model().display()),
    });
    stage
}

fn session(stage: &Stage) -> Session {
    Session::start(&mut stage.lclaude(&["-p", "hello"]))
}

/// Waits until a keeper has been in a state.
fn wait_for(stage: &Stage, state: &str) {
    until(&format!("a keeper is {state}"), || taken(stage).iter().any(|(_, taken)| taken == state));
}

/// Waits until the last keeper says that its backend is ready, which may serve a turn before that.
fn wait_until_ready(stage: &Stage) {
    until("the keeper is ready", || {
        let log = fs::read_to_string(stage.home().join(".local/state/lclaude/lclaude.log")).expect("lclaude's log");
        log.lines().rfind(|line| line.contains("keeper state")).is_some_and(|line| line.contains("\"ready\""))
    });
}

/// A session ends, and another's backend crashes.
fn ends_and_crashes(kind: &str) -> BTreeSet<Step> {
    let stage = stage(kind, "");
    let first = session(&stage);
    let backend = stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    kill(backend.pid, Signal::KILL);
    stage.events.next("llama-server");
    // Another keeper on the same port, twice.
    for signal in [Signal::KILL, Signal::TERM] {
        turn(&claude);
        wait_until_ready(&stage);
        kill(stage.keeper(), signal);
        stage.events.next("llama-server");
    }
    turn(&claude);
    finish(first, &claude);
    taken(&stage)
}

/// The backend crashes and doesn't come back.
fn fails() -> BTreeSet<Step> {
    let mut steps = BTreeSet::new();
    for restarts in [0, 1] {
        let mut stage = stage("llamacpp", &format!("[lifetime]\nrestarts = {restarts}\n"));
        let first = session(&stage);
        let backend = stage.events.next("llama-server");
        stage.events.next("claude");
        // The next start fails.
        fs::remove_file(stage.model()).expect("a model");
        kill(backend.pid, Signal::KILL);
        first.wait().expect(69);
        steps.append(&mut taken(&stage));
        // The first start fails too.
        stage.set("FAKE_LLAMA_FAIL", "missing-lib");
        fs::write(stage.model(), "").expect("a file");
    }
    let mut stage = stage("llamacpp", "");
    stage.set("FAKE_LLAMA_FAIL", "missing-lib");
    session(&stage).wait().expect(69);
    stage.unset("FAKE_LLAMA_FAIL").set("FAKE_LLAMA_LOAD", "controlled");
    let first = session(&stage);
    let backend = stage.events.next("llama-server");
    wait_for(&stage, "progress");
    kill(backend.pid, Signal::KILL);
    first.wait().expect(69);
    steps.append(&mut taken(&stage));
    steps
}

/// A session gives up while its backend loads, for the first time or after a crash.
fn gives_up(kind: &str) -> BTreeSet<Step> {
    let mut stage = stage(kind, "");
    stage.set("FAKE_LLAMA_LOAD", "controlled");
    let first = session(&stage);
    stage.events.next("llama-server");
    wait_for(&stage, "progress");
    first.signal(Signal::INT);
    first.wait();
    let first = session(&stage);
    let backend = stage.events.next("llama-server");
    backend.send(json!({"do": "ready"}));
    let claude = stage.events.next("claude");
    kill(backend.pid, Signal::KILL);
    stage.events.next("llama-server");
    // A port that is lent is announced while the model loads.
    wait_for(&stage, if kind == "command" { "listening" } else { "restarting" });
    first.signal(Signal::KILL);
    drop(first);
    claude.wait_gone();
    stage.wait_for_nothing_left();
    taken(&stage)
}

/// A stage whose first keeper stops at `point`, and its trap.
fn trapped(point: &str) -> (Stage, PathBuf) {
    let mut stage = stage("llamacpp", "");
    let armed = stage.trap(point);
    fs::write(&armed, "").expect("a file");
    (stage, armed)
}

/// Two keepers of one plan.
fn meets(point: &str) -> BTreeSet<Step> {
    let (stage, armed) = trapped(point);
    let first = session(&stage);
    stage.caught(&armed);
    // The first session wakes it after a second.
    let second = session(&stage);
    let claudes = [(); 2].map(|()| stage.events.next("claude"));
    claudes.iter().for_each(|claude| claude.send(json!({"do": "exit", "code": 0})));
    first.wait().expect(0);
    second.wait().expect(0);
    taken(&stage)
}

/// The only session dies before the backend is up.
fn is_left_alone() -> BTreeSet<Step> {
    let (stage, armed) = trapped("keeper-locked");
    let first = session(&stage);
    let keeper = stage.caught(&armed);
    first.signal(Signal::KILL);
    drop(first);
    kill(keeper, Signal::CONT);
    stage.wait_for_nothing_left();
    taken(&stage)
}

/// A keeper waits for another one to end, or can't use its lock at all.
fn waits() -> BTreeSet<Step> {
    let stage = stage("llamacpp", "");
    let first = session(&stage);
    finish(first, &stage.events.next("claude"));
    let lock = stage.runtime_files("lock").pop().expect("a lock");
    let held = File::open(&lock).expect("a file");
    held.lock().expect("nobody holds it");
    let second = session(&stage);
    wait_for(&stage, "waiting");
    drop(held);
    finish(second, &stage.events.next("claude"));
    fs::remove_file(&lock).expect("a file");
    fs::create_dir(&lock).expect("a directory");
    session(&stage).wait().expect(65);
    fs::remove_dir(&lock).expect("a directory");
    taken(&stage)
}

#[test]
fn keepers_take_only_documented_steps_and_nearly_all_of_them() {
    let scenarios = [
        ends_and_crashes("llamacpp"),
        ends_and_crashes("command"),
        fails(),
        gives_up("llamacpp"),
        gives_up("command"),
        meets("keeper-started"),
        meets("keeper-locked"),
        is_left_alone(),
        waits(),
    ];
    let walked: BTreeSet<Step> = scenarios.into_iter().flatten().collect();
    let documented = documented();
    assert!(walked.is_subset(&documented), "not documented: {:?}", walked.difference(&documented));
    let missed: BTreeSet<Step> = documented.difference(&walked).cloned().collect();
    let excused: BTreeSet<Step> = NOT_WALKED.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
    assert!(excused.is_subset(&documented), "excused, but not documented: {:?}", excused.difference(&documented));
    assert!(missed.is_subset(&excused), "not walked: {:?}", missed.difference(&excused));
}
