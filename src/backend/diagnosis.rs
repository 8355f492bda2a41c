//! Finds out from its exit status and log why a backend did not start.
//!
//! The log texts are those of llama.cpp b11434, ggml, and the dynamic loaders of Linux and macOS.

use std::{os::unix::process::ExitStatusExt, path::Path, process::ExitStatus};

use super::{
    context::{SMALLER_MODEL, smaller},
    log::LogExcerpt,
    plan::{BackendPlan, Service},
};
use crate::base::{
    commands,
    error::{Code, Failure, RETRY_HELP},
    spawn::is_for_other_processor,
    ui,
};

/// What a kind adds to the diagnosis of its server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Diagnosis {
    /// Whether `SIGNS` describes its log. In another program's log the same texts may mean anything.
    pub reads_log: bool,
    /// The help for running out of memory.
    pub less_memory: &'static str,
}

/// Why a backend exited before it was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    AddressInUse,
    FileNotFound,
    CutShort,
    NotGguf,
    UnknownArchitecture,
    OutOfMemory,
    MissingLibrary,
    UnknownOption,
    IllegalInstruction,
    Download,
    Unknown,
}

/// The log texts of each cause. Order matters: a server that runs out of memory also logs that it failed to load its
/// model.
const SIGNS: &[(Cause, &[&str])] = &[
    (Cause::MissingLibrary, &["error while loading shared libraries", "Library not loaded:"]),
    (Cause::AddressInUse, &["couldn't bind HTTP server socket", "ddress already in use"]),
    (
        Cause::OutOfMemory,
        &[
            "failed to allocate",
            "unable to allocate",
            "out of memory",
            "OutOfMemory",
            "std::bad_alloc",
            "Cannot allocate memory",
            "not enough space in the context's memory pool",
            "insufficient memory",
        ],
    ),
    (Cause::UnknownArchitecture, &["unknown model architecture"]),
    (
        Cause::CutShort,
        &[
            "not within the file bounds",
            "corrupted or incomplete",
            "failed to read tensor",
            "failed to read magic",
            "failed to read header",
            "failed to read key-value pairs",
        ],
    ),
    (Cause::NotGguf, &["invalid magic", "bad magic"]),
    (Cause::Download, &["failed to download", "no remote preset found", "error from HF API", "get_repo_commit"]),
    (Cause::FileNotFound, &["No such file or directory", "failed to open GGUF file"]),
    (Cause::UnknownOption, &["error: invalid argument", "error while handling argument"]),
];

/// Returns the cause, from the exit status and the log.
pub(crate) fn diagnose(status: Option<ExitStatus>, log: &LogExcerpt) -> Cause {
    let signal = status.and_then(|status| status.signal());
    if signal == Some(libc::SIGILL) {
        return Cause::IllegalInstruction;
    }
    let logged = SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| log.contains(sign)));
    match (logged, signal) {
        (Some((cause, _)), _) => *cause,
        // While a server loads, only the kernel's out-of-memory killer sends it SIGKILL.
        (None, Some(libc::SIGKILL)) => Cause::OutOfMemory,
        (None, _) => Cause::Unknown,
    }
}

impl Cause {
    /// Returns the message of the line that reports this cause, or else that of the first error.
    pub(crate) fn line(self, log: &LogExcerpt) -> Option<String> {
        let signs = SIGNS.iter().find(|(known, _)| *known == self).map(|(_, signs)| *signs);
        signs.and_then(|signs| log.find(signs)).or_else(|| log.first_error())
    }

    /// Returns the failure for a backend that exited with `status`.
    pub(crate) fn failure(
        self,
        plan: &BackendPlan,
        diagnosis: &Diagnosis,
        status: Option<ExitStatus>,
        log: LogExcerpt,
    ) -> Failure {
        let program = plan.name();
        let model = &plan.origin;
        let failed = |why: String| Failure::new(Code::Unavailable, format!("{program} did not start")).cause(why);
        let known_everywhere = matches!(
            self,
            Cause::AddressInUse | Cause::OutOfMemory | Cause::MissingLibrary | Cause::IllegalInstruction
        );
        let cause = match &plan.service {
            _ if known_everywhere => self,
            Service::Program(program) if is_for_other_processor(&program.path) => Cause::IllegalInstruction,
            _ if diagnosis.reads_log => self,
            _ => Cause::Unknown,
        };
        let error = cause.line(&log).map(|error| format!(": {error}")).unwrap_or_default();
        let failure = match cause {
            Cause::AddressInUse => {
                failed("another program took its port".into()).help(format!("{RETRY_HELP} to use another port"))
            }
            Cause::FileNotFound => failed(format!("file not found: {model}{error}"))
                .help(format!("ls -l {}", ui::quote_path(Path::new(model)))),
            Cause::CutShort => {
                failed(format!("bad GGUF: {model} is truncated or damaged{error}")).help("download the model again")
            }
            Cause::NotGguf => failed(format!("bad GGUF: {model} is not a model file{error}"))
                .help("download the model again (a file of a few hundred bytes is often a Git LFS pointer)"),
            Cause::UnknownArchitecture => failed(format!("this llama-server is older than the model {model}{error}"))
                .help("brew upgrade llama.cpp")
                .help("lclaude local models  # choose another model"),
            Cause::OutOfMemory => {
                // Without a file of its own, a model is known by its name.
                let model = if diagnosis.reads_log { model.clone() } else { plan.models.join(", ") };
                failed(format!("out of memory: {model} with a context of {} tokens does not fit{error}", plan.context))
                    .help(smaller(plan.context))
                    .help(SMALLER_MODEL)
                    .help(diagnosis.less_memory)
            }
            Cause::MissingLibrary => failed(format!("a shared library is missing{error}"))
                .help(format!(
                    "{}  # lists its libraries",
                    commands::list_libraries(&ui::quote_path(Path::new(&program)))
                ))
                .help("reinstall it"),
            Cause::UnknownOption => failed(format!("it is too old, or [llamacpp] has a mistake{error}"))
                .help(format!("{} --help  # compare with [llamacpp]", ui::quote_path(Path::new(&program))))
                .help("brew upgrade llama.cpp"),
            Cause::IllegalInstruction => failed("illegal instruction: it was built for a different processor".into())
                .help("install a build for this processor, or build it from source"),
            Cause::Download => failed(format!("{model} could not be downloaded{error}"))
                .help("check the name and the network")
                .help("export HF_TOKEN=…  # for a private model"),
            Cause::Unknown => failed(format!("it {}{error}", describe_status(status)))
                .help("lclaude --dry-run  # shows its command line"),
        };
        failure.log_tail(log.lines())
    }
}

/// Returns an exit status as a predicate, such as `exited with code 1`.
pub(crate) fn describe_status(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exited with code {code}"),
            (None, Some(signal)) => format!("was killed by signal {signal}"),
            (None, None) => format!("ended with {status}"),
        },
        None => "ended with an unknown status".into(),
    }
}
