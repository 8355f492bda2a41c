//! With the hook, `claude` runs lclaude in a project with a `.lclaude.toml` and Claude Code elsewhere, and Tab completes
//! both. These tests run the real shells.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use support::{
    Ended, Stage, json, lclaude,
    machine::{needs_program, program},
    terminal::{PROMPT, Terminal},
    write_program,
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}
use Shell::{Bash, Fish, Zsh};

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Bash => "bash",
            Zsh => "zsh",
            Fish => "fish",
        }
    }

    /// The shells installed on this machine; bash always is.
    fn installed() -> impl Iterator<Item = Shell> {
        [Bash, Zsh, Fish].into_iter().filter(|shell| needs_program(shell.name()))
    }

    fn hook(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("shell").join(format!("lclaude.{}", self.name()))
    }

    /// The command that sources the hook.
    fn source(self) -> String {
        format!("source {}", self.hook().display())
    }

    /// Runs a script without the user's startup files.
    fn run(self, stage: &Stage, script: &str) -> Ended {
        let mut command = stage.command(program(self.name()).expect("it is installed"));
        // A file, because zsh parses all of a -c script before it defines aliases.
        let file = stage.root().join("script");
        fs::write(&file, script).expect("a file");
        command.args(self.plain()).arg(file).stdin(Stdio::null());
        Ended::of(&mut command)
    }

    fn plain(self) -> &'static [&'static str] {
        match self {
            Bash => &["--norc", "--noprofile"],
            Zsh => &["-f"],
            Fish => &["--no-config"],
        }
    }

    /// Starts an interactive shell in a terminal, with `file` as the content of the user's startup file.
    fn terminal(self, stage: &Stage, file: &str) -> Terminal {
        let mut command = stage.command(program(self.name()).expect("it is installed"));
        match self {
            Bash => {
                fs::write(stage.home().join(".bashrc"), format!("PS1='{PROMPT}'\n{file}\n")).expect("a file");
                // Debian's bash would read the system's file before the user's.
                command.arg("--rcfile").arg(stage.home().join(".bashrc")).args(["--noprofile", "-i"]);
            }
            Zsh => {
                let first = "autoload -Uz compinit && compinit -D -u\nunsetopt prompt_sp\n";
                fs::write(stage.home().join(".zshrc"), format!("PROMPT='{PROMPT}'\n{first}{file}\n")).expect("a file");
                command.args(["-d", "-i"]);
            }
            Fish => {
                let directory = stage.home().join(".config/fish");
                fs::create_dir_all(&directory).expect("a directory");
                // If it is missing, fish creates it in the background.
                let generated = stage.home().join(".local/share/fish/generated_completions");
                fs::create_dir_all(generated).expect("a directory");
                let first = format!("function fish_prompt; echo -n '{PROMPT}'; end\nset -g fish_greeting\n");
                fs::write(directory.join("config.fish"), format!("{first}{file}\n")).expect("a file");
                command.arg("-i");
            }
        }
        let mut shell = Terminal::start(command);
        shell.wait_for(PROMPT);
        shell
    }
}

/// A stage whose `claude` and `lclaude` print their name and arguments, and exit with 7 and 8.
fn stage() -> Stage {
    let stage = Stage::bare();
    for (name, code) in [("claude", 7), ("lclaude", 8)] {
        let text = format!("#!/bin/sh\nprintf '<%s>' {name} \"$@\"\necho\nexit {code}\n");
        write_program(&stage.bin().join(name), text);
    }
    stage
}

fn make(directory: &Path, files: &[&str]) {
    for file in files {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        match file.strip_suffix('/') {
            Some(_) => fs::create_dir_all(&path).expect("a directory"),
            None => fs::write(&path, "").expect("a file"),
        }
    }
}

