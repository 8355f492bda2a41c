//! The warm start with the real Claude Code and the real llama-server: what a session reuses of earlier ones', and what
//! becomes of a snapshot that can't be used.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use lclaude_fakes::scripted_model::{self, Script, Shape, Weights};
use rustix::process::Signal;
use support::{Session, Stage, Value, json, kill, machine::needs_root, plain_server::PlainServer, real};

const ANSWER: &str = "A short answer.";
/// A word of the user's, and one of the project's CLAUDE.md. Neither may be on the disk after a session.
const SECRET: &str = "quetzalcoatlus";
const OF_THE_PROJECT: &str = "kaleidoscopic";

/// Answers every request with a short text.
fn script(shape: Shape) -> Script {
    Script { act: vec!["A short ".into(), "answer.".into()], shape, ..Script::default() }
}

fn stage(shape: Shape) -> Option<Stage> {
    real::stage(&script(shape))
}

/// What a session's only request used of the server's cache.
#[derive(Debug)]
struct Turn {
    answer: String,
    read: u64,
    reused: u64,
}

impl Turn {
    /// Whether the server read no more than a tenth of the prompt.
    fn is_warm(&self) -> bool {
        self.read * 10 <= self.read + self.reused
    }
}

/// Returns the command for a session with one tool, whose prompt has about 3,000 tokens.
fn session(stage: &Stage, more: &[&str]) -> Command {
    let mut command = stage.lclaude(&["--backend", "llamacpp", "--model"]);
    command.arg(stage.model()).args(more);
    command.args(["-p", SECRET, "--output-format", "json", "--tools", "Bash"]);
    command
}

/// Runs a session to its end.
#[track_caller]
fn run(stage: &Stage, command: Command) -> Turn {
    turn(&stage.run(command).expect(0).stdout)
}

#[track_caller]
fn turn(stdout: &str) -> Turn {
    let result: Value = serde_json::from_str(stdout).expect("JSON");
    let usage = |name: &str| result["usage"][name].as_u64().unwrap_or_else(|| panic!("{name}: {result:#}"));
    let answer = result["result"].as_str().expect("a text").to_owned();
    Turn { answer, read: usage("input_tokens"), reused: usage("cache_read_input_tokens") }
}

/// Runs sessions until there is a snapshot: one shows what a prompt starts with, and the next one saves it at the latest.
#[track_caller]
fn save(stage: &Stage) {
    for _ in 0..2 {
        if slots(stage).is_empty() {
            assert_eq!(run(stage, session(stage, &[])).answer, ANSWER);
        }
    }
    assert!(!slots(stage).is_empty(), "{:#?}", files(stage));
}

/// Removes the snapshots, but not what is known about the prompts.
fn forget(stage: &Stage) {
    let is_snapshot = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "slot" || ending == "snapshot");
    for file in files(stage).iter().filter(|file| is_snapshot(file)) {
        fs::remove_file(file).expect("it can be removed");
    }
}

/// Returns the files of the store.
fn files(stage: &Stage) -> Vec<PathBuf> {
    let entries = fs::read_dir(stage.warm()).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.collect()
}

/// Returns the store's files that a server wrote.
fn slots(stage: &Stage) -> Vec<PathBuf> {
    files(stage).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "slot")).collect()
}

#[test]
fn second_session_reuses_the_prompt_of_the_first() {
    for shape in [Shape::Full, Shape::Mla, Shape::Hybrid] {
        let Some(stage) = stage(shape) else { return };
        save(&stage);
        let warm = run(&stage, session(&stage, &[]));
        assert!(warm.answer == ANSWER && warm.is_warm(), "{shape:?}: {warm:?}");
        // The server's log says the same.
        let log = fs::read_to_string(stage.logs().pop().expect("a log")).expect("the log");
        let last = log.lines().rfind(|line| line.contains("prompt eval time")).expect("a line about the prompt");
        assert!(last.contains(&format!("/ {:>5} tokens", warm.read)), "{shape:?}: {last} and {warm:?}");
        stage.assert_nothing_left();
    }
}

