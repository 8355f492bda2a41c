//! Processes: identifying one safely, ending a whole group, tying a child to its parent, and the terminal they share.
//!
//! All differences between operating systems are hidden here. Nothing here may depend on Claude Code or on backends.

mod group;
mod hold;
mod identity;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(target_os = "macos")]
#[path = "macos.rs"]
mod system;
mod terminal;
mod tree;
mod unix;

pub(crate) use group::{Ending, Group, Listener, is_listened_on};
pub(crate) use hold::{Hold, is_suspended, resume};
pub(crate) use identity::Identity;
pub(crate) use system::{die_with_parent, forbids_programs, own_program, user_temp_dir};
pub(crate) use terminal::{LiveScreen, Terminal};
pub(crate) use unix::{detach, exec, is_ignored, is_in_foreground, open_output, user_name, wait_for_children};
