//! The API key of a `[command]`'s server: how it gets lclaude's, and why it may have another one.

use crate::{
    backend::plan::{Program, TOKEN},
    base::variables::Variables,
};

/// The variables from which servers read the key that they require, each with a part of its server's name.
const KEY_VARIABLES: &[(&str, &str)] = &[
    ("vllm", "VLLM_API_KEY"),
    ("litellm", "LITELLM_MASTER_KEY"),
    ("llama", "LLAMA_API_KEY"),
    ("sglang", "SGLANG_API_KEY"),
    ("localai", "LOCALAI_API_KEY"),
    ("", "OPENAI_API_KEY"),
    ("", "API_KEY"),
];

/// Returns the help for a server that rejects lclaude's key. `variables` are those that the server inherited.
pub(crate) fn rejected(program: &Program, variables: &Variables) -> String {
    // Another program's variable may be set for another purpose.
    let server = server(program);
    let candidates = || KEY_VARIABLES.iter().filter(|variable| server.is_none_or(|server| server == *variable));
    let own = |variable: &str| program.environment.get(variable).is_some_and(|key| !key.contains(TOKEN));
    let inherited = |variable: &str| !program.environment.contains_key(variable) && variables.text(variable).is_some();
    if let Some((_, name)) = candidates().find(|(_, name)| own(name)) {
        return format!("{}  # it sets {name} to another key", assignment(name));
    }
    if program.fills_token {
        return format!("pass {TOKEN} to the option or variable of the server's key, and to no other");
    }
    match candidates().find(|(_, name)| inherited(name)) {
        Some((_, name)) => {
            format!("{}  # the server inherits {name}, another key", assignment(name))
        }
        None => format!("{}  # or the variable from which your server reads its key", assignment(variable_of(program))),
    }
}

/// Returns the warning about a key in the command line, or `None` if it isn't there.
pub(crate) fn exposed(program: &Program) -> Option<String> {
    let is_exposed = |program: &Program| program.arguments.iter().any(|argument| argument.contains(TOKEN));
    let in_stop = || program.stop.as_ref().is_some_and(|stop| is_exposed(&stop.program));
    let key = if is_exposed(program) { "run" } else { in_stop().then_some("stop")? };
    Some(format!(
        "warning: other users of this machine can read {TOKEN} in [command] {key}\n  help: {}",
        assignment(variable_of(program))
    ))
}

/// Returns the command that passes the key in a variable.
fn assignment(name: &str) -> String {
    format!("lclaude local config set command.env.{name} '{TOKEN}'")
}

/// Returns the variable that the program reads, as far as its name and arguments tell.
fn variable_of(program: &Program) -> &'static str {
    server(program).unwrap_or(&KEY_VARIABLES[0]).1
}

/// Returns the entry of the server, as far as the program's name and arguments tell.
fn server(program: &Program) -> Option<&'static (&'static str, &'static str)> {
    let path = program.path.to_string_lossy();
    let words = || std::iter::once(&*path).chain(program.arguments.iter().map(String::as_str));
    KEY_VARIABLES.iter().find(|(name, _)| !name.is_empty() && words().any(|word| word.contains(name)))
}
