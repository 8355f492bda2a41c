//! What a backend's last words mean.
//!
//! The texts are those of llama.cpp b11434, ggml, and the dynamic loaders of Linux and macOS.

use crate::base::context::LEAST_CONTEXT;
use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

use super::plan::BackendPlan;
use crate::base::error::{Code, Failure};

/// What a kind has to say of a server of its own that ended early.
#[derive(Debug, Clone, Copy)]
pub struct Diagnosis {
    /// Whether the words of its log are those in `SIGNS`; in another program's log the same words may mean anything.
    pub reads_log: bool,
    /// What makes it take less memory.
    pub less_memory: &'static str,
}

/// Why a backend ended before it was ready, as far as one can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
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

/// In this order: a server that ran out of memory also says that it failed to load its model.
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

/// Reads the exit status and the last lines of the log, oldest first.
pub fn diagnose(status: Option<ExitStatus>, log: &[String]) -> Cause {
    let signal = status.and_then(|status| status.signal());
    if signal == Some(libc::SIGILL) {
        return Cause::IllegalInstruction;
    }
    let said = SIGNS.iter().find(|(_, signs)| log.iter().any(|line| signs.iter().any(|sign| line.contains(sign))));
    match (said, signal) {
        (Some((cause, _)), _) => *cause,
        // Nobody else sends KILL to a loading server than the kernel that is out of memory.
        (None, Some(libc::SIGKILL)) => Cause::OutOfMemory,
        (None, _) => Cause::Unknown,
    }
}

impl Cause {
    /// The failure in words, for a backend that ended with `status`.
    pub fn failure(
        self,
        plan: &BackendPlan,
        diagnosis: &Diagnosis,
        status: Option<ExitStatus>,
        log: Vec<String>,
    ) -> Failure {
        let program = plan.name();
        let model = &plan.origin;
        let failed = |why: String| Failure::new(Code::Unavailable, format!("{program} did not start")).why(why);
        // In another program's log the same words may mean anything.
        let known_everywhere = matches!(
            self,
            Cause::AddressInUse | Cause::OutOfMemory | Cause::MissingLibrary | Cause::IllegalInstruction
        );
        let cause = if diagnosis.reads_log || known_everywhere { self } else { Cause::Unknown };
        let failure = match cause {
            Cause::AddressInUse => failed("the port it was given was taken by another program".into())
                .help("run the same command again; another port will be tried"),
            Cause::FileNotFound => failed(format!("file not found: {model}")).help(format!("ls -l {model}")),
            Cause::CutShort => failed(format!("bad GGUF: {model} is cut short or damaged"))
                .help("download the model again and compare its size"),
            Cause::NotGguf => failed(format!("bad GGUF: {model} is not a model file"))
                .help("download the model again; a few hundred bytes are often a Git LFS pointer"),
            Cause::UnknownArchitecture => {
                failed(format!("unknown architecture: this llama-server is older than the model {model}"))
                    .help("upgrade llama.cpp (brew upgrade llama.cpp), or choose another model")
            }
            Cause::OutOfMemory => {
                failed(format!("out of memory: {model} with a context of {} tokens does not fit", plan.context))
                    .help(format!(
                        "--context {}, or a model with a smaller quantisation",
                        (plan.context / 2).max(LEAST_CONTEXT)
                    ))
                    .help(diagnosis.less_memory)
            }
            Cause::MissingLibrary => failed("a missing shared library: its installation is incomplete".into())
                .help(format!("reinstall it; ldd {program} names what is missing")),
            Cause::UnknownOption => {
                failed("it does not know one of its options: it is too old, or [llamacpp] args has a mistake".into())
                    .help("upgrade llama.cpp, or compare [llamacpp] args with llama-server --help")
            }
            Cause::IllegalInstruction => failed("illegal instruction: it was built for another processor".into())
                .help("install a build for this processor, or build it on this machine"),
            Cause::Download => failed(format!("{model} could not be downloaded"))
                .help("check the name and the network; a private model needs HF_TOKEN in the environment"),
            Cause::Unknown => failed(format!("it ended with {}", describe_status(status)))
                .help("the log's last lines are above; lclaude --dry-run shows its command line, to be run by hand"),
        };
        failure.log_tail(log)
    }
}

/// An exit status as people say it.
pub fn describe_status(status: Option<ExitStatus>) -> String {
    match status {
        Some(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        },
        None => "an unknown status".into(),
    }
}
