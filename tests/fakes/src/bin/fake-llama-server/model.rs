//! The model file: what is wrong with it, and how a download of one looks.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};

use crate::failures::could_not_load;
use crate::options::Options;
use crate::switches::{Download, Switches};

/// Ends the program, as the real one does, if the file is no model.
pub fn check(path: &str) {
    let unreadable = format!("llama_model_loader: failed to load model from {path}");
    let mut head = Vec::new();
    match File::open(path) {
        // A directory opens, and then cannot be read: that is a failure to read the magic too.
        Ok(file) => drop(file.take(64).read_to_end(&mut head)),
        Err(error) => {
            // The system's own words, without Rust's " (os error 2)".
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

/// What `-hf` shows before the port is bound. The real one draws its bar on stdout and only for a
/// terminal: into a file or a pipe it says nothing.
pub fn download(options: &Options, switches: &Switches, wait: impl FnOnce()) {
    let Some(download) = switches.download else {
        return; // it is in the cache
    };
    let mut stdout = std::io::stdout().lock();
    if stdout.is_terminal() {
        // A name longer than this would be cut.
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
