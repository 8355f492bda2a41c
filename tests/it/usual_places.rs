//! Programs are found where they usually are, also with the short PATH of an editor that no shell has started.

use std::{fs, path::PathBuf};

use support::{Stage, write_program};

/// Returns what a dry run shows, if the directory `usual` of the stage is the only usual place.
fn dry_run(stage: &Stage, backend: &str) -> String {
    let mut command = stage.lclaude(&["--backend", backend, "--dry-run"]);
    command.env("USUAL_LCLAUDE_PLACES", stage.root().join("usual"));
    stage.ended(&mut command).expect(0).stdout
}

#[test]
fn program_in_a_usual_place_is_found_after_path() {
    let stage = Stage::with(&["fake-claude"]);
    let usual = stage.root().join("usual");
    fs::create_dir(&usual).expect("a directory");
    stage.config(&format!("[llamacpp]\ngguf = '{}'\n", stage.model().display()));
    let server = usual.join("llama-server");
    stage.install("fake-llama-server", &server);
    assert!(dry_run(&stage, "llamacpp").contains(&server.display().to_string()));

    let on_path = stage.bin().join("llama-server");
    stage.install("fake-llama-server", &on_path);
    let shown = dry_run(&stage, "llamacpp");
    assert!(
        shown.contains(&on_path.display().to_string()) && !shown.contains(&server.display().to_string()),
        "{shown}"
    );

    fs::rename(stage.bin().join("claude"), usual.join("claude")).expect("the fake existed");
    assert!(dry_run(&stage, "llamacpp").contains(&usual.join("claude").display().to_string()));
}

#[test]
fn ollama_in_the_app_of_the_user_is_found() {
    let stage = Stage::with(&["fake-claude"]);
    let app = stage.home().join("Applications/Ollama.app/Contents/Resources");
    fs::create_dir_all(&app).expect("a directory");
    stage.install("fake-ollama", &app.join("ollama"));
    stage.config("model = 'small'\n");
    let shown = dry_run(&stage, "ollama");
    assert!(shown.contains("~/Applications/Ollama.app/Contents/Resources/ollama"), "{shown}");
}

/// A store with one model.
fn store(stage: &Stage, name: &str, model: &str) -> PathBuf {
    let store = stage.root().join(name);
    let manifests = store.join("manifests/registry.ollama.ai/library").join(model);
    fs::create_dir_all(store.join("blobs")).expect("a directory");
    fs::create_dir_all(&manifests).expect("a directory");
    fs::write(manifests.join("latest"), "{}").expect("a file");
    store
}

#[test]
fn store_of_the_app_is_used_if_only_it_has_the_model() {
    let stage = Stage::with(&["fake-claude", "fake-ollama"]);
    let external = store(&stage, "external drive", "big");
    let shown = |model: &str| {
        stage.config(&format!("model = '{model}'\n"));
        dry_run(&stage, "ollama")
    };
    let is_used = |shown: &str| shown.contains(&external.display().to_string());
    // As macOS's own sqlite3 answers.
    let asked = stage.root().join("asked");
    let sqlite = format!(
        "#!/bin/sh\n: > '{}'\n[ \"$1\" = -readonly ] && [ -f \"$2\" ] && [ \"$3\" = 'SELECT models FROM settings LIMIT 1' ] || exit 1\necho '{}'\n",
        asked.display(),
        external.display()
    );
    write_program(&stage.bin().join("sqlite3"), sqlite);
    assert!(!is_used(&shown("big")) && !asked.exists(), "without the app nothing is run");

    let settings = stage.home().join("Library/Application Support/Ollama");
    fs::create_dir_all(&settings).expect("a directory");
    fs::write(settings.join("db.sqlite"), "SQLite format 3").expect("a file");
    assert!(is_used(&shown("big")));

    // Nothing is run if the user's own store has the model.
    fs::remove_file(&asked).expect("it was asked");
    fs::create_dir_all(stage.home().join(".ollama")).expect("a directory");
    fs::rename(store(&stage, "own", "small"), stage.home().join(".ollama/models")).expect("it is moved");
    assert!(!is_used(&shown("small")) && !asked.exists());

    // Older apps took it from launchd.
    write_program(&stage.bin().join("sqlite3"), "#!/bin/sh\nexit 1\n");
    let launchctl = format!("#!/bin/sh\n[ \"$*\" = 'getenv OLLAMA_MODELS' ] && echo '{}'\n", external.display());
    write_program(&stage.bin().join("launchctl"), launchctl);
    assert!(is_used(&shown("big")));
    fs::remove_dir_all(&external).expect("it is there");
    assert!(!is_used(&shown("big")), "the drive is not mounted");
}
