//! Random signals to any process, sessions that start while others stop, and many sessions at once: whatever happens,
//! untouched sessions go on and nothing is left.
//!
//! `shell/stress.sh SECONDS` runs it for longer, by setting `LCLAUDE_STRESS`. Each round prints its seed first;
//! `LCLAUDE_STRESS_SEED` starts with that one, which repeats the same signals. When they arrive may differ.

use std::{
    env,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use lclaude_fakes::events::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use support::{Fake, Session, Stage, Value, json, kill, turn, until};

/// How long each test runs if `LCLAUDE_STRESS` isn't set.
const SECONDS: u64 = 3;
/// Sessions that run at once in the tests of CI, and in long ones.
const MANY: [usize; 2] = [10, 100];
/// Processes that start and stop sessions at the same time.
const WORKERS: u64 = 4;

const SIGNALS: [Signal; 5] = [Signal::TERM, Signal::KILL, Signal::STOP, Signal::INT, Signal::HUP];
const ARGUMENTS: [&str; 6] = ["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "hello"];

/// Returns the number in a variable.
fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {text}")))
}

fn duration() -> Duration {
    Duration::from_secs(number("LCLAUDE_STRESS").unwrap_or(SECONDS))
}

/// Returns the seeds of the rounds until the time is over.
fn seeds() -> impl Iterator<Item = u64> {
    let now =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time after 1970").as_millis() as u64;
    let end = Instant::now() + duration();
    (number("LCLAUDE_STRESS_SEED").unwrap_or_else(now)..).take_while(move |_| Instant::now() < end)
}

/// A random number generator (`SplitMix64`), which gives the same numbers for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// The kinds of processes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Session,
    Keeper,
    Backend,
    Claude,
}

impl Who {
    /// Returns the kind of a process of a stage, from its `PID command`.
    fn of(process: &str) -> Option<(i32, Who)> {
        let (pid, line) = process.split_once(' ')?;
        let name = Path::new(line.split(' ').next()?).file_name()?.to_str()?;
        let who = match name {
            "lclaude" if line.contains(" local keep ") => Who::Keeper,
            "lclaude" => Who::Session,
            "llama-server" => Who::Backend,
            "claude" => Who::Claude,
            _ => return None,
        };
        Some((pid.parse().ok()?, who))
    }
}

/// One signal of a round.
#[derive(Debug)]
struct Hit {
    who: Who,
    signal: Signal,
    /// Which of the processes of this kind, modulo their number.
    which: usize,
    /// In milliseconds, afterwards.
    pause: u64,
    /// What a stopped process gets later.
    later: Signal,
}

/// What happens in a round.
#[derive(Debug)]
struct Round {
    sessions: usize,
    /// The signals begin after so many milliseconds; `None`: when all sessions are up.
    early: Option<usize>,
    hits: Vec<Hit>,
    /// How the sessions end; `None`: their Claude Code does, and then they.
    end: Option<Signal>,
}

impl Round {
    fn of(seed: u64) -> Self {
        let random = &mut Random(seed);
        let hit = |random: &mut Random| Hit {
            who: random.one_of(&[Who::Session, Who::Keeper, Who::Backend, Who::Claude]),
            signal: random.one_of(&SIGNALS),
            which: random.below(1000),
            pause: random.one_of(&[0, 5, 50, 200]),
            later: random.one_of(&[Signal::CONT, Signal::KILL]),
        };
        Round {
            sessions: random.one_of(&[1, 1, 2, 3]),
            early: random.one_of(&[true, true, false, false, false]).then(|| random.below(120)),
            hits: (0..random.one_of(&[1, 1, 2, 3])).map(|_| hit(random)).collect(),
            end: random.one_of(&[Some(Signal::TERM), Some(Signal::KILL), Some(Signal::HUP), None]),
        }
    }
}

/// Stopped processes, which continue when a test fails.
#[derive(Default)]
struct Stopped(Vec<(i32, Signal)>);

impl Drop for Stopped {
    fn drop(&mut self) {
        for (pid, _) in &self.0 {
            send(*pid, Signal::CONT);
        }
    }
}

