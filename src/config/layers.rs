//! Reads the layers of configuration and merges them key by key. Later layers override earlier ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    file::{MAX_FILE, decode, name_types, parse},
    keys,
    kind::{Kind, url_kind},
    project::{self, Project},
    ranges,
    settings::{Settings, Sources},
    source::Source,
    tools::{self, ToolSet},
    url,
};
use crate::base::{
    environment::Environment,
    error::{Code, Failure, Result},
    ui,
    variables::{DEPTH, LOG, Variables},
};

/// Settings from the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub backend: Option<Kind>,
    /// The URL of an endpoint, which also selects that backend.
    pub url: Option<String>,
    pub profile: Option<String>,
    pub context: Option<u32>,
    pub lean: bool,
    pub tools: Option<ToolSet>,
    pub throwaway: Option<bool>,
    pub model: Option<String>,
    /// The Claude Code program that an editor's process wrapper was given.
    pub program: Option<PathBuf>,
}

impl Overrides {
    /// Returns the keys of what was typed.
    fn keys(&self) -> impl Iterator<Item = String> {
        let mut settings = Settings::default();
        self.apply_to(&mut settings);
        settings.sources.into_keys()
    }

    /// Checks that the options don't contradict each other.
    fn check(&self) -> Result<()> {
        match (self.backend, &self.url) {
            (Some(kind), Some(_)) if kind != url_kind() => {
                Err(Failure::new(Code::Usage, format!("--url can't be used with --backend {kind}"))
                    .cause("--url selects the backend endpoint, a server that is already running")
                    .help("lclaude --url URL")
                    .help(format!("lclaude --backend {kind}")))
            }
            _ => Ok(()),
        }
    }

    /// Sets what was typed, which overrides every other source.
    fn apply_to(&self, settings: &mut Settings) {
        let Overrides { backend, url, profile, context, lean, tools, throwaway, model, program } = self.clone();
        let Settings { sources, .. } = settings;
        set(sources, "--backend", backend, &mut settings.backend);
        set(sources, "--profile", profile, &mut settings.profile);
        set(sources, "--context", context, &mut settings.context);
        set(sources, "--lean", lean.then_some(true), &mut settings.lean);
        set(sources, "--throwaway", throwaway, &mut settings.throwaway);
        set(sources, "--model", model, &mut settings.model);
        if url.is_some() {
            settings.endpoint.url = url;
            settings.backend = Some(url_kind());
            for key in [url::KEY, "backend"] {
                sources.insert(key.into(), Source::Option("--url"));
            }
        }
        if tools.is_some() {
            settings.claude.tools = tools;
            sources.insert("claude.tools".into(), Source::Option("--toolset"));
        }
        if program.is_some() {
            settings.claude.path = program;
            sources.insert("claude.path".into(), Source::Option("the first argument"));
        }
    }
}

/// Sets a setting to the value of the option that is named like its key.
fn set<T>(sources: &mut Sources, option: &'static str, typed: Option<T>, setting: &mut Option<T>) {
    if typed.is_some() {
        *setting = typed;
        sources.insert(option.trim_start_matches("--").to_owned(), Source::Option(option));
    }
}

struct SettingsLayer {
    source: Source,
    table: Table,
}

