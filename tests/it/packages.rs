//! `shell/package.sh` packs what `shell/install.sh` installs, where each system looks for it, and always the same bytes.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{Ended, Stage, lclaude, machine, messages, release::DATE, repository};

/// The address of the repository.
const ADDRESS: &str = "https://example.invalid/OWNER/lclaude";
/// Where every package has the same files, below `/usr` or the directory of the archive.
const FILES: [&str; 7] = [
    "bin/lclaude",
    "share/bash-completion/completions/lclaude",
    "share/fish/vendor_completions.d/lclaude.fish",
    "share/lclaude/installed-by",
    "share/lclaude/lclaude.bash",
    "share/lclaude/lclaude.fish",
    "share/lclaude/lclaude.zsh",
];

/// Returns the target of this machine.
fn target() -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-gnu" };
    format!("{}-{system}", env::consts::ARCH)
}

/// Returns a command that packs `program`, with the texts of the program under test.
fn package(stage: &Stage, program: &Path, arguments: &[&str]) -> Command {
    let mut command = stage.command(repository().join("shell/package.sh"));
    command.arg("--binary").arg(program).arg("--texts-from").arg(lclaude()).args(arguments);
    command.env("SOURCE_DATE_EPOCH", DATE).env("LCLAUDE_REPOSITORY", ADDRESS);
    command.env("LCLAUDE_MAINTAINER", "me@example.invalid").stdin(Stdio::null());
    command
}

/// Packs one kind into `out`, and returns the package.
fn packed(stage: &Stage, program: &Path, kind: &str, out: &str) -> PathBuf {
    let out = stage.root().join(out);
    let arguments = ["--target", &target(), "--out", &out.display().to_string(), kind];
    let said = Ended::of(&mut package(stage, program, &arguments)).expect(0).stdout;
    let file = PathBuf::from(said.trim_end());
    assert_eq!(file.parent(), Some(&*out), "{said}");
    file
}

/// Returns the program under test without symbols, as a release has it.
fn stripped(stage: &Stage) -> PathBuf {
    let program = stage.root().join("stripped");
    Ended::of(stage.command("strip").arg("-o").arg(&program).arg(lclaude())).expect(0);
    program
}

/// Returns a small program, which is packed in no time.
fn small(stage: &Stage) -> PathBuf {
    if cfg!(target_os = "linux") { PathBuf::from("/bin/true") } else { stripped(stage) }
}

fn said(stage: &Stage, program: impl AsRef<Path>, arguments: &[&str]) -> String {
    Ended::of(stage.command(program.as_ref()).args(arguments)).expect(0).stdout
}

/// Returns the permissions of files by path, from a listing as of `ls -l`, in which the path comes last.
fn permissions(listing: &str) -> BTreeMap<String, String> {
    let line = |line: &str| Some((line.split(' ').next_back()?.to_owned(), line.split(' ').next()?.to_owned()));
    listing.lines().filter_map(line).filter(|(_, mode)| mode.starts_with('-')).collect()
}

/// Checks that a package has these files, and that everybody may read them and nobody but the owner write them.
#[track_caller]
fn assert_files(listing: &str, prefix: &str, others: &[&str]) {
    let found = permissions(listing);
    let mut expected: Vec<String> = FILES.iter().chain(others).map(|file| format!("{prefix}{file}")).collect();
    expected.sort();
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    for (file, mode) in &found {
        let expected = if file.ends_with("/bin/lclaude") { "-rwxr-xr-x" } else { "-rw-r--r--" };
        assert_eq!(mode, expected, "{file}");
    }
}

/// Checks the texts below `root`, where `manual` is compressed if its name says so.
#[track_caller]
fn assert_texts(stage: &Stage, root: &Path, kind: &str, manual: &str, zsh: &str) {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
    let page = root.join("share/man/man1").join(manual);
    let page = if page.extension().is_some_and(|ending| ending == "gz") {
        said(stage, "gzip", &["-dc", &page.display().to_string()])
    } else {
        read(&page.display().to_string())
    };
    assert_eq!(page, said(stage, lclaude(), &["local", "man"]));
    for (file, arguments) in [
        ("share/bash-completion/completions/lclaude", &["local", "completions", "bash"][..]),
        (zsh, &["local", "completions", "zsh"]),
        ("share/fish/vendor_completions.d/lclaude.fish", &["local", "completions", "fish"]),
        ("share/lclaude/lclaude.bash", &["local", "completions", "bash", "--hook"]),
        ("share/lclaude/lclaude.zsh", &["local", "completions", "zsh", "--hook"]),
        ("share/lclaude/lclaude.fish", &["local", "completions", "fish", "--hook"]),
    ] {
        assert_eq!(read(file), said(stage, lclaude(), arguments), "{file}");
    }
    assert_eq!(read("share/lclaude/installed-by"), format!("{kind}\n"));
}

