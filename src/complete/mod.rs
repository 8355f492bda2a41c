//! What can be typed next, for the shells' completions: `lclaude local complete -- WORDS...`, where the last word is the
//! one being typed. Not for people: the scripts in `shell/completions` ask it at every press of Tab.
//!
//! So it is quick and silent. It reads files, starts no backend, writes nothing, speaks to no network, and completes
//! nothing where anything fails. Options and verbs are those of `cli` and `local`; none is named here a second time.

mod answer;
mod names;
pub use answer::run;
