//! Without a configured model, lclaude offers the installed ones before it downloads anything.

use std::{fs, path::PathBuf};

use rustix::process::Signal;
use support::{Fake, Session, Stage, finish, json, messages, models::Head, terminal::Terminal};

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const WHICH: &str = "Which one? [1-4, Enter for 1, q to quit] ";
const KEEP: &str = "Use it from now on? [Y/n] ";

const GB: u64 = 1_000_000_000;
/// The graphics memory in MiB: 10 TiB, of which 1 TiB is free.
const GRAPHICS: (u64, u64) = (10 << 20, 1 << 20);

/// A stage with three models that a session can use, one that doesn't fit, and one that isn't known to call tools. The
/// default model can be downloaded.
fn stage() -> Stage {
    let stage = Stage::ollama();
    let store = stage.home().join(".ollama/models");
    fs::remove_dir_all(store.join("manifests")).expect("a directory");
    let models = ["qwen3-coder:30b", "gpt-oss:20b", "wide:400b", "vast:1b", "talker:1b"];
    let listed = models.map(|name| json!({"name": name}));
    let all: Vec<_> = listed
        .into_iter()
        .chain([
            json!({"name": "glm-4.7-flash:latest", "size": 1_000_000, "installed": false}),
            json!({"name": "gpt-oss:latest", "size": 1_000_000, "installed": false}),
        ])
        .collect();
    fs::write(store.join("fake-models.json"), json!(all).to_string()).expect("a file");
    let fill = |name: &str, head: Head, size: u64| stage.fill_sized(name, &head, size, "{{ .Tools }}", "{}");
    fill("gpt-oss:20b", Head::small(), 14 * GB);
    fill("qwen3-coder:30b", Head::small(), 19 * GB);
    // It is the largest, but it takes more than is free.
    fill("wide:400b", Head::small(), 2000 * GB);
    fill("vast:1b", Head::huge(), 100 * GB);
    let unknown = store.join("manifests/registry.ollama.ai/library/talker/1b");
    fs::create_dir_all(unknown.parent().expect("a directory")).expect("a directory");
    fs::write(unknown, "{}").expect("a file");
    fs::remove_file(stage.bin().join("nvidia-smi")).expect("a link");
    stage.graphics(GRAPHICS.0, GRAPHICS.1);
    stage
}

fn configuration(stage: &Stage) -> String {
    fs::read_to_string(stage.home().join(".config/lclaude/config.toml")).unwrap_or_default()
}

fn terminal(stage: &Stage, arguments: &[&str]) -> Terminal {
    Terminal::start(stage.lclaude(arguments))
}

#[track_caller]
fn answer(terminal: &mut Terminal, question: &str, keys: &str) {
    terminal.wait_for(question);
    terminal.type_in(keys);
}

/// Waits for a session with this model on Ollama, and ends it.
#[track_caller]
fn expect_session(stage: &Stage, terminal: Terminal, model: &str) -> String {
    stage.events.next("ollama");
    let claude = stage.events.next("claude");
    assert_uses(&claude, model);
    claude.send(json!({"do": "exit", "code": 0}));
    let shown = terminal.wait_to_the_end(0);
    stage.assert_nothing_left();
    shown
}

#[track_caller]
fn assert_uses(claude: &Fake, model: &str) {
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_SONNET_MODEL"], model);
}

/// Runs a help line as the user would paste it.
fn paste(stage: &Stage, line: &str) -> Session {
    let words = line.split("  #").next().expect("a command").split_whitespace().skip(1);
    Session::start(&mut stage.lclaude(&words.chain(["-p", "hello"]).collect::<Vec<_>>()))
}

#[track_caller]
fn first_help(stderr: &str) -> &str {
    stderr.lines().find_map(|line| line.trim().strip_prefix("help: ")).unwrap_or_else(|| panic!("{stderr}"))
}

