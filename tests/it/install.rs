//! `shell/install.sh` installs all files where the shells and man find them, and removes exactly those.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Ended, Stage, lclaude, machine::bound_by_permissions, messages, system::TRUE};

const INSTALLED: [&str; 10] = [
    "bin/lclaude",
    "share/bash-completion/completions/lclaude",
    "share/fish/vendor_completions.d/lclaude.fish",
    "share/lclaude/installed",
    "share/lclaude/installed-by",
    "share/lclaude/lclaude.bash",
    "share/lclaude/lclaude.fish",
    "share/lclaude/lclaude.zsh",
    "share/man/man1/lclaude.1",
    "share/zsh/site-functions/_lclaude",
];

/// Returns a command that installs the program under test, with the project as the working directory.
fn install(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.command(Path::new(env!("CARGO_MANIFEST_DIR")).join("shell/install.sh"));
    command.args(arguments).arg("--binary").arg(lclaude()).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Ended {
    Ended::of(command)
}

/// Returns the relative paths of all files and directories under `root`. Directories end with a slash.
pub(crate) fn tree(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![PathBuf::new()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root.join(&directory)).into_iter().flatten().flatten() {
            let path = directory.join(entry.file_name());
            if entry.path().is_dir() {
                found.insert(format!("{}/", path.display()));
                open.push(path);
            } else {
                found.insert(path.display().to_string());
            }
        }
    }
    found
}

fn files(root: &Path) -> Vec<String> {
    tree(root).into_iter().filter(|path| !path.ends_with('/')).collect()
}

#[test]
fn files_are_installed_in_standard_locations() {
    let stage = Stage::bare();
    let prefix = stage.root().join("a prefix");
    output(&mut install(&stage, &["--prefix", &prefix.display().to_string()])).expect(0).expect_stdout("");
    assert_eq!(files(&prefix), INSTALLED);

    let program = prefix.join("bin/lclaude");
    assert_eq!(fs::metadata(&program).expect("a file").permissions().mode() & 0o7777, 0o755);
    let said = |arguments: &[&str]| output(stage.command(&program).arg("local").args(arguments)).expect(0).stdout;
    for (file, arguments) in [
        ("share/man/man1/lclaude.1", &["man"][..]),
        ("share/bash-completion/completions/lclaude", &["completions", "bash"]),
        ("share/zsh/site-functions/_lclaude", &["completions", "zsh"]),
        ("share/fish/vendor_completions.d/lclaude.fish", &["completions", "fish"]),
        ("share/lclaude/lclaude.bash", &["completions", "bash", "--hook"]),
        ("share/lclaude/lclaude.zsh", &["completions", "zsh", "--hook"]),
        ("share/lclaude/lclaude.fish", &["completions", "fish", "--hook"]),
    ] {
        let text = fs::read_to_string(prefix.join(file)).expect("a file");
        assert!(text.contains("lclaude") && text == said(arguments), "{file}");
        assert_eq!(fs::metadata(prefix.join(file)).expect("a file").permissions().mode() & 0o7777, 0o644, "{file}");
    }
}

#[test]
fn default_prefix_is_home_local_and_other_files_are_untouched() {
    messages!();
    let stage = Stage::bare();
    for file in [".bashrc", ".zshrc", ".profile"] {
        fs::write(stage.home().join(file), "user content\n").expect("a file");
    }
    // Uninstalling keeps it, and says so.
    stage.config("model = \"tiny\"\n");
    let before = stage.home_files();
    output(&mut install(&stage, &[])).expect(0).record();
    assert_eq!(files(&stage.home().join(".local")), INSTALLED);
    let local = stage.home().join(".local");
    output(&mut install(&stage, &["--uninstall"])).expect(0).record();
    assert_eq!(stage.home_files(), before);
    assert!(!local.join("share").exists());
}

#[test]
fn path_hint_appears_only_when_needed() {
    messages!();
    let mut stage = Stage::bare();
    let path = format!("{}/.local/bin:{}:/usr/bin:/bin", stage.home().display(), stage.bin().display());
    stage.set("PATH", path);
    let said = output(&mut install(&stage, &[])).expect(0).record().stderr;
    assert!(!said.contains("PATH"), "{said}");
    // Another lclaude comes first on PATH.
    stage.set("PATH", format!("{}:{}/.local/bin:/usr/bin:/bin", stage.bin().display(), stage.home().display()));
    symlink(lclaude(), stage.bin().join("lclaude")).expect("a link");
    output(&mut install(&stage, &[])).expect(0).record();
}