#[test]
fn claude_runs_lclaude_exactly_where_a_project_file_applies() {
    let stage = stage();
    make(
        stage.root(),
        &[
            // A repository with a file at its root.
            "repo/.git/HEAD",
            "repo/.lclaude.toml",
            "repo/a/b/c/",
            // A repository inside it, without a file.
            "repo/inner/.git/HEAD",
            "repo/inner/sub/",
            // A worktree: `.git` is a file.
            "worktree/.git",
            "worktree/.lclaude.toml",
            "worktree/sub/",
            // A file below the root of its repository.
            "part/.git/HEAD",
            "part/sub/.lclaude.toml",
            "part/sub/deep/",
            "part/other/",
            // No repository.
            "plain/.lclaude.toml",
            "plain/sub/",
            // The home directory, which is a repository too.
            "home/.git/HEAD",
            "home/.lclaude.toml",
            "home/work/",
            "home/own/.lclaude.toml",
            "home/own/sub/",
            "bare/",
            "dangling/sub/",
            // Names that contain newlines.
            "own\nline/.git/HEAD",
            "own\nline/.lclaude.toml",
            "own\nline/sub\n/",
            "other\nline/",
        ],
    );
    // The unknown key makes lclaude name the file that it reads.
    for project in ["repo", "worktree", "part/sub", "plain", "home", "home/own", "own\nline"] {
        fs::write(stage.root().join(project).join(".lclaude.toml"), "nonsense = 1\n").expect("a file");
    }
    let link = |from: &str, to: &str| symlink(stage.root().join(from), stage.root().join(to)).expect("a link");
    link("repo/a", "into");
    link("bare", "repo/out");
    link("home", "house");
    link("nowhere", "dangling/.lclaude.toml");
    link("nowhere", "dangling/.git");
    let shells: Vec<Shell> = Shell::installed().collect();
    for (directory, who) in [
        ("repo", "lclaude"),
        ("repo/a/b/c", "lclaude"),
        ("repo/inner", "claude"),
        ("repo/inner/sub", "claude"),
        ("worktree", "lclaude"),
        ("worktree/sub", "lclaude"),
        ("part", "claude"),
        ("part/sub", "lclaude"),
        ("part/sub/deep", "lclaude"),
        ("part/other", "claude"),
        ("plain", "lclaude"),
        ("plain/sub", "claude"),
        ("home", "claude"),
        ("house", "claude"),
        ("home/work", "claude"),
        ("home/own", "lclaude"),
        ("home/own/sub", "claude"),
        ("bare", "claude"),
        ("into/b", "lclaude"),
        ("repo/out", "claude"),
        ("dangling", "lclaude"),
        ("dangling/sub", "lclaude"),
        ("own\nline", "lclaude"),
        ("own\nline/sub\n", "lclaude"),
        ("other\nline", "claude"),
    ] {
        let place = stage.root().join(directory);
        let mut plan = stage.lclaude(&["--dry-run", "-p", "x"]);
        let plan = stage.ended(plan.current_dir(&place));
        assert_eq!(plan.stderr.contains(".lclaude.toml"), who == "lclaude", "{directory:?}: {plan:#?}");
        for shell in &shells {
            let script = format!("{}; cd '{}'; claude; command claude", shell.source(), place.display());
            let ended = shell.run(&stage, &script);
            assert_eq!(ended.stdout, format!("<{who}>\n<claude>\n"), "{shell:?} in {directory:?}: {ended:#?}");
            assert_eq!(ended.stderr, "", "{shell:?} in {directory:?}");
        }
    }
}

#[test]
fn deleted_directory_is_not_a_project() {
    let stage = stage();
    for shell in Shell::installed() {
        let gone = stage.root().join("gone");
        make(&gone, &["sub/", ".lclaude.toml", ".git"]);
        let script = format!("{}; cd {1}/sub; rm -r {1}; claude x", shell.source(), gone.display());
        shell.run(&stage, &script).expect(7).expect_stdout("<claude><x>\n");
    }
}

#[test]
fn arguments_input_output_and_exit_codes_are_passed_on() {
    let stage = stage();
    make(&stage.project(), &[".lclaude.toml", "a.txt", "b.txt"]);
    let words = r#"-p "two  words" '' '*' '$HOME' "it's" -- -n ünï '\t' '~'"#;
    let given = r"<-p><two  words><><*><$HOME><it's><--><-n><ünï><\t><~>";
    for shell in Shell::installed() {
        for (directory, who, code) in [(stage.project(), "lclaude", 8), (stage.home(), "claude", 7)] {
            let script = format!("{}; cd {}; claude {words}", shell.source(), directory.display());
            shell.run(&stage, &script).expect(code).expect_stdout(&format!("<{who}>{given}\n"));
        }
    }
    // A filter in a pipeline, and command substitution.
    write_program(&stage.bin().join("lclaude"), b"#!/bin/sh\nread -r line\necho \"$line, answered\"\n");
    for shell in Shell::installed() {
        let value = if shell == Fish { "set x (echo again | claude)" } else { "x=$(echo again | claude)" };
        let script = format!("{}; echo hello | claude | tr a-z A-Z; {value}; echo $x", shell.source());
        shell.run(&stage, &script).expect(0).expect_stdout("HELLO, ANSWERED\nagain, answered\n");
    }
}

