//! `scripted-model OUT.gguf`: writes the scripted model with its default script.

use std::path::Path;
use std::process::ExitCode;

use lclaude_fakes::scripted_model::{self, Script};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: scripted-model OUT.gguf");
        return ExitCode::from(64);
    };
    match scripted_model::write(Path::new(&path), &Script::default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-model: {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
