//! The keys of `[llamacpp]` with the real llama-server.

use std::{fs, process::Command};

use lclaude_fakes::scripted_model::{self, Script};
use support::{Stage, real, repository};

/// Sets every key that tunes llama-server, except `mmproj`: there is no scripted projector.
fn configure(stage: &Stage) {
    let template = repository().join("tests/fakes/src/scripted_model/template.jinja");
    fs::copy(template, stage.project().join("chat.jinja")).expect("the template");
    scripted_model::write(&stage.project().join("draft.gguf"), &Script::default()).expect("the draft model");
    let project = stage.project().display().to_string();
    stage.config(&format!(
        "[llamacpp]\nthreads = 2\nbatch_size = 512\nubatch_size = 256\ngpu_layers = 'auto'\nn_cpu_moe = 1\n\
         split_mode = 'layer'\ntensor_split = [3, 1]\nmain_gpu = 0\nflash_attention = 'auto'\n\
         cache_type_k = 'f16'\ncache_type_v = 'f16'\ndraft_model = '{project}/draft.gguf'\n\
         chat_template_file = '{project}/chat.jinja'\nargs = ['--props']\nargs_append = ['--no-webui']\n\
         [llamacpp.sampling]\ntemperature = 0.5\ntop_k = 20\ntop_p = 0.8\nmin_p = 0.05\nrepeat_penalty = 1\n\
         presence_penalty = 0\nfrequency_penalty = -0.0\nseed = 7\n"
    ));
}

#[test]
fn every_tuning_key_is_accepted() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    let (_, server) = real::programs().expect("they were found");
    let help = Command::new(server).arg("--help").output().expect("it runs").stdout;
    assert!(String::from_utf8_lossy(&help).contains("--mmproj FILE"));
    configure(&stage);
    stage.run(stage.with_bash(&["-p", "create the proof"])).expect(0);
    assert_eq!(stage.proof(), "made-by-local-model\n");
}

#[test]
fn router_gives_the_main_model_its_files() {
    let Some(stage) = real::stage(&Script::default()) else { return };
    configure(&stage);
    let other = stage.project().join("other.gguf");
    scripted_model::write(&other, &Script::default()).expect("the other model");
    let config = stage.home().join(".config/lclaude/config.toml");
    let keys = fs::read_to_string(&config).expect("the configuration");
    fs::write(&config, format!("models.haiku = '{}'\n{keys}", other.display())).expect("the configuration");
    let ended = stage.run(stage.with_bash(&["-p", "create the proof"])).expect(0);
    assert_eq!(stage.proof(), "made-by-local-model\n", "{}", ended.stderr);
}
