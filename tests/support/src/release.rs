//! A release whose programs run the lclaude under test, made by `shell/release.sh`, and a server that stands for the
//! place where it is published.

use std::{
    fs,
    io::{BufReader, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use super::{Ended, Stage, lclaude, messages::lclaude_version, repository, server::Request, write_program};

/// The targets of a release.
pub const TARGETS: [&str; 4] =
    ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl", "x86_64-apple-darwin", "aarch64-apple-darwin"];

/// The address in the files of the release. Nobody has it.
pub const REPOSITORY: &str = "https://example.invalid/OWNER/lclaude";

/// The date of all files in the packages of tests: 2023-11-14 22:13:20 UTC.
pub const DATE: &str = "1700000000";

/// Returns the name of a target's archive.
pub fn archive(target: &str) -> String {
    format!("lclaude-{}-{target}.tar.gz", lclaude_version())
}

impl Stage {
    /// Makes a release and returns its directory.
    pub fn release(&self) -> PathBuf {
        let directory = self.archives();
        self.ended(&mut self.release_command(&directory)).expect(0);
        directory
    }

    /// Makes the archives of a release. Each has what `shell/package.sh` packs, but its program prints the target if it is
    /// asked for `target`, and runs the lclaude under test otherwise.
    pub fn archives(&self) -> PathBuf {
        let (directory, tree) = (self.root().join("release"), self.root().join("tree"));
        fs::create_dir(&directory).expect("a directory");
        let program = self.root().join("lclaude-program");
        write_program(&program, format!("#!/bin/sh\nexec {} \"$@\"\n", lclaude().display()));
        // Enough of a program for the processor of this target.
        let small = self.root().join("small-program");
        write_program(&small, [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[3, 0, 62, 0]].concat());
        let mut package = self.command(repository().join("shell/package.sh"));
        package.args(["archive", "--target", TARGETS[0], "--binary"]).arg(small).arg("--texts-from").arg(lclaude());
        let packed = said(self.ended(package.arg("--out").arg(&directory).env("SOURCE_DATE_EPOCH", DATE)));
        let mut unpack = self.command("tar");
        unpack.arg("-xzf").arg(packed).arg("-C").arg(self.root());
        self.ended(&mut unpack).expect(0);
        fs::rename(self.root().join(archive(TARGETS[0]).replace(".tar.gz", "")), &tree).expect("a directory");
        for target in TARGETS {
            let name = format!("lclaude-{}-{target}", lclaude_version());
            let script = format!(
                "#!/bin/sh\ncase \"$*\" in target) echo {target} ;; *) exec {} \"$@\" ;; esac\n",
                lclaude().display()
            );
            write_program(&tree.join("bin/lclaude"), script);
            fs::rename(&tree, self.root().join(&name)).expect("a directory");
            let mut pack = self.command("tar");
            pack.arg("-czf").arg(directory.join(archive(target))).arg("-C").arg(self.root()).arg(&name);
            assert!(pack.status().expect("tar runs").success());
            fs::rename(self.root().join(&name), &tree).expect("a directory");
        }
        directory
    }

    /// Returns the command that makes the rest of a release from its archives.
    pub fn release_command(&self, directory: &Path) -> Command {
        let mut command = self.command(repository().join("shell/release.sh"));
        command.arg(directory).env("LCLAUDE_REPOSITORY", REPOSITORY).env("SOURCE_DATE_EPOCH", DATE);
        command
    }
}

/// Starts a server of the files in a directory and returns its URL. A path below `/cut/` serves half of a file and hangs
/// up.
pub fn serve(directory: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let directory = directory.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(stream);
            let Ok(Some(request)) = Request::read(&mut reader) else { continue };
            let path = request.path.trim_start_matches('/');
            let (path, is_cut) = path.strip_prefix("cut/").map_or((path, false), |path| (path, true));
            let (status, content) = match fs::read(directory.join(path)) {
                Ok(content) => ("200 OK", content),
                Err(_) => ("404 Not Found", Vec::new()),
            };
            let length = content.len();
            let sent = if is_cut { &content[..length / 2] } else { &content };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            // Errors only mean that the client hung up.
            let _ = reader.get_mut().write_all(&[head.as_bytes(), sent].concat());
        }
    });
    url
}

/// Returns all files of a directory and those below, as paths relative to it, sorted.
pub fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(place) = open.pop() {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            match entry.file_type().expect("a type").is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path().strip_prefix(directory).expect("below").display().to_string()),
            }
        }
    }
    found.sort();
    found
}

/// Returns the stdout of a command that succeeds, without the last newline.
#[track_caller]
pub fn said(ended: Ended) -> String {
    ended.expect(0).stdout.trim_end().to_owned()
}