#[test]
fn archive_runs_from_any_directory() {
    let stage = Stage::bare();
    let archive = packed(&stage, &stripped(&stage), "archive", "out");
    let name = format!("lclaude-{}-{}", env!("CARGO_PKG_VERSION"), target());
    assert_eq!(archive.file_name().and_then(|name| name.to_str()), Some(&*format!("{name}.tar.gz")));
    let archive = archive.display().to_string();
    let zsh = "share/zsh/site-functions/_lclaude";
    let listing = said(&stage, "tar", &["-tvzf", &archive]);
    assert_files(&listing, &format!("{name}/"), &["LICENSE", "share/man/man1/lclaude.1", zsh]);
    assert!(listing.contains("2023-11-14") || listing.contains("Nov 14  2023"), "{listing}");

    let place = stage.root().join("any place");
    fs::create_dir(&place).expect("a directory");
    said(&stage, "tar", &["-xzf", &archive, "-C", &place.display().to_string()]);
    let root = place.join(&name);
    assert_texts(&stage, &root, "archive", "lclaude.1", zsh);
    let version = said(&stage, root.join("bin/lclaude"), &["--version"]);
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    let license = fs::read_to_string(root.join("LICENSE")).expect("a file");
    assert_eq!(license, fs::read_to_string(repository().join("LICENSE")).expect("a file"));
}

