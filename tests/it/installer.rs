//! `lclaude-install.sh` downloads, verifies and installs a release, and removes exactly what it installed.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{
    Stage,
    machine::{bound_by_permissions, needs_linux_program, needs_program, program},
    messages,
    release::{archive, files, said, serve},
    repository, write_program,
};

/// A stage with a release, its directory and the URL of a server with it.
fn published() -> (Stage, PathBuf, String) {
    let stage = Stage::bare();
    let release = stage.release();
    let url = serve(&release);
    // The installer's files, and not those that the scripts above have left.
    fs::remove_dir_all(stage.root().join("tmp"))
        .and_then(|()| fs::create_dir(stage.root().join("tmp")))
        .expect("a directory");
    (stage, release, url)
}

/// Returns the command of the installer, run by a shell.
fn installer(stage: &Stage, shell: &str, release: &Path, url: &str) -> Command {
    let mut command = stage.command(shell);
    command.arg(release.join("lclaude-install.sh")).env("LCLAUDE_DOWNLOAD_URL", url).stdin(Stdio::null());
    command.env("TMPDIR", stage.root().join("tmp"));
    command
}

/// Makes `uname` say that this is another system.
fn pretend(stage: &Stage, system: &str, machine: &str) {
    stage.script("uname", &format!("case $1 in -s) echo {system} ;; -m) echo {machine} ;; esac"));
}

/// Puts a program of the system on the stage's PATH.
fn link(stage: &Stage, name: &str) {
    symlink(program(name).expect("every system has it"), stage.bin().join(name)).expect("a link");
}

