//! A project's `.lclaude.toml`: where it is found, and which settings it overrides.

use std::{fs, path::Path};

use support::{Stage, finish, messages};

/// A stage with a repository, and a user configuration with a backend, a model and profiles.
fn stage() -> Stage {
    let stage = Stage::new();
    stage.config(&format!(
        "backend = \"llamacpp\"\nmodel = \"{}\"\ncontext = 40000\n\
         [profiles.small]\ncontext = 30000\nlean = true\n[profiles.big]\ncontext = 100000\n",
        stage.model().display()
    ));
    fs::create_dir(stage.project().join(".git")).expect("a directory");
    stage
}

fn write(directory: &Path, text: &str) {
    fs::create_dir_all(directory).expect("a directory");
    fs::write(directory.join(".lclaude.toml"), text).expect("a file");
}

/// The output of `--dry-run` in `directory`.
#[track_caller]
fn plan_in(stage: &Stage, directory: &Path, arguments: &[&str]) -> String {
    let mut command = stage.lclaude(&[&["--dry-run"], arguments, &["-p", "x"]].concat());
    let plan = stage.ended(command.current_dir(directory)).expect(0).stdout;
    stage.assert_nothing_started();
    plan
}

/// The requested context and its source.
#[track_caller]
fn context(stage: &Stage, directory: &Path, arguments: &[&str]) -> (u32, String) {
    let plan = plan_in(stage, directory, arguments);
    let asked = plan.lines().find_map(|line| line.split_once(" tokens requested")).expect("a context").0;
    let asked = asked.rsplit(' ').next().and_then(|asked| asked.parse().ok()).expect("a number");
    let source = plan.lines().find_map(|line| line.trim_start().strip_prefix("context = ")).expect("a source");
    (asked, source.split_once(" from ").expect("a source").1.to_owned())
}

#[test]
fn project_file_overrides_user_file_but_not_variables_or_options() {
    let mut stage = stage();
    let project = stage.project();
    write(&project, "context = 50000\n");
    let file = project.join(".lclaude.toml").display().to_string();
    assert_eq!(context(&stage, &project, &[]), (50000, file));
    stage.set("LCLAUDE_CONTEXT", 60000);
    assert_eq!(context(&stage, &project, &[]), (60000, "LCLAUDE_CONTEXT".into()));
    assert_eq!(context(&stage, &project, &["--context", "70000"]), (70000, "--context".into()));
}

#[test]
fn profile_takes_the_precedence_of_its_selector() {
    let mut stage = stage();
    let (project, own) = (stage.project(), stage.home().join(".config/lclaude/config.toml"));
    let shown = stage.shown(&own);
    let profile = |name: &str| format!("profile {name} in {shown}");
    let file = project.join(".lclaude.toml").display().to_string();
    // Selected by the project: overrides the user's file, but not the project's own settings.
    write(&project, "profile = \"small\"\n");
    assert_eq!(context(&stage, &project, &[]), (30000, profile("small")));
    assert!(plan_in(&stage, &project, &[]).contains("lean = true"));
    write(&project, "profile = \"small\"\ncontext = 50000\n");
    assert_eq!(context(&stage, &project, &[]), (50000, file.clone()));
    // Selected by an option or a variable: overrides both.
    assert_eq!(context(&stage, &project, &["--profile", "big"]), (100_000, profile("big")));
    stage.set("LCLAUDE_PROFILE", "big");
    assert_eq!(context(&stage, &project, &[]), (100_000, profile("big")));
    assert_eq!(context(&stage, &project, &["--context", "70000"]), (70000, "--context".into()));
    // Selected by the user's file: does not override the project.
    stage.set("LCLAUDE_PROFILE", "");
    let text = fs::read_to_string(&own).expect("text");
    stage.config(&format!("profile = \"big\"\n{text}"));
    write(&project, "context = 50000\n");
    assert_eq!(context(&stage, &project, &[]), (50000, file));
}

#[test]
fn profile_names_may_contain_dots() {
    messages!();
    let stage = stage();
    stage.config("backend = \"llamacpp\"\n[profiles.\"glm-4.7\"]\nmodel = \"tiny.gguf\"\ncontext = 30000\n");
    let config = stage.home().join(".config/lclaude/config.toml");
    fs::copy(stage.model(), config.with_file_name("tiny.gguf")).expect("a copy");
    let source = format!("profile glm-4.7 in {}", stage.shown(&config));
    assert_eq!(context(&stage, &stage.project(), &["--profile", "glm-4.7"]), (30000, source));
    let ended = stage.output(&["--profile", "glm-4.8x", "-p", "x"]);
    ended.expect_failure(64);
    let ended = stage.output(&["--profile", "a.b", "-p", "x"]);
    ended.expect_failure(64);
}

#[test]
fn project_can_select_only_the_users_profiles() {
    messages!();
    let stage = stage();
    let project = stage.project();
    write(&project, "profile = \"smal\"\n");
    stage.output(&["-p", "x"]).expect_failure(65);
    write(&project, "profile = \"mine\"\n[profiles.mine]\ncontext = 30000\n");
    stage.output(&["-p", "x"]).expect_failure(65);
    stage.assert_nothing_started();
}