#[test]
fn enter_takes_the_best_installed_model_and_saves_it() {
    messages!();
    let stage = stage();
    let mut terminal = terminal(&stage, &[]);
    terminal.wait_for(WHICH);
    messages::record("the choice", terminal.screen().join("\n"));
    assert_eq!(configuration(&stage), "");
    terminal.type_in("\n");
    terminal.wait_for("+ backend = \"ollama\"\r\n+ model = \"qwen3-coder:30b\"\r\n");
    answer(&mut terminal, KEEP, "\n");
    expect_session(&stage, terminal, "qwen3-coder:30b");
    assert_eq!(configuration(&stage), "backend = \"ollama\"\nmodel = \"qwen3-coder:30b\"\n");
    // The next session asks nothing.
    let again = Terminal::start(stage.lclaude(&[]));
    let shown = expect_session(&stage, again, "qwen3-coder:30b");
    assert!(!shown.contains("Which one?"), "{shown}");
}

#[test]
fn number_takes_that_model_and_no_uses_it_once() {
    let stage = stage();
    for no in ["n\n", CTRL_D] {
        let mut terminal = terminal(&stage, &[]);
        answer(&mut terminal, WHICH, "7\n");
        terminal.wait_for("invalid answer \"7\"");
        answer(&mut terminal, WHICH, "2\n");
        answer(&mut terminal, KEEP, no);
        expect_session(&stage, terminal, "gpt-oss:20b");
        assert_eq!(configuration(&stage), "");
    }
}

#[test]
fn last_entry_downloads_the_default_model() {
    let stage = stage();
    let mut terminal = terminal(&stage, &[]);
    terminal.wait_for("4  download glm-4.7-flash (18.5 GB)");
    answer(&mut terminal, WHICH, "4\n");
    let ollama = stage.events.next("ollama");
    ollama.wait_event("pull");
    let claude = stage.events.next("claude");
    assert_uses(&claude, "glm-4.7-flash:latest");
    claude.send(json!({"do": "exit", "code": 0}));
    let shown = terminal.wait_to_the_end(0);
    assert!(!shown.contains("Download it now?") && !shown.contains(KEEP), "{shown}");
}

#[test]
fn leaving_the_choice_starts_nothing() {
    let stage = stage();
    for keys in ["q\n", CTRL_D] {
        let mut terminal = terminal(&stage, &[]);
        answer(&mut terminal, WHICH, keys);
        let shown = terminal.wait_to_the_end(69);
        assert!(shown.contains("you chose none") && shown.contains("help: lclaude --model qwen3-coder:30b"), "{shown}");
    }
    for question in [WHICH, KEEP] {
        let mut terminal = terminal(&stage, &[]);
        if question == KEEP {
            answer(&mut terminal, WHICH, "\n");
        }
        answer(&mut terminal, question, CTRL_C);
        assert_eq!(terminal.wait_for_signal(), Some(Signal::INT.as_raw()));
    }
    assert_eq!(configuration(&stage), "");
    stage.assert_nothing_started();
}

#[test]
fn without_a_terminal_the_first_help_is_the_command_for_the_best_model() {
    messages!();
    let stage = stage();
    let ended = stage.output(&["-p", "hello"]).expect_failure(69);
    let help = first_help(&ended.stderr).to_owned();
    assert_eq!(help, "lclaude --model qwen3-coder:30b");
    stage.assert_nothing_started();
    let session = paste(&stage, &help);
    finish(session, &stage.events.next("claude"));

    // Options that were given are part of the command, and so is the program of `local run`.
    let run = ["local", "run", "--context", "70000", "--", "node", "a b"];
    stage.output(&run).expect_failure(69);
    stage.output(&["local", "serve"]).expect_failure(69);
}

#[test]
fn yes_uses_the_best_model_and_saves_nothing() {
    let stage = stage();
    let session = Session::start(&mut stage.lclaude(&["--yes", "-p", "hello"]));
    let claude = stage.events.next("claude");
    assert_uses(&claude, "qwen3-coder:30b");
    let ended = finish(session, &claude);
    assert!(ended.stderr.contains("using qwen3-coder:30b, the best installed model"), "{}", ended.stderr);
    assert_eq!(configuration(&stage), "");
}

