//! The scripts check the Rust toolchain before they fetch, install or build anything.

use std::{fs, os::unix::fs::symlink, path::Path, process::Stdio};

use support::{Stage, messages, repository, write_program};

const SCRIPTS: &[&str] = &[
    "demo.sh",
    "test.sh",
    "bench.sh",
    "picture.sh",
    "install.sh",
    // On macOS it has nothing to do.
    #[cfg(target_os = "linux")]
    "check-macos.sh",
];

/// Returns a stage whose PATH has no program but those that the scripts need to look around.
fn stage() -> Stage {
    let mut stage = Stage::bare();
    let bin = stage.bin();
    for program in ["bash", "cat", "dirname", "grep", "id", "mktemp", "rm", "sed", "sysctl", "uname"] {
        let found = ["/usr/bin", "/bin", "/usr/sbin"].map(|directory| Path::new(directory).join(program));
        if let Some(found) = found.iter().find(|path| path.exists()) {
            symlink(found, bin.join(program)).expect("a link");
        }
    }
    let tools = stage.root().join("tools");
    stage.set("PATH", bin.display()).set("LCLAUDE_TOOLS", tools.display());
    stage
}

/// Runs a script, which must fail and leave nothing behind, and returns its stderr.
#[track_caller]
fn refused(stage: &Stage, script: &str) -> String {
    let mut command = stage.command(repository().join("shell").join(script));
    command.stdin(Stdio::null());
    if script != "install.sh" {
        command.arg("--yes");
    }
    let ended = stage.ended(&mut command).expect(1);
    assert!(!stage.root().join("tools").exists() && !stage.home().join(".local").exists(), "{script}");
    assert_eq!(fs::read_dir(stage.root().join("tmp")).expect("a directory").count(), 0);
    ended.stderr
}

#[test]
fn missing_cargo_is_reported_before_anything_is_fetched() {
    let stage = stage();
    for script in SCRIPTS {
        let said = refused(&stage, script);
        assert!(said.starts_with("error: cargo is not installed, so lclaude cannot be "), "{script}: {said}");
        assert!(said.contains("help: install Rust: curl "), "{script}: {said}");
    }
}

#[test]
fn old_cargo_is_reported_before_anything_is_fetched() {
    messages!();
    let stage = stage();
    write_program(&stage.bin().join("cargo"), "#!/bin/sh\necho 'cargo 1.63.0 (abcdef012 2022-07-01)'\n");
    for script in SCRIPTS {
        let said = refused(&stage, script);
        assert!(said.starts_with("error: cargo 1.63.0 is too old, "), "{script}: {said}");
        assert!(said.contains("help: rustup update stable"), "{script}: {said}");
    }
    messages::record("shell/demo.sh", refused(&stage, "demo.sh"));
}

#[test]
fn cargo_without_a_toolchain_is_reported_before_anything_is_fetched() {
    let stage = stage();
    let rustup = "#!/bin/sh\necho 'error: rustup could not choose a version of cargo to run' >&2\nexit 1\n";
    write_program(&stage.bin().join("cargo"), rustup);
    for script in SCRIPTS {
        let said = refused(&stage, script);
        assert!(said.contains("\nerror: cargo does not run, so lclaude cannot be "), "{script}: {said}");
    }
}

/// Puts a cargo on PATH that prints its arguments, and a rustc with this directory as its own.
#[cfg(target_os = "linux")]
fn fake_rust(stage: &Stage, sysroot: &Path) {
    let cargo = "#!/bin/sh\ncase $1 in --version) echo 'cargo 1.95.0' ;; *) echo \"cargo $*\" ;; esac\n";
    write_program(&stage.bin().join("cargo"), cargo);
    write_program(&stage.bin().join("rustc"), format!("#!/bin/sh\necho {}\n", sysroot.display()));
}

#[cfg(target_os = "linux")]
#[test]
fn macos_check_covers_the_workspace_with_warnings_as_errors() {
    let stage = stage();
    let sysroot = stage.root().join("rust");
    fs::create_dir_all(sysroot.join("lib/rustlib/aarch64-apple-darwin/lib")).expect("a directory");
    fake_rust(&stage, &sysroot);
    let ended = stage.ended(&mut stage.command(repository().join("shell/check-macos.sh"))).expect(0);
    let clippy = "cargo clippy --locked --workspace --all-targets --target aarch64-apple-darwin -- -D warnings\n";
    assert!(ended.stdout.starts_with(clippy), "{ended:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn macos_check_is_skipped_without_its_standard_library_but_fails_in_ci() {
    let stage = stage();
    fake_rust(&stage, stage.root());
    let mut command = stage.command(repository().join("shell/check-macos.sh"));
    let ended = stage.ended(&mut command).expect(0);
    assert_eq!(ended.stdout, "");
    let skipped =
        "skipped: Rust's standard library for macOS is missing; to get it: rustup target add aarch64-apple-darwin\n";
    assert_eq!(ended.stderr, skipped);
    let ended = stage.ended(command.env("CI", "1")).expect(1);
    assert!(ended.stderr.contains("help: rustup target add aarch64-apple-darwin"), "{}", ended.stderr);
}