#[test]
fn project_can_select_only_a_configured_backend() {
    messages!();
    let stage = stage();
    write(&stage.project(), "backend = \"endpoint\"\n");
    stage.output(&["-p", "x"]).expect_failure(65);
    stage.assert_nothing_started();
    let config = stage.config("model = \"m\"\n[endpoint]\nurl = \"https://models.example.net\"\n");
    let plan = plan_in(&stage, &stage.project(), &[]);
    assert!(plan.contains("https://models.example.net") && plan.contains(&stage.shown(&config)), "{plan}");
    messages::record("--dry-run", plan);
}

#[test]
fn project_model_replaces_the_users_tier_models() {
    let mut stage = Stage::ollama();
    stage.set("LCLAUDE_BACKEND", "");
    stage.config("model = \"nothing\"\n[models]\nhaiku = \"nothing-else\"\n");
    write(&stage.project(), "backend = \"ollama\"\nmodel = \"small\"\n[models]\nopus = \"big:30b\"\n");
    let session = support::Session::start(&mut stage.lclaude(&["-p", "x"]));
    let claude = stage.events.next("claude");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_HAIKU_MODEL"], "small:latest");
    assert_eq!(claude.env["ANTHROPIC_DEFAULT_OPUS_MODEL"], "Big:30b");
    let ended = finish(session, &claude);
    // Only --dry-run names the project file.
    assert!(!ended.stderr.contains(".lclaude.toml"), "{}", ended.stderr);
}

#[test]
fn nearest_project_file_up_to_the_repository_root_is_used() {
    let stage = stage();
    let project = stage.project();
    let deep = project.join("a/b/c");
    write(stage.root(), "context = 90000\n");
    fs::create_dir_all(&deep).expect("a directory");
    // Files above the root of the repository are ignored.
    assert_eq!(context(&stage, &deep, &[]).0, 40000);
    write(&project, "context = 50000\n");
    assert_eq!(context(&stage, &deep, &[]).0, 50000);
    write(&project.join("a"), "context = 60000\n");
    assert_eq!(context(&stage, &deep, &[]).0, 60000);
    assert_eq!(context(&stage, &project, &[]).0, 50000);
}

#[test]
fn worktrees_and_submodules_have_their_own_root() {
    let stage = stage();
    let project = stage.project();
    write(&project, "context = 50000\n");
    for inner in ["worktree", "submodule"] {
        let inner = project.join(inner);
        fs::create_dir_all(inner.join("src")).expect("a directory");
        fs::write(inner.join(".git"), "gitdir: /elsewhere\n").expect("a file");
        assert_eq!(context(&stage, &inner.join("src"), &[]).0, 40000, "{}", inner.display());
        write(&inner, "context = 60000\n");
        assert_eq!(context(&stage, &inner.join("src"), &[]).0, 60000, "{}", inner.display());
    }
}

#[test]
fn outside_a_repository_only_the_working_directory_is_searched() {
    let stage = stage();
    let loose = stage.root().join("loose");
    write(&loose, "context = 50000\n");
    fs::create_dir(loose.join("inner")).expect("a directory");
    assert_eq!(context(&stage, &loose, &[]).0, 50000);
    assert_eq!(context(&stage, &loose.join("inner"), &[]).0, 40000);
}

#[test]
fn home_directory_is_never_a_project() {
    let stage = stage();
    let home = stage.home();
    write(&home, "context = 50000\nnonsense = 1\n");
    let loose = home.join("src/loose");
    fs::create_dir_all(&loose).expect("a directory");
    for with_git in [false, true] {
        if with_git {
            fs::create_dir(home.join(".git")).expect("a directory");
        }
        assert_eq!(context(&stage, &home, &[]).0, 40000);
        assert_eq!(context(&stage, &loose, &[]).0, 40000);
    }
    // The same is true if HOME is a symlink.
    let link = stage.root().join("home-too");
    std::os::unix::fs::symlink(&home, &link).expect("a link");
    let mut command = stage.lclaude(&["--dry-run", "-p", "x"]);
    let ended = stage.ended(command.env("HOME", &link).current_dir(&home));
    assert!(ended.expect(0).stdout.contains("40000 tokens"));
    // A repository below the home directory is a project.
    let project = home.join("src/project");
    fs::create_dir_all(project.join(".git")).expect("a directory");
    write(&project, "context = 60000\n");
    assert_eq!(context(&stage, &project, &[]).0, 60000);
}

#[test]
fn errors_name_the_project_file() {
    messages!();
    let stage = stage();
    let file = stage.project().join(".lclaude.toml");
    let name = file.display().to_string();
    for text in
        ["modle = \"x\"\n", "context = \"many\"\n", "backend = \n", "\n\ncontext = 5\n", "backend = \"olama\"\n"]
    {
        fs::write(&file, text).expect("a file");
        messages::note(format!("{text:?}"));
        let ended = stage.output(&["-p", "x"]).expect_failure(65);
        assert!(ended.stderr.contains(&name), "{ended:#?}");
    }
    fs::write(&file, b"model = \"caf\xe9\"").expect("a file");
    stage.output(&["-p", "x"]).expect_failure(65);
    stage.assert_nothing_started();
    // --help works despite the error, and includes Claude Code's help.
    let help = stage.output(&["--help"]).expect(0);
    assert!(help.stdout.contains("Usage: lclaude ") && help.stdout.contains("Usage: claude "), "{help:#?}");
}
