//! Checks that a context is large enough for Claude Code.

use super::served::Served;
use crate::{
    base::{
        context::{CLAUDE_CODE_PROMPT, DEFAULT_CONTEXT, MIN_CONTEXT},
        error::{Code, Failure, Result},
    },
    config::Settings,
};

/// The help for skipping the checks of the context.
pub(crate) const SKIP_CHECK: &str = "lclaude local config set context_check false  # starts it anyway";

/// The help for a model that needs too much memory.
pub(crate) const SMALLER_MODEL: &str = "lclaude local models  # choose a smaller model";

/// Returns the help for a context that needs too much memory.
pub(crate) fn smaller(context: u32) -> String {
    match context / 2 {
        ..MIN_CONTEXT if context <= MIN_CONTEXT => SMALLER_MODEL.into(),
        half => format!("lclaude --context {}", half.max(MIN_CONTEXT)),
    }
}

/// Returns the help for a context that is too small, although `asked` tokens were requested.
pub(crate) fn larger(asked: u32) -> String {
    match asked {
        DEFAULT_CONTEXT.. => "lclaude local models  # choose a model with a larger context".into(),
        _ => format!("lclaude --context {DEFAULT_CONTEXT}"),
    }
}

/// Returns the clause of messages that explains the minimum.
pub(crate) fn minimum_clause() -> String {
    format!("Claude Code's prompt and tools take about {CLAUDE_CODE_PROMPT} tokens, so the minimum is {MIN_CONTEXT}")
}

/// Checks the configured context.
///
/// # Errors
/// `Config` or `Usage` if it is too small for Claude Code.
pub(crate) fn enough_context(settings: &Settings) -> Result<()> {
    if settings.context() >= MIN_CONTEXT || !settings.checks_context() {
        return Ok(());
    }
    let source = settings.source("context");
    Err(Failure::new(source.code(), format!("a context of {} tokens is too small", settings.context()))
        .cause(format!("{source} sets it; {}", minimum_clause()))
        .help(format!("lclaude --context {DEFAULT_CONTEXT}"))
        .help(SKIP_CHECK))
}

/// Checks the context that a model was trained for.
///
/// # Errors
/// `Unavailable` if it is smaller than Claude Code needs, whatever context is configured.
pub(crate) fn enough_trained(settings: &Settings, model: &str, trained: Option<u32>) -> Result<()> {
    match trained {
        Some(trained) if trained < MIN_CONTEXT && settings.checks_context() => {
            Err(Failure::new(Code::Unavailable, format!("the context of {model} is too small for Claude Code"))
                .cause(format!("it was trained for {trained} tokens; {}", minimum_clause()))
                .help(another_model(trained))
                .help(SKIP_CHECK))
        }
        _ => Ok(()),
    }
}

/// Returns the failure for a context that is too small for Claude Code. `asked`: the requested tokens; `help`: how to
/// get more.
pub(crate) fn too_small(served: &Served, asked: u32, help: impl Into<String>) -> Failure {
    Failure::new(Code::Unavailable, format!("the context window of {} is too small for Claude Code", served.of))
        .cause(format!("{}; {}", served.contexts(asked), minimum_clause()))
        .help(help)
        .help(SKIP_CHECK)
}

/// Returns the help for a model that was trained for too few tokens.
pub(crate) fn another_model(trained: u32) -> String {
    format!("lclaude local models  # choose a model that was trained for more than {trained} tokens")
}
