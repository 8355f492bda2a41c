//! The search for Claude Code, which skips lclaude itself under any name, and the error if it isn't found.

use std::{fs, os::unix::fs::symlink, path::Path, process::Command};

#[cfg(target_os = "linux")]
use support::wsl::LINUX;
use support::{
    Stage, copy_program, lclaude, messages,
    told::{configure, configured},
    write_program,
};

/// Returns the path of Claude Code in a dry run. A real run would start lclaude endlessly if the search were wrong.
fn found(stage: &Stage, command: &mut Command) -> String {
    let stdout = stage.ended(command).expect(0).stdout;
    let after = stdout.split("\nclaude\n").nth(1).expect("a part about claude");
    after.split_whitespace().next().expect("a program").to_owned()
}

/// A way to install lclaude as `claude`: its name, and a function that does it.
type Disguise = (&'static str, fn(&Path));

#[test]
fn claude_that_is_lclaude_is_skipped() {
    messages!();
    let disguises: &[Disguise] = &[
        ("a link", |at| symlink(lclaude(), at).expect("a link")),
        ("a link to a link", |at| {
            symlink(lclaude(), at.with_file_name("lclaude")).expect("a link");
            symlink("lclaude", at).expect("a link");
        }),
        ("a copy", |at| copy_program(lclaude(), at)),
        ("a shim", |at| write_program(at, "#!/bin/sh\nexec lclaude \"$@\"\n")),
        ("a longer shim", |at| {
            write_program(at, "#!/usr/bin/env bash\n# my own\nset -eu\n\nexec ~/bin/lclaude --dry-run \"$@\"\n");
        }),
        ("a shim by path", |at| write_program(at, format!("#!/bin/sh\n{} \"$@\"\n", lclaude().display()))),
        ("a shim with a long comment", |at| {
            write_program(at, format!("#!/bin/sh\n{}exec lclaude \"$@\"\n", "# a comment\n".repeat(1000)));
        }),
    ];
    for (name, make) in disguises {
        let stage = configured();
        let first = stage.root().join("first");
        fs::create_dir(&first).expect("a directory");
        make(&first.join("claude"));
        let mut command = stage.lclaude(&["--dry-run"]);
        command.env("PATH", format!("{}:{}:/usr/bin:/bin", first.display(), stage.bin().display()));
        assert_eq!(found(&stage, &mut command), stage.bin().join("claude").display().to_string(), "{name}");

        // Without another claude, none is found.
        fs::remove_file(stage.bin().join("claude")).expect("the fake existed");
        messages::note(name);
        stage.ended(&mut command).expect_failure(127).expect_stdout("");
    }
}

#[test]
fn claude_script_that_only_mentions_lclaude_is_used() {
    let stage = configured();
    let real = stage.root().join("lclaude-tools");
    fs::create_dir(&real).expect("a directory");
    fs::rename(stage.bin().join("claude"), real.join("claude")).expect("the fake existed");
    write_program(
        &stage.bin().join("claude"),
        format!("#!/bin/sh\n# for lclaude\nexec {}/claude \"$@\"\n", real.display()),
    );
    let wrapper = stage.bin().join("claude").display().to_string();
    assert_eq!(found(&stage, &mut stage.lclaude(&["--dry-run"])), wrapper);
}

#[test]
fn claude_that_starts_lclaude_indirectly_does_not_loop() {
    messages!();
    let stage = configured();
    fs::remove_file(stage.bin().join("claude")).expect("the fake existed");
    write_program(&stage.bin().join("claude"), "#!/bin/sh\npart=cla; exec l${part}ude \"$@\"\n");
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    let ended = stage.ended(&mut stage.lclaude(&["-p", "x"]));
    ended.expect_failure(127).expect_stdout("");
    stage.events.next("llama-server");
}

#[test]
fn lclaude_named_claude_finds_the_real_claude_code() {
    let stage = configured();
    let first = stage.root().join("first");
    fs::create_dir(&first).expect("a directory");
    symlink(lclaude(), first.join("claude")).expect("a link");
    let mut command = stage.command(first.join("claude"));
    command.arg("--dry-run").env("PATH", format!("{}:{}", first.display(), stage.bin().display()));
    assert_eq!(found(&stage, &mut command), stage.bin().join("claude").display().to_string());
}

#[test]
fn claude_code_is_found_in_installer_locations() {
    let stage = configured();
    let fake = stage.bin().join("claude").canonicalize().expect("a fake");
    fs::remove_file(stage.bin().join("claude")).expect("the fake existed");
    // Later locations in this list are searched first.
    for place in [".claude/local/claude", ".local/bin/claude"] {
        let place = stage.home().join(place);
        fs::create_dir_all(place.parent().expect("a directory")).expect("a directory");
        symlink(&fake, &place).expect("a link");
        assert_eq!(found(&stage, &mut stage.lclaude(&["--dry-run"])), stage.shown(&place));
    }
    let own = stage.root().join("own-claude");
    symlink(&fake, &own).expect("a link");
    configure(&stage, &format!("[claude]\npath = \"{}\"", own.display()));
    assert_eq!(found(&stage, &mut stage.lclaude(&["--dry-run"])), own.display().to_string());
}

#[test]
fn missing_claude_code_error_says_how_to_install_it() {
    messages!();
    for arguments in [&["-p", "x"][..], &["mcp", "list"], &["--dry-run"]] {
        let stage = configured();
        fs::remove_file(stage.bin().join("claude")).expect("the fake existed");
        let ended = stage.ended(&mut stage.lclaude(arguments));
        ended.expect_failure(127).expect_stdout("");
        stage.assert_nothing_started();
    }
}

/// Simulates WSL in a mount namespace.
#[cfg(target_os = "linux")]
#[test]
fn windows_program_is_skipped_or_refused() {
    messages!();
    let stage = configured();
    if !stage.needs_wsl() {
        return;
    }
    let first = stage.root().join("first");
    fs::create_dir(&first).expect("a directory");
    let windows = first.join("claude");
    write_program(&windows, b"MZ\x90\0");
    let run = |arguments: &[&str]| stage.lclaude_in_wsl(&first.display().to_string(), arguments);
    let linux = stage.bin().join("claude");
    assert_eq!(found(&stage, &mut run(&["--dry-run"])), linux.display().to_string());

    fs::remove_file(linux).expect("the fake existed");
    stage.ended(&mut run(&["--dry-run"])).expect_failure(127).expect_stdout("");
    configure(&stage, &format!("[claude]\npath = \"{}\"", windows.display()));
    stage.ended(&mut run(&["-p", "x"])).expect_failure(127).expect_stdout("");
    let named = windows.display().to_string();
    stage.ended(&mut run(&["local", "run", "--", &named])).expect_failure(127).expect_stdout("");
    stage.assert_nothing_started();
}

/// Simulates WSL in a mount namespace, with a shim for a Windows `claude` on drive C.
#[cfg(target_os = "linux")]
#[test]
fn shim_on_a_windows_drive_is_skipped_in_wsl_and_used_elsewhere() {
    messages!();
    let stage = configured();
    if !stage.needs_wsl() {
        return;
    }
    write_program(&stage.root().join("mnt/c/npm/claude"), "#!/bin/sh\nexec node.exe cli.js \"$@\"\n");
    let (shim, linux) = ("/mnt/c/npm", stage.bin().display().to_string());
    let run = || stage.lclaude_in_wsl(shim, &["--dry-run"]);
    assert_eq!(found(&stage, &mut run()), format!("{linux}/claude"));
    let mut elsewhere = stage.in_wsl(LINUX, &stage.project(), lclaude());
    elsewhere.arg("--dry-run").env("PATH", format!("{shim}:{linux}:/usr/bin:/bin"));
    assert_eq!(found(&stage, &mut elsewhere), format!("{shim}/claude"));

    fs::remove_file(stage.bin().join("claude")).expect("the fake existed");
    stage.ended(&mut run()).expect_failure(127).expect_stdout("");
    stage.assert_nothing_started();
}

#[test]
fn program_from_a_process_wrapper_is_used() {
    let stage = configured();
    let place = |name: &str| stage.root().join("extension").join(name);
    write_program(&place("claude"), "#!/bin/sh\necho \"editor: $*\"\n");
    write_program(&place("cli.js"), "#!/bin/sh\necho \"cli: $*\"\n");
    let (native, cli) = (place("claude").display().to_string(), place("cli.js").display().to_string());
    // The configuration's own path is for the user's own sessions.
    configure(&stage, "[claude]\npath = \"/nonexistent/claude\"\n");
    for (words, program) in [
        (&["--dry-run", &native, "-p", "/init"][..], &native),
        (&["--dry-run", "/usr/bin/node", &cli, "-p", "x"][..], &cli),
    ] {
        assert_eq!(found(&stage, &mut stage.lclaude(words)), *program);
    }
    // A command without a model replaces lclaude.
    let ended = stage.ended(&mut stage.lclaude(&[&native, "--version"])).expect(0);
    assert_eq!(ended.stdout, "editor: --version\n");
    // Anything else is Claude Code's own argument.
    for word in ["/init", "/usr/bin/env", "/nonexistent/claude", "claude", "./claude"] {
        let ended = stage.ended(&mut stage.lclaude(&["--dry-run", word])).expect(127);
        assert!(ended.stderr.contains("/nonexistent/claude"), "{ended:#?}");
    }
}
