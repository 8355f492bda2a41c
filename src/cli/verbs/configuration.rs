//! The options of the verbs for the user's configuration: `use`, `config` and `profiles`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::cli::choice::Selection;

/// Make a model the default
///
/// Finds the backend that has the model, and writes both to your configuration. Without a
/// model, asks which of the installed ones to use.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("profile", |profile| profile.hide(true)),
    mut_arg("model", |model| model.hide(true)),
    after_help = "\
Examples:
  lclaude local use                          # choose an installed model
  lclaude local use qwen3-coder:30b
  lclaude local use ~/models/qwen3-coder.gguf --context 131072
  lclaude local use --url http://localhost:8000"
)]
pub(crate) struct UseArguments {
    /// Use this model, such as a .gguf file
    #[arg(value_name = "MODEL", conflicts_with = "model", id = "name")]
    pub name: Option<String>,
    #[command(flatten)]
    pub choice: Selection,
}

/// Show and change the configuration
///
/// Without an action, lists every setting that is in effect here, with its source. Set and unset
/// change your own file, and keep its comments and order.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "lclaude local config [OPTIONS] [list|path|edit]\n       \
                      lclaude local config [OPTIONS] get KEY\n       \
                      lclaude local config [OPTIONS] set KEY VALUE\n       \
                      lclaude local config [OPTIONS] unset KEY",
    after_help = "\
Actions:
  list   List every setting that is in effect here, with its source
  path   Print the path of the file
  get    Print the value that is in effect here; exit code 1 without one
  set    Set a key, if the file stays valid
  unset  Remove a key or a table
  edit   Open the file in $VISUAL or $EDITOR, and check it afterwards

Examples:
  lclaude local config
  lclaude local config get model
  lclaude local config set context 131072
  lclaude local config set llamacpp.args '[\"--no-mmap\"]'
  lclaude local config set profiles.big.model gpt-oss:120b
  lclaude local config unset llamacpp.threads"
)]
pub(crate) struct ConfigArguments {
    /// Do this: list (default), path, get, set, unset or edit
    #[arg(value_enum, default_value = "list", hide_default_value = true, hide_possible_values = true)]
    pub action: ConfigAction,
    /// The key, with its tables separated by dots
    pub key: Option<String>,
    /// The new value: text, a number, true, false, or a list as in TOML
    #[arg(allow_hyphen_values = true)]
    pub value: Option<String>,
    /// Change the .lclaude.toml of this project instead of your own file
    #[arg(long)]
    pub project: bool,
    /// Read this configuration file instead of yours
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the list as JSON
    #[arg(long)]
    pub json: bool,
}

/// What to do with the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConfigAction {
    List,
    Path,
    Get,
    Set,
    Unset,
    Edit,
}

/// List the profiles of your configuration
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lclaude local profiles
  lclaude local config set profiles.big.model gpt-oss:120b   # adds a profile
  lclaude --profile big                                      # uses it")]
pub(crate) struct ProfilesArguments {
    /// Read this configuration file instead of yours
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
