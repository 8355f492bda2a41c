//! Finds `llama-server`, or `llama`, llama.cpp's program with subcommands, whose `serve` is the same server.
//!
//! In release b11434, `llama serve ARGUMENTS` calls the `main` of `llama-server` with these arguments, and starts the
//! router's servers in the same way (`app/llama.cpp`).

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    process::Output,
    sync::OnceLock,
};

use crate::{
    backend::{
        install,
        plan::Program,
        program::{self, MissingProgram},
    },
    base::error::Result,
    config::{Kind, Settings},
};

const NAME: &str = "llama-server";
/// The program with subcommands.
const UNIFIED: &str = "llama";
const SERVE: &str = "serve";

/// Returns the path of the configured program, or of `llama-server` on PATH, or else of a `llama` there that can serve.
///
/// # Errors
/// `Unavailable` if none is found.
pub(crate) fn find(settings: &Settings) -> Result<PathBuf> {
    let named = settings.llamacpp.path.as_deref();
    let found = program::find(named, NAME).or_else(|| if named.is_none() { unified() } else { None });
    found.ok_or_else(|| {
        let absent = MissingProgram {
            kind: Kind::LlamaCpp,
            program: NAME,
            name: NAME,
            install: install_hint(),
            why: "it is not on PATH".into(),
        };
        absent.failure(settings, named)
    })
}

/// Returns the program at `path`, without arguments.
pub(crate) fn new(path: PathBuf) -> Program {
    let subcommand = is_unified(&path).then(|| SERVE.to_owned());
    Program { subcommand, ..Program::new(path) }
}

/// Returns the server's `--help`, or `None` if it can't be run.
pub(crate) async fn help(path: &Path) -> Option<Output> {
    let arguments: &[&str] = if is_unified(path) { &[SERVE, "--help"] } else { &["--help"] };
    program::run(path, arguments).await.ok().flatten()
}

fn is_unified(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == UNIFIED)
}

/// Returns the path of llama.cpp's `llama` on PATH. Other programs have this name too, so it is asked, once, for its
/// commands.
fn unified() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND.get_or_init(|| program::find(None, UNIFIED).filter(|path| is_native(path) && can_serve(path))).clone()
}

/// Returns whether a file is a compiled program. A script of this name isn't llama.cpp's, and may be slow.
fn is_native(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok();
    // ELF, Mach-O, and Mach-O for several processors.
    is_read && matches!(magic, [0x7f, b'E', b'L', b'F'] | [0xcf, 0xfa, 0xed, 0xfe] | [0xca, 0xfe, 0xba, 0xbe])
}

/// Returns whether `llama help` lists `serve`.
fn can_serve(path: &Path) -> bool {
    let help = program::run_blocking(path, &["help"]);
    help.is_some_and(|help| lists_serve(&String::from_utf8_lossy(&help.stdout)))
}

fn lists_serve(help: &str) -> bool {
    help.lines().any(|line| line.split_whitespace().next() == Some(SERVE))
}

/// Returns the install commands that need no query of a package manager.
pub(crate) fn install_commands() -> Vec<String> {
    let nix = install::is_on_path("nix").then(|| "nix profile install nixpkgs#llama-cpp".to_owned());
    install::brew("llama.cpp").into_iter().chain(nix).collect()
}

/// Returns the first install command, or where to download it.
pub(crate) fn install_hint() -> String {
    let elsewhere =
        "download a release from https://github.com/ggml-org/llama.cpp/releases and put llama-server on PATH";
    install_commands().into_iter().next().unwrap_or_else(|| elsewhere.to_owned())
}
