//! Values as people write them: a context with a unit, and the names of backends in other spellings.

use support::{Stage, messages};

/// Returns the plan that `--dry-run` prints.
#[track_caller]
fn plan(stage: &Stage, arguments: &[&str]) -> String {
    let plan = stage.output(&[&["--dry-run"], arguments, &["-p", "x"]].concat()).expect(0).stdout;
    stage.assert_nothing_started();
    plan
}

#[test]
fn context_may_have_a_unit_in_options_variables_and_files() {
    let mut stage = Stage::new();
    let model = format!("backend = \"llamacpp\"\nmodel = \"{}\"\n", stage.model().display());
    for (text, tokens) in [("64k", 65_536), ("128K", 131_072), ("1m", 1_048_576), ("40000", 40_000)] {
        let expected = format!("{tokens} tokens requested");
        stage.config(&model);
        assert!(plan(&stage, &["--context", text]).contains(&expected), "{text}");
        stage.config(&format!("{model}context = \"{text}\"\n[profiles.p]\nmodel = 'unused'\n"));
        assert!(plan(&stage, &[]).contains(&expected), "{text}");
        stage.config(&format!("{model}[profiles.p]\ncontext = \"{text}\"\n"));
        assert!(plan(&stage, &["--profile", "p"]).contains(&expected), "{text}");
        stage.set("LCLAUDE_CONTEXT", text);
        assert!(plan(&stage, &[]).contains(&expected), "{text}");
        stage.unset("LCLAUDE_CONTEXT");
    }
}

#[test]
fn backends_have_other_spellings_in_options_variables_and_files() {
    let mut stage = Stage::new();
    for (spelling, name) in [("llama.cpp", "llamacpp"), ("llama-cpp", "llamacpp"), ("LlamaCpp", "llamacpp")] {
        stage.config("");
        let chosen = |plan: String| assert!(plan.contains(&format!("\nbackend {name} (")), "{plan}");
        chosen(plan(&stage, &["--backend", spelling, "--model", "tiny.gguf"]));
        stage.config(&format!("backend = \"{spelling}\"\n"));
        chosen(plan(&stage, &["--model", "tiny.gguf"]));
        stage.config("backend = \"ollama\"\n");
        stage.set("LCLAUDE_BACKEND", spelling);
        chosen(plan(&stage, &["--model", "tiny.gguf"]));
        stage.unset("LCLAUDE_BACKEND");
    }
}

#[test]
fn unknown_keys_are_reported_together() {
    messages!();
    let stage = Stage::new();
    for text in [
        "backend = 'llamacpp'\nmodle = 'x'\n\n[llamacpp]\nrope_scaling = 'yarn'\nno_mmap = true\nngl = 99\n",
        "[profiles.big.llamacpp]\nrope_freq_base = 1000000\n",
        "backend = 'lama'\n",
    ] {
        stage.config(text);
        stage.output(&["-p", "x"]).expect_failure(65).expect_stdout("");
        stage.assert_nothing_started();
    }
}