#[test]
fn hook_works_with_unusual_shell_options() {
    let stage = stage();
    make(&stage.project(), &[".git", ".lclaude.toml", "sub/x", "inner/.git"]);
    let options = [
        (Bash, "set -euo pipefail; set -o noclobber; shopt -s nullglob failglob expand_aliases; IFS=/.g"),
        (Bash, "set -o posix; set -eu"),
        (
            Zsh,
            "setopt ksh_arrays no_unset err_exit no_clobber sh_word_split glob_subst ksh_glob csh_null_glob; IFS=/.g",
        ),
        (Zsh, "setopt warn_create_global err_return pipe_fail cd_able_vars; emulate sh; set -eu"),
    ];
    for shell in Shell::installed() {
        for (_, set) in options.iter().filter(|(of, _)| *of == shell) {
            let script = format!(
                "{set}; . {}; cd sub; claude x || echo $?; cd ../inner; claude 'y z' || echo $?",
                shell.hook().display()
            );
            let ended = shell.run(&stage, &script);
            assert_eq!(
                (ended.stdout.as_str(), ended.stderr.as_str()),
                ("<lclaude><x>\n8\n<claude><y z>\n7\n", ""),
                "{set}"
            );
        }
    }
}

#[test]
fn missing_lclaude_in_a_project_does_not_run_claude() {
    let stage = stage();
    fs::remove_file(stage.bin().join("lclaude")).expect("it was there");
    make(&stage.project(), &[".lclaude.toml"]);
    for shell in Shell::installed() {
        let ended = shell.run(&stage, &format!("{}; claude x", shell.source())).expect(127).expect_stdout("");
        assert!(ended.stderr.contains("command claude"), "{ended:#?}");
        shell.run(&stage, &format!("{}; cd; claude x", shell.source())).expect(7).expect_stdout("<claude><x>\n");
    }
}

#[test]
fn previous_claude_alias_or_function_works_outside_projects() {
    let stage = stage();
    make(&stage.project(), &[".lclaude.toml"]);
    write_program(&stage.home().join("other"), b"#!/bin/sh\nprintf '<%s>' other \"$@\"\necho\n");
    let installed: Vec<Shell> = Shell::installed().collect();
    let function = "{ echo mine; command claude --mine \"$@\"; }";
    fs::create_dir(stage.home().join("functions")).expect("a directory");
    fs::write(stage.home().join("functions/claude"), &function[1..function.len() - 1]).expect("a file");
    for (shell, before, inside, outside) in [
        (Bash, format!("function claude {function}"), "<lclaude><x>\n", "mine\n<claude><--mine><x>\n"),
        (Zsh, format!("function claude {function}"), "<lclaude><x>\n", "mine\n<claude><--mine><x>\n"),
        (
            Fish,
            "function claude; echo mine; command claude --mine $argv; end".into(),
            "<lclaude><x>\n",
            "mine\n<claude><--mine><x>\n",
        ),
        (
            Zsh,
            "fpath=(~/functions $fpath)\nautoload -Uz claude".into(),
            "<lclaude><x>\n",
            "mine\n<claude><--mine><x>\n",
        ),
        // A function that calls itself, which is the hook by then.
        (
            Bash,
            "function claude { env true; claude --again \"$@\"; }".into(),
            "<lclaude><x>\n",
            "<claude><--again><x>\n",
        ),
        (
            Zsh,
            "function claude { env true; claude --again \"$@\"; }".into(),
            "<lclaude><x>\n",
            "<claude><--again><x>\n",
        ),
        // Claude Code's installer creates an alias like this one.
        (Bash, "alias claude='~/other --mine'".into(), "<lclaude><x>\n", "<other><--mine><x>\n"),
        (Zsh, "alias claude='~/other --mine'".into(), "<lclaude><x>\n", "<other><--mine><x>\n"),
        (Fish, "alias claude='~/other --mine'".into(), "<lclaude><x>\n", "<other><--mine><x>\n"),
        (Bash, "alias claude='N=1 claude'".into(), "<lclaude><x>\n", "<claude><x>\n"),
        (Zsh, "alias claude='N=1 claude'".into(), "<lclaude><x>\n", "<claude><x>\n"),
        // Arguments in the alias go to both programs.
        (Bash, "alias claude='claude --mine'".into(), "<lclaude><--mine><x>\n", "<claude><--mine><x>\n"),
        (Zsh, "alias claude='claude --mine'".into(), "<lclaude><--mine><x>\n", "<claude><--mine><x>\n"),
    ] {
        if !installed.contains(&shell) {
            continue;
        }
        let expand = if shell == Bash { "shopt -s expand_aliases\n" } else { "" };
        // Sourced twice, as when the user reloads the startup file. An alias applies from the next line on.
        let source = shell.source();
        let script = format!("{expand}{before}\n{source}\n{source}\nclaude x\ncd\nclaude x\n");
        let ended = shell.run(&stage, &script);
        assert_eq!((ended.stdout, ended.stderr.as_str()), (format!("{inside}{outside}"), ""), "{shell:?}: {before}");
    }
}

