//! A machine without any programs, and fake installers that install fakes.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use super::{Stage, json, write_program};

/// The system programs that installer scripts and shells need.
const SYSTEM: [&str; 9] = ["sh", "bash", "ln", "cat", "mkdir", "stty", "sleep", "rm", "install"];

/// The model that is downloaded if none is configured.
pub const MODEL: &str = "glm-4.7-flash:latest";

/// The official install commands, as lclaude shows them.
pub const OLLAMA: &str = "curl -fsSL https://ollama.com/install.sh | sh";
pub const CLAUDE: &str = "curl -fsSL https://claude.ai/install.sh | bash";

impl Stage {
    /// Creates a stage with only a few system programs on PATH, whatever is installed on this machine.
    pub fn empty() -> Self {
        let mut stage = Self::bare();
        let system = stage.root().join("system");
        fs::create_dir(&system).expect("a directory");
        for program in SYSTEM {
            let places = ["/bin", "/usr/bin"].map(|place| Path::new(place).join(program));
            let place = places.iter().find(|place| place.exists()).expect("every system has this program");
            symlink(place, system.join(program)).expect("a link");
        }
        let path = format!("{}:{}", stage.bin().display(), system.display());
        stage.set("PATH", path).set("OLLAMA_HOST", "127.0.0.1:1");
        stage
    }

    /// Creates an empty stage that can install Ollama and Claude Code and download the default model.
    pub fn installable() -> Self {
        let mut stage = Self::empty();
        let models = stage.root().join("models.json");
        let text = json!([{"name": MODEL, "installed": false, "size": 1_000_000}]);
        fs::write(&models, text.to_string()).expect("a file");
        stage.set("FAKE_OLLAMA_MODELS", models.display());
        let ollama = stage.fake_package("fake-ollama", "ollama");
        let claude = stage.fake_package("fake-claude", "claude");
        stage.curl(&[("ollama.com/install.sh", &ollama), ("claude.ai/install.sh", &claude)]);
        // The default model is large.
        stage.ample_memory();
        stage
    }

    /// Carries out setup's task as the fake Claude Code; the real one uses its Bash tool.
    pub fn carry_out(&self) {
        let claude = self.events.next("claude");
        assert!(claude.argv.iter().any(|argument| argument == "--no-session-persistence"), "{:?}", claude.argv);
        fs::write(Path::new(&claude.cwd).join("proof.txt"), "").expect("a file");
        claude.send(json!({"do": "print", "text": json!({"result": "It is done."}).to_string()}));
        claude.send(json!({"do": "exit", "code": 0}));
    }

    /// Returns the directory of the installable programs.
    fn packages(&self) -> PathBuf {
        let packages = self.root().join("packages");
        fs::create_dir_all(&packages).expect("a directory");
        packages
    }

    /// Makes `program` installable as `name`, and returns the shell command that installs it.
    pub fn package(&self, program: &Path, name: &str) -> String {
        let package = self.packages().join(name);
        symlink(program, &package).expect("a link");
        format!("echo installing {name}; ln -s {} {}", package.display(), self.bin().join(name).display())
    }

    /// Makes a fake installable as `name`, and returns the shell command that installs it.
    pub fn fake_package(&self, fake: &str, name: &str) -> String {
        let package = self.packages().join(name);
        self.install(fake, &package);
        format!("echo installing {name}; ln -s {} {}", package.display(), self.bin().join(name).display())
    }

    /// Installs a `curl` that prints a script if the URL contains its word.
    pub fn curl(&self, scripts: &[(&str, &str)]) {
        let answers: String =
            scripts.iter().map(|(word, script)| format!("  *{word}*) echo '{script}' ;;\n")).collect();
        self.program("curl", &format!("case \"$*\" in\n{answers}  *) echo 'curl: (6)' >&2; exit 6 ;;\nesac"));
    }

    /// Installs a shell script that records its command line when it runs.
    pub fn program(&self, name: &str, script: &str) {
        let log = self.root().join("ran");
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", log.display());
        let place = self.bin().join(name);
        let _ = fs::remove_file(&place);
        write_program(&place, text);
    }

    /// Returns the command lines of the scripts that ran.
    pub fn ran(&self) -> String {
        fs::read_to_string(self.root().join("ran")).unwrap_or_default()
    }
}
