//! What the real Claude Code sends for each tool set.

use support::{
    Value, json,
    requests::{lived_in, printed, typed},
};

const LEFT_OUT: [&str; 9] = [
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
/// What people use, in print mode too.
const KEPT: [&str; 11] = [
    "Agent",
    "Bash",
    "Edit",
    "EnterWorktree",
    "ExitWorktree",
    "NotebookEdit",
    "Read",
    "Skill",
    "TaskStop",
    "WebFetch",
    "Write",
];
const KEPT_IN_TERMINAL: [&str; 3] = ["AskUserQuestion", "EnterPlanMode", "ExitPlanMode"];

fn tools(request: &Value) -> Vec<&str> {
    let tools = request["tools"].as_array().expect("a list");
    tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect()
}

fn assert_local(request: &Value, kept: &[&str]) {
    let sent = tools(request);
    assert_eq!(kept.iter().find(|tool| !sent.contains(tool)), None, "{sent:?}");
    assert_eq!(LEFT_OUT.iter().find(|tool| sent.contains(tool)), None, "{sent:?}");
    // Skills and agents that need them are left out too.
    let text = request["messages"][0].to_string();
    assert_eq!(LEFT_OUT.iter().find(|tool| text.contains(**tool)), None, "{text}");
    assert!(!text.contains("- loop:") && text.contains("- run:"), "{text}");
}

#[test]
fn local_set_leaves_out_what_needs_more_than_one_slot() {
    let Some(stage) = lived_in() else { return };
    assert_local(&printed(&stage, &[]), &KEPT);
    assert_local(&typed(&stage, &[]), &[&KEPT[..], &KEPT_IN_TERMINAL].concat());
}

#[test]
fn other_sets_have_all_tools_or_six() {
    let Some(stage) = lived_in() else { return };
    let all = printed(&stage, &["--toolset", "all"]);
    assert_eq!(LEFT_OUT.iter().find(|tool| !tools(&all).contains(tool)), None, "{:?}", tools(&all));
    let lean = printed(&stage, &["--toolset", "lean"]);
    assert_eq!(tools(&lean).len(), 6, "{:?}", tools(&lean));
    // The user's own choice wins.
    let named = printed(&stage, &["--allowedTools", "Monitor", "-p"]);
    assert!(tools(&named).contains(&"Monitor") && !tools(&named).contains(&"Workflow"), "{:?}", tools(&named));
}

#[test]
fn system_prompt_of_the_user_is_left_alone() {
    let Some(stage) = lived_in() else { return };
    let own = printed(&stage, &["--system-prompt", "Mine.", "-p"]);
    assert!(own["system"].to_string().contains("Mine."), "{}", own["system"]);
    assert_eq!(own["model"], json!("m"));
}
