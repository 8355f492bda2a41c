//! `edit`: opens a file in the user's editor, and checks it afterwards.

use std::{fs, process::ExitStatus};

use rustix::process::Signal;
use tokio::process::Command;

use super::target::Target;
use crate::{
    backend::describe_status,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        process::Identity,
        question::Enter,
        signals::Signals,
        ui, wait,
    },
    local::init,
    session::watch,
};

/// The editors to look for if the user has chosen none.
const EDITORS: [&str; 3] = ["nano", "vim", "vi"];
/// The exit code of a shell that doesn't find a program.
const NOT_FOUND: i32 = 127;

pub(super) fn edit(target: &Target, environment: &Environment) -> Result<Exit> {
    let editor = editor(target, environment)?;
    // A link in a project is not followed.
    let before = if target.is_project { target.read(environment)? } else { String::new() };
    if let Some(directory) = target.path.parent() {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be created", directory.display()))
                .cause(error)
                .help(format!("mkdir -p {}", ui::quote_path(directory)))
        })?;
    }
    let runtime = wait::event_loop()?;
    let ended = runtime.block_on(edit_until_valid(&editor, target, environment, &before));
    // Dropping it would block while a thread waits for an answer at the terminal.
    runtime.shutdown_background();
    ended
}

async fn edit_until_valid(editor: &str, target: &Target, environment: &Environment, before: &str) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    loop {
        let Some(status) = open(editor, target, environment, &mut signals).await? else {
            return Ok(signals.exit());
        };
        if !status.success() {
            let failure = match status.code() {
                Some(NOT_FOUND) => Failure::new(Code::Usage, format!("editor `{editor}` was not found"))
                    .cause("VISUAL or EDITOR names it"),
                _ => Failure::new(Code::Usage, format!("{editor} failed"))
                    .cause(format!("it {}", describe_status(Some(status)))),
            };
            return Err(failure.help(with_another(editor, target, environment)));
        }
        match target.read(environment).and_then(|text| target.check(&text).map(|()| text)) {
            Ok(text) => {
                if target.is_project && text != before && target.path.exists() {
                    for note in init::notes(target.path.clone(), environment)? {
                        ui::message(format_args!("lclaude: {note}"));
                    }
                }
                return Ok(Exit::Code(0));
            }
            Err(failure) if ui::can_ask() => {
                ui::message_lines(&failure);
                // Ctrl-C in the editor was meant for the editor.
                signals.forget().await;
                match signals.agrees("Edit it again?".into(), Enter::No).await {
                    Some(true) => {}
                    Some(false) => return Ok(Exit::Code(failure.exit_code())),
                    None => return Ok(signals.exit()),
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Returns the command line of the user's editor.
///
/// # Errors
/// `Usage` if none is set or installed.
fn editor(target: &Target, environment: &Environment) -> Result<String> {
    let set = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| environment.variables.text(name));
    let set = set.map(str::trim).find(|editor| !editor.is_empty()).map(str::to_owned);
    let installed = || EDITORS.into_iter().find(|editor| which::which(editor).is_ok()).map(str::to_owned);
    set.or_else(installed).ok_or_else(|| {
        Failure::new(Code::Usage, "no editor was found")
            .cause("VISUAL and EDITOR are unset, and nano, vim and vi are not on PATH")
            .help(format!("VISUAL=PROGRAM {}", command(target, environment)))
    })
}

/// Returns the command that opens the file again with another editor, one that is installed if there is one.
fn with_another(editor: &str, target: &Target, environment: &Environment) -> String {
    let mut others = EDITORS.into_iter().filter(|other| editor.split_whitespace().next() != Some(*other));
    let other = others.find(|other| which::which(other).is_ok()).unwrap_or("vi");
    format!("VISUAL={other} {}", command(target, environment))
}

/// Returns the command that opens the file.
fn command(target: &Target, environment: &Environment) -> String {
    let verb = "lclaude local config edit";
    match target.is_project {
        true => format!("{verb} --project"),
        false if target.path == environment.places.config_file => verb.into(),
        false => format!("{verb} --config {}", ui::quote_path(&target.path)),
    }
}

/// Runs the editor until it exits. Ctrl-C belongs to it. Returns `None` if another signal arrives, which ends lclaude.
async fn open(
    editor: &str,
    target: &Target,
    environment: &Environment,
    signals: &mut Signals,
) -> Result<Option<ExitStatus>> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Usage, format!("{editor} could not be started")).cause(error).help(with_another(
            editor,
            target,
            environment,
        ))
    };
    // The variable may contain options, so a shell splits it, as for git.
    let script = format!("{editor} \"$@\"");
    let mut shell = Command::new("sh").arg("-c").arg(script).arg(editor).arg(&target.path).spawn().map_err(failed)?;
    let identity = shell.id().and_then(Identity::of);
    let mut is_ended = false;
    loop {
        tokio::select! {
            status = shell.wait() => return status.map_err(failed).map(|status| (!is_ended).then_some(status)),
            received = signals.next() => {
                is_ended |= received.signal != Signal::INT || !received.is_typed;
                watch::forward(received, identity);
            }
        }
    }
}