/// Runs an installation that fails, and checks that it left nothing.
#[track_caller]
fn refused(stage: &Stage, command: &mut Command, code: i32) {
    let mut ended = stage.ended(command);
    ended.command = "sh lclaude-install.sh".into();
    let ended = ended.expect(code).record();
    assert!(ended.stderr.starts_with("error: ") || ended.stderr.contains("\nerror: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("\n  help: "), "{}", ended.stderr);
    assert_eq!(files(&stage.home()), Vec::<String>::new());
    assert!(!stage.home().join(".local").exists());
    assert_eq!(files(&stage.root().join("tmp")), Vec::<String>::new());
}

#[test]
fn every_shell_installs_and_uninstalls() {
    let (stage, release, url) = published();
    for shell in ["sh", "dash", "bash", "busybox"] {
        if !(if shell == "busybox" { needs_linux_program(shell) } else { needs_program(shell) }) {
            continue;
        }
        pretend(&stage, "Linux", "x86_64");
        let run = |option: &str| {
            let mut command = stage.command(shell);
            command.args((shell == "busybox").then_some("sh"));
            command.arg(release.join("lclaude-install.sh")).env("LCLAUDE_DOWNLOAD_URL", &url);
            stage.ended(command.args(Some(option).filter(|option| !option.is_empty()))).expect(0)
        };
        // The second installation is an upgrade.
        for _ in 0..2 {
            run("");
        }
        let local = stage.home().join(".local");
        let lclaude = local.join("bin/lclaude");
        assert_eq!(said(stage.ended(stage.command(&lclaude).arg("target"))), "x86_64-unknown-linux-musl");
        let installed = files(&local);
        assert!(installed.contains(&"share/man/man1/lclaude.1".to_owned()), "{installed:#?}");
        assert!(installed.iter().all(|file| file.starts_with("bin/") || file.starts_with("share/")), "{installed:#?}");
        assert_eq!(fs::read_to_string(local.join("share/lclaude/installed-by")).expect("a file"), "archive\n");
        let mode = |file: &str| fs::metadata(local.join(file)).expect("a file").permissions().mode() & 0o777;
        assert_eq!([mode("bin/lclaude"), mode("share/man/man1/lclaude.1")], [0o755, 0o644]);
        run("--uninstall");
        assert_eq!(files(&stage.home()), Vec::<String>::new(), "{shell}");
        assert!(!local.exists(), "{shell}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn busybox_alone_is_enough() {
    if !needs_linux_program("busybox") {
        return;
    }
    let (mut stage, release, url) = published();
    // As in Alpine Linux, which has no curl and no bash.
    let bin = stage.root().join("busybox");
    fs::create_dir(&bin).expect("a directory");
    let busybox = said(stage.ended(stage.command("sh").args(["-c", "command -v busybox"])));
    for applet in said(stage.ended(stage.command(&busybox).arg("--list"))).lines() {
        symlink(&busybox, bin.join(applet)).expect("a link");
    }
    let wanted = ["wget", "sha256sum", "tar", "mktemp"];
    if !support::machine::needs("a whole BusyBox", wanted.iter().all(|name| bin.join(name).exists())) {
        return;
    }
    stage.set("PATH", bin.display());
    let mut command = stage.command(&busybox);
    command.arg("sh").arg(release.join("lclaude-install.sh")).env("LCLAUDE_DOWNLOAD_URL", url);
    stage.ended(&mut command).expect(0);
    assert!(stage.home().join(".local/bin/lclaude").exists());
}

#[test]
fn archive_of_this_system_is_chosen() {
    let (stage, release, url) = published();
    let installed = || {
        stage.ended(&mut installer(&stage, "sh", &release, &url)).expect(0);
        said(stage.ended(stage.command(stage.home().join(".local/bin/lclaude")).arg("target")))
    };
    for (system, machine, target) in [
        ("Linux", "x86_64", "x86_64-unknown-linux-musl"),
        ("Linux", "aarch64", "aarch64-unknown-linux-musl"),
        ("Darwin", "arm64", "aarch64-apple-darwin"),
        ("Darwin", "x86_64", "x86_64-apple-darwin"),
    ] {
        pretend(&stage, system, machine);
        stage.script("sysctl", "exit 1");
        assert_eq!(installed(), target);
    }
    // A shell under Rosetta on Apple Silicon.
    stage.script("sysctl", "[ \"$*\" = '-n sysctl.proc_translated' ] && echo 1");
    assert_eq!(installed(), "aarch64-apple-darwin");
}

#[test]
fn unsupported_systems_are_refused() {
    messages!();
    let (stage, release, url) = published();
    for (system, machine) in [("Linux", "riscv64"), ("FreeBSD", "amd64"), ("MINGW64_NT-10.0-22631", "x86_64")] {
        pretend(&stage, system, machine);
        messages::note(format!("{system} {machine}"));
        refused(&stage, &mut installer(&stage, "sh", &release, &url), 1);
    }
}

#[test]
fn changed_or_incomplete_download_is_not_installed() {
    messages!();
    let (mut stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    let changed = release.join(archive("x86_64-unknown-linux-musl"));
    let content = fs::read(&changed).expect("an archive");
    let refuse = |stage: &Stage, name: &str, url: &str| {
        let ended = stage.ended(&mut installer(stage, "sh", &release, url)).expect(1);
        // The address and the sums depend on the run, and curl's own message on its version.
        let is_sum = |word: &str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        let words = |line: &str| {
            let masked = line.split(' ').map(|word| match word.strip_suffix(';').unwrap_or(word) {
                sum if is_sum(sum) => word.replace(sum, "[SUM]"),
                _ if url.is_empty() => word.to_owned(),
                _ => word.replace(url, "[URL]"),
            });
            masked.collect::<Vec<_>>().join(" ")
        };
        let lines = ended.stderr.lines().filter(|line| !line.starts_with("curl: ")).map(words);
        messages::record(name, lines.collect::<Vec<_>>().join("\n"));
        assert!(!stage.home().join(".local").exists(), "{name}");
        assert_eq!(files(&stage.root().join("tmp")), Vec::<String>::new(), "{name}");
    };
    refuse(&stage, "a transfer that was cut off", &format!("{url}/cut"));
    refuse(&stage, "an address without the archive", &format!("{url}/missing"));
    fs::write(&changed, &content[..content.len() / 2]).expect("a file");
    refuse(&stage, "half of the archive", &url);
    // An archive that works, but is another one.
    fs::copy(release.join(archive("aarch64-unknown-linux-musl")), &changed).expect("a file");
    refuse(&stage, "another archive", &url);
    stage.script("curl", "exit 7");
    refuse(&stage, "no network", &url);
    fs::remove_file(stage.bin().join("curl")).expect("it exists");
    // Nothing listens on this port.
    stage.set("https_proxy", "http://127.0.0.1:1");
    refuse(&stage, "no release", "");
}

#[test]
fn incomplete_installer_does_nothing() {
    let (stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    let script = fs::read(release.join("lclaude-install.sh")).expect("the installer");
    let cut = stage.root().join("cut.sh");
    let end = script.len() - 1;
    // Each of the last bytes, and some before.
    for length in (0..end).filter(|length| length % 311 == 0 || end - length < 40) {
        fs::write(&cut, &script[..length]).expect("a file");
        let mut command = stage.command("sh");
        command.arg(&cut).env("LCLAUDE_DOWNLOAD_URL", &url).env("TMPDIR", stage.root().join("tmp"));
        stage.ended(&mut command);
        assert!(!stage.home().join(".local").exists(), "{length} of {end} bytes installed something");
        assert_eq!(files(&stage.root().join("tmp")), Vec::<String>::new(), "{length} bytes");
    }
    fs::write(&cut, &script[..end]).expect("a file");
    let mut command = stage.command("sh");
    stage.ended(command.arg(&cut).env("LCLAUDE_DOWNLOAD_URL", &url)).expect(0);
}

#[test]
fn missing_programs_and_wrong_options_are_refused() {
    messages!();
    let (mut stage, release, url) = published();
    refused(&stage, installer(&stage, "/bin/sh", &release, &url).arg("--prefix"), 64);
    refused(&stage, installer(&stage, "/bin/sh", &release, &url).arg("--prefix="), 64);
    refused(&stage, installer(&stage, "/bin/sh", &release, &url).arg("--perfix=x"), 64);
    refused(&stage, installer(&stage, "/bin/sh", &release, &url).env_remove("HOME"), 1);
    pretend(&stage, "Linux", "x86_64");
    for program in ["dirname", "mktemp", "rm", "cat", "sed"] {
        link(&stage, program);
    }
    stage.set("PATH", stage.bin().display());
    let mut command = installer(&stage, "/bin/sh", &release, &url);
    let mut ended = stage.ended(&mut command).expect(1);
    ended.stderr = ended.stderr.replace(&url, "[URL]");
    assert!(ended.stderr.contains("error: neither curl nor wget is installed\n  help: "), "{}", ended.stderr);
    link(&stage, "curl");
    let ended = stage.ended(&mut installer(&stage, "/bin/sh", &release, &url)).expect(1);
    assert!(ended.stderr.contains("error: checksums cannot be verified: "), "{}", ended.stderr);
    assert!(!stage.home().join(".local").exists());
}

#[test]
fn program_that_does_not_run_is_not_installed() {
    let stage = Stage::bare();
    let release = stage.archives();
    // Its processor is another one, for example.
    let tree = stage.root().join("tree");
    fs::rename(&tree, stage.root().join(archive("x86_64-unknown-linux-musl").replace(".tar.gz", "")))
        .expect("a directory");
    let tree = stage.root().join(archive("x86_64-unknown-linux-musl").replace(".tar.gz", ""));
    write_program(&tree.join("bin/lclaude"), "#!/bin/sh\necho Illegal instruction >&2\nexit 132\n");
    let name = tree.file_name().expect("a name");
    let packed = stage
        .command("tar")
        .arg("-czf")
        .arg(release.join(archive("x86_64-unknown-linux-musl")))
        .arg("-C")
        .arg(stage.root())
        .arg(name)
        .status();
    assert!(packed.expect("tar runs").success());
    stage.ended(&mut stage.release_command(&release)).expect(0);
    pretend(&stage, "Linux", "x86_64");
    let url = serve(&release);
    let ended = stage.ended(&mut installer(&stage, "sh", &release, &url)).expect(1);
    assert!(
        ended.stderr.contains("error: lclaude doesn't run on this system: Illegal instruction\n"),
        "{}",
        ended.stderr
    );
    assert!(!stage.home().join(".local").exists());
}

#[test]
fn unusable_prefix_is_refused_before_the_download() {
    messages!();
    let (stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    let closed = stage.root().join("closed");
    fs::create_dir(&closed).expect("a directory");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("permissions");
    let mut plain = installer(&stage, "sh", &release, &url);
    plain.arg("--prefix").arg(closed.join("new"));
    refused(&stage, &mut bound_by_permissions(&stage, &plain), 1);
    let file = stage.root().join("file");
    fs::write(&file, "mine").expect("a file");
    refused(&stage, installer(&stage, "sh", &release, &url).arg("--prefix").arg(&file), 1);
    assert_eq!(fs::read_to_string(&file).expect("a file"), "mine");
}

#[test]
fn users_own_license_is_kept() {
    let (stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    let local = stage.home().join(".local");
    fs::create_dir(&local).expect("a directory");
    fs::write(local.join("LICENSE"), "mine").expect("a file");
    // The archive has one too.
    let listed =
        said(stage.ended(stage.command("tar").arg("-tzf").arg(release.join(archive("x86_64-unknown-linux-musl")))));
    assert!(listed.lines().any(|file| file.ends_with("/LICENSE")), "{listed}");
    stage.ended(&mut installer(&stage, "sh", &release, &url)).expect(0);
    assert!(local.join("bin/lclaude").exists());
    stage.ended(installer(&stage, "sh", &release, &url).arg("--uninstall")).expect(0);
    assert_eq!(files(&local), ["LICENSE"]);
    assert_eq!(fs::read_to_string(local.join("LICENSE")).expect("a file"), "mine");
}

#[test]
fn both_scripts_check_every_file_before_they_install_any() {
    messages!();
    let (stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    let prefix = stage.root().join("prefix");
    let both = || {
        let mut downloaded = installer(&stage, "sh", &release, &url);
        downloaded.arg("--prefix").arg(&prefix);
        let mut built = stage.command(repository().join("shell/install.sh"));
        built.arg("--binary").arg(stage.root().join("lclaude-program")).arg("--prefix").arg(&prefix);
        built.stdin(Stdio::null());
        [("sh lclaude-install.sh", downloaded), ("shell/install.sh", built)]
    };
    let refuse = |name: &str, command: &mut Command| {
        let mut ended = stage.ended(command).expect(1);
        ended.command = name.into();
        ended.stderr = ended.stderr.replace(&url, "[URL]");
        ended.record();
        assert_eq!(files(&prefix), Vec::<String>::new());
    };
    for directory in ["bin/lclaude", "share/fish/vendor_completions.d/lclaude.fish", "share/lclaude/installed"] {
        fs::create_dir_all(prefix.join(directory)).expect("a directory");
        for (name, mut command) in both() {
            refuse(name, &mut command);
        }
        fs::remove_dir_all(&prefix).expect("a directory");
    }
    // As after `sudo make install` of something else.
    let closed = prefix.join("share/man");
    fs::create_dir_all(&closed).expect("a directory");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("permissions");
    for (name, command) in both() {
        refuse(name, bound_by_permissions(&stage, &command).env("LCLAUDE_DOWNLOAD_URL", &url));
    }
    fs::remove_dir(&closed).expect("a directory");
    symlink("nowhere", &closed).expect("a link");
    for (name, mut command) in both() {
        let mut ended = stage.ended(&mut command).expect(1);
        ended.command = name.into();
        ended.stderr = ended.stderr.replace(&url, "[URL]");
        ended.record();
        assert_eq!(files(&prefix), ["share/man"]);
    }
}

#[test]
fn both_scripts_remove_what_the_other_installed() {
    let (stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    let prefix = stage.root().join("a prefix");
    fs::create_dir_all(prefix.join("share/man")).expect("a directory");
    fs::write(prefix.join("share/man/mine"), "").expect("a file");
    let downloaded = |options: &[&str]| {
        let mut command = installer(&stage, "sh", &release, &url);
        stage.ended(command.args(options).env("LCLAUDE_PREFIX", &prefix)).expect(0)
    };
    let built = |option: &str| {
        let mut command = stage.command(repository().join("shell/install.sh"));
        command.arg("--prefix").arg(&prefix).arg(option).stdin(Stdio::null());
        stage.ended(&mut command).expect(0)
    };
    downloaded(&[]);
    built("--uninstall");
    assert_eq!(files(&prefix), ["share/man/mine"]);
    built(&format!("--binary={}", stage.root().join("lclaude-program").display()));
    // An upgrade from one to the other.
    downloaded(&[]);
    assert_eq!(fs::read_to_string(prefix.join("share/lclaude/installed-by")).expect("a file"), "archive\n");
    downloaded(&["--uninstall"]);
    assert_eq!(files(&prefix), ["share/man/mine"]);
    assert_eq!(fs::read_dir(&prefix).expect("a directory").count(), 1);
}

#[test]
fn installer_prints_the_lines_to_add() {
    messages!();
    let (stage, release, url) = published();
    pretend(&stage, "Linux", "x86_64");
    for options in [&[][..], &["--prefix", "a prefix"], &["--help"]] {
        let mut ended = stage.ended(installer(&stage, "sh", &release, &url).args(options)).expect(0);
        ended.command = format!("sh lclaude-install.sh {}", options.join(" "));
        ended.stderr = ended.stderr.replace(&url, "[URL]");
        ended.record();
    }
}
