//! Records the picture of the README: a session of the real Claude Code on the real llama-server with a scripted model,
//! in a pseudo-terminal. `shell/picture.sh` runs it and sets the paths of the programs.
//!
//! Nothing in the picture is drawn by hand. The home and the project have neutral names, since Claude Code shows them.

use std::{fs, path::Path};

use lclaude_fakes::scripted_model::{Script, Shape, tool_call};
use support::{
    json,
    picture::{self, Frame},
    real,
    terminal::Terminal,
};

const TITLE: &str =
    "A terminal: lclaude starts a local model, Claude Code writes a file with it, and nothing is left running";
const PROMPT: &str = "write hello.py";
/// The shell's prompt.
const SHELL: &str = "~/src/hello $ ";
/// The largest picture, in bytes.
const LIMIT: usize = 100_000;

fn main() {
    // cargo may add options of its own.
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).expect("the picture's file");
    let Some(stage) = real::stage(&Script::default()) else { return };
    let home = stage.home();
    let project = home.join("src/hello");
    let written = project.join("hello.py");
    for directory in [project.clone(), home.join("models"), home.join(".config/lclaude")] {
        fs::create_dir_all(directory).expect("a directory");
    }
    let arguments = json!({"file_path": written, "content": "print(\"Hello from a local model\")\n"});
    let words = ["I wrote ", "hello.py. ", "Run ", "it ", "with: ", "python3 ", "hello.py"];
    let script = Script {
        act: tool_call("Write", &arguments.to_string()),
        done: words.map(str::to_owned).into(),
        // Its prompt takes long enough to read that the status line says so.
        shape: Shape::Full,
        ..Script::default()
    };
    lclaude_fakes::scripted_model::write(&home.join("models/scripted.gguf"), &script).expect("the model is written");
    stage.config("backend = \"llamacpp\"\nmodel = \"~/models/scripted.gguf\"\n");
    let known = json!({"hasCompletedOnboarding": true, "projects": {project.display().to_string(): {
        "hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true
    }}});
    fs::write(home.join(".claude.json"), known.to_string()).expect("a file");
    std::os::unix::fs::symlink(support::lclaude(), stage.bin().join("lclaude")).expect("a link");

    // What a session says only once doesn't belong to the picture. It may not write files, so it writes none.
    let mut first = stage.command(support::lclaude());
    first.args(["-p", PROMPT]).current_dir(&project);
    Terminal::start(first).wait_to_the_end(0);
    assert!(!written.exists());

    let frames = record(&stage, &project);
    assert_eq!(fs::read_to_string(written).expect("a file"), "print(\"Hello from a local model\")\n");
    stage.assert_nothing_left();

    let picture = picture::draw(TITLE, &frames);
    for private in [stage.root(), Path::new(env!("CARGO_MANIFEST_DIR"))] {
        assert!(!picture.contains(&*private.to_string_lossy()), "{} is in the picture", private.display());
    }
    assert!(picture.len() <= LIMIT, "the picture has {} bytes", picture.len());
    fs::write(&file, &picture).expect("the picture is written");
    println!("{file}: {} frames, {} bytes", frames.len(), picture.len());
}

/// Runs the session and returns its most telling moments.
fn record(stage: &support::Stage, project: &Path) -> Vec<Frame> {
    let mut command = stage.command("bash");
    command.args(["--noediting", "--norc", "-i"]).env("PS1", SHELL).current_dir(project);
    let mut terminal = Terminal::start(command);
    let mut frames = Vec::new();
    let mut add = |output: Vec<u8>, seconds: f64| frames.push(Frame { output, seconds });
    let shows = |text: &'static str| move |lines: &[String]| lines.iter().any(|line| line.contains(text));

    terminal.wait_for(SHELL);
    terminal.type_in("lclaude");
    add(terminal.wait_for_window(shows("$ lclaude")), 1.5);
    terminal.type_in("\n");
    let is_open = |lines: &[String]| ["▐▛", "local · scripted"].into_iter().all(|text| shows(text)(lines));
    add(terminal.wait_for_window(|lines| real::takes_prompt(lines) && is_open(lines)), 2.0);
    terminal.type_in(PROMPT);
    add(terminal.wait_for_window(shows(PROMPT)), 1.5);
    terminal.type_in("\r");
    add(terminal.wait_for_window(shows("· reading ")), 2.0);
    add(terminal.wait_for_window(shows("Do you want to create hello.py?")), 3.0);
    terminal.type_in("\r");
    add(terminal.wait_for_window(|lines| real::takes_prompt(lines) && shows("· cache ")(lines)), 4.0);
    terminal.type_in("\x03");
    terminal.wait_for("again");
    terminal.type_in("\x03");
    terminal.wait_for(SHELL);
    terminal.enter("lclaude local status");
    terminal.wait_for(SHELL);
    add(terminal.wait_for_window(shows("No backend is running")), 4.0);
    terminal.leave();
    frames
}
