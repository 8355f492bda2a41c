//! Processes: identifying one safely, ending it with all that it started, tying a child to its parent, and the terminal
//! they share.
//!
//! All differences between operating systems are hidden here. Nothing here may depend on Claude Code or on backends.

mod descendants;
mod group;
mod hold;
mod identity;
mod recorded;
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

pub(crate) use descendants::{end_all, kill_adopted, memory, reap_adopted};
pub(crate) use group::{Ending, Group, Listener, is_listened_on};
pub(crate) use hold::{Hold, is_suspended, resume, suspended_tree};
pub(crate) use identity::Identity;
pub(crate) use recorded::{record, recorded};
pub(crate) use system::{
    adopt_orphans, die_with_parent, forbids_programs, is_sent_by_process, own_program, user_runtime_dir, wait_for_child,
};
pub(crate) use terminal::{LiveScreen, Terminal};
pub(crate) use unix::{
    close_all_but, detach, end_by, exec, fork, ignore_requests_to_end, is_ignored, is_in_foreground, open_output,
    user_name, wait_for_children,
};
