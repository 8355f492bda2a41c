//! A context that a Modelfile or a running server limits is known before a session refuses it or warns.

use support::{Ended, Stage, Value, doctor::find_check, finish, messages, models::Head, ollama::shared};

/// A stage whose store has the models' files, with a `num_ctx` of 30,000 and of 4,096 in two Modelfiles.
fn stage() -> Stage {
    let stage = Stage::ollama();
    stage.ample_memory();
    for (name, parameters) in
        [("small:latest", "{}"), ("fixed:latest", "{\"num_ctx\": 30000}"), ("cramped:latest", "{\"num_ctx\": 4096}")]
    {
        stage.fill(name, &Head::small(), "{{ .Tools }}", parameters);
    }
    stage
}

/// What `--dry-run` says about the backend.
fn dry_run(stage: &Stage, model: &str) -> String {
    let plan = stage.output(&["--dry-run", "--model", model, "-p", "x"]).expect(0).stdout;
    let backend = plan.split("\nbackend ").nth(1).and_then(|rest| rest.split("\n\nclaude").next());
    let lines = backend.expect("a backend").lines().skip_while(|line| !line.contains("tokens requested"));
    lines.take_while(|line| !line.contains("memory")).map(|line| format!("{line}\n")).collect()
}

fn check<'a>(report: &'a (Ended, Value), name: &str) -> &'a Value {
    find_check(&report.1, "backends", name)
}

#[test]
fn context_of_a_modelfile_is_known_without_a_server() {
    messages!();
    let stage = stage();
    for (model, state) in [("small", "ok"), ("fixed", "warning"), ("cramped", "failure")] {
        messages::record(format!("--dry-run --model {model}"), dry_run(&stage, model));
        let report = stage.doctor(&format!("--model {model}"));
        let context = check(&report, "model context");
        assert_eq!(context["state"], state, "{context:#}");
        messages::record(format!("doctor --model {model}"), support::doctor::check_text(context));
    }
    stage.assert_nothing_started();
    // The smallest context of all tiers counts, as in a session.
    stage.config("model = \"small\"\n[models]\nhaiku = \"fixed\"\n");
    let report = stage.doctor("");
    assert!(check(&report, "model context")["found"].to_string().contains("fixed:latest gets only 30000"));
    // The session says the same.
    let (session, claude, _backend) = stage.up("fixed");
    assert_eq!(claude.env["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], "30000");
    finish(session, &claude);
    // Without the check it is only a warning.
    stage.config("context_check = false\n");
    assert_eq!(check(&stage.doctor("--model cramped"), "model context")["state"], "warning");
}

#[test]
fn context_of_a_shared_server_is_known_if_the_model_is_loaded() {
    messages!();
    for context in ["4096", "32768", "65536"] {
        let (stage, own) = shared(&[("OLLAMA_CONTEXT_LENGTH", context)]);
        let look = |state: &str| {
            let report = stage.doctor("--model small");
            let found = check(&report, "server context");
            assert_eq!(found["state"], state, "{found:#}");
            messages::record(format!("doctor, {context} tokens"), support::doctor::check_text(found));
        };
        let installed = stage.doctor("--model small");
        assert!(check(&installed, "ollama models")["found"].to_string().contains("big:30b"));
        // The server doesn't tell its setting, and doctor loads nothing.
        look("ok");
        assert!(own.loaded().is_empty());
        own.load(&stage.events, "small");
        look(if context == "65536" { "ok" } else { "warning" });
        // A Modelfile's context is certain.
        let report = stage.doctor("--model cramped");
        assert_eq!(check(&report, "model context")["state"], "failure");
        let checks = report.1["checks"].to_string();
        assert!(!checks.contains("server context"), "{checks}");
        // A dry run asks no server.
        let plan = stage.output(&["--dry-run", "--model", "small", "-p", "x"]).expect(0).stdout;
        assert!(plan.contains("context: 65536 tokens requested\n"), "{plan}");
    }
}
