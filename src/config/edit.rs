//! Changing single keys of a configuration file. What the user wrote there, comments and order, stays as it is.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{DocumentMut, Item, TomlError, Value};

use crate::base::{
    disk,
    error::{Code, Failure, Result},
};

/// The byte order mark.
const MARK: char = '\u{feff}';

/// A change of one file, before it is made.
#[derive(Debug, Clone)]
pub struct Edit {
    pub file: PathBuf,
    /// Whether a value that is there is replaced.
    pub changes: bool,
    text: String,
    /// As they are shown: `+ key = value`, and `- key = value` for what is replaced.
    lines: Vec<String>,
}

impl Edit {
    /// What it takes for `file` to have these values at its top level; `None` if it has them.
    ///
    /// # Errors
    /// `Config` for a file that cannot be read.
    pub fn new<'a>(file: &Path, wanted: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Option<Self>> {
        let failed = |why: String| {
            Failure::new(Code::Config, format!("{} cannot be read", file.display()))
                .why(why)
                .help(format!("ls -l {}", file.display()))
        };
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|error| failed(error.to_string()))?,
        };
        let edit = edit(file, &text, wanted).map_err(|error| failed(error.to_string()))?;
        Ok(Some(edit).filter(|edit| !edit.lines.is_empty()))
    }

    /// Makes it, in one step: nobody ever reads half a file.
    ///
    /// # Errors
    /// `Config`.
    pub fn write(&self) -> Result<()> {
        self.replace().map_err(|error| {
            let lines = self.lines.iter().filter_map(|line| line.strip_prefix("+ "));
            let failure = Failure::new(Code::Config, format!("{} cannot be written", self.file.display())).why(error);
            failure.help(format!("write these lines into it: {}", lines.collect::<Vec<_>>().join("; ")))
        })
    }

    fn replace(&self) -> io::Result<()> {
        let file = behind_links(&self.file);
        fs::create_dir_all(file.parent().ok_or(io::ErrorKind::NotFound)?)?;
        disk::replace(&file, self.text.as_bytes())
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

fn edit<'a>(file: &Path, text: &str, wanted: impl IntoIterator<Item = (&'a str, Value)>) -> Result<Edit, TomlError> {
    let mut document: DocumentMut = text.parse()?;
    let (mut lines, mut changes) = (Vec::new(), false);
    for (key, value) in wanted {
        match document.get_mut(key).and_then(Item::as_value_mut) {
            Some(old) if is_same(old, &value) => {}
            Some(old) => {
                lines.push(format!("- {key} = {}", plain(old)));
                lines.push(format!("+ {key} = {}", plain(&value)));
                changes = true;
                set(&mut document, key, value);
            }
            None => {
                lines.push(format!("+ {key} = {}", plain(&value)));
                set(&mut document, key, value);
            }
        }
    }
    Ok(Edit { file: file.to_owned(), changes, text: written(document, text), lines })
}

/// The document as text, in the manner of the text that it was read from.
pub fn written(mut document: DocumentMut, before: &str) -> String {
    if before.parse().is_ok_and(|before: DocumentMut| before.is_empty()) && !document.is_empty() {
        // A file of comments alone keeps them on top.
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
    // Which the parser leaves out, as Windows' editors put it in.
    if before.starts_with(MARK) && !text.starts_with(MARK) {
        text.insert(0, MARK);
    }
    text
}

/// In the place of an old value, with the comment beside it.
pub fn set(document: &mut DocumentMut, key: &str, mut new: Value) {
    match document.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => document[key] = Item::Value(new),
    }
}

/// However it is quoted.
fn is_same(one: &Value, other: &Value) -> bool {
    (one.as_str(), one.as_integer()) == (other.as_str(), other.as_integer())
}

/// A value without the spaces and comments around it.
fn plain(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

/// Where the file really is, so that a link to it stays one.
fn behind_links(file: &Path) -> PathBuf {
    let beside = |target: PathBuf| file.parent().map_or_else(|| target.clone(), |parent| parent.join(&target));
    // What a link leads to may not be there yet.
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
    fn keys_are_added_and_everything_else_stays() {
        let before = "# mine\nlean = true # small machine\n\n# tuned\n[llamacpp]\nthreads = 4\n";
        let edit = edited(before, &[("backend", "llamacpp"), ("model", "x")]);
        assert_eq!(
            edit.text,
            "# mine\nlean = true # small machine\nbackend = \"llamacpp\"\nmodel = \"x\"\n\n# tuned\n[llamacpp]\nthreads = 4\n"
        );
        assert_eq!((edit.to_string().as_str(), edit.changes), ("+ backend = \"llamacpp\"\n+ model = \"x\"", false));
    }

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        let edit =
            edited("model = 'a'   # the small one\nbackend = 'ollama'\n", &[("backend", "ollama"), ("model", "b")]);
        assert_eq!(edit.text, "model = \"b\"   # the small one\nbackend = 'ollama'\n");
        assert_eq!((edit.to_string().as_str(), edit.changes), ("- model = 'a'\n+ model = \"b\"", true));
    }

    #[test]
    fn comments_alone_stay_on_top() {
        assert_eq!(edited("# all defaults\n", &[("model", "x")]).text, "# all defaults\nmodel = \"x\"\n");
    }

    #[test]
    fn a_file_of_windows_stays_one() {
        let edit = edited("\u{feff}# mine\r\nmodel = 'a'\r\n", &[("model", "b"), ("backend", "c")]);
        assert_eq!(edit.text, "\u{feff}# mine\r\nmodel = \"b\"\r\nbackend = \"c\"\r\n");
    }
}
