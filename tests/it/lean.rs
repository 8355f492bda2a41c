//! Lean sessions: fewer tools and a shorter prompt, by option or with a small context. User options take precedence.

use support::{Fake, Stage, finish, messages};

const LEAN: [&str; 4] =
    ["--tools", "Bash,Edit,Glob,Grep,Read,Write", "--strict-mcp-config", "--exclude-dynamic-system-prompt-sections"];

/// Runs a session and returns Claude Code and lclaude's stderr.
fn run(stage: &Stage, arguments: &[&str]) -> (Fake, String) {
    let local = ["--backend", "llamacpp", "--model", "tiny.gguf"];
    let (session, claude, _backend) = stage.started(&mut stage.lclaude(&[&local, arguments].concat()));
    let said = finish(session, &claude).stderr;
    (claude, said)
}

fn is_lean(claude: &Fake) -> bool {
    let lean = LEAN.iter().all(|word| claude.argv.iter().any(|argument| argument == word));
    assert_eq!(lean, claude.env.contains_key("CLAUDE_CODE_DISABLE_AUTO_MEMORY"), "{:?}", claude.argv);
    lean
}

#[test]
fn lean_option_makes_a_session_lean() {
    messages!();
    let stage = Stage::new();
    let (claude, said) = run(&stage, &["--lean", "-p", "x"]);
    assert!(is_lean(&claude), "{:?}", claude.argv);
    assert!(said.contains("lean"), "{said}");
    messages::record("--lean", said);
    // They come before the overlay, which ends the value list of --tools, and before the user's arguments.
    assert_eq!(claude.argv[1..5], LEAN);
    assert_eq!(claude.argv[7..], ["-p", "x"]);
    let (claude, said) = run(&stage, &["-p", "x"]);
    assert!(!is_lean(&claude) && !said.contains("lean"), "{said}");
}

#[test]
fn small_context_makes_a_session_lean_with_a_message() {
    messages!();
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 47_872);
    let (claude, said) = run(&stage, &["-p", "x"]);
    assert!(is_lean(&claude));
    assert!(said.contains("lean"), "{said}");
    messages::record("47872 tokens", said);
    stage.config("lean = false\n");
    assert!(!is_lean(&run(&stage, &["-p", "x"]).0));
    let mut stage = Stage::new();
    stage.set("FAKE_LLAMA_N_CTX", 48_128);
    assert!(!is_lean(&run(&stage, &["-p", "x"]).0));
}

#[test]
fn user_options_override_lean_options() {
    let stage = Stage::new();
    let (claude, _) = run(&stage, &["--lean", "-p", "x", "--tools", "Bash"]);
    assert_eq!(claude.argv.iter().filter(|argument| *argument == "--tools").count(), 1, "{:?}", claude.argv);
    let (claude, _) = run(&stage, &["--lean", "-p", "x", "--system-prompt=mine", "--strict-mcp-config"]);
    let count = |name: &str| claude.argv.iter().filter(|argument| *argument == name).count();
    assert_eq!((count("--strict-mcp-config"), count("--exclude-dynamic-system-prompt-sections")), (1, 0));
    // After `--`, --tools is prompt text.
    let (claude, _) = run(&stage, &["--lean", "-p", "--", "--tools"]);
    assert_eq!(claude.argv.iter().filter(|argument| *argument == "--tools").count(), 2);
}
