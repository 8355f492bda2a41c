//! What a dry run shows, as data.

use std::collections::BTreeMap;

use serde::Serialize;

/// Everything that would run.
#[derive(Serialize)]
pub(super) struct PlanView {
    pub format: u32,
    pub settings: Vec<SettingView>,
    pub backend: Option<BackendView>,
    #[serde(flatten)]
    pub child: ChildView,
}

#[derive(Serialize)]
pub(super) struct SettingView {
    pub key: String,
    pub value: serde_json::Value,
    pub source: String,
    /// As in a configuration file.
    #[serde(skip)]
    pub line: String,
}

#[derive(Serialize)]
pub(super) struct BackendView {
    pub kind: String,
    /// Sessions with the same one share a server.
    pub id: String,
    /// Why it was chosen, if the user didn't choose it.
    pub reason: Option<String>,
    /// The program that is started, or that starts the server; `null` if the server already runs.
    pub program: Option<String>,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Patterns of the inherited variables that are removed.
    pub removed: Vec<String>,
    /// The variable that gets a random key.
    pub key_variable: Option<String>,
    /// The command that ends it, if it has one.
    pub stop: Option<StopView>,
    pub url: String,
    pub models: Vec<String>,
    pub origin: String,
    /// Tokens requested.
    pub context: u32,
    /// Tokens that the server is expected to grant, if known.
    pub expected_context: Option<u32>,
    /// Tokens that the main model was trained for, if known.
    pub trained_context: Option<u32>,
    pub context_note: Option<String>,
    /// What the models need, and whether it fits.
    pub memory: Option<String>,
    pub warm_start: Option<String>,
    /// Models that would be downloaded first.
    pub downloads: Vec<String>,
    #[serde(skip)]
    pub is_managed: bool,
}

#[derive(Serialize)]
pub(super) struct StopView {
    pub command: Vec<String>,
    pub timeout: String,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChildView {
    Claude(ProgramView),
    Program(ProgramView),
}

#[derive(Serialize)]
pub(super) struct ProgramView {
    pub program: String,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    /// Inherited variables that are removed.
    pub removed: Vec<String>,
    /// Tools that the session leaves out.
    pub left_out: Vec<&'static str>,
    /// What becomes of the home of a throwaway session.
    pub throwaway: Option<String>,
}