/// Sends a signal, and returns whether the process was there.
fn send(pid: i32, signal: Signal) -> bool {
    kill_process(Pid::from_raw(pid).expect("a PID is positive"), signal).is_ok()
}

fn session(stage: &Stage) -> Session {
    Session::start(&mut stage.lclaude(&ARGUMENTS))
}

#[test]
fn random_signals_harm_no_other_session_and_leave_nothing() {
    let stage = Stage::new();
    let (mut signals, mut slowest) = (0, Duration::ZERO);
    for seed in seeds() {
        let round = Round::of(seed);
        println!("LCLAUDE_STRESS_SEED={seed}: {round:?}");
        let mut sessions: Vec<Session> = (0..round.sessions).map(|_| session(&stage)).collect();
        let claudes: Vec<Fake> = match round.early {
            None => sessions.iter().map(|_| stage.events.next("claude")).collect(),
            Some(milliseconds) => {
                thread::sleep(Duration::from_millis(milliseconds as u64));
                Vec::new()
            }
        };
        let (count, touched) = hit(&stage, &round, &sessions, &claudes);
        signals += count;

        for claude in &claudes {
            let at = sessions.iter().position(|session| session.pid() == claude.ppid).expect("its session");
            if !touched.contains(&claude.ppid) && !touched.contains(&claude.pid) {
                let is_running = sessions[at].is_running();
                assert!(is_running, "nobody touched it, but it has ended: {:#?}", sessions.swap_remove(at).wait());
                turn(claude);
            }
        }
        let start = Instant::now();
        end(&stage, &round, sessions);
        slowest = slowest.max(start.elapsed());
        clean_up(&stage);
    }
    println!("{signals} signals; the slowest end took {slowest:.1?}");
}

/// Sends the signals of a round, and returns how many, and the processes that got one, except those that were only
/// stopped for a while.
fn hit(stage: &Stage, round: &Round, sessions: &[Session], claudes: &[Fake]) -> (u32, Vec<i32>) {
    let (mut count, mut touched, mut stopped) = (0, Vec::new(), Stopped::default());
    for hit in &round.hits {
        let own = |pid: &i32| match hit.who {
            // Not one that is about to become a Claude Code.
            Who::Session => sessions.iter().any(|session| session.pid() == *pid),
            Who::Claude => round.early.is_some() || claudes.iter().any(|claude| claude.pid == *pid),
            Who::Keeper | Who::Backend => true,
        };
        let found = stage.running_commands();
        let found = found.iter().filter_map(|process| Who::of(process)).filter(|(_, who)| *who == hit.who);
        let mut found: Vec<i32> = found.map(|(pid, _)| pid).filter(own).collect();
        found.retain(|pid| !stopped.0.iter().any(|(stopped, _)| stopped == pid));
        if !found.is_empty() {
            let pid = found[hit.which % found.len()];
            if send(pid, hit.signal) {
                count += 1;
                if hit.signal == Signal::STOP {
                    stopped.0.push((pid, hit.later));
                } else {
                    touched.push(pid);
                }
            }
        }
        thread::sleep(Duration::from_millis(hit.pause));
    }
    for (pid, later) in std::mem::take(&mut stopped.0) {
        send(pid, later);
        if later == Signal::KILL {
            touched.push(pid);
        }
    }
    (count, touched)
}

/// Ends the sessions and waits until all processes are gone.
fn end(stage: &Stage, round: &Round, mut sessions: Vec<Session>) {
    if round.end.is_none() {
        let claudes = stage.running_commands().iter().filter_map(|process| Who::of(process)).collect::<Vec<_>>();
        for (pid, _) in claudes.into_iter().filter(|(_, who)| *who == Who::Claude) {
            send(pid, Signal::TERM);
        }
    }
    for session in &mut sessions {
        if session.is_running() {
            session.signal(round.end.unwrap_or(Signal::TERM));
        }
    }
    wait_until_gone(stage, &mut sessions);
}

