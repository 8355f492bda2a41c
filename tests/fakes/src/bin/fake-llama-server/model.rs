//! The model file: its validation and its download.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};

use crate::failures::could_not_load;
use crate::options::Options;
use crate::switches::{Download, Switches};

/// Exits, as the real program does, if the file is not a model.
pub fn check(path: &str) {
    let unreadable = format!("llama_model_loader: failed to load model from {path}");
    let mut head = Vec::new();
    match File::open(path) {
        // A directory can be opened but not read, which is also a failure to read the magic.
        Ok(file) => drop(file.take(64).read_to_end(&mut head)),
        Err(error) => {
            // The system's message, without Rust's " (os error 2)".
            let error = error.to_string();
            let why = error.split(" (os error").next().unwrap_or_default();
            let open = format!("gguf_init_from_file: failed to open GGUF file '{path}' ({why})");
            could_not_load(path, &[open], &unreadable);
        }
    }
    let Some((magic, rest)) = head.split_first_chunk::<4>() else {
        let magic = "gguf_init_from_reader: failed to read magic".to_owned();
        could_not_load(path, &[magic], &unreadable);
    };
    if magic != b"GGUF" {
        let magic = format!(
            "gguf_init_from_reader: invalid magic characters: '{}', expected 'GGUF'",
            String::from_utf8_lossy(magic)
        );
        could_not_load(path, &[magic], &unreadable);
    }
    if rest.starts_with(b"truncated") {
        could_not_load(
            path,
            &[],
            "tensor 'token_embd.weight' data is not within the file bounds, \
             model is corrupted or incomplete",
        );
    }
}

/// The progress that `-hf` shows before the port is bound. The real program draws it on stdout and only
/// on a terminal.
pub fn download(options: &Options, switches: &Switches, wait: impl FnOnce()) {
    let Some(download) = switches.download else {
        return; // the model is in the cache
    };
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        // Longer names are truncated.
        let name: String = options.model.rsplit('/').next().into_iter().flat_map(str::chars).take(39).collect();
        let bar = (55 - name.chars().count()) * 2;
        let _ = writeln!(stdout);
        for percent in [0, 25, 50, 75, 100] {
            let done = bar * percent / 100 / 2;
            let _ = write!(
                stdout,
                "\x1b[1A\rDownloading {name} {}{}{percent:4}%\x1b[K\x1b[1B\r",
                "─".repeat(done),
                " ".repeat(bar / 2 - done),
            );
            let _ = stdout.flush();
        }
    }
    if download == Download::WhenTold {
        wait();
    }
}
