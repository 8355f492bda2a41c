//! The variables that make a program, Claude Code or one that runs it, talk only to our backend.
//!
//! The variables are data; our own environment never changes.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    settings::models,
    throwaway::Throwaway,
    tools::LeftOut,
    variables::{self, REMOVED_NAMES, Table},
};
use serde_json::Value;

use crate::{
    backend::{Endpoint, Served, Tiers},
    base::{
        error::{Code, Failure, Result},
        ui,
        variables::Variables,
    },
    config::{Settings, Thinking, ToolSet},
};

/// Bounds of the default output limit, in tokens. The default is an eighth of the context.
const OUTPUT_LIMITS: (u32, u32) = (2_048, 16_384);

/// The part of the variables that is known before the backend's port and key.
#[derive(Debug)]
pub(crate) struct Routing {
    /// `[claude] env`.
    environment: BTreeMap<String, String>,
    /// In tokens; `None` derives it from the context.
    max_output_tokens: Option<u32>,
    thinking: Thinking,
    /// The variables that lclaude itself was started with.
    inherited: Variables,
    tiers: Tiers,
    place: Place,
    /// The requested context, in tokens.
    asked_context: u32,
}

/// The variables of a program whose backend is running.
#[derive(Clone)]
pub(crate) struct Routed {
    /// `[claude] env`; `table` overrides it.
    pub environment: BTreeMap<String, String>,
    /// Variables to add or replace.
    pub table: Table,
    /// Inherited variables to remove.
    pub removed: Vec<OsString>,
    /// The socket of the backend's keeper, or `None` if it has none.
    pub keeper: Option<PathBuf>,
    /// Which tools Claude Code gets.
    pub tools: ToolSet,
    /// Rules of the tools that the session leaves out.
    pub left_out: Vec<&'static str>,
    /// Inherited ones that lead out of a home of its own.
    elsewhere: Vec<&'static str>,
    tiers: Tiers,
    /// Other models that Claude Code can switch to.
    others: Vec<String>,
    /// The models' description in the model picker.
    description: String,
    /// The line below Claude Code's header.
    announcement: String,
}

/// Where the models run.
#[derive(Debug)]
pub(crate) struct Place {
    /// For the model picker: `on this machine, by ollama`.
    pub description: String,
    /// The same in short: `on ollama`.
    pub server: String,
    /// Whether prompts stay on this machine.
    pub is_local: bool,
}

impl Routing {
    /// Prepares the variables from the settings.
    ///
    /// # Errors
    /// `Refused` if an administrator's settings forbid it, `Config` if `[claude] env` sets a routing variable.
    pub(crate) fn new(settings: &Settings, tiers: Tiers, place: Place, inherited: &Variables) -> Result<Self> {
        super::settings::managed::check_managed_settings()?;
        Ok(Routing {
            environment: checked_env(settings)?,
            max_output_tokens: settings.claude.max_output_tokens,
            thinking: settings.claude.thinking,
            inherited: inherited.clone(),
            tiers,
            place,
            asked_context: settings.context(),
        })
    }

    /// Returns the variables of a program whose backend is at `endpoint` and serves `served`.
    ///
    /// `tools`: which tools Claude Code gets.
    pub(crate) fn route(&self, endpoint: &Endpoint, served: &Served, tools: ToolSet) -> Routed {
        let (min, max) = OUTPUT_LIMITS;
        let own_host = crate::backend::address::unusual_own_host(&endpoint.url);
        let description = format!("{}; {}", self.place.description, served.contexts(self.asked_context));
        let table = variables::table(&variables::Facts {
            url: &endpoint.url,
            token: &endpoint.token,
            headers: endpoint.custom_headers().as_deref(),
            tiers: &self.tiers,
            description: &description,
            is_local: self.place.is_local,
            context: served.context,
            max_output_tokens: self.max_output_tokens.unwrap_or((served.context / 8).clamp(min, max)),
            thinking: match self.thinking {
                Thinking::Auto => served.thinking,
                Thinking::On => true,
                Thinking::Off => false,
            },
            lean: tools == ToolSet::Lean,
            own_host: own_host.as_deref(),
            no_proxy: ["NO_PROXY", "no_proxy"]
                .map(|name| self.inherited.get_even_empty(name).and_then(OsStr::to_str).map(str::to_owned)),
        });
        let removed =
            self.inherited.names().map(OsStr::to_owned).filter(|name| {
                name.to_str().is_some_and(|name| variables::is_removed(name) && !table.contains_key(name))
            });
        Routed {
            environment: self.environment.clone(),
            removed: removed.collect(),
            elsewhere: variables::REMOVED_IN_THROWAWAY
                .iter()
                .copied()
                .filter(|name| self.inherited.is_set(name))
                .collect(),
            table,
            keeper: None,
            tools,
            left_out: Vec::new(),
            tiers: self.tiers.clone(),
            others: served.others.clone(),
            description,
            announcement: self.announcement(served),
        }
    }