/// The answers are nonsense, but every token of the prompt decides about them.
#[test]
fn snapshot_gives_the_same_probabilities_as_a_prompt_in_memory() {
    for shape in [Shape::Full, Shape::Mla, Shape::Hybrid] {
        let Some(stage) = real::stage(&Script { weights: Weights::Random(7), ..script(shape) }) else { return };
        // Claude Code waits without end for an answer whose first token ends it.
        stage.config("[claude]\nmax_output_tokens = 8\n[llamacpp]\nargs = [\"--ignore-eos\"]\n");
        for _ in 0..2 {
            // Claude Code doesn't like an answer that is cut.
            stage.run(session(&stage, &[]));
        }
        let [file] = &slots(&stage)[..] else { panic!("{shape:?}: {:#?}", files(&stage)) };
        let saved = tokens(&fs::read(file).expect("a snapshot")).expect("a slot's file");
        let start = || {
            let place = format!("{}/", stage.warm().display());
            PlainServer::start(&stage, &stage.model(), &["--slot-save-path", &place])
        };

        let server = start();
        let more = server.post("/tokenize", &json!({"content": "Describe the project."}))["tokens"].clone();
        let whole: Vec<Value> =
            saved.iter().map(|token| json!(token)).chain(more.as_array().expect("tokens").clone()).collect();
        server.post("/completion", &json!({"prompt": saved, "n_predict": 0, "cache_prompt": true}));
        let (from_memory, reused) = server.first_token(&whole);
        assert_eq!(reused, saved.len() as u64, "{shape:?}");
        drop(server);

        let server = start();
        server.slot("restore", file.file_name().expect("a name").to_str().expect("text"));
        let (restored, reused) = server.first_token(&whole);
        assert_eq!(reused, saved.len() as u64, "{shape:?}");
        for (one, other) in candidates(&restored).zip(candidates(&from_memory)) {
            // lclaude's server read the prompt in other batches, so sums are rounded differently.
            assert!(one.0 == other.0 && (one.1 - other.1).abs() < 0.01, "{shape:?}: {restored} and {from_memory}");
        }
    }
}

/// Returns the ids and log-probabilities of the candidates for a token.
fn candidates(best: &Value) -> impl Iterator<Item = (i64, f64)> {
    let candidate = |it: &Value| Some((it["id"].as_i64()?, it["logprob"].as_f64()?));
    best.as_array().expect("candidates").iter().map(move |it| candidate(it).expect("an id and a number"))
}

#[test]
fn sliding_windows_leave_no_snapshot() {
    let Some(stage) = stage(Shape::Sliding) else { return };
    for _ in 0..2 {
        assert_eq!(run(&stage, session(&stage, &[])).answer, ANSWER);
    }
    assert!(slots(&stage).is_empty(), "{:#?}", files(&stage));
}

#[test]
fn another_project_reuses_what_both_have_in_common() {
    let Some(stage) = stage(Shape::Tiny) else { return };
    save(&stage);
    let other = stage.root().join("other");
    fs::create_dir(&other).expect("a directory");
    fs::write(other.join("CLAUDE.md"), "This project is another one.").expect("a file");
    let mut command = session(&stage, &[]);
    command.current_dir(&other);
    let first = run(&stage, command);
    assert_eq!(first.answer, ANSWER);
    assert!(first.reused > 0, "{first:?}");
}

#[test]
fn template_with_the_system_prompt_first_gets_a_right_answer_in_every_project() {
    let Some(stage) = real::stage(&script(Shape::Tiny).system_first()) else { return };
    save(&stage);
    for name in ["one", "two", "one"] {
        let project = stage.root().join(name);
        fs::create_dir_all(&project).expect("a directory");
        let mut command = session(&stage, &[]);
        command.current_dir(&project);
        assert_eq!(run(&stage, command).answer, ANSWER);
    }
}

#[test]
fn another_model_under_the_same_name_reuses_nothing_of_the_snapshot() {
    let Some(stage) = stage(Shape::Tiny) else { return };
    save(&stage);
    let [first] = &slots(&stage)[..] else { panic!("{:#?}", files(&stage)) };
    let mut other = script(Shape::Tiny);
    other.act = vec!["Another ".into(), "model.".into()];
    scripted_model::write(&stage.model(), &other).expect("the model is written");
    assert_eq!(run(&stage, session(&stage, &[])).answer, "Another model.");
    // It got a snapshot of its own, or none yet.
    assert!(slots(&stage).contains(first), "{:#?}", files(&stage));
    let logs = stage.logs().iter().map(|log| fs::read_to_string(log).expect("a log")).collect::<String>();
    let name = first.file_name().expect("a name").to_str().expect("text");
    assert!(logs.matches(name).count() <= 1, "{logs}");
}

