//! Reading the layers and merging them; the later wins, key by key.

use std::{fs, io, path::Path};

use serde::Deserialize;
use toml::{Table, Value};

use super::{
    file::{LONGEST_FILE, parse, text},
    keys,
    project::{self, Project},
    settings::{Settings, Sources},
    source::Source,
};
use crate::base::environment::Environment;
use crate::base::error::{Code, Failure, Result};
use crate::base::variables::{DEPTH, LOG, Variables};

/// What the command line says about settings.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    pub backend: Option<String>,
    pub profile: Option<String>,
    pub context: Option<u32>,
    pub lean: bool,
    pub throwaway: Option<bool>,
    pub model: Option<String>,
}

struct Layer {
    source: Source,
    table: Table,
}

/// Reads every layer and merges them.
///
/// `file` is read if it exists; with `file_required` a missing one is an error.
///
/// # Errors
/// `Config` for an unreadable, malformed or contradictory file or variable, `Usage` for an option, `Refused` for a
/// project's file that asks for more than it may.
pub fn load(
    file: &Path,
    file_required: bool,
    project: Option<&Project>,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Settings> {
    let user = read_file(file, file_required)?;
    let own = user.table.clone();
    let mut layers = vec![user];
    if let Some(project) = project {
        layers.push(Layer { source: Source::Project(project.path.clone()), table: project.layer()? });
    }
    layers.push(variables(&environment.variables)?);
    layers.push(options(overrides));

    let chosen = layers
        .iter()
        .rev()
        .find_map(|layer| Some((layer.table.get("profile")?.as_str()?.to_owned(), layer.source_of("profile"))));
    if let Some((name, asked_by)) = chosen {
        layers.push(profile(&own, file, &name, &asked_by)?);
    }
    // A profile has its place below or above the project's file.
    layers.sort_by(|one, other| one.source.cmp(&other.source));

    let mut merged = Table::new();
    let mut sources = Sources::new();
    for layer in layers {
        merge(&mut merged, &mut sources, layer);
    }
    let mut settings =
        Settings::deserialize(Value::Table(merged.clone())).map_err(|error| bad_value(&error, &merged, &sources))?;
    settings.sources = sources;
    settings.untrusted = project.filter(|project| !project.is_trusted()).map(|project| project.path.clone());
    settings.make_paths_absolute(environment);
    settings.drop_overruled_tiers();
    settings.validate()?;
    project::check(&settings, &own)?;
    Ok(settings)
}

impl Layer {
    /// Variables and options have a source for each key.
    fn source_of(&self, key: &str) -> Source {
        match &self.source {
            Source::Variable(_) => {
                Source::Variable(VARIABLES.iter().find(|(_, k)| *k == key).map_or("LCLAUDE_*", |(v, _)| v))
            }
            Source::Option(_) => {
                Source::Option(OPTIONS.iter().find(|(_, k)| *k == key).map_or("an option", |(o, _)| o))
            }
            other => other.clone(),
        }
    }
}

const VARIABLES: &[(&str, &str)] = &[
    ("LCLAUDE_BACKEND", "backend"),
    ("LCLAUDE_MODEL", "model"),
    ("LCLAUDE_PROFILE", "profile"),
    ("LCLAUDE_CONTEXT", "context"),
];

const OPTIONS: &[(&str, &str)] = &[
    ("--backend", "backend"),
    ("--model", "model"),
    ("--profile", "profile"),
    ("--context", "context"),
    ("--lean", "lean"),
    ("--throwaway", "throwaway"),
];

fn read_file(path: &Path, required: bool) -> Result<Layer> {
    let source = Source::File(path.to_owned());
    let failed = |why: String, help: String| {
        Failure::new(Code::Config, format!("{} cannot be read", path.display())).why(why).help(help)
    };
    let size = match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => {
            let aside = format!("mv {0} {0}.old", path.display());
            return Err(failed("it is not a regular file".into(), format!("ls -ld {}", path.display())).help(aside));
        }
        Ok(meta) => meta.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {
            return Ok(Layer { source, table: Table::new() });
        }
        Err(error) => return Err(failed(error.to_string(), "check the path given with --config".into())),
    };
    if size > LONGEST_FILE {
        return Err(failed(
            format!("it is {size} bytes long; a configuration is never over 1 MiB"),
            format!("ls -l {}", path.display()),
        ));
    }
    let bytes = fs::read(path).map_err(|error| failed(error.to_string(), format!("chmod u+r {}", path.display())))?;
    let table = parse(&text(bytes, path)?, path)?;
    Ok(Layer { source, table })
}