#[test]
fn uninstall_removes_installed_files_and_created_directories() {
    messages!();
    let stage = Stage::bare();
    let prefix = stage.root().join("prefix");
    // Some directories exist before, one of them empty. The user adds a file to another one later.
    fs::create_dir_all(prefix.join("share/man/man1")).expect("a directory");
    fs::create_dir_all(prefix.join("bin")).expect("a directory");
    fs::write(prefix.join("bin/other"), "").expect("a file");
    let before = tree(&prefix);
    let prefix_text = prefix.display().to_string();
    // The second run finds the directories that the first one created.
    for _ in 0..2 {
        output(&mut install(&stage, &["--prefix", &prefix_text])).expect(0);
    }
    fs::write(prefix.join("share/lclaude/mine"), "").expect("a file");
    output(&mut install(&stage, &["--prefix", &prefix_text, "--uninstall"])).expect(0);
    let mut left = before;
    left.extend(["share/lclaude/".into(), "share/lclaude/mine".into()]);
    assert_eq!(tree(&prefix), left);

    output(&mut install(&stage, &["--prefix", &prefix_text, "--uninstall"])).expect(1).record();
    assert_eq!(tree(&prefix), left);

    // The prefix is removed too if install.sh created it.
    let prefix = stage.root().join("new");
    output(&mut install(&stage, &["--prefix", &prefix.display().to_string()])).expect(0);
    output(&mut install(&stage, &["--prefix", &prefix.display().to_string(), "--uninstall"])).expect(0);
    assert!(!prefix.exists(), "{:?}", tree(&prefix));
}

#[test]
fn running_program_keeps_its_file() {
    let stage = Stage::bare();
    let prefix = stage.root().join("prefix");
    fs::create_dir_all(prefix.join("bin")).expect("a directory");
    // Writing to a running program would fail or change it while it runs.
    let program = prefix.join("bin/lclaude");
    support::copy_program(Path::new("/bin/cat"), &program);
    // It ends with this test, since its stdin is closed then.
    let mut running = stage.command(&program).stdin(Stdio::piped()).spawn().expect("it runs");
    let before = fs::metadata(&program).expect("a file").ino();
    output(&mut install(&stage, &["--prefix", &prefix.display().to_string()])).expect(0);
    assert_ne!(fs::metadata(&program).expect("a file").ino(), before);
    assert!(running.try_wait().expect("a child").is_none());
    assert_eq!(fs::read(&program).expect("a file"), fs::read(lclaude()).expect("a file"));
    running.kill().and_then(|()| running.wait()).expect("it can be killed");
}

#[test]
fn destdir_is_prepended_to_the_prefix() {
    messages!();
    let mut stage = Stage::bare();
    let destdir = stage.root().join("package");
    stage.set("DESTDIR", destdir.display());
    output(&mut install(&stage, &["--prefix", "/opt/lclaude"])).expect(0).record();
    // A package manager keeps its own list of files.
    let packed: Vec<_> = INSTALLED.into_iter().filter(|file| *file != "share/lclaude/installed").collect();
    assert_eq!(files(&destdir.join("opt/lclaude")), packed);
    stage.set("DESTDIR", stage.root().join("whole").display());
    output(&mut install(&stage, &["--prefix", "/"])).expect(0);
    assert_eq!(files(&stage.root().join("whole")), packed);
}

#[test]
fn errors_are_reported_before_anything_is_installed() {
    messages!();
    let stage = Stage::bare();
    let prefix = stage.root().join("prefix");
    let assert_rejected = |command: &mut Command, code: i32| {
        let ended = output(command).expect(code).record();
        assert!(ended.stderr.contains("help: "), "{ended:#?}");
    };
    assert_rejected(&mut install(&stage, &["--prefix"]), 64);
    assert_rejected(&mut install(&stage, &["--prefix="]), 64);
    assert_rejected(&mut install(&stage, &["--perfix", "x"]), 64);

    let target = prefix.display().to_string();
    let mut wrong = install(&stage, &["--prefix", &target]);
    assert_rejected(wrong.args(["--binary", TRUE]), 1);
    assert_rejected(install(&stage, &["--prefix", &target]).args(["--binary", "missing"]), 1);
    fs::write(&prefix, "a file").expect("a file");
    assert_rejected(&mut install(&stage, &["--prefix", &target]), 1);
    assert_eq!(fs::read_to_string(&prefix).expect("a file"), "a file");
}

#[test]
fn package_managers_have_names_that_the_program_shows() {
    messages!();
    let stage = Stage::bare();
    for (name, is_valid) in [("two words", false), ("apk;", false), (&*"a".repeat(33), false), ("a.P-k_9+", true)] {
        let mut command = install(&stage, &[]);
        let ended = output(command.env("LCLAUDE_INSTALLED_BY", name)).expect(i32::from(!is_valid));
        if !is_valid {
            ended.record();
        }
        assert_eq!(stage.home().join(".local/bin/lclaude").exists(), is_valid, "{name}");
    }
}

#[test]
fn unwritable_prefix_is_rejected() {
    messages!();
    let stage = Stage::bare();
    let closed = stage.root().join("closed");
    fs::create_dir(&closed).expect("a directory");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("permissions");
    let plain = install(&stage, &["--prefix", &closed.display().to_string()]);
    let mut ended = output(&mut bound_by_permissions(&stage, &plain)).expect(1);
    ended.command = "install.sh".into();
    ended.record();
}
