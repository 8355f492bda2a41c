//! `edit`: opens a file in the user's editor, and checks it afterwards.

use std::{fs, path::Path, process::ExitStatus};

use tokio::process::Command;

use super::target::Target;
use crate::{
    backend::describe_status,
    base::{
        environment::Environment,
        error::{Code, Failure, Result},
        exit::Exit,
        process::Identity,
        signals::Signals,
        ui,
    },
    launch,
    local::init,
    session::watch,
};

/// The editors to look for if the user has chosen none.
const EDITORS: [&str; 3] = ["nano", "vim", "vi"];

pub(super) fn edit(target: &Target, environment: &Environment) -> Result<Exit> {
    let editor = editor(environment)?;
    // A link in a project is not followed.
    let before = if target.is_project { target.read(environment)? } else { String::new() };
    if let Some(directory) = target.path.parent() {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::new(Code::Config, format!("{} cannot be created", directory.display()))
                .cause(error)
                .help(format!("mkdir -p {}", ui::quote_path(directory)))
        })?;
    }
    let runtime = launch::event_loop()?;
    let ended = runtime.block_on(edit_until_valid(&editor, target, environment, &before));
    // Dropping it would block while a thread waits for an answer at the terminal.
    runtime.shutdown_background();
    ended
}

async fn edit_until_valid(editor: &str, target: &Target, environment: &Environment, before: &str) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    loop {
        let status = open(editor, &target.path, &mut signals).await?;
        if !status.success() {
            return Err(Failure::new(Code::Usage, format!("{editor} failed"))
                .cause(format!("it {}", describe_status(Some(status))))
                .help(format!("{editor} {}", ui::quote_path(&target.path)))
                .help("export EDITOR=nano  # to use another editor"));
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
                match signals.agrees("Edit it again?".into()).await {
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
fn editor(environment: &Environment) -> Result<String> {
    let set = ["VISUAL", "EDITOR"].into_iter().filter_map(|name| environment.variables.text(name));
    let set = set.map(str::trim).find(|editor| !editor.is_empty()).map(str::to_owned);
    let installed = || EDITORS.into_iter().find(|editor| which::which(editor).is_ok()).map(str::to_owned);
    set.or_else(installed).ok_or_else(|| {
        Failure::new(Code::Usage, "no editor was found")
            .cause("VISUAL and EDITOR are unset, and nano, vim and vi are not on PATH")
            .help("export EDITOR=…")
            .help("lclaude local config set KEY VALUE")
    })
}

/// Runs the editor until it exits. Ctrl-C belongs to it.
async fn open(editor: &str, path: &Path, signals: &mut Signals) -> Result<ExitStatus> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Usage, format!("{editor} could not be started"))
            .cause(error)
            .help("export EDITOR=nano  # to use another editor")
    };
    // The variable may contain options, so a shell splits it, as for git.
    let script = format!("{editor} \"$@\"");
    let mut shell = Command::new("sh").arg("-c").arg(script).arg(editor).arg(path).spawn().map_err(failed)?;
    let identity = shell.id().and_then(Identity::of);
    loop {
        tokio::select! {
            status = shell.wait() => return status.map_err(failed),
            received = signals.next() => watch::forward(received, identity),
        }
    }
}
