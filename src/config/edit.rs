//! Changes single keys of a configuration file and preserves its comments, order and formatting.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use toml_edit::{Document, DocumentMut, InlineTable, Item, Key, Table, TableLike, TomlError, Value};

use super::keys::{is_secret, quote_key};
use crate::base::{
    disk,
    error::{Code, Failure, Result},
    ui::{self, MASKED},
};

/// The byte order mark.
const BOM: char = '\u{feff}';

/// A change to one file that is not written yet.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub file: PathBuf,
    /// Whether it replaces or removes an existing value.
    pub changes: bool,
    /// The new content.
    pub text: String,
    /// The diff shown to the user: `+ key = value`, and `- key = value` for a replaced value.
    lines: Vec<String>,
}

impl Edit {
    /// Returns the change of `text`, the content of `file`. A key without a value is removed.
    ///
    /// # Errors
    /// `Config` if the text is not TOML, or if a key is below one that is not a table.
    pub(crate) fn of<'a>(
        file: &Path,
        text: &str,
        wanted: impl IntoIterator<Item = (&'a str, Option<Value>)>,
    ) -> Result<Self> {
        let mut edit = Edit { file: file.to_owned(), changes: false, text: text.to_owned(), lines: Vec::new() };
        for (key, value) in wanted {
            let changed = match value {
                Some(value) => edit.set(key, value),
                None => edit.remove(key),
            };
            changed.map_err(|why| {
                Failure::new(Code::Config, format!("{} cannot be edited", file.display()))
                    .cause(why)
                    .help(format!("${{EDITOR:-vi}} {}", ui::quote_path(file)))
            })?;
        }
        Ok(edit)
    }

    /// Returns whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        let mut document = parse(&self.text)?;
        let path = Key::parse(key).map_err(|error| error.to_string())?;
        let (name, tables) = path.split_last().ok_or("the key is empty")?;
        let is_first = document.is_empty();
        let parent = tables.iter().enumerate().try_fold(document.as_item_mut(), |item, (at, table)| {
            let is_inline = item.is_inline_table();
            let parent = item.as_table_like_mut()?;
            let new = || match is_inline {
                true => Item::Value(InlineTable::new().into()),
                false => Item::Table(new_table(at + 1 < tables.len(), is_first)),
            };
            Some(parent.entry_format(table).or_insert_with(new))
        });
        let parent =
            parent.and_then(Item::as_table_like_mut).ok_or(format!("{key} is below a key that is not a table"))?;
        match parent.get_mut(name).map(|old| old.as_value().cloned().ok_or(old)) {
            Some(Ok(old)) if is_equal(&old, &value) => return Ok(()),
            Some(Ok(old)) => {
                self.lines.push(format!("- {}", shown(key, &old)));
                self.changes = true;
            }
            Some(Err(_)) => return Err(format!("{key} is a table")),
            None => {}
        }
        self.lines.push(format!("+ {}", shown(key, &value)));
        set_value(parent, name, value);
        self.text = render(document, &self.text);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<(), String> {
        let mut document = parse(&self.text)?;
        let path = Key::parse(key).map_err(|error| error.to_string())?;
        let (name, tables) = path.split_last().ok_or("the key is empty")?;
        let parent = tables.iter().try_fold(document.as_item_mut(), |item, table| item.get_mut(table.get()));
        let is_inline = parent.as_ref().is_some_and(|parent| parent.is_inline_table());
        let Some(parent) = parent.and_then(Item::as_table_like_mut) else {
            return Ok(());
        };
        let Some(removed) = parent.remove(name) else {
            return Ok(());
        };
        self.lines.extend(removed_lines(key, &removed));
        self.changes = true;
        self.text = match &removed {
            // toml_edit would also remove the comment above the key.
            Item::Value(_) if !is_inline => cut(&self.text, tables, name).ok_or("the key was not found")?,
            _ => render(document, &self.text),
        };
        Ok(())
    }

    /// Writes the change atomically.
    ///
    /// # Errors
    /// `Config` if the file can't be written.
    pub(crate) fn write(&self) -> Result<()> {
        self.replace().map_err(|error| {
            let lines = self.lines.iter().filter_map(|line| line.strip_prefix("+ "));
            let failure = Failure::new(Code::Config, format!("{} cannot be written", self.file.display())).cause(error);
            match self.lines.iter().any(|line| line.starts_with('+')) {
                true => failure.help(format!("add these lines to it: {}", lines.collect::<Vec<_>>().join("; "))),
                false => failure.help(format!("${{EDITOR:-vi}} {}", ui::quote_path(&self.file))),
            }
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

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse().map_err(|error: TomlError| error.to_string())
}

/// Returns a new table, with an empty line above it if it isn't the first one.
///
/// `is_implicit`: whether its header is left out, since it only has tables.
fn new_table(is_implicit: bool, is_first: bool) -> Table {
    let mut table = Table::new();
    table.set_implicit(is_implicit);
    if !is_first {
        table.decor_mut().set_prefix("\n");
    }
    table
}

/// Returns the text without the lines of a value, or `None` if it isn't found. Comments above it stay.
fn cut(text: &str, tables: &[Key], name: &Key) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let parent = tables.iter().try_fold(document.as_item(), |item, table| item.get(table.get()))?;
    let (key, value) = parent.as_table_like()?.get_key_value(name.get())?;
    let start = text[..key.span()?.start].rfind('\n').map_or(0, |at| at + 1);
    let end = value.span()?.end;
    let end = text[end..].find('\n').map_or(text.len(), |at| end + at + 1);
    Some(format!("{}{}", &text[..start], &text[end..]))
}

fn removed_lines(key: &str, removed: &Item) -> Vec<String> {
    match removed.as_table_like() {
        Some(table) => {
            table.iter().flat_map(|(name, item)| removed_lines(&format!("{key}.{}", quote_key(name)), item)).collect()
        }
        None => removed.as_value().map(|value| format!("- {}", shown(key, value))).into_iter().collect(),
    }
}

/// Returns `key = value` on one line, without a secret value.
fn shown(key: &str, value: &Value) -> String {
    match is_secret(key) {
        true => format!("{key} = {MASKED}"),
        false => format!("{key} = {}", without_decor(value)),
    }
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

/// Sets a value of a table. An existing one keeps its place and its comment.
pub(crate) fn set_value(table: &mut dyn TableLike, key: &Key, mut new: Value) {
    match table.get_mut(key.get()).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            new.decor_mut().clear();
            table.entry_format(key).or_insert(Item::Value(new));
        }
    }
}

/// Returns whether two values are equal, however strings and integers are written.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.value() == other.value(),
        (Value::Integer(one), Value::Integer(other)) => one.value() == other.value(),
        _ => without_decor(one) == without_decor(other),
    }
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
        let wanted = wanted.iter().map(|(key, value)| (*key, Some(Value::from(*value))));
        Edit::of(Path::new("config.toml"), text, wanted).expect("the test's own TOML")
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
    const TABLES: &str = "\
# mine
backend = 'llamacpp' # always

