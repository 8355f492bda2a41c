//! A machine on which nothing is installed, and installers that put fakes there.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Stage, write_program};

/// What an installer's script and the tests' shells need of the system.
const SYSTEM: [&str; 9] = ["sh", "bash", "ln", "cat", "mkdir", "stty", "sleep", "rm", "install"];

/// The official lines, as they are shown.
pub const OLLAMA: &str = "curl -fsSL https://ollama.com/install.sh | sh";
pub const CLAUDE: &str = "curl -fsSL https://claude.ai/install.sh | bash";

impl Stage {
    /// With nothing on PATH but a few of the system's own programs: what the machine that runs the tests has is not there.
    pub fn empty() -> Self {
        let mut stage = Self::bare();
        let system = stage.root().join("system");
        fs::create_dir(&system).expect("a directory");
        for program in SYSTEM {
            let places = ["/bin", "/usr/bin"].map(|place| Path::new(place).join(program));
            let place = places.iter().find(|place| place.exists()).expect("every system has it");
            symlink(place, system.join(program)).expect("a link");
        }
        let path = format!("{}:{}", stage.bin().display(), system.display());
        stage.set("PATH", path).set("OLLAMA_HOST", "127.0.0.1:1");
        stage
    }

    /// Where the programs are that an installer installs.
    fn packages(&self) -> PathBuf {
        let packages = self.root().join("packages");
        fs::create_dir_all(&packages).expect("a directory");
        packages
    }

    /// Makes `program` something that can be installed as `name`, and gives the line of a script that does.
    pub fn package(&self, program: &Path, name: &str) -> String {
        let package = self.packages().join(name);
        symlink(program, &package).expect("a link");
        format!("echo installing {name}; ln -s {} {}", package.display(), self.bin().join(name).display())
    }

    /// The same for a fake.
    pub fn fake_package(&self, fake: &str, name: &str) -> String {
        let package = self.packages().join(name);
        self.install(fake, &package);
        format!("echo installing {name}; ln -s {} {}", package.display(), self.bin().join(name).display())
    }

    /// A `curl` that answers for each of these words in an address with a script.
    pub fn curl(&self, scripts: &[(&str, &str)]) {
        let answers: String =
            scripts.iter().map(|(word, script)| format!("  *{word}*) echo '{script}' ;;\n")).collect();
        self.program("curl", &format!("case \"$*\" in\n{answers}  *) echo 'curl: (6)' >&2; exit 6 ;;\nesac"));
    }

    /// Any other program of the machine's, as a shell script that writes down that it was run.
    pub fn program(&self, name: &str, script: &str) {
        let log = self.root().join("ran");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", log.display());
        let place = self.bin().join(name);
        let _ = fs::remove_file(&place);
        write_program(&place, text.as_bytes());
    }

    /// The command lines of those that were run.
    pub fn ran(&self) -> String {
        fs::read_to_string(self.root().join("ran")).unwrap_or_default()
    }
}