/// Each damage is noticed before the server reads the file.
#[test]
fn damaged_snapshot_is_removed_and_the_session_starts_cold() {
    let Some(stage) = stage(Shape::Tiny) else { return };
    for damage in ["cut short", "one bit flipped", "replaced", "a link"] {
        save(&stage);
        let [file] = &slots(&stage)[..] else { panic!("{damage}: {:#?}", files(&stage)) };
        let mut content = fs::read(file).expect("a snapshot");
        match damage {
            "cut short" => content.truncate(content.len() / 2),
            "one bit flipped" => *content.last_mut().expect("it isn't empty") ^= 1,
            "replaced" => content = b"not a snapshot at all".to_vec(),
            _ => {
                let elsewhere = file.with_file_name("elsewhere");
                fs::rename(file, &elsewhere).expect("it is ours");
                std::os::unix::fs::symlink(elsewhere, file).expect("a link");
            }
        }
        if !file.is_symlink() {
            fs::write(file, content).expect("it is ours");
        }
        assert_eq!(run(&stage, session(&stage, &[])).answer, ANSWER, "{damage}");
        assert!(!slots(&stage).contains(file), "{damage}: {:#?}", files(&stage));
        for file in files(&stage) {
            fs::remove_file(file).expect("it is ours");
        }
    }
}

#[test]
fn full_disk_leaves_no_snapshot_and_no_message() {
    if !needs_root() {
        return;
    }
    let Some(stage) = stage(Shape::Full) else { return };
    let disk = SmallDisk::mount(&stage.cache());
    for _ in 0..2 {
        let ended = stage.run(session(&stage, &[])).expect(0);
        assert_eq!(turn(&ended.stdout).answer, ANSWER);
        assert!(!ended.stderr.contains("snapshot"), "{}", ended.stderr);
    }
    assert!(slots(&stage).is_empty(), "{:#?}", files(&stage));
    drop(disk);
}

