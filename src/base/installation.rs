//! How this lclaude was installed, and the command that upgrades it.
//!
//! Every package has a file `share/lclaude/installed-by` beside the shell hooks, with one word; `shell/install.sh` writes
//! it. A distribution can put its own name in it. `cargo install` installs the program alone, and is known by the place.

use std::{
    env, fs,
    io::Read,
    path::{Path, PathBuf},
};

use super::{disk, ui, variables::Variables};

/// The file with the word, relative to the prefix.
const FILE: &str = "share/lclaude/installed-by";
/// The longest word, in bytes.
const MAX_WORD: usize = 32;
/// The address of the repository that released this program, such as `https://github.com/OWNER/lclaude`.
/// A release sets the variable for its programs, and `repository` in the published `Cargo.toml`. A checkout has neither.
const REPOSITORY: Option<&str> = match (option_env!("LCLAUDE_REPOSITORY"), option_env!("CARGO_PKG_REPOSITORY")) {
    (None, Some(published)) if !published.is_empty() => Some(published),
    (released, _) => released,
};
/// The list of files that `shell/place.sh` writes, relative to the prefix. An archive that was unpacked by hand has none.
const LEDGER: &str = "share/lclaude/installed";

/// How and where this program was installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    word: String,
    /// The directory that has `bin/lclaude`.
    prefix: PathBuf,
}

impl Installation {
    /// Returns how this program was installed, or `None` if nothing tells.
    pub(crate) fn find(variables: &Variables) -> Option<Self> {
        // Homebrew's program is a link, which macOS doesn't resolve.
        let program = fs::canonicalize(env::current_exe().ok()?).ok()?;
        Self::of(&program, variables)
    }

    fn of(program: &Path, variables: &Variables) -> Option<Self> {
        let directory = program.parent()?;
        let prefix = directory.parent()?;
        let word = match read_word(&prefix.join(FILE)) {
            Some(word) => word,
            None => {
                let cargo = variables.path("CARGO_HOME").or_else(|| Some(variables.path("HOME")?.join(".cargo")))?;
                let is_cargos = fs::canonicalize(cargo.join("bin")).is_ok_and(|bin| bin == directory);
                is_cargos.then(|| "cargo".to_owned())?
            }
        };
        Some(Installation { word, prefix: prefix.to_owned() })
    }

    /// Returns how it was installed, such as "installed by npm".
    pub(crate) fn describe(&self) -> String {
        match &*self.word {
            "archive" => "installed from an archive".into(),
            "deb" => "installed from a .deb package".into(),
            "homebrew" => "installed by Homebrew".into(),
            "rpm" => "installed from an .rpm package".into(),
            "source" => "installed from source".into(),
            word => format!("installed by {word}"),
        }
    }

    /// Returns what to do to upgrade it, mostly a command, or `None` if only its distribution knows.
    pub(crate) fn upgrade(&self, variables: &Variables) -> Option<String> {
        let is_default = variables.path("HOME").is_some_and(|home| {
            let prefix = home.join(".local");
            prefix == self.prefix || fs::canonicalize(prefix).is_ok_and(|prefix| prefix == self.prefix)
        });
        let prefix = if is_default { String::new() } else { format!(" --prefix {}", ui::quote_path(&self.prefix)) };
        Some(match &*self.word {
            "archive" if !self.prefix.join(LEDGER).exists() => format!("unpack the newer archive{}", from_releases()),
            "archive" => match REPOSITORY {
                Some(repository) => {
                    let options = if is_default { String::new() } else { format!(" -s --{prefix}") };
                    format!(
                        "curl --proto '=https' --tlsv1.2 -LsSf {repository}/releases/latest/download/lclaude-install.sh \
                         | sh{options}"
                    )
                }
                None => format!("sh lclaude-install.sh{prefix}"),
            },
            "cargo" if REPOSITORY.is_some() => "cargo install lclaude".into(),
            "cargo" => "git pull && cargo install --path .".into(),
            "deb" => format!("download the new package{}, then sudo apt install ./lclaude_*.deb", from_releases()),
            "homebrew" => "brew upgrade lclaude".into(),
            "npm" => "npm install -g lclaude@latest".into(),
            "rpm" => format!(
                "download the new package{}, then sudo dnf install --no-gpgchecks ./lclaude-*.rpm",
                from_releases()
            ),
            "source" => format!("git pull && ./shell/install.sh{prefix}"),
            _ => return None,
        })
    }
}

/// Returns where the files of the newest release are, such as " from https://…", or nothing if that is unknown.
fn from_releases() -> String {
    REPOSITORY.map(|repository| format!(" from {repository}/releases/latest")).unwrap_or_default()
}

/// Returns the word in a file, or `None` if there is no such file or it contains something else.
fn read_word(file: &Path) -> Option<String> {
    let mut bytes = Vec::with_capacity(MAX_WORD + 2);
    disk::open(file).ok()?.take(MAX_WORD as u64 + 2).read_to_end(&mut bytes).ok()?;
    let word = str::from_utf8(&bytes).ok()?.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    (!word.is_empty() && word.len() <= MAX_WORD && word.chars().all(is_plain)).then(|| word.to_owned())
}
