//! lclaude checks that a model fits in memory before it downloads or loads it, and suggests settings that fit. The user
//! can disable the check.

use std::fs;

use lclaude_fakes::scripted_model::Script;
use support::{
    Session, Stage, Value, finish, messages,
    models::{ENOUGH, Head},
    real,
};

/// Graphics memory in MiB, slightly too small for the huge model.
const TOO_LITTLE: u64 = 20 * 1024 * 1024;

/// A stage whose model needs more memory than any machine has.
fn huge() -> Stage {
    let stage = Stage::new();
    Head::huge().write(&stage.model());
    stage
}

#[test]
fn model_that_cannot_fit_is_rejected_with_figures() {
    messages!();
    let stage = huge();
    let ended = stage.output(&["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "x"]);
    ended.expect_failure(69);
    stage.assert_nothing_started();
}

#[test]
fn dry_run_shows_memory_use_and_verdict() {
    messages!();
    let stage = huge();
    let run = |arguments: &[&str]| {
        let all = [&["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run"], arguments].concat();
        stage.output(&all).expect(0).record().stdout
    };
    run(&[]);
    stage.config("memory_check = false\n");
    messages::note("memory_check = false");
    run(&[]);
    Head::small().write(&stage.model());
    messages::note("a small model");
    run(&["--context", "32768"]);
    let said = run(&["--context", "200000"]);
    assert!(said.contains("+ CLAUDE_CODE_MAX_CONTEXT_TOKENS=131072"), "{said}");
    stage.assert_nothing_started();
}

#[test]
fn projector_and_draft_model_need_memory_too() {
    let stage = huge();
    Head::small().write(&stage.model());
    let estimate = |more: &str| {
        stage.config(&format!("[llamacpp]\n{more}"));
        let run = ["--backend", "llamacpp", "--model", "tiny.gguf", "--dry-run", "-p", "x"];
        let shown = stage.output(&run).expect(0).stdout;
        let line = shown.lines().find(|line| line.contains(" about ")).expect("the estimate").trim();
        // What is free changes while tests run.
        line.split("; ").next().unwrap_or_default().to_owned()
    };
    let cache = |line: &str| line.split_once("KV cache ").expect("a size").1.split(" (").next().map(str::to_owned);
    let alone = estimate("");
    assert!(alone.starts_with("tiny takes ") && alone.contains("weights 1 kB"), "{alone}");
    let project = stage.project();
    fs::write(project.join("mmproj.gguf"), [b"GGUF".to_vec(), vec![0; 5_000_000]].concat()).expect("a file");
    let projector = estimate(&format!("mmproj = '{}'\n", project.join("mmproj.gguf").display()));
    assert!(projector.contains("weights 5 MB") && cache(&projector) == cache(&alone), "{projector}");
    Head::small().write(&project.join("draft.gguf"));
    let draft = estimate(&format!("draft_model = '{}'\n", project.join("draft.gguf").display()));
    assert!(draft.starts_with("tiny and its draft model take ") && cache(&draft) != cache(&alone), "{draft}");
    // What is on the graphics card and what isn't has to be somewhere.
    assert_eq!(estimate("n_cpu_moe = 10\n"), alone);
}

#[test]
fn memory_check_can_be_disabled() {
    let stage = huge();
    stage.config("memory_check = false\n");
    let (session, claude, _backend) = stage.running();
    let ended = finish(session, &claude);
    assert!(!ended.stderr.contains("memory"), "{}", ended.stderr);
}

#[test]
fn graphics_memory_adds_to_main_memory() {
    let stage = huge();
    stage.graphics(ENOUGH, ENOUGH);
    let (session, claude, _backend) = stage.running();
    let ended = finish(session, &claude);
    assert!(!ended.stderr.contains("memory"), "{}", ended.stderr);
}

#[test]
fn memory_used_by_others_causes_only_a_warning() {
    messages!();
    let stage = huge();
    stage.graphics(ENOUGH, 1);
    let (session, claude, _backend) = stage.running();
    let said = finish(session, &claude).record().stderr;
    assert!(
        said.contains("lclaude: warning: ") && said.contains("1 MB of 70.4 TB") && said.contains("help: "),
        "{said}"
    );
}

#[test]
fn suggested_settings_fit() {
    messages!();
    let stage = huge();
    stage.graphics(TOO_LITTLE, TOO_LITTLE);
    stage.session(&["-p", "x"]).wait().expect_failure(69);
    stage.assert_nothing_started();
    let (session, claude, _backend) = stage.started(
        stage.lclaude(&["--backend", "llamacpp", "--model", "tiny.gguf", "--context", "32768"]).args(["-p", "x"]),
    );
    finish(session, &claude);
    stage.config("[llamacpp]\ncache_type_k = \"q8_0\"\ncache_type_v = \"q8_0\"\n");
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
}

#[test]
fn running_backend_is_not_checked_again() {
    messages!();
    let stage = huge();
    stage.config("memory_check = false\n");
    let (first, first_claude, _backend) = stage.running();
    stage.config("");
    stage.graphics(1, 1);
    let (second, second_claude) = stage.joining();
    assert!(!stage.graphics_were_asked());
    let said = finish(second, &second_claude).stderr;
    assert!(!said.contains("memory"), "{said}");
    finish(first, &first_claude);
    // Once the backend has stopped, the next start is checked again.
    stage.session(&["-p", "x"]).wait().expect_failure(69);
    assert!(stage.graphics_were_asked());
}

#[test]
fn graphics_tool_is_not_run_if_main_memory_suffices() {
    let stage = Stage::new();
    Head::small().write(&stage.model());
    stage.config("[llamacpp]\nargs = [\"--cache-ram\", \"0\"]\n");
    stage.graphics(1, 1);
    let (session, claude, _backend) = stage.running();
    finish(session, &claude);
    assert!(!stage.graphics_were_asked());
}

#[test]
fn unreadable_model_header_is_left_to_the_server() {
    let stage = Stage::new();
    let whole = {
        Head::huge().write(&stage.model());
        fs::read(stage.model()).expect("a file")
    };
    for content in [&whole[..whole.len() / 2], b"GGUF"] {
        fs::write(stage.model(), content).expect("a file");
        let (session, claude, _backend) = stage.running();
        let said = finish(session, &claude).stderr;
        assert!(!said.contains("memory"), "{said}");
    }
}

#[test]
fn prompt_cache_is_limited_unless_the_user_sets_a_limit() {
    let stage = Stage::new();
    let (session, claude, backend) = stage.running();
    let limit = |arguments: &[String]| {
        let at = arguments.iter().position(|argument| argument == "--cache-ram");
        at.map(|at| arguments[at + 1].parse::<u64>().expect("a number"))
    };
    // With 64 GiB or more, llama-server keeps its default of 8 GiB.
    assert!(limit(&backend.argv).is_none_or(|limit| (256..8192).contains(&limit)), "{:?}", backend.argv);
    finish(session, &claude);
    stage.config("[llamacpp]\nargs = [\"--cache-ram\", \"123\"]\n");
    let (session, claude, backend) = stage.running();
    assert_eq!(limit(&backend.argv), Some(123));
    assert_eq!(backend.argv.iter().filter(|argument| *argument == "--cache-ram").count(), 1);
    finish(session, &claude);
}

#[test]
fn ollama_model_is_checked_by_its_file_in_the_store() {
    messages!();
    let stage = Stage::ollama();
    stage.fill("small:latest", &Head::huge(), "{{ .Tools }}", "{}");
    stage.on("small", &[]).wait().expect_failure(69);
    stage.assert_nothing_started();
    // A q8_0 cache takes half the memory.
    stage.graphics(TOO_LITTLE, TOO_LITTLE);
    stage.on("small", &[]).wait().expect_failure(69);
    stage.config("[ollama]\nkv_cache_type = \"q8_0\"\n");
    let (session, claude, _backend) = stage.up("small");
    finish(session, &claude);
}

#[test]
fn ollama_modelfile_limits_the_estimated_context() {
    messages!();
    let stage = Stage::ollama();
    stage.fill("small:latest", &Head::small(), "{{ .Tools }}", "{\"num_ctx\": 30000}");
    stage.output(&["--model", "small", "--dry-run"]).expect(0).record();
}

#[test]
fn lm_studio_estimate_is_used_for_its_models() {
    messages!();
    let mut stage = Stage::with(&["fake-claude"]);
    let home = stage.home().join(".lmstudio");
    fs::create_dir_all(home.join("bin")).expect("a directory");
    stage.install("fake-lms", &home.join("bin/lms"));
    stage.set("FAKE_LMS_STATE", home.display()).set("LCLAUDE_BACKEND", "lmstudio");
    let models = r#"[{"modelKey": "big", "estimatedMemory": "900.00 TiB"}]"#;
    fs::write(home.join("models.json"), models).expect("a file");
    let session = || Session::start(&mut stage.lclaude(&["--model", "big", "-p", "x"]));
    session().wait().expect_failure(69);
    let log = fs::read_to_string(home.join("invocations.jsonl")).expect("a log");
    assert!(!log.lines().any(|line| line.contains("\"load\"") && !line.contains("--estimate-only")), "{log}");
    stage.wait_for_nothing_left();
    stage.config("memory_check = false\n");
    let session = session();
    let claude = stage.events.next("claude");
    finish(session, &claude);
    stage.wait_for_nothing_left();
}

/// The bytes that llama-server allocated, according to its log.
fn allocated(stage: &Stage) -> f64 {
    let logs = fs::read_dir(stage.home().join(".local/state/lclaude/logs")).expect("a directory").flatten();
    let text: String = logs.map(|log| fs::read_to_string(log.path()).expect("a log")).collect();
    let sizes = text.lines().filter_map(|line| line.split_once("buffer size =")?.1.trim().strip_suffix(" MiB"));
    sizes.map(|size| size.trim().parse::<f64>().expect("a number") * 1024.0 * 1024.0).sum()
}

#[test]
fn estimate_is_close_to_real_llama_server_allocations() {
    for (context, options) in [("65536", ""), ("32768", "cache_type_k = \"q8_0\"\ncache_type_v = \"q8_0\"\n")] {
        let Some(stage) = real::stage(&Script::default()) else { return };
        stage.config(&format!("[llamacpp]\nargs = [\"-lv\", \"4\"]\n{options}"));
        stage.run(stage.with_bash(&["--context", context, "-p", "create the proof"])).expect(0);
        let arguments =
            ["local", "models", "--json", "--backend", "llamacpp", "--model", "tiny.gguf", "--context", context];
        let listed: Value = serde_json::from_str(&stage.output(&arguments).expect(0).stdout).expect("JSON");
        let (estimated, real) = (listed["models"][0]["needs_bytes"].as_f64().expect("a figure"), allocated(&stage));
        assert!((estimated / real - 1.0).abs() < 0.15, "{estimated} estimated, {real} allocated");
    }
}