#[test]
fn printed_hooks_and_completions_match_the_files() {
    let stage = Stage::bare();
    let shell_files = Path::new(env!("CARGO_MANIFEST_DIR")).join("shell");
    for (shell, completions) in [("bash", "lclaude.bash"), ("zsh", "_lclaude"), ("fish", "lclaude.fish")] {
        let printed = stage.output(&["local", "completions", shell]).expect(0).stdout;
        assert_eq!(printed, fs::read_to_string(shell_files.join("completions").join(completions)).expect("a file"));
        let printed = stage.output(&["local", "completions", shell, "--hook"]).expect(0).stdout;
        assert_eq!(printed, fs::read_to_string(shell_files.join(format!("lclaude.{shell}"))).expect("a file"));
    }
}

#[test]
fn session_started_by_the_hook_can_be_suspended_and_resumed() {
    for shell in Shell::installed() {
        let stage = Stage::new();
        stage.config(&format!("backend = \"llamacpp\"\n[llamacpp]\ngguf = {:?}\n", stage.model()));
        symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
        make(&stage.project(), &[".lclaude.toml"]);
        let mut terminal = shell.terminal(&stage, &shell.source());
        terminal.type_in("claude\n");
        let backend = stage.events.next("llama-server");
        let claude = stage.events.next("claude");
        assert!(claude.stdin_tty && claude.stdout_tty);
        for _twice in 0..2 {
            claude.send(json!({"do": "suspend"}));
            // fish prints nothing about a job in a function, only the prompt.
            terminal.wait_for(match shell {
                Bash => "Stopped",
                Zsh => "suspended",
                Fish => "\r",
            });
            terminal.wait_for(PROMPT);
            terminal.type_in("fg\n");
            claude.wait_event("resumed");
        }
        claude.send(json!({"do": "exit", "code": 5}));
        terminal.wait_for(PROMPT);
        if shell == Bash {
            // zsh and fish don't keep the exit code of a resumed job in a function.
            terminal.type_in("echo code=$?.\n");
            terminal.wait_for("code=5.");
            terminal.wait_for(PROMPT);
        }
        assert!(backend.is_gone());
        terminal.type_in("exit 0\n");
        assert_eq!(terminal.wait(), Some(0));
    }
}

/// A stage with the real lclaude on PATH, models in Ollama's store, and a profile.
fn typing_stage() -> Stage {
    let stage = Stage::ollama();
    fs::remove_file(stage.bin().join("claude")).expect("it was there");
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    stage.config("[profiles.evening]\nmodel = \"Big:30b\"\n");
    make(stage.root(), &["project/weights/one.gguf", "project/weights/one.txt", "project/.lclaude.toml"]);
    stage
}

/// Types `line` and Tab, and checks the completed words, which the shell prints.
fn expect_completed(terminal: &mut Terminal, line: &str, words: &[&str]) {
    terminal.type_in(&format!("{line}\t\x01printf '<%s>' \n"));
    let printed: String = words.iter().map(|word| format!("<{word}>")).collect();
    terminal.wait_for(&printed);
    terminal.wait_for(PROMPT);
}

fn completions(shell: Shell) -> String {
    match shell {
        Fish => "lclaude local completions fish | source".into(),
        other => format!("eval \"$(lclaude local completions {})\"", other.name()),
    }
}

