//! `scripted-model OUT.gguf [SHAPE] [SEED] [system-first]`: writes a scripted model. With a seed, its weights are random.

use std::{path::Path, process::ExitCode};

use lclaude_fakes::scripted_model::{self, Script, Shape, Weights};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next();
    let mut script = Script::default();
    let mut is_known = true;
    for argument in arguments {
        match (Shape::named(&argument), argument.parse()) {
            (Some(shape), _) => script.shape = shape,
            (None, Ok(seed)) => script.weights = Weights::Random(seed),
            (None, Err(_)) if argument == "system-first" => script = script.system_first(),
            (None, Err(_)) => is_known = false,
        }
    }
    let Some(path) = path.filter(|path| is_known && !path.starts_with('-')) else {
        eprintln!("usage: scripted-model OUT.gguf [tiny|full|mla|hybrid|sliding|wide] [SEED] [system-first]");
        return ExitCode::from(64);
    };
    match scripted_model::write(Path::new(&path), &script) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripted-model: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}
