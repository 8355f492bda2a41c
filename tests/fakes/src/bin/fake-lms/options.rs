//! Parses a command line like commander.js, with its error messages.

use std::collections::BTreeMap;

/// An option of one command: `-p, --port <port>`, or without the value.
pub struct Opt {
    pub flags: &'static str,
    /// Returns the error for an invalid value.
    pub check: fn(&str) -> Option<String>,
}

pub const fn opt(flags: &'static str) -> Opt {
    Opt { flags, check: |_| None }
}

pub const fn checked(flags: &'static str, check: fn(&str) -> Option<String>) -> Opt {
    Opt { flags, check }
}

impl Opt {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.flags.split(", ").filter_map(|flag| flag.split(' ').next())
    }

    fn long(&self) -> &'static str {
        self.names().last().unwrap_or_default()
    }

    fn takes_value(&self) -> bool {
        self.flags.ends_with('>')
    }
}

/// Options that every command has.
const LOGGING: [Opt; 3] = [checked("--log-level <level>", level), opt("--quiet"), opt("--verbose")];

#[derive(Debug, Default, PartialEq)]
pub struct Options {
    values: BTreeMap<&'static str, String>,
    pub operands: Vec<String>,
}

impl Options {
    pub fn has(&self, long: &str) -> bool {
        self.values.contains_key(long)
    }

    pub fn text(&self, long: &str) -> Option<&str> {
        self.values.get(long).map(String::as_str)
    }

    /// Returns a number that was already validated.
    pub fn number(&self, long: &str) -> Option<u32> {
        self.text(long).map(|text| text.parse().unwrap_or_else(|_| panic!("{long} {text} is checked")))
    }

    /// Parses the arguments of the command `name` with these options and at most this many operands.
    pub fn parse(name: &str, known: &'static [Opt], most: usize, arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            if !argument.starts_with('-') || argument == "-" {
                options.operands.push(argument.clone());
                continue;
            }
            let (flag, value) = split(argument);
            let Some(option) = known.iter().chain(&LOGGING).find(|option| option.names().any(|name| name == flag))
            else {
                return Err(format!("error: unknown option '{argument}'"));
            };
            if !option.takes_value() {
                if value.is_some() {
                    return Err(format!("error: unknown option '{argument}'"));
                }
                options.values.insert(option.long(), String::new());
                continue;
            }
            let Some(value) = value.map(str::to_owned).or_else(|| arguments.next().cloned()) else {
                return Err(format!("error: option '{}' argument missing", option.flags));
            };
            if let Some(why) = (option.check)(&value) {
                return Err(format!("error: option '{}' argument '{value}' is invalid. {why}", option.flags));
            }
            options.values.insert(option.long(), value);
        }
        let given = options.operands.len();
        if given > most {
            let noun = if most == 1 { "argument" } else { "arguments" };
            return Err(format!("error: too many arguments for '{name}'. Expected {most} {noun} but got {given}."));
        }
        Ok(options)
    }
}

/// `--port=1`, `-p1`, or the flag alone.
fn split(argument: &str) -> (&str, Option<&str>) {
    match argument.split_once('=') {
        Some((flag, value)) if argument.starts_with("--") => (flag, Some(value)),
        _ if argument.starts_with("--") || argument.len() <= 2 => (argument, None),
        _ => (&argument[..2], Some(&argument[2..])),
    }
}

pub fn port(value: &str) -> Option<String> {
    number(value, 0, Some(65_535))
}

pub fn positive(value: &str) -> Option<String> {
    number(value, 1, None)
}

fn number(value: &str, least: i64, most: Option<i64>) -> Option<String> {
    let Ok(number) = value.parse::<f64>() else {
        return Some("Not a number".to_owned());
    };
    if number.fract() != 0.0 {
        return Some("Not an integer".to_owned());
    }
    let (number, most) = (number as i64, most.unwrap_or(i64::from(u32::MAX)));
    if number < least {
        return Some(format!("Number out of range, must be at least {least}"));
    }
    (number > most).then(|| format!("Number out of range, must be at most {most}"))
}

pub fn ratio(value: &str) -> Option<String> {
    if matches!(value, "off" | "max") {
        return None;
    }
    match value.parse::<f64>() {
        Err(_) => Some("Not a number".to_owned()),
        Ok(0.0..=1.0) => None,
        Ok(_) => Some("Number out of range, must be between 0 and 1".to_owned()),
    }
}

fn level(value: &str) -> Option<String> {
    let known = ["debug", "info", "warn", "error", "none"];
    (!known.contains(&value)).then(|| format!("Allowed choices are {}.", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    static START: [Opt; 2] = [checked("-p, --port <port>", port), opt("--cors")];

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Options::parse("start", &START, 0, &arguments)
    }

    #[test]
    fn options_are_parsed_in_every_spelling() {
        for spelling in [&["-p", "8"][..], &["-p8"], &["--port", "8"], &["--port=8"]] {
            assert_eq!(parsed(spelling).expect("a port").number("--port"), Some(8), "{spelling:?}");
        }
        assert!(parsed(&["--quiet", "--cors"]).expect("options").has("--cors"));
    }

    #[test]
    fn errors_match_commander_js() {
        let complaint = |arguments: &[&str]| parsed(arguments).expect_err("a complaint");
        assert_eq!(complaint(&["--bogus"]), "error: unknown option '--bogus'");
        assert_eq!(complaint(&["-p"]), "error: option '-p, --port <port>' argument missing");
        assert_eq!(complaint(&["-p", "x"]), "error: option '-p, --port <port>' argument 'x' is invalid. Not a number");
        assert_eq!(complaint(&["x"]), "error: too many arguments for 'start'. Expected 0 arguments but got 1.");
    }
}
