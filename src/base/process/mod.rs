//! Processes as lclaude needs them: one that can be recognised later, a whole group that can be ended, a child that
//! does not outlive its parent, and the terminal they share.
//!
//! Everything the operating systems do differently is behind this module's names; nothing here knows of Claude Code
//! or of backends.

mod group;
mod identity;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
mod terminal;
mod unix;

pub use group::{Ending, Group};
pub use identity::Identity;
pub use system::{die_with_parent, own_program, user_temp_dir};
pub use terminal::{LiveScreen, Terminal};
pub use unix::{detach, ignored, in_foreground, output, replace_with};
