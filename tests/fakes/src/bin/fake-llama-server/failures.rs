//! Start failures of llama-server, with the messages of the real program.

use std::process::exit;

use lclaude_fakes::process::die_of;
use signal_hook::consts::{SIGABRT, SIGILL, SIGKILL};

use crate::log;
use crate::options::Options;
use crate::switches::{Failure, Switches};

/// A failure of the dynamic loader, before the program itself runs.
pub fn before_main(switches: &Switches) {
    if switches.failure == Some(Failure::MissingLibrary) {
        let program = std::env::args().next().unwrap_or_default();
        eprintln!(
            "{program}: error while loading shared libraries: libllama.so.0: \
             cannot open shared object file: No such file or directory"
        );
        exit(127);
    }
}

pub fn before_bind(switches: &Switches, options: &Options) {
    if switches.failure == Some(Failure::Bind) {
        could_not_bind(options);
    }
}

pub fn could_not_bind(options: &Options) -> ! {
    log::error(&format!(
        "srv         start: couldn't bind HTTP server socket, hostname: {}, port: {}",
        options.host, options.port
    ));
    end("srv  llama_server: exiting due to HTTP server error")
}

pub fn while_loading(switches: &Switches, path: &str) {
    match switches.failure {
        Some(Failure::Architecture) => {
            could_not_load(path, &[], "unknown model architecture: 'newarch'");
        }
        Some(Failure::NoMemory) => no_memory(path),
        Some(Failure::Killed) => die_of(SIGKILL),
        Some(Failure::IllegalInstruction) => die_of(SIGILL),
        Some(Failure::Crash) => {
            eprintln!("ggml.c:3204: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed");
            die_of(SIGABRT);
        }
        Some(Failure::MissingLibrary | Failure::Bind) | None => {}
    }
}

/// A model that can't be read: `details` is the reader's message, `reason` the loader's. The real program
/// prints everything twice, because it first tries how much fits in memory.
pub fn could_not_load(path: &str, details: &[String], reason: &str) -> ! {
    let attempt = || {
        details.iter().for_each(|detail| log::error(detail));
        log::error(&format!("llama_model_load: error loading model: {reason}"));
        log::error("llama_model_load_from_file_impl: failed to load model");
    };
    attempt();
    log::error(
        "common_fit_params: encountered an error while trying to fit params to free device memory: \
         failed to load model",
    );
    attempt();
    log::error(&format!("cmn  common_init_: failed to load model '{path}'"));
    log::error(&format!("srv    load_model: failed to load model, '{path}'"));
    end("srv  llama_server: exiting due to model loading error")
}

/// Recorded with a context too large for the address space.
fn no_memory(path: &str) -> ! {
    for text in [
        "ggml_aligned_malloc: insufficient memory (attempted to allocate 1953.12 MB)",
        "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 2048000000",
        "ggml_backend_buft_alloc_buffer_n_default: failed to allocate CPU buffer of size 2048000000",
        "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
    ] {
        log::error(text);
    }
    let no_context = format!("cmn  common_init_: failed to create context with model '{path}'");
    log::error(&no_context);
    log::error(&no_context);
    log::error(&format!("srv    load_model: failed to create_context with model '{path}'"));
    end("srv  llama_server: exiting due to model loading error")
}

fn end(last_words: &str) -> ! {
    log::info("srv    operator(): operator(): cleaning up before exit...");
    log::error(last_words);
    exit(1)
}
