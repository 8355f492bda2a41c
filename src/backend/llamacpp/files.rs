//! Checks the files that llama-server is to open, before the start.

use std::{fs, io::Read, path::Path};

use crate::{
    base::{
        error::{Failure, Result},
        ui,
    },
    config::{Settings, Source},
};

/// Checks the main model's other files: its image projector, draft model and chat template.
///
/// # Errors
/// `Config` if one is missing or of another kind.
pub(crate) fn check_model_files(settings: &Settings) -> Result<()> {
    settings.llamacpp.model_files().try_for_each(|(key, _, path)| {
        let source = settings.source(key);
        match key {
            "llamacpp.chat_template_file" => begin(path, &source, "a chat template").map(drop),
            "llamacpp.mmproj" => gguf_for(path, &source, "an image projector"),
            _ => gguf_for(path, &source, "a draft model"),
        }
    })
}

/// Checks that `path` is a readable GGUF file, by its first bytes.
///
/// # Errors
/// The source's code if it isn't.
pub(crate) fn gguf(path: &Path, source: &Source) -> Result<()> {
    gguf_for(path, source, "a model")
}

fn gguf_for(path: &Path, source: &Source, purpose: &str) -> Result<()> {
    let magic = begin(path, source, purpose)?;
    if magic == b"GGUF" {
        return Ok(());
    }
    Err(Failure::new(source.code(), format!("{} is not a GGUF model", path.display()))
        .cause(format!("{source} sets this path, but it does not begin with the bytes GGUF"))
        .help("download the model again (a file of a few hundred bytes is often a Git LFS pointer or an error page)"))
}

/// Returns the first four bytes of a file that is to be used as `purpose`.
fn begin(path: &Path, source: &Source, purpose: &str) -> Result<Vec<u8>> {
    let failed = |what: &str, why: String| {
        Failure::new(source.code(), format!("{} {what}", path.display()))
            .cause(format!("{source} sets this path, but {why}"))
    };
    let unusable = format!("cannot be used as {purpose}");
    let meta = fs::metadata(path).map_err(|error| {
        failed(&unusable, format!("it cannot be opened: {error}")).help(format!("ls -l {}", ui::quote_path(path)))
    })?;
    if path.to_str().is_none() {
        return Err(failed(&unusable, "paths must be valid UTF-8".into()).help("rename the file or its directory"));
    }
    if meta.is_dir() {
        let failure = failed("is a directory", "llama-server needs a file".into());
        return Err(failure.help(match purpose {
            "a model" | "a draft model" => format!("find {} -name '*.gguf'", ui::quote_path(path)),
            _ => format!("ls {}", ui::quote_path(path)),
        }));
    }
    if !meta.is_file() {
        return Err(failed("is not a file", format!("a pipe or device cannot be {purpose}"))
            .help(format!("ls -l {}", ui::quote_path(path))));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(4).read_to_end(&mut bytes)).map_err(|error| {
        failed("cannot be read", format!("opening it failed: {error}"))
            .help(format!("chmod u+r {}", ui::quote_path(path)))
    })?;
    Ok(bytes)
}

/// Checks that a preset file can contain a value. llama-server's parser supports neither quotes nor escapes: `;` and `#`
/// start a comment anywhere, and spaces at the end of a line are dropped (`common/preset.cpp`).
///
/// # Errors
/// The code of the key's source if it can't.
pub(crate) fn check_preset_value(settings: &Settings, key: &str, value: &str) -> Result<()> {
    let Some(bad) =
        value.chars().find(|c| ";#\n\r".contains(*c)).or(value.chars().last().filter(|c| " \t".contains(*c)))
    else {
        return Ok(());
    };
    let source = settings.source(key);
    Err(Failure::new(source.code(), format!("{key} cannot be used together with other models"))
        .cause(format!(
            "{source} sets it to {value:?}, and the file that tells llama-server several models cannot contain {bad:?} there"
        ))
        .help("rename the file or its directory, or set the path of a link to it"))
}
