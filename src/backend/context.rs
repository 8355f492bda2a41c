//! Whether a context is large enough for Claude Code.

use crate::{
    base::{
        context::{CLAUDE_CODES_PROMPT, DEFAULT_CONTEXT, LEAST_CONTEXT},
        error::{Code, Failure, Result},
    },
    config::Settings,
};

/// Returns the least that Claude Code needs, for messages.
pub fn least() -> String {
    format!("Claude Code's own prompt and tools take about {CLAUDE_CODES_PROMPT}, so {LEAST_CONTEXT} is the least")
}

/// # Errors
/// `Config` or `Usage` for a context in which Claude Code could not work at all.
pub fn enough_context(settings: &Settings) -> Result<()> {
    if settings.context() >= LEAST_CONTEXT || !settings.checks_context() {
        return Ok(());
    }
    let source = settings.source("context");
    Err(Failure::new(source.code(), format!("a context of {} tokens is too small", settings.context()))
        .why(format!("{source} asks for it; {}", least()))
        .help(format!("--context {DEFAULT_CONTEXT}"))
        .help("context_check = false in the configuration starts it all the same"))
}

/// # Errors
/// `Unavailable` for a model that was trained for fewer tokens than Claude Code needs, however many are asked for.
pub fn enough_trained(settings: &Settings, model: &str, trained: Option<u32>) -> Result<()> {
    match trained {
        Some(trained) if trained < LEAST_CONTEXT && settings.checks_context() => {
            Err(Failure::new(Code::Unavailable, format!("{model} has too small a context for Claude Code"))
                .why(format!("it was trained for {trained} tokens; {}", least()))
                .help(another_model(trained))
                .help("context_check = false in the configuration starts it all the same"))
        }
        _ => Ok(()),
    }
}

/// Returns what helps where a model was trained for too few tokens.
pub fn another_model(trained: u32) -> String {
    format!("--model NAME, one that was trained for more than {trained} tokens; lclaude local models shows which were")
}
