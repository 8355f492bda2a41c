//! Benchmarks of the shell hook, at the prompt and when `claude` is called, and of completion.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use support::{
    Stage, lclaude,
    system::TRUE,
    terminal::{PROMPT, Terminal},
};

use super::{line, median, ms, timed};

const PROMPTS: usize = 501;
const RUNS: usize = 11;
const CALLS: u32 = 50;

pub fn all() {
    for shell in ["bash", "zsh", "fish"] {
        if Command::new(shell).arg("--version").output().is_err() {
            println!("{shell} is not installed");
            continue;
        }
        let stage = stage();
        let hook = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("shell/lclaude.{shell}"));
        let empty = stage.root().join("empty");
        fs::write(&empty, "").expect("a file");
        let (with, without) = prompts(&stage, shell, &hook, &empty);
        line(&format!("{shell}: from Enter to the next prompt (plain: empty hook)"), us(with), us(without), "");
        for (what, directory) in [("in a project", "project/a/b/c"), ("elsewhere, in a repository", "other/a/b/c")] {
            let directory = stage.root().join(directory);
            let (ours, plain) = calls(&stage, shell, &hook, &directory);
            line(&format!("{shell}: calling claude {what} (stubs)"), us(ours), us(plain), "");
        }
    }
    tab();
}

/// Returns a stage where `claude` and `lclaude` are stubs that do nothing.
fn stage() -> Stage {
    let stage = Stage::bare();
    for name in ["claude", "lclaude"] {
        std::os::unix::fs::symlink(TRUE, stage.bin().join(name)).expect("a link");
    }
    for directory in ["project/.git", "project/a/b/c", "other/.git", "other/a/b/c"] {
        fs::create_dir_all(stage.root().join(directory)).expect("a directory");
    }
    fs::write(stage.project().join(".lclaude.toml"), "").expect("a file");
    stage
}

/// Measures prompts with and without the hook, alternating, since the speed of the machine varies.
fn prompts(stage: &Stage, shell: &str, hook: &Path, empty: &Path) -> (Duration, Duration) {
    let mut both = [hook, empty].map(|sourced| terminal(stage, shell, sourced));
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..PROMPTS {
        for (terminal, times) in both.iter_mut().zip(&mut times) {
            let start = Instant::now();
            terminal.type_in("\n");
            terminal.wait_for(PROMPT);
            times.push(start.elapsed());
        }
    }
    for terminal in both {
        terminal.type_in("exit 0\n");
        terminal.wait();
    }
    let [with, without] = times.map(middle);
    (with, without)
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn terminal(stage: &Stage, shell: &str, sourced: &Path) -> Terminal {
    let mut command = stage.command(shell);
    let prompt = match shell {
        "bash" => {
            command.args(["--norc", "--noprofile", "-i"]);
            format!("PS1='{PROMPT}'")
        }
        "zsh" => {
            command.args(["-f", "-i"]);
            format!("PROMPT='{PROMPT}'")
        }
        _ => {
            command.args(["--no-config", "-i"]);
            format!("function fish_prompt; echo -n '{PROMPT}'; end")
        }
    };
    let mut terminal = Terminal::start(command);
    // The command itself contains the prompt's text, so another marker shows that it was executed.
    terminal.type_in(&format!("{prompt}\n. {}\nprintf 'so%s\\n' urced\n", sourced.display()));
    terminal.wait_for("sourced");
    terminal.wait_for(PROMPT);
    terminal
}

/// Measures calls of `claude` with and without the hook, alternating.
fn calls(stage: &Stage, shell: &str, hook: &Path, directory: &Path) -> (Duration, Duration) {
    let run = |call: &str| {
        let repeat = match shell {
            "fish" => format!("for i in (seq {CALLS}); {call}; end"),
            _ => format!("for i in {{1..{CALLS}}}; do {call}; done"),
        };
        let script = format!(". {}; cd {}; {repeat}", hook.display(), directory.display());
        // Without -f, zsh reads the system's startup files.
        let plain = (shell == "zsh").then_some("-f");
        timed(stage.command(shell).args(plain).args(["-c", &script]))
    };
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (call, times) in ["claude", "command claude"].into_iter().zip(&mut times) {
            times.push(run(call));
        }
    }
    let [ours, plain] = times.map(middle);
    (ours / CALLS, plain / CALLS)
}

/// Measures completion with many models.
fn tab() {
    let stage = Stage::ollama();
    let library = stage.home().join(".ollama/models/manifests/registry.ollama.ai/library");
    for model in 0..200 {
        let directory = library.join(format!("model-{model}"));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("latest"), "{}").expect("a file");
    }
    let plain = median(|| timed(&mut stage.command(TRUE)));
    for (what, words) in [("an option", &["--pro"][..]), ("a model, of 200", &["--model", "m"])] {
        let arguments = [&["local", "complete", "--"], words].concat();
        let ours = median(|| timed(stage.command(lclaude()).args(&arguments)));
        line(&format!("Tab: completing {what} (plain: true)"), ms(ours), ms(plain), "");
    }
}

fn us(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}