#[test]
fn dry_run_says_what_a_session_would_ask() {
    let stage = stage();
    let ended = stage.output(&["--dry-run"]).expect(0);
    let asks = "would first ask which installed model to use: qwen3-coder:30b, gpt-oss:20b, wide:400b";
    assert!(ended.stderr.contains(asks), "{}", ended.stderr);
    stage.assert_nothing_started();
}

/// Adds a model to llama-server's cache, and returns its file.
fn with_llama_cpp(stage: &mut Stage, name: &str) -> PathBuf {
    let server = stage.bin().join("llama-server");
    if !server.exists() {
        stage.install("fake-llama-server", &server);
    }
    let hub = stage.root().join("hub");
    let (repository, quant) = name.split_once(':').expect("a quantization");
    let directory = format!("models--{}/snapshots/1", repository.replace('/', "--"));
    let file = hub.join(directory).join(format!("x-{quant}.gguf"));
    Head::small().write(&file);
    stage.set("HF_HUB_CACHE", hub.display());
    file
}

#[test]
fn models_of_all_backends_are_offered() {
    messages!();
    let mut stage = stage();
    stage.set("LCLAUDE_BACKEND", "");
    with_llama_cpp(&mut stage, "me/x-GGUF:Q8_0");
    let question = "Which one? [1-5, Enter for 1, q to quit] ";
    let mut terminal = terminal(&stage, &[]);
    terminal.wait_for(question);
    messages::record("the choice", terminal.screen().join("\n"));
    terminal.type_in("3\n");
    terminal.wait_for("+ backend = \"llamacpp\"\r\n+ model = \"me/x-GGUF:Q8_0\"\r\n");
    answer(&mut terminal, KEEP, "y\n");
    let server = stage.events.next("llama-server");
    assert!(server.argv.contains(&"me/x-GGUF:Q8_0".to_owned()), "{:?}", server.argv);
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "exit", "code": 0}));
    let shown = terminal.wait_to_the_end(0);
    assert!(!shown.contains("using ollama"), "{shown}");
    assert_eq!(configuration(&stage), "backend = \"llamacpp\"\nmodel = \"me/x-GGUF:Q8_0\"\n");
    // A backend that the user names is the only one.
    fs::remove_file(stage.home().join(".config/lclaude/config.toml")).expect("a file");
    let ended = stage.output(&["--backend", "llamacpp", "-p", "x"]).expect(69);
    assert_eq!(first_help(&ended.stderr), "lclaude --backend llamacpp --model me/x-GGUF:Q8_0");
    assert!(!ended.stderr.contains("qwen3-coder"), "{}", ended.stderr);
}

#[test]
fn picked_model_replaces_the_tiers_of_another_backend() {
    let mut stage = stage();
    stage.set("LCLAUDE_BACKEND", "");
    stage.config("[models]\nhaiku = \"gpt-oss:20b\"\n");
    with_llama_cpp(&mut stage, "me/x-GGUF:Q8_0");
    let mut terminal = terminal(&stage, &[]);
    answer(&mut terminal, "Which one? [1-5, Enter for 1, q to quit] ", "3\n");
    terminal.wait_for("- models.haiku = \"gpt-oss:20b\"\r\n");
    answer(&mut terminal, KEEP, "y\n");
    stage.events.next("llama-server");
    let claude = stage.events.next("claude");
    assert_uses(&claude, "me/x-GGUF:Q8_0");
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0);
    assert!(!configuration(&stage).contains("gpt-oss"), "{}", configuration(&stage));
    stage.output(&["--dry-run"]).expect(0);
}