/// Waits until the sessions have exited and no process of the stage is left.
fn wait_until_gone(stage: &Stage, sessions: &mut [Session]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Reaps those that have exited.
        let running = sessions.iter_mut().map(Session::is_running).filter(|is_running| *is_running).count();
        let left = stage.running_commands();
        if running == 0 && left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "still running: {left:#?}");
        thread::sleep(Duration::from_millis(2));
    }
    drop(stage.events.rest());
}

/// Fails if private files are left after a next session, which removes what two kills at once left.
fn clean_up(stage: &Stage) {
    let private = || [stage.runtime_sessions(), stage.runtime_files("sock"), stage.runtime_files("preset")].concat();
    if !private().is_empty() {
        let mut next = stage.lclaude(&ARGUMENTS);
        stage.ended(next.env_remove("FAKE_EVENTS")).expect(0);
        assert!(private().is_empty(), "the next session left {:#?}", private());
    }
}

#[test]
fn sessions_that_start_while_others_stop_all_succeed() {
    let stage = Stage::new();
    let end = Instant::now() + duration();
    let seed = seeds().next().expect("the time isn't over");
    println!("LCLAUDE_STRESS_SEED={seed}");
    let work = |mut command: Command, mut random: Random| {
        let mut count = 0;
        while Instant::now() < end {
            let mut session = Session::start(&mut command);
            until("the session has ended", || !session.is_running());
            session.wait().expect(0);
            count += 1;
            thread::sleep(Duration::from_millis(random.one_of(&[0, 2, 10, 30])));
        }
        count
    };
    let count: u32 = thread::scope(|scope| {
        let workers = (0..WORKERS).map(|worker| {
            let mut command = stage.lclaude(&ARGUMENTS);
            command.env_remove("FAKE_EVENTS");
            scope.spawn(move || work(command, Random(seed + worker)))
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().map(|worker| worker.join().expect("all sessions succeed")).sum()
    });
    println!("{count} sessions");
    stage.wait_for_nothing_left();
}

#[test]
fn many_sessions_share_a_backend_and_survive_their_keeper() {
    let is_long = number("LCLAUDE_STRESS").is_some();
    let count = MANY[usize::from(is_long)];
    for seed in seeds().take(if is_long { 3 } else { 1 }) {
        println!("LCLAUDE_STRESS_SEED={seed}: {count} sessions");
        let random = &mut Random(seed);
        let stage = Stage::new();
        let start = Instant::now();
        let mut sessions: Vec<Session> = (0..count).map(|_| session(&stage)).collect();
        let claudes: Vec<Fake> = sessions.iter().map(|_| stage.events.next("claude")).collect();
        println!("up after {:.1?}", start.elapsed());
        let before = backend(&stage);
        assert_eq!(before["sessions"].as_array().map(Vec::len), Some(count), "{before:#}");

        kill(before["keeper"].as_i64().and_then(|pid| pid.try_into().ok()).expect("a PID"), Signal::KILL);
        let start = Instant::now();
        claudes.iter().for_each(turn);
        println!("all sessions got an answer after {:.1?}", start.elapsed());
        until("all sessions use the new keeper", || {
            backend(&stage)["sessions"].as_array().is_some_and(|sessions| sessions.len() == count)
        });
        println!("all use the new keeper after {:.1?}", start.elapsed());
        let after = backend(&stage);
        assert_ne!(after["keeper"], before["keeper"]);
        assert_eq!((&after["url"], &after["state"]), (&before["url"], &json!("ready")), "{after:#}");
        assert!(sessions.iter_mut().all(Session::is_running));

        let start = Instant::now();
        for session in &sessions {
            session.signal(random.one_of(&[Signal::TERM, Signal::KILL, Signal::HUP]));
        }
        wait_until_gone(&stage, &mut sessions);
        println!("gone after {:.1?}", start.elapsed());
        clean_up(&stage);
    }
}

/// Returns the report about the only backend.
fn backend(stage: &Stage) -> Value {
    let shown = stage.output(&["local", "status", "--json"]).expect(0).stdout;
    let status: Value = serde_json::from_str(&shown).expect("JSON");
    let [backend] = &status["backends"].as_array().expect("an array")[..] else {
        panic!("not one backend: {status:#}")
    };
    backend.clone()
}