/// Reads every layer and merges them.
///
/// A missing `file` is an error only with `file_required`.
///
/// # Errors
/// `Config` if a file or variable is unreadable, malformed or contradictory, `Usage` for an invalid option, `Refused`
/// for a project file that contains settings that require trust.
pub(crate) fn load(
    file: &Path,
    file_required: bool,
    project: Option<&Project>,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Settings> {
    overrides.check()?;
    let user = read_file(file, file_required)?;
    let user_table = user.table.clone();
    let mut layers = vec![user];
    if let Some(project) = project {
        layers.push(SettingsLayer { source: Source::Project(project.path.clone()), table: project.layer()? });
    }
    layers.push(variables(&environment.variables)?);
    layers.extend(url_variable(&environment.variables, overrides)?);

    let typed = overrides.profile.clone().map(|name| (name, Source::Option("--profile")));
    let selected = typed.or_else(|| {
        let of = |layer: &SettingsLayer| {
            Some((layer.table.get("profile")?.as_str()?.to_owned(), layer.source_of("profile")))
        };
        layers.iter().rev().find_map(of)
    });
    if let Some((name, selected_by)) = selected {
        layers.push(profile(&user_table, file, &name, &selected_by)?);
    }
    // A profile comes before or after the project file, depending on who selected it.
    layers.sort_by(|one, other| one.source.cmp(&other.source));

    let mut merged = Table::new();
    let mut sources = Sources::new();
    let mut typed_url = overrides.url.clone();
    let mut configured_url = None;
    for layer in layers {
        match (&layer.source, url::of_table(&layer.table)) {
            (Source::Variable(_), Some(url)) => typed_url = typed_url.or(Some(url)),
            (_, Some(url)) => configured_url = Some(url),
            (_, None) => {}
        }
        merge(&mut merged, &mut sources, layer);
    }
    let is_other_server = typed_url.is_some_and(|typed| {
        !configured_url.as_ref().is_some_and(|configured| url::is_same_server(&typed, configured))
    });
    let withholds_credentials = is_other_server
        && (configured_url.is_some() || url::is_in_profile(&user_table))
        && url::remove_credentials(&mut merged, &mut sources);
    for key in overrides.keys() {
        // What an option overrides may be invalid.
        merged.remove(&key);
    }
    let mut settings = deserialize(&merged, &sources)?;
    settings.sources = sources;
    settings.merged = merged;
    settings.endpoint.is_other_server = is_other_server;
    settings.endpoint.withholds_credentials = withholds_credentials;
    overrides.apply_to(&mut settings);
    settings.untrusted = project.filter(|project| !project.is_trusted()).map(|project| project.path.clone());
    settings.resolve_paths(environment);
    settings.drop_overridden_tiers();
    let sources = ["lean", "claude.tools"].map(|key| settings.source(key));
    settings.claude.tools = tools::resolve(settings.lean, settings.claude.tools, sources)?;
    settings.validate()?;
    project::check(&settings, &user_table)?;
    Ok(settings)
}

impl SettingsLayer {
    /// Returns the source of a key. In the layers of variables and options, each key has its own.
    fn source_of(&self, key: &str) -> Source {
        match &self.source {
            Source::Variable("") => {
                Source::Variable(VARIABLES.iter().find(|(_, k)| *k == key).map_or("LCLAUDE_*", |(v, _)| v))
            }
            other => other.clone(),
        }
    }
}

const URL_VARIABLE: &str = "LCLAUDE_URL";

const VARIABLES: &[(&str, &str)] = &[
    ("LCLAUDE_BACKEND", "backend"),
    ("LCLAUDE_MODEL", "model"),
    ("LCLAUDE_PROFILE", "profile"),
    ("LCLAUDE_CONTEXT", "context"),
];

fn read_file(path: &Path, required: bool) -> Result<SettingsLayer> {
    let text = read_text(path, required)?;
    Ok(SettingsLayer { source: Source::File(path.to_owned()), table: parse(&text, path)? })
}

/// Returns the content of the user's file. A missing one is empty, unless it is `required`.
///
/// # Errors
/// `Config` if it can't be read.
pub(crate) fn read_text(path: &Path, required: bool) -> Result<String> {
    let failed = |why: String, help: String| {
        Failure::new(Code::Config, format!("{} cannot be read", path.display())).cause(why).help(help)
    };
    let size = match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => {
            let path = ui::quote_path(path);
            let failure = failed("it is not a regular file".into(), format!("ls -ld {path}"));
            return Err(failure.help(format!("mv {path} {path}.old")));
        }
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {
            return Ok(String::new());
        }
        Err(error) => return Err(failed(error.to_string(), format!("ls -ld {}", ui::quote_path(path)))),
    };
    if size > MAX_FILE {
        return Err(failed(
            format!("it is {size} bytes; the limit is 1 MiB"),
            format!("ls -l {}", ui::quote_path(path)),
        ));
    }
    let bytes =
        fs::read(path).map_err(|error| failed(error.to_string(), format!("chmod u+r {}", ui::quote_path(path))))?;
    decode(bytes, path)
}

/// Returns a profile of the user's configuration `file`, whose content is `user_table`.
fn profile(user_table: &Table, file: &Path, name: &str, selected_by: &Source) -> Result<SettingsLayer> {
    let profiles = user_table.get("profiles").and_then(Value::as_table);
    if let Some(table) = profiles.and_then(|profiles| profiles.get(name)).and_then(Value::as_table) {
        let (name, file) = (name.to_owned(), file.to_owned());
        let source = match selected_by {
            Source::Variable(_) | Source::Option(_) => Source::SelectedProfile(name, file),
            _ => Source::Profile(name, file),
        };
        return Ok(SettingsLayer { source, table: table.clone() });
    }
    let known: Vec<&str> = profiles.into_iter().flat_map(Table::keys).map(String::as_str).collect();
    let failure = Failure::new(selected_by.code(), format!("there is no profile `{name}`")).cause(format!(
        "selected by {selected_by}; profiles in {}: {}",
        file.display(),
        join_names(&known)
    ));
    let failure = match keys::find_nearest(name, known.into_iter()) {
        Some(near) => {
            failure.help(format!("lclaude --profile {}", ui::quote_command(std::iter::once(near.to_owned()))))
        }
        None => failure.help(format!("add [profiles.{}] to {}", keys::quote_key(name), file.display())),
    };
    Err(match selected_by {
        Source::Variable(variable) => failure.help(format!("unset {variable}")),
        _ => failure,
    })
}

fn join_names(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}

/// Returns a warning for each unknown `LCLAUDE_*` environment variable, with the nearest known one.
pub(crate) fn unknown_variables(inherited: &Variables) -> Vec<String> {
    let known = || VARIABLES.iter().map(|(name, _)| *name).chain([URL_VARIABLE, LOG, DEPTH]);
    let names = inherited.names().filter_map(|name| name.to_str());
    names
        .filter(|name| name.starts_with("LCLAUDE_") && !known().any(|known| known == *name))
        .map(|name| match keys::find_nearest(name, known()) {
            Some(near) => format!("lclaude: warning: unknown environment variable {name}; did you mean {near}?"),
            None => format!("lclaude: warning: unknown environment variable {name}"),
        })
        .collect()
}

