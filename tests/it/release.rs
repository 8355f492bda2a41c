//! `shell/release.sh` makes npm packages, the Homebrew formula, the installer and the checksums, which work.

use std::{fs, path::Path, process::Command};

use support::{
    Ended, Stage, Value, json,
    machine::needs_program,
    messages,
    release::{DATE, REPOSITORY, TARGETS, archive, files, said, serve},
    repository,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PLATFORMS: [&str; 4] = ["darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64"];

/// Unpacks an npm package and returns its manifest.
fn unpack(stage: &Stage, package: &Path, into: &Path) -> Value {
    fs::create_dir_all(into).expect("a directory");
    let unpacked = stage.command("tar").arg("-xzf").arg(package).arg("-C").arg(into).status();
    assert!(unpacked.expect("tar runs").success());
    serde_json::from_slice(&fs::read(into.join("package/package.json")).expect("a manifest")).expect("JSON")
}

#[test]
fn release_has_these_files_with_checksums() {
    let stage = Stage::bare();
    let directory = stage.archives();
    fs::write(directory.join("lclaude_amd64.deb"), "a package of another script").expect("a file");
    let ended = stage.ended(&mut stage.release_command(&directory)).expect(0);
    let mut expected: Vec<String> = TARGETS.map(archive).to_vec();
    expected.extend(PLATFORMS.map(|platform| format!("lclaude-{platform}-{VERSION}.tgz")));
    let others = ["lclaude_amd64.deb", "lclaude-install.sh", "lclaude.rb", "SHA256SUMS"].map(str::to_owned);
    expected.extend(others.into_iter().chain([format!("lclaude-{VERSION}.tgz")]));
    expected.sort();
    assert_eq!(files(&directory), expected);
    let mut listed: Vec<&str> = ended.stdout.lines().collect();
    listed.sort_unstable();
    assert_eq!(listed, expected);
    let sums = fs::read_to_string(directory.join("SHA256SUMS")).expect("a file");
    assert_eq!(sums.lines().count(), expected.len() - 1);
    let program = if cfg!(target_os = "linux") { &["sha256sum"][..] } else { &["shasum", "-a", "256"] };
    let mut check = stage.command(program[0]);
    said(stage.ended(check.args(&program[1..]).args(["-c", "SHA256SUMS"]).current_dir(&directory)));

    // The same archives make the same files.
    let before: Vec<Vec<u8>> = expected.iter().map(|file| fs::read(directory.join(file)).expect("a file")).collect();
    stage.ended(&mut stage.release_command(&directory)).expect(0);
    let after: Vec<Vec<u8>> = expected.iter().map(|file| fs::read(directory.join(file)).expect("a file")).collect();
    let differs = |(index, file): (usize, &String)| (before[index] != after[index]).then(|| file.clone());
    let different: Vec<String> = expected.iter().enumerate().filter_map(differs).collect();
    if cfg!(target_os = "linux") {
        assert_eq!(different, Vec::<String>::new());
    }
}

#[test]
fn address_and_all_archives_are_required() {
    messages!();
    let stage = Stage::bare();
    let directory = stage.archives();
    let refused = |command: &mut Command, code: i32| {
        let mut ended = stage.ended(command);
        ended.command = "shell/release.sh".into();
        ended.expect(code).record();
    };
    refused(stage.release_command(&directory).env_remove("LCLAUDE_REPOSITORY"), 1);
    for address in ["github.com/OWNER/lclaude", "https://github.com/OWNER/lclaude/", "https://github.com/O|W/lclaude"] {
        refused(stage.release_command(&directory).env("LCLAUDE_REPOSITORY", address), 1);
    }
    refused(stage.release_command(&directory).arg("--stand-in"), 64);
    fs::remove_file(directory.join(archive("aarch64-apple-darwin"))).expect("it exists");
    refused(&mut stage.release_command(&directory), 1);
    assert!(!directory.join("SHA256SUMS").exists());
    // On one machine, another archive stands in.
    let ended = stage.ended(stage.release_command(&directory).arg("--stand-ins")).expect(0);
    assert!(ended.stdout.contains(&archive("aarch64-apple-darwin")), "{}", ended.stdout);
    assert!(ended.stderr.contains("note: "), "{}", ended.stderr);
}

#[test]
fn notes_are_those_of_the_version_of_the_tag() {
    messages!();
    let stage = Stage::bare();
    // A copy, in which CHANGELOG.md has a section for the version.
    let copy = stage.root().join("copy");
    fs::create_dir_all(copy.join("shell")).expect("a directory");
    for file in ["Cargo.toml", "shell/release.sh", "shell/machine.sh", "shell/place.sh"] {
        fs::copy(repository().join(file), copy.join(file)).expect("a file");
    }
    let notes = |changelog: &str, tag: &str| {
        fs::write(copy.join("CHANGELOG.md"), changelog).expect("a file");
        let mut ended = stage.ended(stage.command(copy.join("shell/release.sh")).args(["--notes", tag]));
        ended.command = "shell/release.sh --notes TAG".into();
        ended
    };
    let tag = format!("v{VERSION}");
    let sections = format!(
        "# Changelog\n\n## Unreleased\n\nnext\n\n## {VERSION} - 2026-12-01\n\n### Added\n\n- this\n\n## 0.0.1\n\nold\n"
    );
    assert_eq!(said(notes(&sections, &tag)).trim(), "### Added\n\n- this");
    let ended = notes(&sections, "v9.9.9").expect(1);
    assert!(ended.stderr.starts_with("error: the tag is v9.9.9, but Cargo.toml has version "), "{}", ended.stderr);
    for changelog in ["# Changelog\n\n## Unreleased\n\nthis\n".to_owned(), format!("## {VERSION}\n\n## 0.0.1\n\nold\n")]
    {
        let ended = notes(&changelog, &tag).expect(1);
        assert!(ended.stderr.starts_with("error: CHANGELOG.md has nothing about "), "{}", ended.stderr);
    }
    notes(&sections, "").expect(64).record();
    let manifest = fs::read_to_string(copy.join("Cargo.toml")).expect("the manifest");
    let candidate = manifest.replacen(&format!("\"{VERSION}\""), &format!("\"{VERSION}-rc.1\""), 1);
    fs::write(copy.join("Cargo.toml"), candidate).expect("a file");
    notes(&sections, &format!("{tag}-rc.1")).expect(1).record();
}

#[test]
fn description_may_have_any_character() {
    let stage = Stage::bare();
    let directory = stage.archives();
    let copy = stage.root().join("copy");
    fs::create_dir(&copy).expect("a directory");
    let mut copies = stage.command("cp");
    copies.arg("-R").args(["shell", "README.md", "LICENSE"].map(|file| repository().join(file))).arg(&copy);
    stage.ended(&mut copies).expect(0);
    fs::write(copy.join("Cargo.toml"), format!("version = \"{VERSION}\"\ndescription = \"a & b | c\"\n"))
        .expect("a file");
    let mut command = stage.command(copy.join("shell/release.sh"));
    command.arg(&directory).env("LCLAUDE_REPOSITORY", REPOSITORY).env("SOURCE_DATE_EPOCH", DATE);
    stage.ended(&mut command).expect(0);
    let package = directory.join(format!("lclaude-{VERSION}.tgz"));
    assert_eq!(unpack(&stage, &package, &stage.root().join("main"))["description"], "a & b | c");
    let formula = fs::read_to_string(directory.join("lclaude.rb")).expect("the formula");
    assert!(formula.contains("\n  desc \"a & b | c\"\n"), "{formula}");
}

#[test]
fn workflow_builds_every_target_and_gives_npm_paths() {
    let workflow = fs::read_to_string(repository().join(".github/workflows/release.yml")).expect("the workflow");
    let built = workflow.lines().filter_map(|line| line.trim().strip_prefix("- { target: ")?.split(',').next());
    assert_eq!(built.collect::<Vec<_>>(), TARGETS);
    let script = fs::read_to_string(repository().join("shell/release.sh")).expect("the script");
    assert!(script.contains(&format!("\nTARGETS=\"{}\"\n", TARGETS.join(" "))));
    // npm takes `packages/FILE` for a repository on GitHub.
    let words = workflow
        .split_whitespace()
        .filter(|word| word.trim_end_matches(';').rsplit_once('.').is_some_and(|(_, ending)| ending == "tgz"));
    let words: Vec<&str> = words.collect();
    assert_eq!(words.len(), 4, "{words:?}");
    assert!(words.iter().all(|word| word.starts_with("./packages/")), "{words:?}");
}

#[test]
fn formula_has_the_checksum_of_each_archive_and_every_file() {
    let stage = Stage::bare();
    let release = stage.release();
    let formula = fs::read_to_string(release.join("lclaude.rb")).expect("the formula");
    let sums = fs::read_to_string(release.join("SHA256SUMS")).expect("the sums");
    for target in TARGETS {
        let name = archive(target);
        let sum = sums.lines().find_map(|line| line.strip_suffix(&format!("  {name}"))).expect("a sum");
        let url = format!("url \"{REPOSITORY}/releases/download/v{VERSION}/{name}\"\n      sha256 \"{sum}\"\n");
        assert!(formula.contains(&url), "{url}");
    }
    if !needs_program("ruby") {
        return;
    }
    for (system, target) in [
        (["macos", "arm"], "aarch64-apple-darwin"),
        (["macos", "intel"], "x86_64-apple-darwin"),
        (["linux", "arm"], "aarch64-unknown-linux-musl"),
        (["linux", "intel"], "x86_64-unknown-linux-musl"),
    ] {
        let directory = stage.root().join(target);
        fs::create_dir(&directory).expect("a directory");
        let unpacked =
            stage.command("tar").arg("-xzf").arg(release.join(archive(target))).arg("-C").arg(&directory).status();
        assert!(unpacked.expect("tar runs").success());
        // Homebrew changes into the only directory of an archive.
        let tree = directory.join(archive(target).replace(".tar.gz", ""));
        let prefix = directory.join("prefix");
        let mut ruby = stage.command("ruby");
        ruby.arg(repository().join("tests/support/formula.rb")).arg(release.join("lclaude.rb"));
        let printed = said(stage.ended(ruby.arg(&prefix).args(system).current_dir(tree)));
        assert!(
            printed.starts_with(&format!("{REPOSITORY}/releases/download/v{VERSION}/{}\n", archive(target))),
            "{printed}"
        );
        assert!(printed.contains("/share/lclaude/lclaude.zsh"), "{printed}");
        assert_eq!(
            files(&prefix),
            [
                "bin/lclaude",
                "etc/bash_completion.d/lclaude",
                "share/fish/vendor_completions.d/lclaude.fish",
                "share/lclaude/installed-by",
                "share/lclaude/lclaude.bash",
                "share/lclaude/lclaude.fish",
                "share/lclaude/lclaude.zsh",
                "share/man/man1/lclaude.1",
                "share/zsh/site-functions/_lclaude",
            ]
        );
        assert_eq!(fs::read_to_string(prefix.join("share/lclaude/installed-by")).expect("a file"), "homebrew\n");
        assert_eq!(said(stage.ended(stage.command(prefix.join("bin/lclaude")).arg("target"))), target);
    }
}

/// Puts the npm packages into a registry, and returns its address.
fn registry(stage: &Stage, release: &Path) -> String {
    let directory = stage.root().join("registry");
    fs::create_dir_all(&directory).expect("a directory");
    let url = serve(&directory);
    for file in files(release).iter().filter(|file| Path::new(file).extension() == Some("tgz".as_ref())) {
        fs::copy(release.join(file), directory.join(file)).expect("a file");
        let mut manifest = unpack(stage, &release.join(file), &stage.root().join("unpacked").join(file));
        manifest["dist"] = json!({"tarball": format!("{url}/{file}")});
        let name = manifest["name"].as_str().expect("a name").to_owned();
        let about = json!({"name": name, "dist-tags": {"latest": VERSION}, "versions": {VERSION: manifest}});
        fs::write(directory.join(name), about.to_string()).expect("a file");
    }
    url
}

/// Runs npm with the prefix `npm` on the stage.
fn npm(stage: &Stage, url: &str, arguments: &[&str]) -> Ended {
    let mut command = stage.command("npm");
    command.args(arguments).args(["--global", "--registry", url, "--prefix"]).arg(stage.root().join("npm"));
    // Node may be elsewhere than on a stage's PATH.
    command.env("PATH", format!("{}:{}", stage.bin().display(), std::env::var("PATH").expect("a PATH")));
    command.env("npm_config_cache", stage.root().join("npm-cache")).env("npm_config_update_notifier", "false");
    stage.ended(&mut command).expect(0)
}

#[test]
fn npm_packages_install_run_and_uninstall() {
    if !needs_npm() {
        return;
    }
    let stage = Stage::new();
    let release = stage.release();
    let url = registry(&stage, &release);
    let ended = npm(&stage, &url, &["install", "lclaude"]);
    assert!(!ended.stderr.contains("warn"), "{}", ended.stderr);
    let prefix = stage.root().join("npm");
    let installed = files(&prefix);
    assert!(installed.contains(&"bin/lclaude".to_owned()), "{installed:#?}");
    assert!(installed.contains(&"share/man/man1/lclaude.1".to_owned()), "{installed:#?}");
    for shell in ["bash", "zsh", "fish"] {
        let hook = format!("lib/node_modules/lclaude/share/lclaude/lclaude.{shell}");
        assert!(installed.contains(&hook), "{installed:#?}");
    }
    let programs = installed.iter().filter(|file| file.ends_with("/bin/lclaude")).count();
    assert_eq!(programs, 2, "the program of this platform, and what runs it: {installed:#?}");

    // A session: arguments and the exit code pass, and the program has replaced the script, so that signals reach it.
    let mut command = stage.command(prefix.join("bin/lclaude"));
    command.args(["--backend", "llamacpp", "--model", "tiny.gguf", "-p", "two words", ""]);
    let (session, claude, _) = stage.started(&mut command);
    assert!(claude.argv.windows(2).any(|words| words == ["two words", ""]), "{:?}", claude.argv);
    if cfg!(target_os = "linux") {
        let program = fs::read_link(format!("/proc/{}/exe", session.pid())).expect("a program");
        assert_eq!(program, support::lclaude().canonicalize().expect("a path"));
    }
    claude.send(json!({"do": "exit", "code": 7}));
    session.wait().expect(7);
    stage.wait_for_nothing_left();

    npm(&stage, &url, &["uninstall", "lclaude"]);
    assert_eq!(files(&prefix), Vec::<String>::new());
}

#[test]
fn npm_script_is_replaced_by_the_program() {
    let stage = Stage::new();
    let release = stage.release();
    let modules = stage.root().join("node_modules");
    let place = |name: &str, at: &Path| {
        unpack(&stage, &release.join(format!("{name}-{VERSION}.tgz")), at);
        fs::create_dir_all(&modules).expect("a directory");
        fs::rename(at.join("package"), modules.join(name)).expect("a directory");
    };
    place("lclaude", &stage.root().join("main"));
    let script = modules.join("lclaude/bin/lclaude");
    let target = |system: &str| {
        stage.script("uname", &format!("echo {system}"));
        stage.ended(stage.command("sh").arg(&script).arg("target"))
    };
    // No package of a platform was installed.
    let ended = target("Linux x86_64").expect(1);
    assert!(
        ended.stderr.contains("error: lclaude's npm package for Linux x86_64 is not installed\n  help: npm install ")
    );
    for platform in ["darwin-x64", "linux-arm64", "linux-x64"] {
        place(&format!("lclaude-{platform}"), &stage.root().join(platform));
    }
    for (system, expected) in [
        ("Linux x86_64", "x86_64-unknown-linux-musl"),
        ("Linux aarch64", "aarch64-unknown-linux-musl"),
        ("Darwin x86_64", "x86_64-apple-darwin"),
        // Node runs under Rosetta, so npm installed the program for Intel.
        ("Darwin arm64", "x86_64-apple-darwin"),
    ] {
        assert_eq!(said(target(system)), expected);
    }
    // Nested, as npm installs it, and through links, as npm and Homebrew's node make them.
    fs::create_dir_all(modules.join("lclaude/node_modules")).expect("a directory");
    fs::rename(modules.join("lclaude-linux-x64"), modules.join("lclaude/node_modules/lclaude-linux-x64"))
        .expect("moved");
    std::os::unix::fs::symlink(&script, stage.root().join("one")).expect("a link");
    std::os::unix::fs::symlink("one", stage.root().join("two")).expect("a link");
    stage.script("uname", "echo Linux x86_64");
    for (program, directory) in [("./two", stage.root()), ("./lclaude", &modules.join("lclaude/bin"))] {
        let ended = stage.ended(stage.command("sh").arg(program).arg("target").current_dir(directory));
        assert_eq!(said(ended), "x86_64-unknown-linux-musl");
    }
    let installed_by = modules.join("lclaude/node_modules/lclaude-linux-x64/share/lclaude/installed-by");
    assert_eq!(fs::read_to_string(installed_by).expect("a file"), "npm\n");
}

/// Requires npm and node.
#[track_caller]
fn needs_npm() -> bool {
    let runs = Command::new("npm").arg("--version").output().is_ok_and(|output| output.status.success());
    support::machine::needs("npm", runs)
}

#[test]
fn cargo_binstall_finds_the_archives() {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let metadata = &manifest["package"]["metadata"]["binstall"];
    let places = TARGETS.map(|target| (target, target)).into_iter().chain([
        ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl"),
        ("aarch64-unknown-linux-gnu", "aarch64-unknown-linux-musl"),
    ]);
    for (target, released) in places {
        let value = |key: &str| {
            let template = metadata["overrides"].get(target).unwrap_or(metadata)[key].as_str().expect("a text");
            let values = [
                ("repo", REPOSITORY),
                ("version", VERSION),
                ("target", target),
                ("bin", "lclaude"),
                ("binary-ext", ""),
            ];
            values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{ {name} }}"), value))
        };
        assert_eq!(value("pkg-url"), format!("{REPOSITORY}/releases/download/v{VERSION}/{}", archive(released)));
        assert_eq!(value("bin-dir"), format!("{}/bin/lclaude", archive(released).replace(".tar.gz", "")));
    }
}
