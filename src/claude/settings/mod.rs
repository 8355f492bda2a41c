//! The `--settings` overlay: what variables alone cannot do, and the variables once more, since settings files beat
//! the environment and only `--settings` beats those.

mod kinds;
pub mod overlay;
