//! What can be typed: types, and how they are read. Nothing is carried out here.

mod choice;
mod command;
mod local;
mod session;
mod verbs;

pub use choice::{Choice, Selection};
pub use command::{Command, Session};
pub use local::{NAME as LOCAL, command as verbs_command};
pub use session::{command, help, parse};
pub use verbs::{
    Completions, Doctor, Env, Format, Init, Logs, Man, Models, Run, Serve, Setup, Shell, Status, Stop, Trust, Untrust,
    Verb, Which,
};
