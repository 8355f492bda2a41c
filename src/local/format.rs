//! Formats environment variables for shells and for programs that read a file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{base::ui::single_quoted, cli::Format};

pub(crate) struct VariableChanges {
    pub set: BTreeMap<String, String>,
    /// Names to unset.
    pub removed: Vec<String>,
}

impl VariableChanges {
    /// Returns the variables in a format, without those whose names it doesn't support.
    pub(crate) fn render(&self, format: Format) -> String {
        let set = self.set.iter().filter(|(name, _)| is_supported(format, name));
        let removed = self.removed.iter().filter(|name| is_supported(format, name)).map(String::as_str);
        // Each line ends in `;`, because an unquoted `eval $(…)` joins the lines.
        match format {
            Format::Bash => {
                let set = set.map(|(name, value)| format!("export {name}={};\n", single_quoted(value)));
                let removed: Vec<&str> = removed.collect();
                let unset = (!removed.is_empty()).then(|| format!("unset {};\n", removed.join(" ")));
                set.chain(unset).collect()
            }
            Format::Fish => {
                let set = set.map(|(name, value)| format!("set -gx {name} {};\n", fish(value)));
                set.chain(removed.map(fish_unset)).collect()
            }
            Format::Json => {
                let set = set.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
                let all: Map<String, Value> = set.chain(removed.map(|name| (name.to_owned(), Value::Null))).collect();
                format!("{:#}\n", Value::Object(all))
            }
            Format::Dotenv => {
                let set = set.map(|(name, value)| format!("{name}={}\n", dotenv(value)));
                // The format can't unset a variable; Claude Code treats an empty one as unset.
                set.chain(removed.map(|name| format!("{name}=\n"))).collect()
            }
        }
    }

    /// Returns the names of variables that can't be set in this format.
    pub(crate) fn unsupported_names(&self, format: Format) -> Vec<&str> {
        self.set.keys().map(String::as_str).filter(|name| !is_supported(format, name)).collect()
    }
}

/// Returns whether a format supports a name. A shell could run a name that isn't an identifier as a command.
fn is_supported(format: Format, name: &str) -> bool {
    let is_identifier = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit());
    format == Format::Json || is_identifier
}

fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// Erases the global variable. A universal variable belongs to all of the user's shells, so an empty global one hides
/// it in this shell only.
fn fish_unset(name: &str) -> String {
    format!("set -eg {name}; set -qU {name}; and set -gx {name} '';\n")
}

/// Quotes a value with single quotes, which all readers take literally. A value with a single quote gets double
/// quotes, whose escapes differ between readers.
fn dotenv(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else if !value.contains('\'') {
        format!("'{value}'")
    } else {
        let escaped = value.replace('\\', r"\\").replace('"', "\\\"").replace('$', r"\$").replace('`', r"\`");
        format!("\"{escaped}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> VariableChanges {
        let set = [("A", "it's \\ $HOME"), ("B-C", "x"), ("D", "")];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        VariableChanges { set: set.into(), removed: vec!["OLD".into(), "x;rm".into()] }
    }

    #[test]
    fn each_format_quotes_values_its_own_way() {
        let render = |format| variables().render(format);
        assert_eq!(render(Format::Bash), "export A='it'\\''s \\ $HOME';\nexport D='';\nunset OLD;\n");
        assert_eq!(
            render(Format::Fish),
            "set -gx A 'it\\'s \\\\ $HOME';\nset -gx D '';\nset -eg OLD; set -qU OLD; and set -gx OLD '';\n"
        );
        assert_eq!(render(Format::Dotenv), "A=\"it's \\\\ \\$HOME\"\nD=''\nOLD=\n");
        let json: Value = serde_json::from_str(&render(Format::Json)).expect("JSON");
        assert_eq!(json, serde_json::json!({"A": "it's \\ $HOME", "B-C": "x", "D": "", "OLD": null, "x;rm": null}));
    }

    #[test]
    fn names_that_no_shell_supports_are_listed() {
        assert_eq!(variables().unsupported_names(Format::Bash), ["B-C"]);
        assert_eq!(variables().unsupported_names(Format::Json), [""; 0]);
    }
}
