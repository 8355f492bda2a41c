//! `lclaude local man`: prints the manual page, LCLAUDE(1). Options and verbs come from `cli`.
//!
//! `clap_mangen` isn't used because it makes one page per command, and this page has all verbs.

use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};

use crate::{
    base::{commands::RUNTIME_DIRECTORY, error::Result, ui},
    cli::{self, ManArguments},
};

const DESCRIPTION: &[&str] = &[
    "Run Claude Code on a local model. lclaude starts your inference server on a free port, waits until it is ready, \
     points this one Claude Code process at it, and stops the server when you exit. Your settings, your shell and your \
     login stay as they are.",
    "lclaude's own options come first, mixed with --model and --settings. The first other argument, or --, ends them; \
     everything from there on is passed to Claude Code unchanged. The word local is reserved: lclaude -- local passes \
     it to Claude Code.",
];

const EXAMPLES: &[(&str, &str)] = &[
    ("lclaude", "Use the default backend and model."),
    ("lclaude --model qwen3-coder:30b -c", "Continue the last conversation on this model."),
    ("lclaude --backend llamacpp --model ~/models/x.gguf -p \"explain main.rs\"", "Print an answer and exit."),
    ("lclaude --dry-run", "Show what would run, with which variables, and why."),
];

const VARIABLES: &[(&str, &str)] = &[
    ("LCLAUDE_BACKEND", "The same as --backend."),
    ("LCLAUDE_MODEL", "The same as --model."),
    ("LCLAUDE_PROFILE", "The same as --profile."),
    ("LCLAUDE_CONTEXT", "The same as --context."),
    ("LCLAUDE_URL", "The same as --url."),
    ("LCLAUDE_LOG", "The level of lclaude's own log: off, error, warn, info, debug or trace."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.config/lclaude/config.toml", "The configuration (below XDG_CONFIG_HOME if that is set)."),
    (
        ".lclaude.toml",
        "A project's configuration: the nearest file from the working directory up to the root of the git repository.",
    ),
    ("~/.local/state/lclaude/", "The logs of the backends and of lclaude (below XDG_STATE_HOME if that is set)."),
    (
        "~/.cache/lclaude/",
        "What is kept to start sessions faster (below XDG_CACHE_HOME if that is set). It may be removed at any time.",
    ),
    (RUNTIME_DIRECTORY, "Sockets and private files of sessions."),
];

const EXIT_CODES: &[(&str, &str)] = &[
    ("64", "The command line is invalid or asks for something lclaude can't do."),
    ("65", "A configuration file, a variable, or the home or runtime directory is unusable."),
    ("69", "The backend is missing, failed to start, or was lost."),
    ("70", "A bug in lclaude."),
    ("75", "The backend was not ready in time."),
    ("77", "Refused: an administrator's policy or an untrusted project file forbids it."),
    ("127", "Claude Code, or the program for lclaude local run, was not found."),
];

pub(crate) fn run(_: ManArguments) -> Result<u8> {
    ui::print_exact(&page().render());
    Ok(0)
}

fn page() -> Roff {
    let mut page = Roff::new();
    let session = cli::session_command();
    page.control("TH", ["LCLAUDE", "1", " ", concat!("lclaude ", env!("CARGO_PKG_VERSION")), "User Commands"]);
    page.control("SH", ["NAME"]).text([roman(format!("lclaude - {}", one_line(session.get_about())))]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([
        bold("lclaude"),
        roman(" ["),
        italic("LCLAUDE OPTIONS"),
        roman("] ["),
        italic("CLAUDE ARGUMENTS"),
        roman("...]"),
    ]);
    page.control("br", []);
    page.text([bold("lclaude local "), italic("COMMAND"), roman(" ["), italic("OPTIONS"), roman("]")]);
    page.control("SH", ["DESCRIPTION"]);
    for paragraph in DESCRIPTION {
        page.control("PP", []).text([roman(*paragraph)]);
    }
    page.control("SH", ["OPTIONS"]);
    options(&mut page, session.get_arguments());
    verbs(&mut page, &session);
    table(&mut page, "EXAMPLES", EXAMPLES);
    table(&mut page, "ENVIRONMENT", VARIABLES);
    table(&mut page, "FILES", FILES);
    page.control("SH", ["EXIT STATUS"]);
    page.text([roman("Claude Code's own, or 128+N if signal N ended it. lclaude's are:")]);
    entries(&mut page, EXIT_CODES);
    page.control("SH", ["SEE ALSO"]).text([bold("claude"), roman("(1)")]);
    page
}

fn verbs(page: &mut Roff, session: &Command) {
    let is_known = |argument: &Arg| session.get_arguments().any(|known| known.get_id() == argument.get_id());
    page.control("SH", ["COMMANDS"]);
    page.text([roman("Most commands also accept the backend and model options above. Their other options are:")]);
    for verb in cli::local_command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let own = || verb.get_arguments().filter(|argument| argument.is_positional() || !is_known(argument));
        let positionals = verb.get_positionals().flat_map(|positional| [roman(" "), italic(value(positional))]);
        page.control("SS", [""; 0]);
        page.text(
            [bold(format!("lclaude local {}", verb.get_name()))].into_iter().chain(positionals).collect::<Vec<_>>(),
        );
        page.text([roman(one_line(verb.get_about()))]);
        options(page, own());
    }
}

fn options<'a>(page: &mut Roff, options: impl Iterator<Item = &'a Arg>) {
    for option in options.filter(|option| !option.is_hide_set()) {
        page.control("TP", []).text(names(option)).text([roman(one_line(option.get_help()))]);
    }
}

fn names(option: &Arg) -> Vec<Inline> {
    let long = option.get_long().map(|long| bold(format!("--{long}")));
    let short = option.get_short().map(|short| bold(format!("-{short}")));
    let mut names = Vec::new();
    for name in short.into_iter().chain(long) {
        if !names.is_empty() {
            names.push(roman(", "));
        }
        names.push(name);
    }
    if option.is_positional() {
        names.push(italic(value(option)));
    } else if option.get_num_args().is_some_and(|values| values.min_values() == 0) && !option.is_positional() {
        names.extend([roman("[="), italic(value(option)), roman("]")]);
    } else if option.get_action().takes_values() {
        names.extend([roman(" "), italic(value(option))]);
    }
    names
}

/// Returns the placeholder for the value.
fn value(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>();
    if names.is_empty() { option.get_id().as_str().to_uppercase() } else { names.join(" ") }
}

fn table(page: &mut Roff, title: &str, rows: &[(&str, &str)]) {
    page.control("SH", [title]);
    entries(page, rows);
}

fn entries(page: &mut Roff, rows: &[(&str, &str)]) {
    for (name, about) in rows {
        page.control("TP", []).text([bold(*name)]).text([roman(*about)]);
    }
}

fn one_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().trim_end_matches('.').to_owned()
}
