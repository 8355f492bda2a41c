//! `lclaude local doctor`: every check a line, with the command that mends what is wrong.
//!
//! A check runs the very function that a session would run and shows its failure, so doctor never disagrees with lclaude.
//! It never stops half-way: what cannot be found out is one check that failed, and the others still run. Without `--live`
//! it starts nothing but programs that are asked for their version, and changes nothing.
//!
//! `--json` prints one object: `format` (1), `lclaude` (its version), `ok`, `warnings` and `failures` (how many), and
//! `checks`, each with `area` (configuration, claude, backends, machine, live), `name`, `state` (ok, warning, failure),
//! `found`, `why` (or null), `log` and `help` (lists of lines; the first help is the best). Area and name together are
//! unique and stay.

pub mod backends;
mod claude;
mod configuration;
pub mod live;
mod machine;
mod report;
mod run;
pub use run::run;
