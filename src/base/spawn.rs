//! Why the system couldn't start a program.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    commands,
    error::{Code, Failure},
    process::{forbids_programs, own_program},
    ui::quote_path,
};

/// How every ELF file begins (elf(5)).
const ELF: &[u8] = b"\x7fELF";
/// Bytes to read of a program: more than the first line of a script, as far as the kernel reads it.
const START: u64 = 512;

/// Returns the failure for a program that couldn't be started.
pub(crate) fn not_started(code: Code, program: &Path, error: &io::Error) -> Failure {
    let failure = Failure::new(code, format!("{} could not be started", program.display()));
    let path = quote_path(program);
    match error.raw_os_error() {
        Some(libc::ENOENT) if program.exists() => match interpreter(program) {
            Some(interpreter) => failure
                .cause(format!("its first line names {}, which does not exist", interpreter.display()))
                .help(format!("head -n 1 {path}  # correct it, or install that program")),
            None => failure
                .cause("the loader that it names does not exist, since it was built for another system")
                .help(commands::list_libraries(&path))
                .help("install a build for this system"),
        },
        Some(libc::ENOENT) => failure.cause("no such file").help(format!("ls -l {path}")),
        Some(libc::EACCES) if program.is_dir() => failure.cause("it is a directory").help(format!("ls {path}")),
        Some(libc::EACCES) => match interpreter(program).filter(|interpreter| !is_executable(interpreter)) {
            _ if !is_executable(program) || forbids_programs(program) => {
                let (why, help) = not_executable(program);
                failure.cause(format!("it {why}")).help(help)
            }
            Some(interpreter) => failure
                .cause(format!("its first line names {}, which is not executable", interpreter.display()))
                .help(format!("chmod +x {}", quote_path(&interpreter))),
            None => failure.cause(error).help(format!("ls -l {path}")),
        },
        Some(libc::ENOEXEC) => match start(program) {
            start if start.is_empty() => {
                failure.cause("the file is empty").help(format!("ls -l {path}")).help("reinstall it")
            }
            start if start.contains(&0) => failure
                .cause("it was built for a different processor or system, or is damaged")
                .help(format!("file {path}; uname -sm"))
                .help("install a build for this machine"),
            _ => failure
                .cause("it is a script whose first line names no interpreter, such as #!/bin/sh")
                .help(format!("head -n 1 {path}")),
        },
        Some(libc::ETXTBSY) => failure
            .cause("its file is still being written, perhaps by an installer or a build")
            .help("run the same command again when that has finished"),
        Some(libc::E2BIG) => failure
            .cause("its arguments and environment together are larger than the system allows")
            .help("env | wc -c; getconf ARG_MAX  # shows the size of the environment and the limit"),
        _ => failure.cause(error).help(format!("file {path}")),
    }
}

/// Returns why a file can't be executed, as a predicate, and the help.
pub(crate) fn not_executable(program: &Path) -> (&'static str, String) {
    let path = quote_path(program);
    if is_executable(program) && forbids_programs(program) {
        let help = format!("findmnt -T {path}  # move the program, or mount its file system without noexec");
        ("is on a file system that is mounted with noexec", help)
    } else {
        ("is not executable", format!("chmod +x {path}"))
    }
}

/// Returns whether a program is an ELF file for another processor than ours. `execvp` passes such a file to a shell,
/// which then complains about its content.
pub(crate) fn is_for_other_processor(program: &Path) -> bool {
    // Class, byte order and machine.
    let target = |start: &[u8]| Some((*start.get(4)?, *start.get(5)?, *start.get(18)?, *start.get(19)?));
    let (its, own) = (start(program), own_program().map(|own| start(&own)).unwrap_or_default());
    let both_elf = its.starts_with(ELF) && own.starts_with(ELF);
    // A file that ends before that is damaged.
    both_elf && target(&its).is_some_and(|its| target(&own) != Some(its))
}

/// Returns the first bytes of a program.
fn start(program: &Path) -> Vec<u8> {
    let mut start = Vec::new();
    let _ = File::open(program).and_then(|file| file.take(START).read_to_end(&mut start));
    start
}

/// Returns the interpreter that a script's first line names.
fn interpreter(program: &Path) -> Option<PathBuf> {
    let start = start(program);
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // Not trimmed at the end: a carriage return belongs to the name, and is why the program isn't found.
    let line = String::from_utf8_lossy(line);
    line.trim_start_matches([' ', '\t']).split([' ', '\t']).next().map(PathBuf::from)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(content: &[u8], mode: u32, code: i32) -> String {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("program");
        fs::write(&program, content).expect("a file");
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).expect("our own file");
        let failure = not_started(Code::Unavailable, &program, &io::Error::from_raw_os_error(code));
        assert!(!failure.help.is_empty(), "{failure}");
        failure.why.expect("a cause")
    }

    #[test]
    fn each_error_has_its_cause() {
        let cases: [(&[u8], u32, i32, &str); 10] = [
            (b"#!/no/such/sh -e\n", 0o755, libc::ENOENT, "its first line names /no/such/sh, which does not exist"),
            (b"\x7fELF", 0o755, libc::ENOENT, "the loader that it names does not exist"),
            (b"#!/bin/sh\n", 0o644, libc::EACCES, "it is not executable"),
            (b"#!/etc/passwd\n", 0o755, libc::EACCES, "its first line names /etc/passwd, which is not executable"),
            (b"\x7fELF\0\0", 0o755, libc::ENOEXEC, "it was built for a different processor"),
            (b"echo hello\n", 0o755, libc::ENOEXEC, "it is a script whose first line names no interpreter"),
            (b"", 0o755, libc::ENOEXEC, "the file is empty"),
            (b"", 0o755, libc::ETXTBSY, "its file is still being written"),
            (b"", 0o755, libc::E2BIG, "its arguments and environment together are larger"),
            (b"", 0o755, libc::EAGAIN, "this user or container has reached its process limit"),
        ];
        for (content, mode, code, cause) in cases {
            let why = explained(content, mode, code);
            assert!(why.starts_with(cause), "{why:?} instead of {cause:?}");
        }
        let gone = not_started(Code::Unavailable, Path::new("/no/such"), &io::Error::from_raw_os_error(libc::ENOENT));
        assert_eq!(gone.why.as_deref(), Some("no such file"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn program_for_another_processor_is_recognized() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = dir.path().join("program");
        let mut own = start(Path::new("/proc/self/exe"));
        let is_foreign = |content: &[u8]| {
            fs::write(&program, content).expect("a file");
            is_for_other_processor(&program)
        };
        assert!(!is_foreign(&own) && !is_foreign(b"#!/bin/sh\n"));
        own[18] ^= 1;
        assert!(is_foreign(&own) && !is_foreign(ELF));
    }
}
