//! Shell completion: `lclaude local complete -- WORDS...`, which the scripts in `shell/completions` run whenever Tab is
//! pressed.
//!
//! It must be fast and silent: it starts no backend, writes no file, uses no network, and prints nothing if
//! anything fails. The options and verbs come from `cli`; none is listed here again.

mod answer;
mod names;
pub(crate) use answer::run;
