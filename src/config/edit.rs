//! Changes single keys of a configuration file and preserves its comments, order and formatting.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Item, TomlError, Value};

use crate::base::{
    disk,
    error::{Code, Failure, Result},
    ui,
};

/// The byte order mark.
const BOM: char = '\u{feff}';

/// A change to one file that is not written yet.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub file: PathBuf,
    /// Whether it replaces an existing value.
    pub changes: bool,
    text: String,
    /// The diff shown to the user: `+ key = value`, and `- key = value` for a replaced value.
    lines: Vec<String>,
}

impl Edit {
    /// Returns the change that gives `file` these top-level values, or `None` if it already has them.
    ///
    /// # Errors
    /// `Config` if the file can't be read.
    pub(crate) fn new<'a>(file: &Path, wanted: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Option<Self>> {
        let failed = |why: String| {
            Failure::new(Code::Config, format!("{} cannot be read", file.display()))
                .cause(why)
                .help(format!("ls -l {}", ui::quote_path(file)))
        };
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| failed(error.to_string()))?,
        };
        let edit = edit(file, &text, wanted).map_err(|error| failed(error.to_string()))?;
        Ok(Some(edit).filter(|edit| !edit.lines.is_empty()))
    }

    /// Writes the change atomically.
    ///
    /// # Errors
    /// `Config` if the file can't be written.
    pub(crate) fn write(&self) -> Result<()> {
        self.replace().map_err(|error| {
            let lines = self.lines.iter().filter_map(|line| line.strip_prefix("+ "));
            let failure = Failure::new(Code::Config, format!("{} cannot be written", self.file.display())).cause(error);
            failure.help(format!("add these lines to it: {}", lines.collect::<Vec<_>>().join("; ")))
        })
    }

    fn replace(&self) -> io::Result<()> {
        let file = resolve_links(&self.file);
        fs::create_dir_all(file.parent().ok_or(io::ErrorKind::NotFound)?)?;
        disk::replace(&file, self.text.as_bytes())
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.iter().map(ui::one_line).collect::<Vec<_>>().join("\n"))
    }
}

fn edit<'a>(file: &Path, text: &str, wanted: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Edit, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let (mut lines, mut changes) = (Vec::new(), false);
    for (key, value) in wanted {
        match document.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) if is_equal(old, &value) => {}
            Some(old) => {
                lines.push(format!("- {key} = {}", without_decor(old)));
                lines.push(format!("+ {key} = {}", without_decor(&value)));
                changes = true;
                set_value(&mut document, key, value);
            }
            None => {
                lines.push(format!("+ {key} = {}", without_decor(&value)));
                set_value(&mut document, key, value);
            }
        }
    }
    Ok(Edit { file: file.to_owned(), changes, text: render(document, text), lines })
}

/// Returns the document as text, with the line endings and byte order mark of `before`, its original text.
pub(crate) fn render(mut document: DocumentMut, before: &str) -> String {
    if before.parse().is_ok_and(|before: DocumentMut| before.is_empty()) && !document.is_empty() {
        // toml_edit puts new keys above the comments of a file that has no keys yet.
        let comments = document.trailing().as_str().unwrap_or_default().to_owned();
        document.set_trailing("");
        if let Some((mut key, _)) = document.iter_mut().next() {
            key.leaf_decor_mut().set_prefix(comments);
        }
    }
    let mut text = document.to_string();
    if before.contains("\r\n") {
        text = text.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    // The parser drops the byte order mark that Windows editors add.
    if before.starts_with(BOM) && !text.starts_with(BOM) {
        text.insert(0, BOM);
    }
    text
}

/// Sets a top-level value. An existing one keeps its place and its comment.
pub(crate) fn set_value(document: &mut DocumentMut, key: &str, mut new: Value) {
    match document.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => document[key] = Item::Value(new),
    }
}

/// Returns whether two strings or integers are equal, however they are written.
fn is_equal(one: &Value, other: &Value) -> bool {
    (one.as_str(), one.as_integer()) == (other.as_str(), other.as_integer())
}

/// Returns the value without surrounding spaces and comments.
fn without_decor(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

/// Returns the target of symlinks, so that writing doesn't replace a link with a file.
fn resolve_links(file: &Path) -> PathBuf {
    let beside = |target: PathBuf| file.parent().map_or_else(|| target.clone(), |parent| parent.join(&target));
    // The target of a link may not exist yet.
    fs::canonicalize(file).or_else(|_| fs::read_link(file).map(beside)).unwrap_or_else(|_| file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str, wanted: &[(&'static str, &str)]) -> Edit {
        let wanted = wanted.iter().map(|(key, value)| (*key, Value::from(*value)));
        edit(Path::new("config.toml"), text, wanted).expect("the test's own TOML")
    }

    #[test]
    fn new_keys_leave_the_rest_of_the_file_unchanged() {
        let before = "# mine\nlean = true # small machine\n\n# tuned\n[llamacpp]\nthreads = 4\n";
        let edit = edited(before, &[("backend", "llamacpp"), ("model", "x")]);
        assert_eq!(
            edit.text,
            "# mine\nlean = true # small machine\nbackend = \"llamacpp\"\nmodel = \"x\"\n\n# tuned\n[llamacpp]\nthreads = 4\n"
        );
        assert_eq!((edit.to_string().as_str(), edit.changes), ("+ backend = \"llamacpp\"\n+ model = \"x\"", false));
    }

    #[test]
    fn replaced_value_keeps_its_place_and_comment() {
        let edit =
            edited("model = 'a'   # the small one\nbackend = 'ollama'\n", &[("backend", "ollama"), ("model", "b")]);
        assert_eq!(edit.text, "model = \"b\"   # the small one\nbackend = 'ollama'\n");
        assert_eq!((edit.to_string().as_str(), edit.changes), ("- model = 'a'\n+ model = \"b\"", true));
    }

    #[test]
    fn comments_stay_on_top_in_a_file_without_keys() {
        assert_eq!(edited("# all defaults\n", &[("model", "x")]).text, "# all defaults\nmodel = \"x\"\n");
    }

    #[test]
    fn windows_line_endings_and_bom_are_preserved() {
        let edit = edited("\u{feff}# mine\r\nmodel = 'a'\r\n", &[("model", "b"), ("backend", "c")]);
        assert_eq!(edit.text, "\u{feff}# mine\r\nmodel = \"b\"\r\nbackend = \"c\"\r\n");
    }
}
