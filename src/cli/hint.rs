//! The hint for a first word that may have been meant as a command of lclaude.

use std::ffi::OsString;

use super::{command::SessionArguments, line, local, own};

/// Shortest word that may be a misspelled command.
const MIN_LENGTH: usize = 4;

/// Returns the hint, or `None` if the first word is no command of lclaude's. `is_command`: whether it is one of Claude
/// Code's own.
pub(crate) fn hint(typed: &SessionArguments, is_command: bool) -> Option<String> {
    let word = typed.claude.first().filter(|_| !typed.is_raw)?.to_str()?;
    if !word.starts_with(|c: char| c.is_ascii_lowercase()) || word.contains(' ') {
        return None;
    }
    let verbs = local::command();
    let names: Vec<&str> = verbs.get_subcommands().map(clap::Command::get_name).chain(["help"]).collect();
    let is_near = |name: &&&str| {
        typed.claude.len() == 1 && word.len() >= MIN_LENGTH && strsim::damerau_levenshtein(word, name) == 1
    };
    let name = names.iter().find(|name| **name == word).or_else(|| names.iter().find(is_near))?;
    let own = match *name {
        "help" => "lclaude local --help".to_owned(),
        name => {
            let words = [local::NAME.into(), name.into()].into_iter().chain(typed.claude[1..].iter().cloned());
            line::of(&words.collect::<Vec<_>>())
        }
    };
    Some(match is_command {
        true => format!("`{word}` is Claude Code's own command; lclaude's is: {own}"),
        false => format!("{word:?} is sent to the model as a prompt; lclaude's own command is: {own}"),
    })
}

/// Returns the command line of lclaude's own command that `claude` may be meant as, or `None` if its first word is no
/// such command, or if the command doesn't have all of the options. `before`: the words before Claude Code's arguments.
pub(super) fn verb_line(before: &[OsString], claude: &[OsString]) -> Option<String> {
    let (name, rest) = claude.split_first()?;
    let verbs = local::command();
    let known = own::all(verbs.find_subcommand(name)?);
    let mut options = before.iter().chain(rest).filter(|word| word.as_encoded_bytes().starts_with(b"-"));
    let takes_all = options.all(|option| own::find(&known, option).is_some());
    takes_all.then(|| line::of(&[before, &[local::NAME.into()], claude].concat()))
}
