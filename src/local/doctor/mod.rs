//! `lclaude local doctor`: diagnoses problems, one line per check, and suggests the command that fixes each.
//!
//! A check calls the same function as a session and shows its failure, so doctor never disagrees with lclaude. A check
//! that fails never stops the others. Without `--live`, doctor changes nothing and starts only programs that print
//! their version.
//!
//! `--json` prints one object: `format` (1), `lclaude` (its version), `ok`, `warnings` and `failures` (counts), and
//! `checks`, each with `area` (configuration, claude, backends, machine, live; with `--privacy` requests, off, disk), `name`, `state` (ok, warning, failure),
//! `found`, `why` (or null), `log` and `help` (lists of lines, the best help first). An area and a name together
//! identify a check and never change.

pub(crate) mod backends;
mod claude;
mod configuration;
pub(crate) mod live;
mod machine;
mod privacy;
mod report;
mod run;
mod wsl;
pub(crate) use run::run;
