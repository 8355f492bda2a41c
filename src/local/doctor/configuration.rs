//! Checks the configuration: the user's file, the project file, environment variables and options.

use crate::{
    backend::{context::enough_context, subject::with_edit_help},
    base::{
        check::{Area, Check, Severity},
        environment::Environment,
        error::Code,
        trace,
        variables::LOG,
    },
    cli::Selection,
    config::{self, Project, Settings, values},
    launch,
};

const AREA: Area = Area::Configuration;

/// Adds the checks. Returns the settings of a session; if they can't be loaded, those without the project file or the
/// defaults, so that the other checks can run.
pub(crate) fn check(selection: &Selection, environment: &Environment, checks: &mut Vec<Check>) -> Settings {
    let choice = &selection.choice;
    let file = choice.config.as_deref().unwrap_or(&environment.places.config_file);
    let overrides = selection.overrides();
    let load = |project: Option<&Project>| launch::load_settings(choice, &overrides, project, environment);
    // First without the project file, so that an error is reported for the file that causes it.
    let mut settings = match load(None) {
        Ok(settings) => {
            let found = if file.exists() { "is valid" } else { "does not exist; using the defaults" };
            checks.push(Check::ok(AREA, "file", format!("{} {found}", file.display())));
            settings
        }
        Err(failure) => {
            checks.push(Check::failed(AREA, "file", &with_edit_help(failure, file)));
            Settings::default()
        }
    };
    let is_valid = checks.iter().all(|check| check.name != "file" || check.state == Severity::Ok);
    let project = Project::find(environment);
    checks.push(match &project {
        Ok(None) => Check::ok(AREA, "project", "no .lclaude.toml found"),
        Ok(Some(_)) if !is_valid => Check::ok(AREA, "project", "not checked until the errors above are fixed"),
        Ok(Some(project)) => match load(Some(project)) {
            Ok(merged) => {
                settings = merged;
                let standing =
                    if project.is_trusted() { "is trusted" } else { "contains no settings that require trust" };
                Check::ok(AREA, "project", format!("{} {standing}", project.path.display()))
            }
            // An untrusted file should be reviewed and trusted rather than edited.
            Err(mut failure) if failure.code == Code::Refused => {
                failure.help.insert(0, "lclaude local trust".into());
                Check::failed(AREA, "project", &failure)
            }
            Err(failure) => Check::failed(AREA, "project", &with_edit_help(failure, &project.path)),
        },
        Err(failure) => Check::failed(AREA, "project", failure),
    });
    checks.push(variables(environment));
    checks.push(sources(&settings));
    checks.push(match enough_context(&settings) {
        Ok(()) => Check::ok(AREA, "context", format!("{} tokens requested", settings.context())),
        Err(failure) => Check::failed(AREA, "context", &with_edit_help(failure, file)),
    });
    settings
}

fn variables(environment: &Environment) -> Check {
    let unknown = config::unknown_variables(&environment.variables);
    if !unknown.is_empty() {
        let strip_prefix = |warning: &String| warning.trim_start_matches("lclaude: warning: ").to_owned();
        let unknown: Vec<String> = unknown.iter().map(strip_prefix).collect();
        let names =
            unknown.iter().filter_map(|warning| warning.split([' ', ';']).find(|word| word.starts_with("LCLAUDE_")));
        let unset = format!("unset {}", names.collect::<Vec<_>>().join(" "));
        return Check::warning(AREA, "variables", unknown.join("; ")).help(unset);
    }
    if let Some(warning) = trace::start(&environment.places.state) {
        return Check::warning(AREA, "variables", warning).help(format!("unset {LOG}"));
    }
    Check::ok(AREA, "variables", "no unknown LCLAUDE_ variables")
}

fn sources(settings: &Settings) -> Check {
    let sources: Vec<String> =
        values::effective(settings).iter().map(|setting| format!("{} from {}", setting.key, setting.source)).collect();
    let found = if sources.is_empty() { "all defaults".to_owned() } else { sources.join(", ") };
    Check::ok(AREA, "settings", found)
}