fn variables(inherited: &Variables) -> Result<SettingsLayer> {
    let mut table = Table::new();
    for (variable, key) in VARIABLES {
        let Some(value) = inherited.get(variable) else {
            continue;
        };
        let invalid = |why: &str| {
            Failure::new(Code::Config, format!("invalid value for {variable}"))
                .cause(why)
                .help(format!("unset {variable}"))
        };
        let value = value.to_str().ok_or_else(|| invalid("it is not valid UTF-8"))?.to_owned();
        // Whether it is valid is checked only if no option overrides it.
        let value = Value::String(value);
        table.insert((*key).to_owned(), value);
    }
    Ok(SettingsLayer { source: Source::Variable(""), table })
}

/// Returns the layer of `LCLAUDE_URL`, which also selects the backend.
///
/// # Errors
/// `Config` if it is not valid UTF-8, or contradicts `LCLAUDE_BACKEND`.
fn url_variable(inherited: &Variables, overrides: &Overrides) -> Result<Option<SettingsLayer>> {
    // An option decides anyway.
    let is_overridden = overrides.url.is_some() || overrides.backend.is_some_and(|kind| kind != url_kind());
    let Some(value) = inherited.get(URL_VARIABLE).filter(|_| !is_overridden) else {
        return Ok(None);
    };
    let failed =
        |what: &str, why: String| Failure::new(Code::Config, what).cause(why).help(format!("unset {URL_VARIABLE}"));
    let url = value.to_str().ok_or_else(|| failed("invalid value for LCLAUDE_URL", "it is not valid UTF-8".into()))?;
    let kind = inherited.text("LCLAUDE_BACKEND").and_then(|name| name.parse::<Kind>().ok());
    if let Some(kind) = kind.filter(|kind| *kind != url_kind()) {
        let why = format!("LCLAUDE_URL selects the backend endpoint, but LCLAUDE_BACKEND is {kind}");
        return Err(failed("LCLAUDE_URL and LCLAUDE_BACKEND contradict each other", why).help("unset LCLAUDE_BACKEND"));
    }
    let table = Table::from_iter([
        ("backend".to_owned(), Value::String(url_kind().to_string())),
        ("endpoint".to_owned(), Value::Table(Table::from_iter([("url".to_owned(), Value::String(url.to_owned()))]))),
    ]);
    Ok(Some(SettingsLayer { source: Source::Variable(URL_VARIABLE), table }))
}

fn merge(into: &mut Table, sources: &mut Sources, layer: SettingsLayer) {
    for leaf in keys::leaves(&layer.table) {
        sources.insert(leaf.clone(), layer.source_of(&leaf));
    }
    merge_tables(into, layer.table);
}

/// The key of a list that every layer adds to.
const APPENDED: &str = "args_append";

pub(super) fn merge_tables(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge_tables(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if key == APPENDED => below.extend(above),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Returns the settings of merged layers.
///
/// # Errors
/// `Config` if a value has the wrong type.
pub(super) fn deserialize(merged: &Table, sources: &Sources) -> Result<Settings> {
    Settings::deserialize(Value::Table(merged.clone())).map_err(|error| bad_value(&error, merged, sources))
}

/// Returns the failure for an invalid variable, or an invalid value in a profile. Files were checked before merging.
fn bad_value(error: &toml::de::Error, merged: &Table, sources: &Sources) -> Failure {
    let (path, value) = find_invalid(&[], merged).unwrap_or_default();
    let key = path.join(".");
    let source = sources.get(&key).cloned().unwrap_or(Source::Default);
    // A table may contain secrets, and so may every value of an `env`.
    let is_secret = value.contains('{') || path.iter().any(|part| part == "env");
    let value = if is_secret { "value".to_owned() } else { format!("value {value}") };
    // The parser says "unknown variant `x`, expected one of …".
    let message = name_types(error.message().trim());
    let why = ranges::expected(&key).unwrap_or_else(|| match message.split_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => message.clone(),
    });
    let failure = Failure::new(source.code(), format!("invalid {value} for {key} (from {source})")).cause(why);
    match source {
        Source::Variable(name) => failure.help(format!("unset {name}")),
        _ => failure,
    }
    .help("lclaude --help")
}

/// Returns the path of the first value that is invalid alone, and its text.
fn find_invalid(above: &[String], table: &Table) -> Option<(Vec<String>, String)> {
    table.iter().find_map(|(key, value)| {
        let path = [above, std::slice::from_ref(key)].concat();
        if let Some(found) = value.as_table().and_then(|inner| find_invalid(&path, inner)) {
            return Some(found);
        }
        let alone =
            path.iter().rev().fold(value.clone(), |value, key| Value::Table(Table::from_iter([(key.clone(), value)])));
        Settings::deserialize(alone).is_err().then(|| (path, value.to_string()))
    })
}
