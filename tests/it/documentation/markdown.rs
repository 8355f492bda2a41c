//! What the tests of the documentation read in Markdown pages.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use support::{Stage, repository, write_program};
use toml::{Table, Value};

pub struct Page {
    pub path: PathBuf,
    pub text: String,
}

impl Page {
    pub fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page { path: path.canonicalize().expect("it exists"), text }
    }

    pub fn directory(&self) -> &Path {
        self.path.parent().expect("a file is in a directory")
    }

    pub fn name(&self) -> String {
        let root = repository().canonicalize().expect("it exists");
        self.path.strip_prefix(root).unwrap_or(&self.path).display().to_string()
    }

    /// The lines outside of code blocks, or with `language` those of each such block.
    fn split(&self, language: Option<&str>) -> Vec<String> {
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        let mut open: Option<(bool, String)> = None;
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(name), None) => open = Some((Some(name) == language, String::new())),
                (Some(_), Some((is_wanted, block))) => {
                    blocks.extend(is_wanted.then(|| std::mem::take(block)));
                    open = None;
                }
                (None, Some((_, block))) => block.extend([line, "\n"]),
                (None, None) => prose.extend([line, "\n"]),
            }
        }
        assert!(open.is_none(), "{}: a code block has no end", self.name());
        if language.is_some() { blocks } else { vec![prose] }
    }

    /// Returns the code blocks of this language.
    pub fn blocks(&self, language: &str) -> Vec<String> {
        self.split(Some(language))
    }

    fn prose(&self) -> String {
        self.split(None).concat()
    }

    /// Returns the texts in backticks, each on one line.
    pub fn inline_code(&self) -> Vec<String> {
        let prose = self.prose();
        let paragraphs = prose.split("\n\n");
        let code = paragraphs.flat_map(|paragraph| paragraph.split('`').skip(1).step_by(2));
        code.map(|code| code.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    /// Returns the targets of all links and images.
    pub fn links(&self) -> Vec<String> {
        let prose: String = self.prose().split('`').step_by(2).collect();
        let targets = prose.split("](").skip(1);
        targets.map(|rest| rest.split_once(')').expect("a link ends").0.to_owned()).collect()
    }

    /// Returns the names by which GitHub links the headings.
    pub fn anchors(&self) -> BTreeSet<String> {
        let prose = self.prose();
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        let anchor = |heading: &str| -> String {
            let kept = |c: char| c.is_alphanumeric() || " -_".contains(c);
            heading.trim_start_matches('#').trim().to_lowercase().replace(|c| !kept(c), "").replace(' ', "-")
        };
        let mut anchors = BTreeSet::new();
        for heading in headings {
            assert!(anchors.insert(anchor(heading)), "{}: two headings {heading:?}", self.name());
        }
        anchors
    }

    /// Returns the cells of all rows of tables.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let prose = self.prose();
        let rows = prose.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
        rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
    }
}

/// Returns the dotted names of all values. Those of a profile are named as outside of it.
pub fn keys(table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (name, value) in table {
        match value {
            Value::Table(profiles) if name == "profiles" => {
                found.extend(profiles.values().filter_map(Value::as_table).flat_map(keys));
            }
            Value::Table(inner) => found.extend(keys(inner).into_iter().map(|key| format!("{name}.{key}"))),
            _ => {
                found.insert(name.clone());
            }
        }
    }
    found
}

/// Runs scripts in a shell that finds no program but a stand-in for lclaude, and returns the arguments of each call.
pub fn lclaude_calls(stage: &Stage, scripts: &[String]) -> Vec<Vec<String>> {
    let (programs, calls) = (stage.root().join("only"), stage.root().join("calls"));
    fs::create_dir_all(&programs).expect("a directory");
    fs::write(&calls, "").expect("a file");
    let stand_in = programs.join("lclaude");
    if !stand_in.exists() {
        write_program(&stand_in, "#!/bin/sh\nprintf '%s\\0' \"$@\" >>\"$CALLS\"\nprintf '\\001' >>\"$CALLS\"\n");
    }
    let mut shell = stage.command("/bin/bash");
    shell.args(["-c", "for script; do (eval \"$script\"); done", "bash"]).args(scripts);
    shell.env("PATH", &programs).env("CALLS", &calls).stdin(Stdio::null());
    stage.ended(&mut shell);
    let calls = fs::read_to_string(&calls).expect("a file");
    let words = |call: &str| -> Vec<String> {
        let words = call.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>();
        // Without arguments, `printf` prints one empty word.
        if words == [""] { Vec::new() } else { words }
    };
    calls.split_terminator('\u{1}').map(words).collect()
}
