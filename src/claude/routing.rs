//! The variables that have a program speak to our backend and to nobody else: Claude Code, or whatever runs it.
//!
//! Data only. Nothing is put into our own environment.

use crate::base::variables::Variables;
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
    process::Command,
};

use super::{
    throwaway::Throwaway,
    variables::{self, REMOVED_NAMES, Table},
};
use crate::{
    backend::{Endpoint, Served, Tiers},
    base::error::{Code, Failure, Result},
    config::{Settings, Thinking},
};

/// Tokens that Claude Code may answer with, of the context they are taken from: an eighth, within bounds.
const OUTPUT_LIMITS: (u32, u32) = (2_048, 16_384);

/// What is known of the variables before anything is known of the backend's port and key.
#[derive(Debug)]
pub struct Routing {
    /// `[claude] env`.
    environment: BTreeMap<String, String>,
    /// `None`: as the context allows.
    max_output_tokens: Option<u32>,
    thinking: Thinking,
    /// The variables that lclaude itself was started with.
    inherited: Variables,
    tiers: Tiers,
    description: String,
    /// Tokens.
    asked_context: u32,
}

/// The variables of a program whose backend is up.
#[derive(Clone)]
pub struct Routed {
    /// `[claude] env`, under ours.
    pub environment: BTreeMap<String, String>,
    /// Added or replaced.
    pub table: Table,
    /// Inherited ones that are taken away.
    pub removed: Vec<OsString>,
    /// Whether Claude Code is to be small.
    pub lean: bool,
    /// Inherited ones that lead out of a home of its own.
    elsewhere: Vec<&'static str>,
    tiers: Tiers,
}

impl Routing {
    /// # Errors
    /// `Refused` when an administrator's settings forbid it, `Config` for a `[claude] env` that routes.
    pub fn new(settings: &Settings, tiers: Tiers, description: String, inherited: &Variables) -> Result<Self> {
        super::settings::overlay::respect_managed()?;
        Ok(Routing {
            environment: allowed(settings)?,
            max_output_tokens: settings.claude.max_output_tokens,
            thinking: settings.claude.thinking,
            inherited: inherited.clone(),
            tiers,
            description,
            asked_context: settings.context(),
        })
    }

    /// What a program gets when its backend is at `endpoint` and has `served`.
    ///
    /// `lean`: with a small tool set and prompt.
    pub fn route(&self, endpoint: &Endpoint, served: &Served, lean: bool) -> Routed {
        let (least, most) = OUTPUT_LIMITS;
        let own_host = crate::backend::address::other_name_of_this_machine(&endpoint.url);
        let table = variables::table(&variables::Facts {
            url: &endpoint.url,
            token: &endpoint.token,
            tiers: &self.tiers,
            description: &format!("{}; {}", self.description, served.contexts(self.asked_context)),
            context: served.context,
            max_output_tokens: self.max_output_tokens.unwrap_or((served.context / 8).clamp(least, most)),
            thinking: match self.thinking {
                Thinking::Auto => served.thinking,
                Thinking::On => true,
                Thinking::Off => false,
            },
            lean,
            own_host: own_host.as_deref(),
            no_proxy: ["NO_PROXY", "no_proxy"].map(|name| self.inherited.text(name).map(str::to_owned)),
        });
        let removed =
            self.inherited.names().map(OsStr::to_owned).filter(|name| {
                name.to_str().is_some_and(|name| variables::is_removed(name) && !table.contains_key(name))
            });
        Routed {
            environment: self.environment.clone(),
            removed: removed.collect(),
            elsewhere: variables::ELSEWHERE.iter().copied().filter(|name| self.inherited.is_set(name)).collect(),
            table,
            lean,
            tiers: self.tiers.clone(),
        }
    }
}

impl Routed {
    /// The same in a home of its own below `scratch`.
    pub fn housed(self, throwaway: &Throwaway, scratch: &Path) -> Self {
        let (mut table, mut removed) = (self.table.clone(), self.removed.clone());
        table.extend(throwaway.variables(scratch));
        removed.retain(|name| name.to_str().is_none_or(|name| !table.contains_key(name)));
        removed.extend(self.elsewhere.iter().map(OsString::from));
        Routed { table, removed, ..self }
    }

    /// Gives a child its environment.
    pub fn apply(&self, command: &mut Command) {
        for name in &self.removed {
            command.env_remove(name);
        }
        command.envs(&self.environment).envs(&self.table);
    }

    /// All that is set, by name.
    pub fn variables(&self) -> Table {
        let mut all = self.environment.clone();
        all.extend(self.table.clone());
        all
    }

    /// The models it may ask for, each once.
    pub fn models(&self) -> Vec<&str> {
        let mut models: Vec<&str> = self.tiers.iter().map(|(_, model)| model).collect();
        models.sort_unstable();
        models.dedup();
        models
    }

    /// What is to be taken away wherever the variables are used, whose environment nobody knows here.
    pub fn removed_anywhere(&self) -> Vec<String> {
        let inherited = self.removed.iter().filter_map(|name| name.to_str());
        let known = REMOVED_NAMES.iter().copied().filter(|name| !self.table.contains_key(*name));
        let mut names: Vec<String> = inherited.chain(known).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// `[claude] env`, which may have anything but what routes requests.
pub fn allowed(settings: &Settings) -> Result<BTreeMap<String, String>> {
    let routes = |name: &&String| name.starts_with("ANTHROPIC_") || variables::is_removed(name);
    match settings.claude.env.keys().find(routes) {
        None => Ok(settings.claude.env.clone()),
        Some(name) => Err(Failure::new(Code::Config, format!("[claude] env cannot set {name}"))
            .why(format!(
                "{} sets it, and it could send requests or credentials elsewhere",
                settings.source(&format!("claude.env.{name}"))
            ))
            .help("remove it; backends have their own env, such as [llamacpp] env")),
    }
}
