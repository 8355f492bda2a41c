//! Rejects options that lclaude would not get, because they come after Claude Code's first argument, options that
//! neither program knows, and `--json` without `--dry-run`.

use std::{ffi::OsString, path::PathBuf};

use super::{
    command::SessionArguments,
    hint, line, options,
    own::{self, OwnOption},
};
use crate::{
    base::error::{Code, Failure, Result},
    claude::{
        self,
        arguments::{
            all_options, has_print,
            unknown::{find_unknown, is_from_program, is_known_option},
        },
    },
    config::find_nearest,
};

/// Edits between an option and what it may be a misspelling of.
const MAX_EDITS: usize = 3;

/// Rejects lclaude's own options among Claude Code's arguments, and a first argument that resembles one of them.
///
/// `before`: the words before Claude Code's arguments.
///
/// # Errors
/// `Usage`.
pub(super) fn check_own(before: &[OsString], claude: &[OsString]) -> Result<()> {
    let unknown = find_unknown(claude);
    // Most command lines have none.
    if unknown.is_empty() {
        return Ok(());
    }
    let ours = own::only_ours(&options::command());
    check_combined(before, claude, &unknown, &ours)?;
    let Some((first, own)) = unknown.iter().find_map(|at| Some((*at, own::find(&ours, &claude[*at])?))) else {
        return check_misspelled(before, claude, &ours);
    };
    let moved = moved(before, claude, &unknown, &ours);
    let verb_line = hint::verb_line(before, claude);
    let is_given = |name| before.iter().chain(unknown.iter().map(|at| &claude[*at])).any(|word| word == name);
    let lacks_dry_run = is_given("--json") && !is_given("--dry-run");
    if verb_line.is_none() && lacks_dry_run {
        return Err(json_without_dry_run(&moved));
    }
    let name = &own.names[0];
    let failure = Failure::new(Code::Usage, format!("{name} must come before Claude Code's arguments")).cause(format!(
        "lclaude's own options end at Claude Code's first argument, which is {}",
        line::quote(&claude[..1.min(first)])
    ));
    let moved = (!lacks_dry_run).then(|| line::of(&moved));
    Err(with_help(with_help(failure, verb_line), moved).help(passed_on(before, claude)))
}

/// Adds a help if there is one.
fn with_help(failure: Failure, help: Option<String>) -> Failure {
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}

/// Rejects one of lclaude's short options that is combined with Claude Code's, such as `-qp`.
fn check_combined(before: &[OsString], claude: &[OsString], unknown: &[usize], ours: &[OwnOption]) -> Result<()> {
    let flags = ours.iter().filter(|option| option.value.is_none()).flat_map(|option| &option.names);
    let flags: Vec<&String> = flags.filter(|name| !name.starts_with("--")).collect();
    for (at, flag) in unknown.iter().flat_map(|at| flags.iter().map(|flag| (*at, *flag))) {
        let word = claude[at].to_string_lossy();
        let others = word.replacen(&flag[1..], "", 1);
        if word.starts_with("--") || others == word || others == "-" || !is_known_option(&others) {
            continue;
        }
        let mut separate = claude.to_vec();
        separate[at] = others.into();
        return Err(Failure::new(Code::Usage, format!("{flag} can't be combined with Claude Code's options"))
            .cause(format!("{flag} is lclaude's own option, and the rest of {word} is Claude Code's"))
            .help(line::of(&[before, &[flag.into()], &separate].concat())));
    }
    Ok(())
}

/// Returns the failure for `--json` without `--dry-run`, in a session with these arguments.
pub(super) fn json_without_dry_run(arguments: &[OsString]) -> Failure {
    let dry_run = [&["--dry-run".into()], arguments].concat();
    let failure = Failure::new(Code::Usage, "--json requires --dry-run")
        .cause("a session's output is Claude Code's own")
        .help(format!("{}  # shows what would run", line::of(&dry_run)));
    if !has_print(arguments) {
        return failure;
    }
    let others = arguments.iter().filter(|word| *word != "--json").cloned();
    let answer: Vec<OsString> = others.chain(["--output-format".into(), "json".into()]).collect();
    failure.help(format!("{}  # prints Claude Code's answer as JSON", line::of(&answer)))
}

