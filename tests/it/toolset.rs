//! Tool sets: what each leaves out of Claude Code, and that the user's own choice wins.

use std::fs;

use support::{Fake, Stage, Value, finish, json, terminal::Terminal};

const LOCAL: [&str; 10] = [
    "Agent(claude-code-guide)",
    "CronCreate",
    "CronDelete",
    "CronList",
    "ListAgents",
    "Monitor",
    "ReportFindings",
    "ScheduleWakeup",
    "SendMessage",
    "Workflow",
];
const SWITCHES: [&str; 2] = ["CLAUDE_CODE_DISABLE_CRON", "CLAUDE_CODE_DISABLE_WORKFLOWS"];
const LINE: &str = "left out tools";

fn run(stage: &Stage, arguments: &[&str]) -> Fake {
    let local = ["--backend", "llamacpp", "--model", "tiny.gguf"];
    let (session, claude, _backend) = stage.started(&mut stage.lclaude(&[&local, arguments].concat()));
    finish(session, &claude);
    claude
}

/// Returns the tools that a session denies besides `WebSearch`.
fn denied(claude: &Fake) -> Vec<String> {
    let rules = claude.settings["permissions"]["deny"].as_array().expect("a list");
    let (web_search, rest) = rules.split_first().expect("a rule");
    assert_eq!(web_search, "WebSearch");
    rest.iter().map(|rule| rule.as_str().expect("text").to_owned()).collect()
}

fn switches(claude: &Fake) -> usize {
    let overlay = claude.settings["env"].as_object().expect("variables");
    let set = SWITCHES.iter().filter(|name| claude.env.get(**name).is_some_and(|value| value == "1"));
    set.filter(|name| overlay.get(**name) == Some(&json!("1"))).count()
}

#[test]
fn each_set_leaves_its_tools_out() {
    let stage = Stage::new();
    let claude = run(&stage, &["-p", "x"]);
    assert_eq!((denied(&claude), switches(&claude)), (LOCAL.map(str::to_owned).to_vec(), 2));
    let claude = run(&stage, &["--toolset", "all", "-p", "x"]);
    assert_eq!((denied(&claude), switches(&claude)), (vec![], 0));
    assert!(!claude.argv.contains(&"--tools".into()), "{:?}", claude.argv);
    for lean in ["--toolset=lean", "--lean"] {
        let claude = run(&stage, &[lean, "-p", "x"]);
        assert_eq!((denied(&claude), switches(&claude)), (vec![], 0));
        assert!(claude.argv.contains(&"Bash,Edit,Glob,Grep,Read,Write".into()), "{:?}", claude.argv);
    }
}

#[test]
fn configured_set_is_used_and_options_override_it() {
    let stage = Stage::new();
    stage.config("[claude]\ntools = \"all\"\n");
    assert!(denied(&run(&stage, &["-p", "x"])).is_empty());
    assert_eq!(denied(&run(&stage, &["--toolset", "local", "-p", "x"])), LOCAL);
    assert!(run(&stage, &["--lean", "-p", "x"]).argv.contains(&"--strict-mcp-config".into()));
    stage.config("lean = true\n");
    let claude = run(&stage, &["--toolset", "all", "-p", "x"]);
    assert!(denied(&claude).is_empty() && !claude.argv.contains(&"--tools".into()), "{:?}", claude.argv);
}

#[test]
fn invalid_sets_are_explained() {
    support::messages!();
    let stage = Stage::new();
    stage.output(&["--toolset", "some", "-p", "x"]).expect_failure(64);
    stage.output(&["--toolset", "all", "--lean", "-p", "x"]).expect_failure(64);
    stage.config("[claude]\ntools = \"few\"\n");
    stage.output(&["-p", "x"]).expect_failure(65);
    stage.config("lean = true\n[claude]\ntools = \"all\"\n");
    stage.output(&["-p", "x"]).expect_failure(65);
}

#[test]
fn tools_that_the_user_names_are_kept() {
    let stage = Stage::new();
    let without = |kept: &[&str]| -> Vec<String> {
        LOCAL.iter().filter(|rule| !kept.contains(rule)).map(|rule| (*rule).to_owned()).collect()
    };
    let schedulers = ["CronCreate", "CronDelete", "CronList", "ScheduleWakeup"];
    let claude = run(&stage, &["-p", "x", "--allowedTools", "Bash(ls:*),CronCreate"]);
    assert_eq!((denied(&claude), switches(&claude)), (without(&schedulers), 1));
    assert!(denied(&run(&stage, &["-p", "x", "--tools", "Monitor,Bash"])).is_empty());
    let typed = json!({"permissions": {"allow": ["Workflow"]}}).to_string();
    assert_eq!(denied(&run(&stage, &["--settings", &typed, "-p", "x"])), without(&["Workflow"]));
    // In the settings of the user and of the project.
    for (directory, rule) in [(stage.home(), "Monitor"), (stage.project(), "ReportFindings")] {
        fs::create_dir_all(directory.join(".claude")).expect("a directory");
        let settings = json!({"permissions": {"allow": [rule]}}).to_string();
        fs::write(directory.join(".claude/settings.json"), settings).expect("a file");
    }
    assert_eq!(denied(&run(&stage, &["-p", "x"])), without(&["Monitor", "ReportFindings"]));
    // A throwaway session doesn't read the user's own settings.
    assert_eq!(denied(&run(&stage, &["--throwaway", "-p", "x"])), without(&["ReportFindings"]));
    // Their own denials are kept.
    let typed = json!({"permissions": {"deny": ["Bash"]}}).to_string();
    let claude = run(&stage, &["--settings", &typed, "-p", "x"]);
    assert_eq!(claude.settings["permissions"]["deny"][0], "Bash");
}

/// Runs a session in a terminal and returns what it shows.
fn shown(stage: &Stage, arguments: &[&str]) -> String {
    let local = ["--backend", "llamacpp", "--model", "tiny.gguf"];
    let terminal = Terminal::start(stage.lclaude(&[&local, arguments].concat()));
    let claude = stage.events.next("claude");
    claude.send(json!({"do": "exit", "code": 0}));
    terminal.wait_to_the_end(0)
}

#[test]
fn left_out_tools_are_named_once_on_a_terminal() {
    let stage = Stage::new();
    // Nobody would see it.
    run(&stage, &["-p", "x"]);
    let first = shown(&stage, &["-p", "x"]);
    assert!(first.contains(LINE) && first.contains("ScheduleWakeup") && first.contains("--toolset all"), "{first}");
    assert!(!shown(&stage, &["-p", "x"]).contains(LINE));
    // Other names are another set.
    let other = shown(&stage, &["-p", "x", "--allowedTools", "Monitor"]);
    assert!(other.contains(LINE) && !other.contains("Monitor"), "{other}");
    assert!(!shown(&stage, &["-p", "x"]).contains(LINE));
    assert!(!shown(&stage, &["--toolset", "all", "-p", "x"]).contains(LINE));
}

#[test]
fn throwaway_session_remembers_nothing() {
    let stage = Stage::new();
    let before = stage.home_snapshot();
    assert!(shown(&stage, &["--throwaway", "-p", "x"]).contains(LINE));
    stage.assert_home_is(&before);
    assert!(shown(&stage, &["-p", "x"]).contains(LINE));
    let told: Value =
        serde_json::from_slice(&fs::read(stage.home().join(".local/state/lclaude/left-out.json")).expect("the state"))
            .expect("JSON");
    assert_eq!(told, json!([LOCAL.join(", ")]));
}