#[test]
fn tab_completes_options_verbs_and_names() {
    for shell in Shell::installed() {
        let stage = typing_stage();
        let mut terminal = shell.terminal(&stage, &completions(shell));
        for (line, words) in [
            ("lclaude --prof", &["lclaude", "--profile"][..]),
            ("lclaude loc", &["lclaude", "local"]),
            ("lclaude --lean local unt", &["lclaude", "--lean", "local", "untrust"]),
            ("lclaude local doctor --li", &["lclaude", "local", "doctor", "--live"]),
            ("lclaude local completions fi", &["lclaude", "local", "completions", "fish"]),
            ("lclaude --backend lms", &["lclaude", "--backend", "lmstudio"]),
            ("lclaude --backend=oll", &["lclaude", "--backend=ollama"]),
            ("lclaude --profile eve", &["lclaude", "--profile", "evening"]),
            ("lclaude --backend ollama --model Bi", &["lclaude", "--backend", "ollama", "--model", "Big:30b"]),
            ("lclaude --model Big:", &["lclaude", "--model", "Big:30b"]),
            ("lclaude --model=Big:3", &["lclaude", "--model=Big:30b"]),
            ("lclaude local serve --model fix", &["lclaude", "local", "serve", "--model", "fixed:latest"]),
            ("lclaude --model weights/o", &["lclaude", "--model", "weights/one.gguf"]),
            ("lclaude --config weights/one.t", &["lclaude", "--config", "weights/one.txt"]),
            // Claude Code's options and commands.
            ("lclaude --conti", &["lclaude", "--continue"]),
            ("lclaude -p --verb", &["lclaude", "-p", "--verbose"]),
            ("lclaude -c --model Bi", &["lclaude", "-c", "--model", "Big:30b"]),
            ("lclaude setup-t", &["lclaude", "setup-token"]),
            ("lclaude --add-dir weights/one.t", &["lclaude", "--add-dir", "weights/one.txt"]),
            // Other programs.
            ("lclaude local run -- lclau", &["lclaude", "local", "run", "--", "lclaude"]),
            ("lclaude local run ls weights/one.t", &["lclaude", "local", "run", "ls", "weights/one.txt"]),
        ] {
            expect_completed(&mut terminal, line, words);
        }
        terminal.type_in("exit 0\n");
        assert_eq!(terminal.wait(), Some(0), "{shell:?}");
        stage.assert_nothing_started();
    }
}

/// bash 3.2, which macOS has, has no `compopt`. Under `set -e` a command that fails would end the shell.
#[test]
fn bash_completes_without_compopt_and_when_failing_commands_end_it() {
    let stage = typing_stage();
    let loader = "_completion_loader() { return 124; }";
    let file = format!("enable -n compopt\n{loader}\n{}\n{}\nset -eu", Bash.source(), completions(Bash));
    let mut terminal = Bash.terminal(&stage, &file);
    for (line, words) in [
        ("lclaude --prof", &["lclaude", "--profile"][..]),
        ("lclaude --model=Big:3", &["lclaude", "--model=Big:30b"]),
        ("lclaude --model weights/o", &["lclaude", "--model", "weights/one.gguf"]),
        ("lclaude --conti", &["lclaude", "--continue"]),
        ("claude --prof", &["claude", "--profile"]),
        ("lclaude local run -- lclau", &["lclaude", "local", "run", "--", "lclaude"]),
    ] {
        expect_completed(&mut terminal, line, words);
    }
    terminal.type_in("exit 0\n");
    assert_eq!(terminal.wait(), Some(0));
}

#[test]
fn existing_claude_completion_is_used_for_its_arguments() {
    for shell in Shell::installed() {
        let stage = typing_stage();
        let theirs = match shell {
            Bash => {
                "_theirs() { if [[ ${COMP_WORDS[*]} == 'claude -p --verb' ]]; then COMPREPLY=(--verbose-of-theirs); fi; }\ncomplete -F _theirs claude"
            }
            Zsh => {
                "_theirs() { [[ \"$words\" == 'claude -p --verb' ]] && compadd -- --verbose-of-theirs }\ncompdef _theirs claude"
            }
            Fish => "complete -c claude -n 'test (commandline -p) = \"claude -p --verb\"' -l verbose-of-theirs",
        };
        let file = format!("{theirs}\n{}\n{}", completions(shell), shell.source());
        let mut terminal = shell.terminal(&stage, &file);
        expect_completed(
            &mut terminal,
            "lclaude --lean -p --verb",
            &["lclaude", "--lean", "-p", "--verbose-of-theirs"],
        );
        // lclaude's own options are still completed by lclaude.
        expect_completed(&mut terminal, "lclaude --profile eve", &["lclaude", "--profile", "evening"]);
        // With the hook, lclaude completes in the project and the existing completion elsewhere.
        expect_completed(&mut terminal, "claude --profile eve", &["claude", "--profile", "evening"]);
        expect_completed(&mut terminal, "claude local unt", &["claude", "local", "untrust"]);
        terminal.type_in("cd\n");
        terminal.wait_for(PROMPT);
        expect_completed(&mut terminal, "claude -p --verb", &["claude", "-p", "--verbose-of-theirs"]);
        expect_completed(&mut terminal, "claude loc", &["claude", "loc"]);
        terminal.type_in("exit 0\n");
        assert_eq!(terminal.wait(), Some(0), "{shell:?}");
    }
}
