//! Claude Code: whether it is there, and what could lead it elsewhere.

use crate::backend::program;
use crate::backend::subject::correctable;
use crate::backend::subject::edit;
use crate::base::check::{Area, Check};
use crate::base::ui;
use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    backend,
    base::{disk, environment::Environment},
    claude,
    config::Settings,
};

const AREA: Area = Area::Claude;

/// What every promise was seen to hold with.
const PROVEN: &str = "2.1.331";

/// Gives the program and its version, where they could be found out.
pub async fn check(
    settings: &Settings,
    environment: &Environment,
    file: &Path,
    checks: &mut Vec<Check>,
) -> Option<PathBuf> {
    let found = claude::find(settings, environment).map_err(|failure| correctable(failure, file));
    checks.push(Check::of(AREA, "program", found.clone(), |path| path.display().to_string()));
    if let Ok(path) = &found {
        checks.push(version(path).await);
    }
    checks.push(Check::of(
        AREA,
        "own settings",
        claude::check_own(settings).map_err(|failure| correctable(failure, file)),
        |()| "[claude] args and env can be used".into(),
    ));
    checks.push(Check::of(AREA, "managed settings", claude::respect_managed(), |()| {
        "no administrator has fixed routing, login or models".into()
    }));
    checks.push(settings_files(environment));
    checks.push(variables(environment));
    checks.push(proxies(environment));
    found.ok()
}

async fn version(path: &Path) -> Check {
    let name = "version";
    let broken =
        |why: String| Check::failure(AREA, name, format!("{} does not run", path.display())).why(why).help(claude::NPM);
    let output = match program::ask(path, "--version").await {
        Ok(Some(output)) => output,
        Ok(None) => return broken("asked for its version it does not answer".into()),
        Err(error) => return broken(error.to_string()),
    };
    if !output.status.success() {
        let how = match output.status.signal() {
            // The usual end of a program for another processor.
            Some(libc::SIGILL) => "illegal instruction: it was built for another processor".to_owned(),
            _ => format!("asked for its version it ended with {}", backend::describe_status(Some(output.status))),
        };
        return broken(how);
    }
    match program::version(&output) {
        None => Check::warning(AREA, name, "it does not tell its version")
            .why(format!("lclaude is proven with {PROVEN}"))
            .help(claude::NPM),
        Some(version) if backend::release(&version) < backend::release(PROVEN) => {
            Check::warning(AREA, name, format!("{version} is older than {PROVEN}, which lclaude is proven with"))
                .why("an older one may lack a variable that keeps its requests on this machine")
                .help(format!("{} update", ui::quoted(path)))
        }
        Some(version) => Check::ok(AREA, name, version),
    }
}

/// Settings files of the user's that would lead requests elsewhere, if lclaude did not overrule them.
fn settings_files(environment: &Environment) -> Check {
    let here = environment.working_dir().unwrap_or(environment.home());
    let name = "settings files";
    let mut files: Vec<PathBuf> = claude::settings_files(Some(&claude::config_dir(environment)), here).collect();
    files.insert(1, claude::answers_file(environment));
    let mut overruled = Vec::new();
    for file in files {
        let text = match disk::read(&file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(error) => {
                let (shown, path) = (file.display(), ui::quoted(&file));
                return Check::warning(AREA, name, format!("{shown} cannot be read")).why(error.to_string()).help(
                    match error.kind() {
                        // A directory, say.
                        io::ErrorKind::InvalidInput => format!("mv {path} {path}.old"),
                        io::ErrorKind::PermissionDenied => format!("chmod u+r {path}"),
                        _ => format!("ls -l {path}"),
                    },
                );
            }
        };
        let Ok(settings) = serde_json::from_slice::<Value>(&text) else {
            return Check::warning(AREA, name, format!("{} is not JSON", file.display()))
                .why("Claude Code leaves it out, with whatever it permits or forbids")
                .help(edit(&file));
        };
        let hijackers = claude::hijackers(&settings);
        if let Some(key) = hijackers.left.first() {
            return Check::warning(
                AREA,
                name,
                format!("{} sets {key}, which may lead requests elsewhere", file.display()),
            )
            .why("a settings file beats the environment, and lclaude does not know this name to overrule it")
            .help(edit(&file));
        }
        if !hijackers.overruled.is_empty() {
            overruled.push(format!("{} ({})", hijackers.overruled.join(", "), file.display()));
        }
    }
    match overruled[..] {
        [] => Check::ok(AREA, name, "none leads requests elsewhere"),
        _ => Check::ok(AREA, name, format!("overruled in a session: {}", overruled.join("; "))),
    }
}

/// Names only: the values may be secrets.
fn variables(environment: &Environment) -> Check {
    let names = environment.variables.names().filter_map(|name| name.to_str().map(str::to_owned));
    let mut kept: Vec<String> = names.filter(|name| claude::is_overruled(name)).collect();
    kept.sort();
    match kept[..] {
        [] => Check::ok(AREA, "environment", "no variable leads requests elsewhere"),
        _ => Check::ok(AREA, "environment", format!("kept from it or replaced: {}", kept.join(", "))),
    }
}

fn proxies(environment: &Environment) -> Check {
    let names = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    let set: Vec<&str> = names.into_iter().filter(|name| environment.variables.get(name).is_some()).collect();
    match set[..] {
        [] => Check::ok(AREA, "proxy", "none is set"),
        _ => Check::ok(
            AREA,
            "proxy",
            format!("{} is set; a backend on this machine is reached without it (NO_PROXY)", set.join(", ")),
        ),
    }
}