/// Returns the words with lclaude's options moved to the front.
fn moved(before: &[OsString], claude: &[OsString], unknown: &[usize], ours: &[OwnOption]) -> Vec<OsString> {
    let (mut front, mut rest) = (before.to_vec(), Vec::new());
    let mut at = 0;
    while at < claude.len() {
        let own = if unknown.contains(&at) { own::find(ours, &claude[at]) } else { None };
        let Some(own) = own else {
            rest.push(claude[at].clone());
            at += 1;
            continue;
        };
        let (words, is_complete) = own.words(&claude[at..]);
        front.extend_from_slice(words);
        front.extend(own.value.iter().filter(|_| !is_complete).map(OsString::from));
        at += words.len();
    }
    [front, rest].concat()
}

/// Rejects a first argument that resembles one of lclaude's options.
fn check_misspelled(before: &[OsString], claude: &[OsString], ours: &[OwnOption]) -> Result<()> {
    let word = claude[0].to_string_lossy();
    let name = own::name_of(&word);
    if !name.starts_with("--") || is_known_option(name) || is_from_program(claude) {
        return Ok(());
    }
    let names = ours.iter().map(|option| option.names[0].as_str());
    match find_nearest(name, names).filter(|near| strsim::damerau_levenshtein(name, near) <= MAX_EDITS) {
        Some(near) => Err(unknown_option(before, claude, 0, Some(near), ours)),
        None => Ok(()),
    }
}

/// Rejects options that neither lclaude nor the installed Claude Code knows. Without its help, and from a program,
/// nothing is rejected.
///
/// `find_claude`: finds Claude Code, which most command lines don't need here.
///
/// # Errors
/// `Usage`.
pub(crate) fn check_unknown(typed: &SessionArguments, find_claude: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
    let unknown = find_unknown(&typed.claude);
    if typed.is_raw || unknown.is_empty() || is_from_program(&typed.claude) {
        return Ok(());
    }
    // The session reports a missing one.
    let Some(listed) = find_claude().ok().and_then(|program| claude::listed_options(&program)) else {
        return Ok(());
    };
    let is_listed = |at: &usize| {
        let word = typed.claude[*at].to_string_lossy();
        listed.iter().any(|listed| listed == own::name_of(&word))
    };
    let Some(at) = unknown.into_iter().find(|at| !is_listed(at)) else {
        return Ok(());
    };
    let word = typed.claude[at].to_string_lossy();
    if word.contains(char::is_whitespace) && !word.starts_with("--") {
        return Err(text_with_dash(typed, at));
    }
    let command = options::command();
    let mut known = listed;
    known.extend(own::all(&command).into_iter().map(|option| option.names[0].clone()));
    known.extend(all_options().map(str::to_owned));
    let known = known.iter().map(String::as_str).filter(|known| known.starts_with("--"));
    let name = own::name_of(&word);
    let is_near = |near: &&str| strsim::damerau_levenshtein(name, near) <= MAX_EDITS.min((name.len() - 2) / 2);
    let near = find_nearest(name, known).filter(is_near);
    Err(unknown_option(&typed.own, &typed.claude, at, near, &own::only_ours(&command)))
}

/// Returns the failure for an unknown option. `near`: what it may be a misspelling of.
fn unknown_option(
    before: &[OsString],
    claude: &[OsString],
    at: usize,
    near: Option<&str>,
    ours: &[OwnOption],
) -> Failure {
    let word = claude[at].to_string_lossy();
    let name = own::name_of(&word);
    let failure = Failure::new(Code::Usage, format!("unknown option {}", line::shorten(name)))
        .cause("neither lclaude nor Claude Code has an option of this name");
    let failure = with_help(failure, hint::verb_line(before, claude));
    let failure = match near {
        None => failure,
        Some(near) => {
            let mut corrected = claude.to_vec();
            corrected[at] = format!("{near}{}", &word[name.len()..]).into();
            failure.help(line::of(&moved(before, &corrected, &[at], ours)))
        }
    };
    failure.help(passed_on(before, claude))
}

/// Returns the failure for a prompt that starts with a dash.
fn text_with_dash(typed: &SessionArguments, at: usize) -> Failure {
    let (before, text) = typed.claude.split_at(at);
    let dashes = OsString::from("--");
    // The first `--` is lclaude's.
    let own = if before.is_empty() { Some(&dashes) } else { None };
    let words: Vec<OsString> =
        typed.own.iter().chain(own).chain(before).chain([&dashes]).chain(text).cloned().collect();
    Failure::new(Code::Usage, "a prompt that starts with a dash must come after --")
        .cause("Claude Code reads it as an option")
        .help(line::of(&words))
}

/// Returns the help to pass all of Claude Code's arguments on without checks.
fn passed_on(before: &[OsString], claude: &[OsString]) -> String {
    let words = [before, &["--".into()], claude].concat();
    format!("{}  # to pass it to Claude Code", line::of(&words))
}
