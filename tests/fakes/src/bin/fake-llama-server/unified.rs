//! The program with subcommands, `llama`, whose `serve` is llama-server (`app/llama.cpp` of release b11434).

use std::path::Path;
use std::process::ExitCode;

use crate::answers;

/// The commands that its help lists.
const COMMANDS: [(&str, &str); 6] = [
    ("serve", "HTTP API server"),
    ("cli", "Command-line interactive interface"),
    ("download", "Download a model"),
    ("version", "Show version"),
    ("licenses", "Show third-party licenses"),
    ("help", "Show available commands"),
];

/// Returns how many arguments come before those of the server, or how the program exits without one.
pub fn command() -> Result<usize, ExitCode> {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name).file_name().is_none_or(|name| name != "llama") {
        return Ok(1);
    }
    match arguments.next().as_deref() {
        Some("serve" | "server") => return Ok(2),
        // It prints this one on stdout.
        Some("version" | "--version") => print!("{}", answers::VERSION),
        None | Some("help" | "--help") => {
            println!("Usage: {name} <command> [options]\n\nAvailable commands:");
            for (command, about) in COMMANDS {
                println!("  {command:<15} {about}");
            }
            println!("\nRun '{name} help all' to show additional commands.");
            println!("Run '{name} <command> --help' for command-specific usage.");
        }
        Some(other) => {
            eprintln!("error: unknown command '{other}'");
            return Err(ExitCode::FAILURE);
        }
    }
    Err(ExitCode::SUCCESS)
}
