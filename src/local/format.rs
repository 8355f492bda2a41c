//! Variables written down for whoever is to have them: a shell, or a program that reads a file.

use crate::cli::Format;
use serde_json::{Map, Value};

pub struct Variables {
    pub set: std::collections::BTreeMap<String, String>,
    /// To be taken away.
    pub removed: Vec<String>,
}

impl Variables {
    pub fn written(&self, format: Format) -> String {
        let set = self.set.iter().filter(|(name, _)| can_have(format, name));
        let removed = self.removed.iter().filter(|name| can_have(format, name)).map(String::as_str);
        // A `;` at the end of each, for an `eval` that joins the lines.
        match format {
            Format::Bash => {
                let set = set.map(|(name, value)| format!("export {name}={};\n", posix(value)));
                let removed: Vec<&str> = removed.collect();
                let unset = (!removed.is_empty()).then(|| format!("unset {};\n", removed.join(" ")));
                set.chain(unset).collect()
            }
            Format::Fish => {
                let set = set.map(|(name, value)| format!("set -gx {name} {};\n", fish(value)));
                set.chain(removed.map(fish_removes)).collect()
            }
            Format::Json => {
                let set = set.map(|(name, value)| (name.clone(), Value::from(value.as_str())));
                let all: Map<String, Value> = set.chain(removed.map(|name| (name.to_owned(), Value::Null))).collect();
                format!("{:#}\n", Value::Object(all))
            }
            Format::Dotenv => {
                let set = set.map(|(name, value)| format!("{name}={}\n", dotenv(value)));
                // It knows no removal; Claude Code takes an empty variable for none.
                set.chain(removed.map(|name| format!("{name}=\n"))).collect()
            }
        }
    }

    /// Names that are set and that this format cannot have.
    pub fn left_out(&self, format: Format) -> Vec<&str> {
        self.set.keys().map(String::as_str).filter(|name| !can_have(format, name)).collect()
    }
}

/// A name that is no identifier would be something else to a shell, a command perhaps.
fn can_have(format: Format, name: &str) -> bool {
    let is_identifier = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit());
    format == Format::Json || is_identifier
}

/// For every shell of the Bourne family.
fn posix(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

/// Only the global one: a universal variable is the user's for good, and an empty one hides it in this shell alone.
fn fish_removes(name: &str) -> String {
    format!("set -eg {name}; set -qU {name}; and set -gx {name} '';\n")
}

/// Between single quotes every reader takes all as it is. Only where there is one inside, double ones are used, about whose
/// escapes the readers differ.
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

    fn variables() -> Variables {
        let set = [("A", "it's \\ $HOME"), ("B-C", "x"), ("D", "")];
        let set = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Variables { set: set.into(), removed: vec!["OLD".into(), "x;rm".into()] }
    }

    #[test]
    fn each_format_has_its_own_quotes() {
        let written = |format| variables().written(format);
        assert_eq!(written(Format::Bash), "export A='it'\\''s \\ $HOME';\nexport D='';\nunset OLD;\n");
        assert_eq!(
            written(Format::Fish),
            "set -gx A 'it\\'s \\\\ $HOME';\nset -gx D '';\nset -eg OLD; set -qU OLD; and set -gx OLD '';\n"
        );
        assert_eq!(written(Format::Dotenv), "A=\"it's \\\\ \\$HOME\"\nD=''\nOLD=\n");
        let json: Value = serde_json::from_str(&written(Format::Json)).expect("JSON");
        assert_eq!(json, serde_json::json!({"A": "it's \\ $HOME", "B-C": "x", "D": "", "OLD": null, "x;rm": null}));
    }

    #[test]
    fn what_no_shell_can_have_is_known() {
        assert_eq!(variables().left_out(Format::Bash), ["B-C"]);
        assert_eq!(variables().left_out(Format::Json), [""; 0]);
    }
}
