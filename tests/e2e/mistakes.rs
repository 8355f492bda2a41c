//! Options that the real Claude Code doesn't know, and those that only its help tells.

use lclaude_fakes::scripted_model::Script;
use support::{real, write_program};

#[test]
fn option_that_claude_code_rejects_is_refused_before_the_model_loads() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let claude = stage.ended(stage.command("claude").args(["-p", "hi", "--verbos"]));
    assert!(claude.stderr.contains("unknown option '--verbos'"), "{claude:#?}");
    let ended = stage.run(stage.with_bash(&["-p", "hi", "--verbos"])).expect(64);
    assert!(ended.stderr.contains("unknown option --verbos"), "{ended:#?}");
    assert!(ended.stderr.contains("tiny.gguf -p hi --verbose --tools Bash"), "{ended:#?}");
    stage.assert_nothing_left();
}

/// With the real help, every option in it passes the check. What the check lets through is what Claude Code gets.
#[test]
fn every_option_in_the_help_of_claude_code_passes() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let help = stage.ended(stage.command("claude").arg("--help")).stdout;
    let lines = help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with('-'));
    let names: Vec<String> = lines
        .flat_map(|line| line.split(", ").map(|part| part.split([' ', ',']).next().unwrap_or_default().to_owned()))
        .filter(|name| name.starts_with("--"))
        .collect();
    assert!(names.len() > 50, "{names:?}");
    let told = stage.root().join("help.txt");
    std::fs::write(&told, help).expect("a file");
    std::fs::remove_file(stage.bin().join("claude")).expect("a link");
    write_program(&stage.bin().join("claude"), format!("#!/bin/sh\ncat {}\n", told.display()));
    for name in names {
        let ended = stage.ended(&mut stage.with_bash(&["--dry-run", &format!("{name}=x")]));
        assert!(!ended.stderr.contains("unknown option"), "{name}: {ended:#?}");
    }
}
