//! `lclaude local profiles` lists the profiles and marks the one in use.

use std::fs;

use support::{Stage, Value, messages};

#[test]
fn profiles_are_listed_with_what_they_set() {
    messages!();
    let mut stage = Stage::bare();
    stage.output(&["local", "profiles"]).expect(0).record();
    stage.config("model = 'x'\n");
    stage.output(&["local", "profiles"]).expect(0).record();
    stage.config(
        "profile = 'small'\n[profiles.big]\nbackend = 'llamacpp'\nmodel = 'big.gguf'\ncontext = 131072\n\
         [profiles.big.llamacpp]\nthreads = 8\nenv = { TOKEN = 'hidden' }\n[profiles.small]\nmodel = 'small'\n\
         [profiles.\"glm-4.7\"]\n",
    );
    let listed = stage.output(&["local", "profiles"]).expect(0).record();
    assert!(!listed.stdout.contains("hidden"), "{listed:#?}");
    // A project may select another one.
    fs::write(stage.project().join(".lclaude.toml"), "profile = 'glm-4.7'\n").expect("a file");
    stage.output(&["local", "profiles"]).expect(0).record();
    stage.set("LCLAUDE_PROFILE", "big");
    let json = stage.output(&["local", "profiles", "--json"]).expect(0).record().stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let used: Vec<&str> = json["profiles"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|profile| profile["in_use"] == true)
        .filter_map(|profile| profile["name"].as_str())
        .collect();
    assert_eq!(used, ["big"]);
    stage.set("LCLAUDE_PROFILE", "bug");
    stage.output(&["local", "profiles"]).expect_failure(65);
}

#[test]
fn help_for_a_first_profile_works() {
    let stage = Stage::bare();
    let help = stage.output(&["local", "profiles"]).expect(0).stderr;
    assert!(help.contains("lclaude local config set profiles.NAME.model MODEL"), "{help}");
    stage.output(&["local", "config", "set", "profiles.big.model", "m"]).expect(0);
    let listed = stage.output(&["local", "profiles"]).expect(0).stdout;
    assert!(listed.contains("big\t-\tm\t-\tno\t-\n"), "{listed}");
}
