//! `[claude] tools`, and its other name, `lean`.

use serde::{Deserialize, Serialize};

use super::source::Source;
use crate::base::error::{Code, Failure, Result};

/// Which of Claude Code's tools a session gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToolSet {
    /// All but those that don't suit a model on this machine.
    Local,
    All,
    /// The six tools to work on files, with a short prompt.
    Lean,
}

impl ToolSet {
    pub(crate) const ALL: [(&'static str, ToolSet); 3] =
        [("local", ToolSet::Local), ("all", ToolSet::All), ("lean", ToolSet::Lean)];
}

/// Returns the tools that are configured by the keys `lean` and `tools`. The later of their `sources` wins.
///
/// # Errors
/// `Config` if one source sets both.
pub(super) fn resolve(lean: Option<bool>, tools: Option<ToolSet>, sources: [Source; 2]) -> Result<Option<ToolSet>> {
    let Some(lean) = lean else { return Ok(tools) };
    // `false` only says that the session isn't lean.
    if !lean && tools == Some(ToolSet::All) {
        return Ok(tools);
    }
    let [source, other] = sources;
    let (set, name) = if lean { (ToolSet::Lean, "lean") } else { (ToolSet::Local, "local") };
    if tools.is_some() && source == other {
        return Err(Failure::new(Code::Config, "lean and [claude] tools cannot be used together")
            .cause(format!("{source} sets both, but lean = {lean} is another name of tools = \"{name}\""))
            .help("remove lean"));
    }
    Ok(if source > other { Some(set) } else { tools })
}
