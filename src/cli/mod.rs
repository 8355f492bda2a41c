//! The command line: the options and verbs, their help texts, and the parser. Nothing here reads the configuration or
//! carries out a command.

mod choice;
mod command;
mod hint;
mod line;
mod local;
mod options;
mod own;
mod repeat;
mod session;
mod unknown;
mod verbs;

pub(crate) use choice::{Choice, Selection};
pub(crate) use command::{Invocation, SessionArguments};
pub(crate) use hint::hint;
pub(crate) use line::of as command_line;
pub(crate) use local::{NAME as LOCAL, command as local_command};
pub(crate) use options::{command as session_command, help};
pub(crate) use repeat::complete_help;
pub(crate) use session::parse;
pub(crate) use unknown::check_unknown;
pub(crate) use verbs::{
    CacheArguments, CompletionsArguments, ConfigAction, ConfigArguments, DoctorArguments, EnvArguments, Format,
    InitArguments, LineArguments, LogsArguments, ManArguments, ModelsArguments, ProfilesArguments, RunArguments,
    ServeArguments, SetupArguments, Shell, StatusArguments, StopArguments, TargetArguments, TrustArguments,
    UntrustArguments, UseArguments, Verb,
};
