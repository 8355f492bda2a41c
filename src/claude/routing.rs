//! The variables that have a program speak to our backend and to nobody else: Claude Code, or whatever runs it.
//!
//! Data only. Nothing is put into our own environment.

use std::{collections::BTreeMap, env, ffi::OsString, path::Path, process::Command};

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
    tiers: Tiers,
}

impl Routing {
    /// # Errors
    /// `Refused` when an administrator's settings forbid it, `Config` for a `[claude] env` that routes.
    pub fn new(settings: &Settings, tiers: Tiers, description: String) -> Result<Self> {
        super::settings::overlay::respect_managed()?;
        Ok(Routing {
            environment: allowed(settings)?,
            max_output_tokens: settings.claude.max_output_tokens,
            thinking: settings.claude.thinking,
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
        let own_host = crate::backend::endpoint::other_name_of_this_machine(&endpoint.url);
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
            no_proxy: ["NO_PROXY", "no_proxy"].map(|name| env::var(name).ok()),
        });
        let removed = env::vars_os()
            .map(|(name, _)| name)
            .filter(|name| name.to_str().is_some_and(|name| variables::is_removed(name) && !table.contains_key(name)));
        Routed {
            environment: self.environment.clone(),
            removed: removed.collect(),
            table,
            lean,
            tiers: self.tiers.clone(),
        }
    }
}

impl Routed {
    /// The same in a home of its own below `scratch`.
    pub fn housed(self, throwaway: &Throwaway, scratch: &Path) -> Self {
        let Routed { mut table, mut removed, .. } = self;
        table.extend(throwaway.variables(scratch));
        removed.retain(|name| name.to_str().is_none_or(|name| !table.contains_key(name)));
        removed.extend(variables::ELSEWHERE.iter().filter(|name| env::var_os(name).is_some()).map(OsString::from));
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
        let Tiers { opus, sonnet, haiku, fable, subagent } = &self.tiers;
        let mut models: Vec<&str> =
            [opus.as_str(), sonnet, haiku, fable].into_iter().chain(subagent.as_deref()).collect();
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