/// One of the user's own: `own` is what `file` has.
fn profile(own: &Table, file: &Path, name: &str, asked_by: &Source) -> Result<Layer> {
    let profiles = own.get("profiles").and_then(Value::as_table);
    if let Some(table) = profiles.and_then(|profiles| profiles.get(name)).and_then(Value::as_table) {
        let (name, file) = (name.to_owned(), file.to_owned());
        let source = match asked_by {
            Source::Variable(_) | Source::Option(_) => Source::AskedProfile(name, file),
            _ => Source::Profile(name, file),
        };
        return Ok(Layer { source, table: table.clone() });
    }
    let known: Vec<&str> = profiles.into_iter().flat_map(Table::keys).map(String::as_str).collect();
    let failure = Failure::new(asked_by.code(), format!("there is no profile `{name}`")).why(format!(
        "{asked_by} asks for it, and {} has {}",
        file.display(),
        listed(&known)
    ));
    let failure = match keys::nearest(name, known.into_iter()) {
        Some(near) => failure.help(format!("--profile {near}")),
        None => failure.help(format!("add [profiles.{}] to {}", keys::as_key(name), file.display())),
    };
    Err(match asked_by {
        Source::Variable(variable) => failure.help(format!("unset {variable}")),
        _ => failure,
    })
}

fn listed(names: &[&str]) -> String {
    match names {
        [] => "none".into(),
        names => names.join(", "),
    }
}

/// Names of ours in the environment that mean nothing, with the nearest that does.
pub fn unknown_variables(inherited: &Variables) -> Vec<String> {
    let known = || VARIABLES.iter().map(|(name, _)| *name).chain([LOG, DEPTH]);
    let names = inherited.names().filter_map(|name| name.to_str());
    names
        .filter(|name| name.starts_with("LCLAUDE_") && !known().any(|known| known == *name))
        .map(|name| match keys::nearest(name, known()) {
            Some(near) => format!("lclaude: warning: {name} means nothing to lclaude; did you mean {near}?"),
            None => format!("lclaude: warning: {name} means nothing to lclaude"),
        })
        .collect()
}

fn variables(inherited: &Variables) -> Result<Layer> {
    let mut table = Table::new();
    for (variable, key) in VARIABLES {
        let Some(value) = inherited.get(variable) else {
            continue;
        };
        let bad = |why: &str| {
            Failure::new(Code::Config, format!("{variable} cannot be used")).why(why).help(format!("unset {variable}"))
        };
        let value = value.to_str().ok_or_else(|| bad("its value is not UTF-8"))?.to_owned();
        let value = match *key {
            "context" => Value::Integer(value.parse().map_err(|_| bad("its value is not a number of tokens"))?),
            _ => Value::String(value),
        };
        table.insert((*key).to_owned(), value);
    }
    Ok(Layer { source: Source::Variable(""), table })
}

fn options(overrides: &Overrides) -> Layer {
    let strings = [("backend", &overrides.backend), ("profile", &overrides.profile), ("model", &overrides.model)];
    let mut table: Table =
        strings.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::String(value.clone()?)))).collect();
    if let Some(context) = overrides.context {
        table.insert("context".into(), Value::Integer(context.into()));
    }
    if overrides.lean {
        table.insert("lean".into(), Value::Boolean(true));
    }
    if let Some(throwaway) = overrides.throwaway {
        table.insert("throwaway".into(), Value::Boolean(throwaway));
    }
    Layer { source: Source::Option(""), table }
}

fn merge(into: &mut Table, sources: &mut Sources, layer: Layer) {
    for leaf in keys::leaves(&layer.table) {
        sources.insert(leaf.clone(), layer.source_of(&leaf));
    }
    merge_tables(into, layer.table);
}

fn merge_tables(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge_tables(below, above),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

/// Files were checked one by one, so only a variable or an option can be at fault here.
fn bad_value(error: &toml::de::Error, merged: &Table, sources: &Sources) -> Failure {
    // Each alone, to find the one at fault.
    let at_fault = merged.iter().find(|(key, value)| {
        let alone = Table::from_iter([((*key).clone(), (*value).clone())]);
        Settings::deserialize(Value::Table(alone)).is_err()
    });
    let source = at_fault.and_then(|(key, _)| sources.get(key)).cloned().unwrap_or(Source::Default);
    let value = at_fault.map(|(_, value)| value.to_string()).unwrap_or_default();
    // The parser's word for one of several names.
    let why = error.message().trim().replace("unknown variant", "there is no").replace(", expected", ":");
    let failure = Failure::new(source.code(), format!("{source} cannot be {value}")).why(why);
    match source {
        Source::Variable(name) => failure.help(format!("unset {name}")),
        _ => failure,
    }
    .help("lclaude --help lists what is possible")
}