#[test]
fn more_than_nine_models_can_be_chosen() {
    let stage = stage();
    for number in 1..=10 {
        stage.fill_sized(&format!("m{number}:1b"), &Head::small(), number * 1_000_000, "{{ .Tools }}", "{}");
    }
    let mut terminal = terminal(&stage, &[]);
    terminal.wait_for("\r\n  14  download glm-4.7-flash");
    answer(&mut terminal, "Which one? [1-14, Enter for 1, q to quit] ", "12\n");
    terminal.wait_for("+ model = \"m1:1b\"");
    answer(&mut terminal, KEEP, CTRL_C);
    assert_eq!(terminal.wait_for_signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn untrusted_project_cannot_cause_a_download() {
    let stage = stage();
    fs::write(stage.project().join(".lclaude.toml"), "backend = \"ollama\"\n").expect("a file");
    let mut stage = stage;
    stage.set("LCLAUDE_BACKEND", "");
    let mut chosen = terminal(&stage, &[]);
    answer(&mut chosen, "Which one? [1-3, Enter for 1, q to quit] ", "\n");
    let shown = expect_session(&stage, chosen, "qwen3-coder:30b");
    assert!(!shown.contains("download") && !shown.contains(KEEP), "{shown}");
    let ended = stage.output(&["-p", "x"]).expect(69);
    assert!(!ended.stderr.contains("--yes"), "{}", ended.stderr);

    fs::write(stage.project().join(".lclaude.toml"), "backend = \"ollama\"\nmodel = \"gpt-oss\"\n").expect("a file");
    let mut near = terminal(&stage, &[]);
    answer(&mut near, "Use gpt-oss:20b? [Y/n] ", "p\n");
    let shown = near.wait_to_the_end(77);
    assert!(shown.contains("help: lclaude --model gpt-oss:20b"), "{shown}");
    let mut near = terminal(&stage, &[]);
    answer(&mut near, "Use gpt-oss:20b? [Y/n] ", "\n");
    expect_session(&stage, near, "gpt-oss:20b");
}

const NEAR: &str = "Use gpt-oss:20b? [Y/n, p to pull gpt-oss:latest] ";

#[test]
fn near_miss_is_offered_before_a_download() {
    let stage = stage();
    for (is_option, keys, model) in
        [(true, "\n", "gpt-oss:20b"), (false, "y\n", "gpt-oss:20b"), (true, "p\n", "gpt-oss:latest")]
    {
        stage.config(if is_option { "" } else { "model = \"gpt-oss\"\n" });
        let options: &[&str] = if is_option { &["--model", "gpt-oss"] } else { &[] };
        let mut terminal = terminal(&stage, options);
        terminal.wait_for("lclaude: model gpt-oss:latest is not installed in Ollama\r\n");
        answer(&mut terminal, NEAR, keys);
        let shown = expect_session(&stage, terminal, model);
        assert!(!shown.contains("Download it now?"), "{shown}");
    }
}

#[test]
fn accepted_near_miss_shares_the_running_backend() {
    let stage = stage();
    let session = Session::start(&mut stage.lclaude(&["--model", "gpt-oss:20b", "-p", "hello"]));
    let first = stage.events.next("claude");
    let mut near = terminal(&stage, &["--model", "gpt-oss"]);
    answer(&mut near, NEAR, "\n");
    let second = stage.events.next("claude");
    assert_eq!(second.env["ANTHROPIC_BASE_URL"], first.env["ANTHROPIC_BASE_URL"]);
    second.send(json!({"do": "exit", "code": 0}));
    let shown = near.wait_to_the_end(0);
    assert!(!shown.contains("Download it now?"), "{shown}");
    finish(session, &first);
}

#[test]
fn declined_near_miss_starts_nothing() {
    messages!();
    let stage = stage();
    let run = ["--model", "gpt-oss", "-p", "hello"];
    for keys in ["n\n", CTRL_D] {
        let mut terminal = terminal(&stage, &run);
        answer(&mut terminal, NEAR, keys);
        let shown = terminal.wait_to_the_end(69);
        assert_eq!(first_help(&shown), "lclaude --model gpt-oss:20b");
    }
    let mut interrupted = terminal(&stage, &run);
    answer(&mut interrupted, NEAR, CTRL_C);
    assert_eq!(interrupted.wait_for_signal(), Some(Signal::INT.as_raw()));
    let ended = stage.output(&run).expect_failure(69);
    let help = first_help(&ended.stderr).to_owned();
    assert_eq!(help, "lclaude --model gpt-oss:20b");
    stage.assert_nothing_started();
    let session = paste(&stage, &help);
    finish(session, &stage.events.next("claude"));
}

#[test]
fn other_models_are_no_near_misses() {
    let stage = stage();
    let mut terminal = terminal(&stage, &["--model", "qwen3"]);
    answer(&mut terminal, "qwen3:latest is not installed. Download it now? [y/N] ", "n\n");
    let shown = terminal.wait_to_the_end(69);
    assert!(!shown.contains("Use qwen3"), "{shown}");
}

#[test]
fn yes_downloads_the_named_model_in_spite_of_a_near_miss() {
    let stage = stage();
    let session = Session::start(&mut stage.lclaude(&["--model", "gpt-oss", "--yes", "-p", "hello"]));
    let claude = stage.events.next("claude");
    assert_uses(&claude, "gpt-oss:latest");
    finish(session, &claude);
}

/// Headers are read only to offer models.
#[cfg(target_os = "linux")]
#[test]
fn ordinary_start_reads_no_other_models() {
    use rustix::fs::inotify;
    let mut stage = Stage::new();
    stage.ample_memory();
    let _own = with_llama_cpp(&mut stage, "me/x-GGUF:Q8_0");
    let other = with_llama_cpp(&mut stage, "me/y-GGUF:Q8_0");
    stage.config("backend = \"llamacpp\"\nmodel = \"me/x-GGUF:Q8_0\"\n");
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("a watch");
    inotify::add_watch(&watch, &other, inotify::WatchFlags::OPEN).expect("a file");
    let is_opened = || {
        let mut buffer = [0_u8; 256];
        rustix::io::read(&watch, &mut buffer).is_ok_and(|read| read > 0)
    };
    let session = Session::start(&mut stage.lclaude(&["-p", "hello"]));
    finish(session, &stage.events.next("claude"));
    assert!(!is_opened(), "a start with a configured model read another model");
    stage.config("backend = \"llamacpp\"\n");
    stage.output(&["-p", "hello"]).expect(69);
    assert!(is_opened(), "the watch doesn't work");
}

#[test]
fn backend_is_announced_once() {
    let mut stage = stage();
    stage.set("LCLAUDE_BACKEND", "");
    let start = |stage: &Stage, model: &str| {
        let terminal = Terminal::start(stage.lclaude(&["--model", model, "-p", "hello"]));
        stage.events.next("claude").send(json!({"do": "exit", "code": 0}));
        terminal.wait_to_the_end(0)
    };
    let note = "using ollama: it is installed and has gpt-oss:20b";
    // In a pipe nobody may have seen it.
    let session = Session::start(&mut stage.lclaude(&["--model", "gpt-oss:20b", "-p", "hello"]));
    assert!(finish(session, &stage.events.next("claude")).stderr.contains(note));
    assert!(start(&stage, "gpt-oss:20b").contains(note));
    assert!(!start(&stage, "gpt-oss:20b").contains("using ollama"));
    // Another reason is another note.
    assert!(start(&stage, "qwen3-coder:30b").contains("it is installed and has qwen3-coder:30b"));
    assert!(!start(&stage, "gpt-oss:20b").contains("using ollama"));
    let ended = stage.output(&["--dry-run", "--model", "gpt-oss:20b"]).expect(0);
    assert!(ended.stdout.contains(note), "{}", ended.stdout);
    // A throwaway session writes nothing to the home directory.
    fs::remove_file(stage.home().join(".local/state/lclaude/backends.json")).expect("a file");
    for _ in 0..2 {
        let session = Session::start(&mut stage.lclaude(&["--throwaway", "--model", "gpt-oss:20b", "-p", "hello"]));
        let ended = finish(session, &stage.events.next("claude"));
        assert!(ended.stderr.contains(note), "{}", ended.stderr);
    }
}

/// A stage with an LM Studio that isn't running, so that its models are known only once it is started.
fn lm_studio() -> Stage {
    let stage = Stage::lmstudio();
    let model = |key: &str, size: u64, tools: bool, installed: bool| {
        json!({"modelKey": key, "type": "llm", "sizeBytes": size, "trainedForToolUse": tools,
            "maxContextLength": 131_072, "installed": installed})
    };
    let models = json!([
        model("small", GB, true, true),
        model("qwen/qwen3-coder", 9 * GB, true, true),
        model("talker", 12 * GB, false, true),
        model("zai-org/glm-4.7-flash", GB, true, false),
        model("other/small", GB, true, false),
    ]);
    fs::write(stage.studio().join("models.json"), models.to_string()).expect("a file");
    stage
}

#[track_caller]
fn end_of_lm_studio(stage: &Stage, terminal: Terminal, model: &str) -> String {
    let claude = stage.events.next("claude");
    assert_uses(&claude, &format!("lclaude/{model}"));
    claude.send(json!({"do": "exit", "code": 0}));
    let shown = terminal.wait_to_the_end(0);
    stage.wait_for_nothing_left();
    shown
}

fn downloads(stage: &Stage) -> Vec<String> {
    stage.lms_commands().into_iter().filter(|line| line.starts_with("get")).collect()
}

#[test]
fn models_of_a_stopped_lm_studio_are_offered_once_it_runs() {
    let mut stage = lm_studio();
    let which = "Which one? [1-3, Enter for 1, q to quit] ";
    let mut chosen = terminal(&stage, &[]);
    chosen.wait_for("1  qwen/qwen3-coder  9.0 GB");
    chosen.wait_for("3  download zai-org/glm-4.7-flash");
    answer(&mut chosen, which, "2\n");
    answer(&mut chosen, KEEP, "y\n");
    end_of_lm_studio(&stage, chosen, "small");
    assert_eq!(configuration(&stage), "backend = \"lmstudio\"\nmodel = \"small\"\n");
    fs::remove_file(stage.home().join(".config/lclaude/config.toml")).expect("a file");

    for (keys, signal) in [("q\n", None), (CTRL_C, Some(Signal::INT.as_raw()))] {
        let mut left = terminal(&stage, &[]);
        answer(&mut left, which, keys);
        match signal {
            None => drop(left.wait_to_the_end(69)),
            signal => assert_eq!(left.wait_for_signal(), signal),
        }
        stage.wait_for_nothing_left();
    }
    let ended = stage.output(&["-p", "hello"]).expect(69);
    assert_eq!(first_help(&ended.stderr), "lclaude --model qwen/qwen3-coder");
    // Without the variable LM Studio has to be named, since another backend is found first.
    stage.install("fake-ollama", &stage.bin().join("ollama"));
    stage.set("LCLAUDE_BACKEND", "");
    let ended = stage.output(&["--backend", "lmstudio", "-p", "hello"]).expect(69);
    assert_eq!(first_help(&ended.stderr), "lclaude --backend lmstudio --model qwen/qwen3-coder");
    let session = Session::start(&mut stage.lclaude(&["--backend", "lmstudio", "--yes", "-p", "hello"]));
    let claude = stage.events.next("claude");
    assert_uses(&claude, "lclaude/qwen/qwen3-coder");
    finish(session, &claude);
    stage.wait_for_nothing_left();
    assert_eq!(downloads(&stage), Vec::<String>::new());
}

#[test]
fn near_miss_of_a_stopped_lm_studio_is_offered_once_it_runs() {
    messages!();
    let stage = lm_studio();
    // LM Studio can't download what isn't an exact key.
    let mut near = terminal(&stage, &["--model", "qwen3-coder"]);
    answer(&mut near, "Use qwen/qwen3-coder? [Y/n] ", "\n");
    end_of_lm_studio(&stage, near, "qwen/qwen3-coder");
    let mut pulled = terminal(&stage, &["--model", "other/small"]);
    answer(&mut pulled, "Use small? [Y/n, p to pull other/small] ", "p\n");
    end_of_lm_studio(&stage, pulled, "other/small");
    assert_eq!(downloads(&stage), ["get other/small -y"]);
    stage.output(&["--model", "qwen3-coder", "-p", "x"]).expect_failure(69);
    stage.wait_for_nothing_left();
}
