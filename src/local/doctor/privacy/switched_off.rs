//! What is switched off in Claude Code, from the tables of variables that a session sets and removes.

use crate::{
    base::{
        check::{Area, Check},
        environment::Environment,
        pattern::matches,
    },
    claude::{REMOVED_VARIABLES, SWITCHED_OFF},
    cli::Selection,
};

const AREA: Area = Area::Off;
/// Patterns of a group that are shown.
const SHOWN: usize = 3;

pub(super) fn checks(environment: &Environment, choice: &Selection) -> Vec<Check> {
    let dry_run = format!("{} --dry-run", choice.session_line());
    let switched = SWITCHED_OFF
        .iter()
        .map(|(name, value, word, what)| Check::ok(AREA, word, *what).help(format!("{dry_run} | grep {name}={value}")));
    let removed = REMOVED_VARIABLES.iter().map(|(word, what, patterns)| {
        let set: Vec<&str> = environment
            .variables
            .names()
            .filter_map(|name| name.to_str())
            .filter(|name| patterns.iter().any(|pattern| matches(pattern, name)))
            .collect();
        let here = match &set[..] {
            [] => "none is set here".to_owned(),
            names => format!("set here: {}", names.join(", ")),
        };
        let examples = patterns[..patterns.len().min(SHOWN)].join(", ");
        Check::ok(AREA, word, format!("variables for {what} are removed ({examples}, …); {here}"))
            .help(format!("{dry_run} | grep '^  - '"))
    });
    let login = Check::ok(AREA, "login", "your login with Anthropic and every apiKeyHelper are not used, nor changed")
        .help(format!("{dry_run} | grep CLAUDE_CODE_PROVIDER_MANAGED_BY_HOST"));
    switched.chain(removed).chain([login]).collect()
}