# tuned
[llamacpp]
# physical cores
threads = 4 # of 8
args = [
    '--no-mmap',
]

[profiles.big]
model = 'x'
claude = { args = [] }
";

    #[test]
    fn keys_of_tables_are_added_to_their_table() {
        for (key, lines) in [
            ("llamacpp.hf", &[("]\n\n[profiles", "]\nhf = \"v\"\n\n[profiles")][..]),
            ("llamacpp.threads", &[("threads = 4 # of 8", "threads = \"v\" # of 8")]),
            ("profiles.big.claude.path", &[("{ args = [] }", "{ args = [] , path = \"v\" }")]),
            ("profiles.big.backend", &[("claude = { args = [] }\n", "claude = { args = [] }\nbackend = \"v\"\n")]),
            ("ollama.host", &[("args = [] }\n", "args = [] }\n\n[ollama]\nhost = \"v\"\n")]),
            ("profiles.small.model", &[("args = [] }\n", "args = [] }\n\n[profiles.small]\nmodel = \"v\"\n")]),
            ("profiles.\"a.b\".model", &[("args = [] }\n", "args = [] }\n\n[profiles.\"a.b\"]\nmodel = \"v\"\n")]),
        ] {
            let expected = lines.iter().fold(TABLES.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
            assert_eq!(edited(TABLES, &[(key, "v")]).text, expected, "{key}");
        }
        assert_eq!(edited("", &[("ollama.host", "v")]).text, "[ollama]\nhost = \"v\"\n");
        assert_eq!(edited("# mine\n", &[("ollama.host", "v")]).text, "# mine\n[ollama]\nhost = \"v\"\n");
    }

    #[test]
    fn removed_key_leaves_comments_above_it() {
        let without = |text: &str, key| {
            let edit = Edit::of(Path::new("config.toml"), text, [(key, None)]).expect("the test's own TOML");
            assert_ne!(edit.is_empty(), edit.changes);
            (edit.to_string(), edit.text)
        };
        for (key, line, cut) in [
            ("backend", "- backend = 'llamacpp'", "backend = 'llamacpp' # always\n"),
            ("llamacpp.threads", "- llamacpp.threads = 4", "threads = 4 # of 8\n"),
            ("llamacpp.args", "- llamacpp.args = [\\n    '--no-mmap',\\n]", "args = [\n    '--no-mmap',\n]\n"),
        ] {
            assert_eq!(without(TABLES, key), (line.into(), TABLES.replacen(cut, "", 1)), "{key}");
        }
        let (_, text) = without(TABLES, "profiles.big.claude.args");
        assert_eq!(text, TABLES.replacen("{ args = [] }", "{}", 1));
        let (lines, text) = without(TABLES, "profiles.big");
        assert_eq!(lines, "- profiles.big.model = 'x'\n- profiles.big.claude.args = []");
        assert_eq!(text, TABLES[..TABLES.find("\n[profiles").expect("a table")]);
        assert_eq!(without("a.b = 1\na.c = 2\n", "a.c").1, "a.b = 1\n");
        assert_eq!(without(TABLES, "model"), (String::new(), TABLES.into()));
        assert_eq!(without(TABLES, "model.x"), (String::new(), TABLES.into()));
    }

    #[test]
    fn secrets_are_masked_in_the_diff() {
        let text = "[claude.env]\nA = 'secret'\n";
        let edit = edited(text, &[("claude.env.A", "other"), ("endpoint.headers.X", "third"), ("endpoint.url", "u")]);
        let lines = edit.to_string();
        assert!(edit.text.contains("other") && edit.text.contains("third"), "{}", edit.text);
        assert!(!lines.contains("secret") && !lines.contains("other") && !lines.contains("third"), "{lines}");
        assert!(lines.ends_with("+ endpoint.url = \"u\""), "{lines}");
    }

    #[test]
    fn values_of_other_types_are_compared() {
        let set = |text: &str, value: Value| {
            let wanted = [("a.b", Some(value))];
            Edit::of(Path::new("config.toml"), text, wanted).map(|edit| edit.text)
        };
        assert_eq!(set("a.b = true\n", false.into()).as_deref(), Ok("a.b = false\n"));
        assert_eq!(set("a.b = true\n", true.into()).as_deref(), Ok("a.b = true\n"));
        assert!(set("a = 1\n", true.into()).is_err());
        assert!(set("[a.b]\nc = 1\n", true.into()).is_err());
        assert!(set("a = [\n", true.into()).is_err());
    }
}
