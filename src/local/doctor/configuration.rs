//! What lclaude itself was told: directories, files, variables, options, and the project.

use crate::backend::context::enough_context;
use crate::backend::subject::correctable;
use crate::base::check::{Area, Check, State};
use crate::base::variables::LOG;

use crate::{
    base::{environment::Environment, error::Code, trace},
    cli::Selection,
    config::{self, Project, Settings},
    launch,
};

const AREA: Area = Area::Configuration;

/// The settings a session would have. Where they cannot be read, those without the project's file, or the defaults, so
/// that the other checks go on.
pub fn check(selection: &Selection, environment: &Environment, checks: &mut Vec<Check>) -> Settings {
    let choice = &selection.choice;
    let file = choice.config.as_deref().unwrap_or(&environment.places.config_file);
    let overrides = selection.overrides();
    let load = |project: Option<&Project>| launch::own_settings(choice, &overrides, project, environment);
    // First without the project's file, so that each is blamed for its own faults.
    let mut settings = match load(None) {
        Ok(settings) => {
            let found = if file.exists() { "can be read" } else { "is not there, so the defaults count" };
            checks.push(Check::ok(AREA, "file", format!("{} {found}", file.display())));
            settings
        }
        Err(failure) => {
            checks.push(Check::failed(AREA, "file", &correctable(failure, file)));
            Settings::default()
        }
    };
    let is_well = checks.iter().all(|check| check.name != "file" || check.state == State::Ok);
    let project = Project::find(environment);
    checks.push(match &project {
        Ok(None) => Check::ok(AREA, "project", "there is no .lclaude.toml here"),
        Ok(Some(_)) if !is_well => Check::ok(AREA, "project", "its .lclaude.toml is read once the above is mended"),
        Ok(Some(project)) => match load(Some(project)) {
            Ok(with) => {
                settings = with;
                let standing = if project.is_trusted() { "is trusted" } else { "asks for nothing that needs trust" };
                Check::ok(AREA, "project", format!("{} {standing}", project.path.display()))
            }
            // A refusal has its own command, which is not to edit the file until it is harmless.
            Err(mut failure) if failure.code == Code::Refused => {
                failure.help.insert(0, "lclaude local trust".into());
                Check::failed(AREA, "project", &failure)
            }
            Err(failure) => Check::failed(AREA, "project", &correctable(failure, &project.path)),
        },
        Err(failure) => Check::failed(AREA, "project", failure),
    });
    checks.push(variables(environment));
    checks.push(sources(&settings));
    checks.push(match enough_context(&settings) {
        Ok(()) => Check::ok(AREA, "context", format!("{} tokens are asked for", settings.context())),
        Err(failure) => Check::failed(AREA, "context", &correctable(failure, file)),
    });
    settings
}

fn variables(environment: &Environment) -> Check {
    let unknown = config::unknown_variables(&environment.variables);
    if !unknown.is_empty() {
        let plain = |warning: &String| warning.trim_start_matches("lclaude: warning: ").to_owned();
        let unknown: Vec<String> = unknown.iter().map(plain).collect();
        let names = unknown.iter().filter_map(|warning| warning.split_whitespace().next());
        let unset = format!("unset {}", names.collect::<Vec<_>>().join(" "));
        return Check::warning(AREA, "variables", unknown.join("; ")).help(unset);
    }
    if let Some(warning) = trace::start(&environment.places.state) {
        return Check::warning(AREA, "variables", warning).help(format!("unset {}", LOG));
    }
    Check::ok(AREA, "variables", "every LCLAUDE_ variable is one that means something")
}

fn sources(settings: &Settings) -> Check {
    let sources: Vec<String> = settings.sources().map(|(key, source)| format!("{key} from {source}")).collect();
    let found = if sources.is_empty() { "all defaults".to_owned() } else { sources.join(", ") };
    Check::ok(AREA, "settings", found)
}