/// A file system with room for half a megabyte, less than a snapshot needs. Dropping it unmounts it.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(place: &Path) -> Self {
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs"]).arg(place).status();
        assert!(mount.expect("mount runs").success());
        SmallDisk(place.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Two keepers of the same plan, which know nothing of each other.
#[test]
fn two_sessions_that_save_the_same_snapshot_leave_one() {
    let Some(stage) = stage(Shape::Tiny) else { return };
    assert_eq!(run(&stage, session(&stage, &[])).answer, ANSWER);
    forget(&stage);
    let other = stage.root().join("run2");
    fs::create_dir(&other).expect("a directory");
    let sessions = [stage.root().join("run"), other].map(|runtime| {
        let mut command = session(&stage, &[]);
        command.env("XDG_RUNTIME_DIR", runtime);
        Session::start(&mut command)
    });
    for session in sessions {
        assert_eq!(turn(&session.wait().expect(0).stdout).answer, ANSWER);
    }
    assert_eq!(slots(&stage).len(), 1, "{:#?}", files(&stage));
    assert!(run(&stage, session(&stage, &[])).is_warm());
}

/// Claude Code's request comes while the server reads ahead, and waits behind the saving. llama-server itself would leave it
/// there.
#[test]
fn request_that_waits_while_a_snapshot_is_saved_is_answered() {
    let Some(stage) = stage(Shape::Full) else { return };
    assert_eq!(run(&stage, session(&stage, &[])).answer, ANSWER);
    for _ in 0..3 {
        forget(&stage);
        let turn = run(&stage, session(&stage, &[]));
        assert!(turn.answer == ANSWER && turn.is_warm(), "{turn:?}");
        assert_eq!(slots(&stage).len(), 1, "{:#?}", files(&stage));
    }
}

#[test]
fn keeper_killed_while_it_saves_leaves_no_half_snapshot() {
    for point in ["warm-begun", "warm-checked", "warm-replaced"] {
        let Some(mut stage) = stage(Shape::Tiny) else { return };
        assert_eq!(run(&stage, session(&stage, &[])).answer, ANSWER);
        forget(&stage);
        let armed = stage.trap(point);
        fs::write(&armed, "").expect("a file");
        let saving = Session::start(&mut session(&stage, &[]));
        let keeper = stage.caught(&armed);
        assert_eq!(keeper, stage.keeper(), "{point}");
        kill(keeper, Signal::KILL);
        // Whatever Claude Code was doing, it goes on with the server that the next keeper starts.
        assert_eq!(turn(&saving.wait().expect(0).stdout).answer, ANSWER, "{point}");
        stage.unset("STOP_LCLAUDE_AT");
        for _ in 0..2 {
            assert_eq!(run(&stage, session(&stage, &[])).answer, ANSWER, "{point}");
        }
        let slots = slots(&stage);
        assert_eq!(slots.len(), 1, "{point}: {:#?}", files(&stage));
        assert!(run(&stage, session(&stage, &[])).is_warm(), "{point}");
    }
}

/// llama-server aborts at a file that is cut short, here after lclaude has verified it.
#[test]
fn server_that_dies_at_a_restore_is_started_again_without() {
    let Some(mut stage) = stage(Shape::Tiny) else { return };
    save(&stage);
    let armed = stage.trap("snapshot-verified");
    fs::write(&armed, "").expect("a file");
    let restoring = Session::start(&mut session(&stage, &[]));
    let keeper = stage.caught(&armed);
    let [slot] = &slots(&stage)[..] else { panic!("{:#?}", files(&stage)) };
    let file = fs::OpenOptions::new().write(true).open(slot).expect("a snapshot");
    let length = file.metadata().expect("its length").len();
    file.set_len(length / 2).expect("it can be cut");
    kill(keeper, Signal::CONT);
    let ended = restoring.wait().expect(0);
    assert_eq!(turn(&ended.stdout).answer, ANSWER);
    assert!(!slot.exists(), "{:#?}", files(&stage));
    stage.unset("STOP_LCLAUDE_AT");
    save(&stage);
    assert!(run(&stage, session(&stage, &[])).is_warm());
}

#[test]
fn sessions_without_a_warm_start_write_nothing() {
    let Some(stage) = stage(Shape::Tiny) else { return };
    for _ in 0..2 {
        run(&stage, session(&stage, &["--throwaway"]));
    }
    assert!(!stage.warm().exists(), "{:#?}", files(&stage));
    stage.config("[warm]\nenabled = false\n");
    for _ in 0..2 {
        run(&stage, session(&stage, &[]));
    }
    assert!(!stage.warm().exists(), "{:#?}", files(&stage));
}

#[test]
fn nothing_that_the_user_wrote_is_kept() {
    let Some(stage) = stage(Shape::Tiny) else { return };
    fs::write(stage.project().join("CLAUDE.md"), format!("Always be {OF_THE_PROJECT}.")).expect("a file");
    save(&stage);
    run(&stage, session(&stage, &[]));
    let server = PlainServer::start(&stage, &stage.model(), &[]);
    let kept = files(&stage);
    assert!(kept.len() >= 2, "{kept:#?}");
    for file in kept {
        assert_eq!(fs::metadata(&file).expect("a file").mode() & 0o777, 0o600, "{}", file.display());
        let content = fs::read(&file).expect("a file");
        let mut text = String::from_utf8_lossy(&content).into_owned();
        if let Some(tokens) = tokens(&content) {
            text =
                server.post("/detokenize", &json!({"tokens": tokens}))["content"].as_str().expect("a text").to_owned();
            assert!(text.contains("Bash"), "{text}");
        }
        for word in [SECRET, OF_THE_PROJECT] {
            assert!(!text.contains(word), "{word} is in {}: {text}", file.display());
        }
    }
}

/// Returns the tokens of a prompt whose cache llama-server saved (version 4): a header of three numbers of 32 bits (magic,
/// version, count), then as many, of which the third is the number of tokens that follow it.
fn tokens(content: &[u8]) -> Option<Vec<i32>> {
    let mut numbers = content.chunks_exact(4).map(|bytes| i32::from_le_bytes(bytes.try_into().expect("four bytes")));
    let (_magic, version) = (numbers.next()?, numbers.next()?);
    let is_known = version == 4 && content.starts_with(b"qsgg");
    let count = numbers.nth(3).filter(|_| is_known)?;
    Some(numbers.take(count.try_into().ok()?).collect())
}