    /// Returns which model answers, where, and with which context.
    fn announcement(&self, served: &Served) -> String {
        let start = if self.place.is_local { "local: " } else { "" };
        let (models, server) = (models::names(&self.tiers, &[]).join(", "), &self.place.server);
        ui::one_line(format!("{start}{models} {server}, {}k context", served.context / 1000))
    }
}

impl Routed {
    /// Returns the same variables with a throwaway home below `scratch`.
    pub(crate) fn housed(self, throwaway: &Throwaway, scratch: &Path) -> Self {
        let (mut table, mut removed) = (self.table.clone(), self.removed.clone());
        table.extend(throwaway.variables(scratch));
        removed.retain(|name| name.to_str().is_none_or(|name| !table.contains_key(name)));
        removed.extend(self.elsewhere.iter().map(OsString::from));
        Routed { table, removed, ..self }
    }

    /// Returns the same for a Claude Code session that leaves tools out.
    pub(crate) fn leaving_out(mut self, left_out: LeftOut) -> Self {
        self.left_out = left_out.rules;
        self.table.extend(left_out.variables);
        self
    }

    /// Applies the variables to a child's environment.
    pub(crate) fn apply(&self, command: &mut Command) {
        for name in &self.removed {
            command.env_remove(name);
        }
        command.envs(&self.environment).envs(&self.table);
    }

    /// Returns all variables that are set, by name.
    pub(crate) fn variables(&self) -> Table {
        let mut all = self.environment.clone();
        all.extend(self.table.clone());
        all
    }

    /// Returns the models of Claude Code's tiers.
    pub(crate) fn tiers(&self) -> &Tiers {
        &self.tiers
    }

    /// Returns the models that Claude Code can request besides those of its tiers.
    pub(crate) fn others(&self) -> &[String] {
        &self.others
    }

    /// Returns the overlay's settings about models.
    pub(crate) fn models(&self) -> Value {
        models::settings(&self.tiers, &self.others, &self.description, &self.announcement)
    }

    /// Returns the variables to remove if the program runs in an unknown environment, such as another shell.
    pub(crate) fn removed_anywhere(&self) -> Vec<String> {
        let inherited = self.removed.iter().filter_map(|name| name.to_str());
        let known = REMOVED_NAMES.iter().copied().filter(|name| !self.table.contains_key(*name));
        let mut names: Vec<String> = inherited.chain(known).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Returns `[claude] env`.
///
/// # Errors
/// `Config` if it sets a routing variable.
pub(crate) fn checked_env(settings: &Settings) -> Result<BTreeMap<String, String>> {
    let routes = |name: &&String| name.starts_with("ANTHROPIC_") || variables::is_removed(name);
    match settings.claude.env.keys().find(routes) {
        None => Ok(settings.claude.env.clone()),
        Some(name) => Err(Failure::new(Code::Config, format!("[claude] env cannot set {name}"))
            .cause(format!(
                "{} sets it, which could send requests or credentials elsewhere",
                settings.source(&format!("claude.env.{name}"))
            ))
            .help("remove it; to set a variable for the backend, use its own env, such as [llamacpp] env")),
    }
}
