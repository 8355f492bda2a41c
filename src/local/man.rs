//! `lclaude local man`: the manual page, LCLAUDE(1). Options and verbs are those that can be typed; the rest is here.

use crate::cli::Man;
use clap::{Arg, Command};
use roff::{Inline, Roff, bold, italic, roman};

use crate::{
    base::{error::Result, ui},
    cli,
};

const DESCRIPTION: &[&str] = &[
    "Type lclaude instead of claude, and Claude Code runs on a model of your own. lclaude starts your local inference \
     server on a free port, waits until the model can answer, runs Claude Code with the routing in that one process, \
     and ends everything when Claude Code exits.",
    "lclaude's own options come first, freely mixed with --model and --settings. The first other argument, or --, ends \
     them; everything from there on is Claude Code's, unchanged. The word local is reserved: lclaude -- local passes \
     it to Claude Code.",
];

const EXAMPLES: &[(&str, &str)] = &[
    ("lclaude", "The backend you have, with its default model or yours."),
    ("lclaude --model qwen3-coder:30b -c", "Go on with the last conversation on this model."),
    ("lclaude --backend llamacpp --model ~/models/x.gguf -p \"explain main.rs\"", "Print an answer and end."),
    ("lclaude --dry-run", "Show what would be started, with which variables, and why."),
];

const VARIABLES: &[(&str, &str)] = &[
    ("LCLAUDE_BACKEND", "As --backend."),
    ("LCLAUDE_MODEL", "As --model."),
    ("LCLAUDE_PROFILE", "As --profile."),
    ("LCLAUDE_CONTEXT", "As --context."),
    ("LCLAUDE_LOG", "How much lclaude writes into its own log: off, error, warn, info, debug or trace."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.config/lclaude/config.toml", "The configuration (in XDG_CONFIG_HOME, where that is set)."),
    (
        ".lclaude.toml",
        "A project's own: the nearest one from the working directory up to the root of the git repository.",
    ),
    ("~/.local/state/lclaude/", "The backends' logs, and lclaude's own (in XDG_STATE_HOME, where that is set)."),
    ("$XDG_RUNTIME_DIR/lclaude/", "Sockets and the private files of sessions."),
];

const EXIT_CODES: &[(&str, &str)] = &[
    ("64", "The command line cannot be understood or served."),
    ("65", "A configuration file, a variable or the surroundings are at fault."),
    ("69", "The backend is missing, failed to start, or was lost."),
    ("70", "A bug in lclaude."),
    ("75", "The backend was not ready in time."),
    ("77", "Refused: an administrator's policy or an untrusted project file forbids it."),
    ("127", "No Claude Code was found, or no such program for lclaude local run."),
];

pub fn run(_: Man) -> Result<u8> {
    ui::print(&page().render());
    Ok(0)
}

fn page() -> Roff {
    let mut page = Roff::new();
    let session = cli::command();
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
    page.text([bold("lclaude local "), italic("VERB"), roman(" ["), italic("OPTIONS"), roman("]")]);
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
    page.control("SH", ["VERBS"]);
    page.text([roman("Most take the options above that have to do with a backend, too; the others are:")]);
    for verb in cli::verbs_command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
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

/// What stands for the value.
fn value(option: &Arg) -> String {
    let names = option.get_value_names().unwrap_or_default().iter().map(|name| name.to_string()).collect::<Vec<_>>();
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