#[test]
fn two_runs_make_the_same_bytes() {
    let stage = Stage::bare();
    let program = small(&stage);
    let mut kinds = vec!["archive"];
    if cfg!(target_os = "linux") && machine::needs_program("dpkg-deb") && machine::needs_program("rpmbuild") {
        kinds.extend(["deb", "rpm"]);
    }
    for kind in kinds {
        let first = packed(&stage, &program, kind, "first");
        // Other directories, another umask and a later second make no difference.
        let mut later = stage.command("sh");
        let again = package(&stage, &program, &["--target", &target(), "--out", "second", kind]);
        later.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(again.get_program()).args(again.get_args());
        later.envs(again.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("TMPDIR", stage.root());
        later.current_dir(stage.root());
        let written = fs::metadata(&first).and_then(|file| file.modified()).expect("a time");
        support::until("the next second", || written.elapsed().is_ok_and(|passed| passed.as_millis() > 1000));
        Ended::of(&mut later).expect(0);
        let second = stage.root().join("second").join(first.file_name().expect("a name"));
        assert!(fs::read(&first).expect("a file") == fs::read(&second).expect("a file"), "{kind}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn deb_has_files_where_debian_looks() {
    if !machine::needs_program("dpkg-deb") {
        return;
    }
    let stage = Stage::bare();
    let deb = packed(&stage, &small(&stage), "deb", "out");
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("lclaude_{version}-1_{architecture}.deb");
    assert_eq!(deb.file_name().and_then(|name| name.to_str()), Some(&*name));
    let deb = deb.display().to_string();
    let zsh = "share/zsh/vendor-completions/_lclaude";
    let documents =
        ["changelog.Debian.gz", "changelog.gz", "copyright"].map(|file| format!("share/doc/lclaude/{file}"));
    let mut others = vec!["share/man/man1/lclaude.1.gz", zsh];
    others.extend(documents.iter().map(|file| &**file));
    assert_files(&said(&stage, "dpkg-deb", &["-c", &deb]), "./usr/", &others);
    let field = |name: &str| said(&stage, "dpkg-deb", &["-f", &deb, name]).trim_end().to_owned();
    assert_eq!(field("Version"), format!("{version}-1"));
    assert_eq!(field("Architecture"), architecture);
    assert_eq!(field("Depends"), "");
    assert_eq!([field("Homepage"), field("Maintainer")], [ADDRESS, "The lclaude authors <me@example.invalid>"]);
    assert!(field("Description").starts_with("Run Claude Code on a local model\n"), "{}", field("Description"));

    let root = stage.root().join("unpacked");
    said(&stage, "dpkg-deb", &["-x", &deb, &root.display().to_string()]);
    assert_texts(&stage, &root.join("usr"), "deb", "lclaude.1.gz", zsh);
    assert!(fs::read(root.join("usr/bin/lclaude")).ok() == fs::read(small(&stage)).ok());
    let copyright = fs::read_to_string(root.join("usr/share/doc/lclaude/copyright")).expect("a file");
    assert!(copyright.contains("Permission is hereby granted"), "{copyright}");
}

#[cfg(target_os = "linux")]
#[test]
fn deb_is_installed_and_removed() {
    if !machine::needs_program("dpkg-deb") || !machine::needs_root() {
        return;
    }
    let stage = Stage::bare();
    let deb = packed(&stage, &small(&stage), "deb", "out");
    let root = stage.root().join("system");
    for directory in ["info", "updates", "triggers"] {
        fs::create_dir_all(root.join("var/lib/dpkg").join(directory)).expect("a directory");
    }
    fs::write(root.join("var/lib/dpkg/status"), "").expect("a file");
    let dpkg = |arguments: &[&str]| {
        let mut command = stage.command("dpkg");
        command.arg(format!("--root={}", root.display())).arg("--log=/dev/null").args(arguments);
        // dpkg wants to find ldconfig.
        Ended::of(command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")).expect(0).stdout
    };
    dpkg(&["-i", &deb.display().to_string()]);
    let listed = dpkg(&["-L", "lclaude"]);
    assert!(listed.lines().any(|line| line == "/usr/bin/lclaude"), "{listed}");
    assert_eq!(dpkg(&["-V", "lclaude"]), "", "a file differs from its checksum");
    dpkg(&["-r", "lclaude"]);
    let left: Vec<String> = super::install::tree(&root).into_iter().filter(|path| !path.starts_with("var/")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn rpm_has_files_where_fedora_looks() {
    if !machine::needs_program("rpmbuild") {
        return;
    }
    let stage = Stage::bare();
    let rpm = packed(&stage, &small(&stage), "rpm", "out");
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("lclaude-{version}-1.{}.rpm", env::consts::ARCH);
    assert_eq!(rpm.file_name().and_then(|name| name.to_str()), Some(&*name));
    let rpm = rpm.display().to_string();
    let others = ["share/licenses/lclaude/LICENSE", "share/man/man1/lclaude.1.gz", "share/zsh/site-functions/_lclaude"];
    assert_files(&said(&stage, "rpm", &["-qlvp", &rpm]), "/usr/", &others);
    let asked = said(
        &stage,
        "rpm",
        &["-qp", "--qf", "%{name} %{version} %{release} %{arch} %{license} %{buildtime} %{url}", &rpm],
    );
    assert_eq!(asked, format!("lclaude {version} 1 {} MIT {DATE} {ADDRESS}", env::consts::ARCH));
    // It requires nothing but an rpm that can read it.
    let required = said(&stage, "rpm", &["-qRp", &rpm]);
    assert!(required.lines().all(|line| line.starts_with("rpmlib(")), "{required}");
}

#[cfg(target_os = "linux")]
#[test]
fn rpm_is_installed_and_removed() {
    if !machine::needs_program("rpmbuild") || !machine::needs_root() {
        return;
    }
    let stage = Stage::bare();
    let rpm = packed(&stage, &small(&stage), "rpm", "out");
    let root = stage.root().join("system");
    fs::create_dir(&root).expect("a directory");
    let run = |arguments: &[&str]| {
        let mut command = stage.command("rpm");
        command.arg("--root").arg(&root).args(["--dbpath", "/var/lib/rpm"]).args(arguments);
        Ended::of(&mut command).expect(0).stdout
    };
    // Debian's rpm refuses to install anything unless it is told to.
    run(&["-i", "--nodeps", "--force-debian", &rpm.display().to_string()]);
    assert_texts(&stage, &root.join("usr"), "rpm", "lclaude.1.gz", "share/zsh/site-functions/_lclaude");
    assert_eq!(run(&["-V", "--nodeps", "lclaude"]), "", "a file differs from the package");
    run(&["-e", "--nodeps", "lclaude"]);
    // Other packages of every system own the directories that stay.
    let left: Vec<String> = super::install::tree(&root).into_iter().filter(|path| !path.starts_with("var/")).collect();
    let others =
        ["", "bin/", "share/", "share/bash-completion/", "share/bash-completion/completions/", "share/licenses/"];
    let others = others.into_iter().chain(["share/man/", "share/man/man1/"]);
    assert_eq!(left, others.map(|path| format!("usr/{path}")).collect::<Vec<_>>());
}

#[test]
fn wrong_options_are_refused() {
    messages!();
    let stage = Stage::bare();
    let gnu = "--target=x86_64-unknown-linux-gnu";
    for options in [
        &[gnu, "deb"][..],
        &[gnu, "archive", "rpm"],
        &["--target=aarch64-apple-darwin", "deb"],
        &[gnu, "--out="],
        &[gnu, "zip"],
        &[gnu, "--yes"],
    ] {
        let mut command = stage.command(repository().join("shell/package.sh"));
        Ended::of(command.args(options).stdin(Stdio::null())).expect(64).record();
    }
}

#[test]
fn compiler_flags_may_have_spaces() {
    let stage = Stage::bare();
    let flags = stage.root().join("flags");
    let cargo = format!(
        "case $1 in --version) echo 'cargo 1.95.0' ;; *) printf %s \"$CARGO_ENCODED_RUSTFLAGS\" >{}; exit 1 ;; esac",
        flags.display()
    );
    stage.script("cargo", &cargo);
    stage.script("rustc", "echo '/a rust'");
    let mut command = stage.command(repository().join("shell/package.sh"));
    command
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .env("SOURCE_DATE_EPOCH", DATE)
        .env("CARGO_HOME", "/my cargo");
    Ended::of(command.env("RUSTFLAGS", "-C  debuginfo=0").stdin(Stdio::null())).expect(1);
    let found = fs::read_to_string(flags).expect("the flags");
    let here = format!("--remap-path-prefix={}=lclaude", repository().display());
    let expected =
        ["-C", "debuginfo=0", "--remap-path-prefix=/my cargo=cargo", "--remap-path-prefix=/a rust=rust", &here];
    assert_eq!(found.split('\x1f').map(str::trim_end).collect::<Vec<_>>(), expected);
}

#[test]
fn wrong_program_is_not_packed() {
    messages!();
    let stage = Stage::bare();
    let out = stage.root().join("out");
    let program = stage.root().join("lclaude");
    let other = format!("{}-unknown-linux-musl", if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86_64" });
    let refuse = |content: &[u8], target: &str, code: i32| {
        support::write_program(&program, content);
        let mut command = stage.command(repository().join("shell/package.sh"));
        command.arg("--binary").arg(&program).args(["--target", target, "--out"]).arg(&out).arg("archive");
        let mut ended = Ended::of(command.env("SOURCE_DATE_EPOCH", DATE).stdin(Stdio::null())).expect(code);
        assert!(ended.stderr.contains("help: "), "{ended:#?}");
        ended.command = "package.sh".into();
        ended.stderr = ended.stderr.replace(target, "TARGET");
        ended.record();
    };
    // The first bytes of a 64-bit ELF program, up to its architecture, and the loader that a program with libraries names.
    let elf = |architecture: u8| [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[3, 0, architecture, 0]].concat();
    let (x86_64, aarch64) = (elf(62), elf(183));
    let ours = if cfg!(target_arch = "x86_64") { &x86_64 } else { &aarch64 };
    refuse(ours, &other, 1);
    refuse(b"#!/bin/sh\n", &other, 1);
    refuse(&[&x86_64[..], b"/lib64/ld-linux-x86-64.so.2"].concat(), "x86_64-unknown-linux-musl", 1);
    refuse(&[&aarch64[..], b"/lib/ld-musl-aarch64.so.1"].concat(), "aarch64-unknown-linux-musl", 1);
    refuse(&x86_64, "x86_64-apple-darwin", 1);
    refuse(&x86_64, "x86_64-pc-windows-msvc", 64);
    assert!(!out.exists());
}

#[test]
fn texts_of_the_command_line_are_the_same_on_all_systems() {
    // Packages of a system that isn't the builder's have texts that the builder's lclaude prints.
    let sources = ["src/cli", "src/complete", "src/local/completions.rs", "src/local/man.rs"];
    let mut open: Vec<PathBuf> = sources.iter().map(|path| repository().join(path)).collect();
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs::read_dir(path).expect("a directory").map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        assert!(!text.contains("target_os"), "{} differs between systems", path.display());
        files += 1;
    }
    assert!(files > 10, "{files}");
}
