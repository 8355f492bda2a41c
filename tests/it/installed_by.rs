//! `--version` and `lclaude local doctor` say how lclaude was installed, and doctor how to upgrade it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use support::{Stage, copy_program, doctor::find_check, lclaude, repository};

/// The words in packages, how `--version` says them, and what upgrades them.
const WAYS: [(&str, &str, &str); 7] = [
    ("archive", "installed from an archive", "unpack the newer archive"),
    ("cargo", "installed by cargo", "git pull && cargo install --path ."),
    ("deb", "installed from a .deb package", "download the new package, then sudo apt install ./lclaude_*.deb"),
    ("homebrew", "installed by Homebrew", "brew upgrade lclaude"),
    ("npm", "installed by npm", "npm install -g lclaude@latest"),
    (
        "rpm",
        "installed from an .rpm package",
        "download the new package, then sudo dnf install --no-gpgchecks ./lclaude-*.rpm",
    ),
    ("source", "installed from source", "git pull && ./shell/install.sh"),
];

/// Returns the program of an installation in `prefix`, with this word.
fn installed(prefix: &Path, word: &[u8]) -> PathBuf {
    fs::create_dir_all(prefix.join("share/lclaude")).expect("a directory");
    fs::write(prefix.join("share/lclaude/installed-by"), word).expect("a file");
    copied(&prefix.join("bin"))
}

/// Returns a copy of lclaude in a directory.
fn copied(directory: &Path) -> PathBuf {
    let program = directory.join("lclaude");
    if !program.exists() {
        fs::create_dir_all(directory).expect("a directory");
        copy_program(lclaude(), &program);
    }
    program
}

/// Returns the first line of `--version`, without the version.
#[track_caller]
fn version(stage: &Stage, program: &Path) -> String {
    let stdout = stage.ended(stage.command(program).arg("--version")).expect(0).stdout;
    let line = stdout.lines().next().expect("a line");
    line.strip_prefix(env!("CARGO_PKG_VERSION")).expect("the version comes first").trim_start().to_owned()
}

/// Returns what doctor says about lclaude, without the version.
#[track_caller]
fn doctor(stage: &Stage, program: &Path) -> String {
    let stdout = stage.ended(stage.command(program).args(["local", "doctor", "--json"])).stdout;
    let report = serde_json::from_str(&stdout).expect("JSON");
    let found = find_check(&report, "machine", "installation")["found"].as_str().expect("a text").to_owned();
    found.strip_prefix(concat!("lclaude ", env!("CARGO_PKG_VERSION"))).expect("the version comes first").to_owned()
}

#[test]
fn version_and_doctor_name_the_package() {
    let stage = Stage::healthy();
    let prefix = stage.home().join(".local");
    for (word, described, upgrade) in WAYS {
        let program = installed(&prefix, format!("{word}\n").as_bytes());
        assert_eq!(version(&stage, &program), format!("(lclaude, {described})"));
        assert_eq!(doctor(&stage, &program), format!(", {described}; to upgrade: {upgrade}"));
    }
    // A distribution's own name. It knows how to upgrade.
    let program = installed(&prefix, b"apk");
    assert_eq!(version(&stage, &program), "(lclaude, installed by apk)");
    assert_eq!(doctor(&stage, &program), ", installed by apk");
}

#[test]
fn upgrade_command_has_the_prefix() {
    let stage = Stage::healthy();
    let prefix = stage.root().join("a prefix");
    for (word, command) in [("source", "git pull && ./shell/install.sh"), ("archive", "sh lclaude-install.sh")] {
        let program = installed(&prefix, word.as_bytes());
        // The installer writes it. An archive that was unpacked by hand has none.
        fs::write(prefix.join("share/lclaude/installed"), "").expect("a file");
        let said = doctor(&stage, &program);
        assert!(said.ends_with(&format!("{command} --prefix '{}'", prefix.display())), "{said}");
    }
}

#[test]
fn link_to_the_program_is_followed() {
    let stage = Stage::healthy();
    // As Homebrew does.
    let program = installed(&stage.root().join("Cellar/lclaude/0.1.0"), b"homebrew");
    let link = stage.root().join("lclaude");
    std::os::unix::fs::symlink(program, &link).expect("a link");
    assert_eq!(version(&stage, &link), "(lclaude, installed by Homebrew)");
}

#[test]
fn program_in_cargos_directory_was_installed_by_cargo() {
    let mut stage = Stage::healthy();
    for cargo in [stage.home().join(".cargo"), stage.root().join("cargo")] {
        assert_eq!(version(&stage, &copied(&cargo.join("bin"))), "(lclaude, installed by cargo)");
        stage.set("CARGO_HOME", stage.root().join("cargo").display());
    }
}

#[test]
fn unusable_file_says_nothing() {
    let stage = Stage::healthy();
    let prefix = stage.root().join("prefix");
    let long = [b'a'; 33];
    for word in [&b""[..], b"\n", b"a word", b"\x1b[31m", b"\xff", b"a\nb", &long] {
        let program = installed(&prefix, word);
        assert_eq!(version(&stage, &program), "(lclaude)", "{word:?}");
    }
    assert_eq!(version(&stage, lclaude()), "(lclaude)");
    // A pipe would block.
    let program = installed(&prefix, b"npm");
    let file = prefix.join("share/lclaude/installed-by");
    fs::remove_file(&file).expect("it exists");
    assert!(stage.command("mkfifo").arg(&file).status().expect("mkfifo runs").success());
    assert_eq!(version(&stage, &program), "(lclaude)");
}

#[test]
fn documentation_has_every_upgrade_command() {
    let page = fs::read_to_string(repository().join("docs/install.md")).expect("the page");
    for (word, _, upgrade) in WAYS {
        for step in upgrade.split(", then ") {
            assert!(page.contains(step), "{word}: {step}");
        }
    }
}
