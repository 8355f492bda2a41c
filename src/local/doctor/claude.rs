//! Checks Claude Code: its program and version, and settings and variables that could redirect its requests.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    backend::{
        self, program,
        subject::{edit_command, with_edit_help},
    },
    base::{
        check::{Area, Check},
        disk,
        environment::Environment,
        exit::signal_of,
        ui,
    },
    claude,
    config::Settings,
};

const AREA: Area = Area::Claude;

/// The signal for an instruction that the processor doesn't have.
const ILLEGAL: i32 = rustix::process::Signal::ILL.as_raw();

/// The Claude Code version that lclaude was tested with.
const TESTED: &str = "2.1.331";

/// Adds the checks. Returns the program, or `None` if it was not found.
pub(crate) async fn check(
    settings: &Settings,
    environment: &Environment,
    file: &Path,
    checks: &mut Vec<Check>,
) -> Option<PathBuf> {
    let found = claude::find(settings, environment).map_err(|failure| with_edit_help(failure, file));
    checks.push(Check::of(AREA, "program", found.clone(), |path| path.display().to_string()));
    if let Ok(path) = &found {
        checks.push(version(path).await);
        // Without another one, it is the cause of the failure above.
        checks.extend(claude::on_windows(environment).map(on_windows));
    }
    checks.push(Check::of(
        AREA,
        "own settings",
        claude::check_settings(settings).map_err(|failure| with_edit_help(failure, file)),
        |()| "[claude] args and env are valid".into(),
    ));
    checks.push(Check::of(AREA, "managed settings", claude::check_managed_settings(), |()| {
        "no managed setting restricts routing, login or models".into()
    }));
    checks.push(settings_files(environment));
    checks.push(variables(environment));
    checks.push(proxies(environment));
    found.ok()
}

async fn version(path: &Path) -> Check {
    let name = "version";
    let broken = |why: String| {
        Check::failure(AREA, name, format!("{} cannot be run", path.display())).cause(why).help(claude::NPM_INSTALL)
    };
    let output = match program::run(path, &["--version"]).await {
        Ok(Some(output)) => output,
        Ok(None) => return broken("`--version` timed out".into()),
        Err(error) => return Check::failed(AREA, name, &claude::not_started(path, &error)),
    };
    if !output.status.success() {
        let how = match signal_of(output.status) {
            // A program built for another processor usually ends this way.
            Some(ILLEGAL) => "illegal instruction: it was built for another processor".to_owned(),
            _ => format!("`--version` {}", backend::describe_status(Some(output.status))),
        };
        return broken(how);
    }
    match program::version(&output) {
        None => Check::warning(AREA, name, "unknown version")
            .cause(format!("lclaude was tested with {TESTED}"))
            .help(claude::NPM_INSTALL),
        Some(version) if backend::parse_version(&version) < backend::parse_version(TESTED) => {
            Check::warning(AREA, name, format!("{version} is older than {TESTED}, which lclaude was tested with"))
                .cause("an older version may ignore a variable that keeps its requests on this machine")
                .help(format!("{} update", ui::quote_path(path)))
        }
        Some(version) => Check::ok(AREA, name, version),
    }
}

fn on_windows(path: PathBuf) -> Check {
    Check::ok(AREA, "claude on windows", format!("{} is a Windows program, and not used", path.display()))
}

/// Checks the user's settings files for keys that redirect requests. lclaude overrides those it knows.
fn settings_files(environment: &Environment) -> Check {
    let project = environment.working_dir().unwrap_or(environment.home());
    let name = "settings files";
    let mut files: Vec<PathBuf> = claude::settings_files(Some(&claude::config_dir(environment)), project).collect();
    files.insert(1, claude::answers_file(environment));
    let mut overruled = Vec::new();
    for file in files {
        let text = match disk::read(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => {
                let path = ui::quote_path(&file);
                return Check::warning(AREA, name, format!("{} cannot be read", file.display()))
                    .cause(error.to_string())
                    .help(match error.kind() {
                        // A directory, for example.
                        io::ErrorKind::InvalidInput => format!("mv {path} {path}.old"),
                        io::ErrorKind::PermissionDenied => format!("chmod u+r {path}"),
                        _ => format!("ls -l {path}"),
                    });
            }
        };
        let Ok(settings) = serde_json::from_slice::<Value>(&text) else {
            return Check::warning(AREA, name, format!("{} is not valid JSON", file.display()))
                .cause("Claude Code ignores the whole file, including its permissions")
                .help(edit_command(&file));
        };
        let hijackers = claude::find_hijackers(&settings);
        if let Some(key) = hijackers.left.first() {
            return Check::warning(AREA, name, format!("{} sets {key}, which may redirect requests", file.display()))
                .cause("a settings file takes precedence over the environment, and lclaude can't override this key")
                .help(edit_command(&file));
        }
        if !hijackers.overruled.is_empty() {
            overruled.push(format!("{} ({})", hijackers.overruled.join(", "), file.display()));
        }
    }
    match overruled[..] {
        [] => Check::ok(AREA, name, "none redirects requests"),
        _ => Check::ok(AREA, name, format!("overridden in sessions: {}", overruled.join("; "))),
    }
}

/// Lists only names, because the values may be secrets.
fn variables(environment: &Environment) -> Check {
    let names = environment.variables.names().filter_map(|name| name.to_str().map(str::to_owned));
    let mut overridden: Vec<String> = names.filter(|name| claude::is_overridden(name)).collect();
    overridden.sort();
    match overridden[..] {
        [] => Check::ok(AREA, "environment", "no variable redirects requests"),
        _ => Check::ok(AREA, "environment", format!("removed or replaced in sessions: {}", overridden.join(", "))),
    }
}

fn proxies(environment: &Environment) -> Check {
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let set: Vec<&str> = names.into_iter().filter(|name| environment.variables.get(name).is_some()).collect();
    match set[..] {
        [] => Check::ok(AREA, "proxy", "none"),
        _ => Check::ok(AREA, "proxy", format!("{} is set; local backends bypass it (NO_PROXY)", set.join(", "))),
    }
}
