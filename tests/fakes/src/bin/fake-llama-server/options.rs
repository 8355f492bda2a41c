//! The command line: the options of the real program, parsed from its help, with its error messages.

use std::collections::HashMap;

/// Taken from the `--help` of the real program: the options that a launcher might use.
pub const HELP: &str = include_str!("options.txt");

/// What the real program takes as on, off and auto.
const FLASH_ATTENTION: [&str; 10] = ["on", "enabled", "true", "1", "off", "disabled", "false", "0", "auto", "-1"];
const DEVICES: usize = 16;
const CACHE_TYPES: [&str; 9] = ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"];

pub enum Asked {
    Run(Options),
    Version,
    Help,
}

pub struct Options {
    /// A path, or with `-hf` the name of a repository.
    pub model: String,
    pub alias: String,
    pub host: String,
    pub port: u16,
    pub reuse_port: bool,
    pub context: u32,
    /// 0: the default.
    pub slots: u32,
    pub api_keys: Vec<String>,
    pub slots_endpoint: bool,
    pub metrics: bool,
    hf_repo: bool,
}

impl Options {
    pub fn is_download(&self) -> bool {
        self.hf_repo
    }
}

/// One entry of the help.
struct Entry {
    names: Vec<&'static str>,
    takes: Takes,
    variable: Option<&'static str>,
    /// The whole entry, which error messages quote.
    usage: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Nothing,
    Number,
    Decimal,
    Text,
}

/// The options whose `N` may have a decimal point.
const DECIMALS: [&str; 6] =
    ["--temp", "--top-p", "--min-p", "--repeat-penalty", "--presence-penalty", "--frequency-penalty"];

/// Reads the environment and then the arguments, which override it, as the real program does.
pub fn parse(
    arguments: impl Iterator<Item = String>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Asked, String> {
    let entries = entries();
    let mut given = HashMap::new();
    for entry in &entries {
        let Some(name) = entry.variable else { continue };
        let Some(value) = variable(name) else {
            continue;
        };
        check(entry, &value)
            .map_err(|why| format!("error while handling environment variable \"{name}\": {why}\n\n"))?;
        let value = match (entry.takes, &*value) {
            (Takes::Nothing, "0" | "off" | "disabled" | "false") => "off".to_owned(),
            (Takes::Nothing, _) => "on".to_owned(),
            _ => value,
        };
        given.insert(entry.names[0], value);
    }

    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let argument = match argument.strip_prefix("--") {
            Some(name) => format!("--{}", name.replace('_', "-")),
            None => argument,
        };
        let Some(entry) = entries.iter().find(|entry| entry.names.contains(&&*argument)) else {
            return Err(format!("error: invalid argument: {argument}"));
        };
        match entry.names[0] {
            "--version" => return Ok(Asked::Version),
            "-h" => return Ok(Asked::Help),
            _ => {}
        }
        if let Some(name) = entry.variable.filter(|name| variable(name).is_some()) {
            eprintln!(
                "warn: {name} environment variable is set, but will be overwritten by command line argument {argument}"
            );
        }
        let value = if entry.takes == Takes::Nothing {
            let off = argument.starts_with("--no-") || argument.starts_with("-no");
            Ok(if off { "off" } else { "on" }.to_owned())
        } else {
            match arguments.next() {
                Some(value) => check(entry, &value).map(|()| value),
                None => Err("expected value for argument".to_owned()),
            }
        };
        let value = value.map_err(|why| {
            format!(
                "error while handling argument \"{argument}\": {why}\n\nusage:\n{}\n\n\
                 to show complete usage, run with -h",
                entry.usage
            )
        })?;
        given.insert(entry.names[0], value);
    }
    Ok(Asked::Run(options(&given)))
}

fn options(given: &HashMap<&'static str, String>) -> Options {
    let text = |name: &str| given.get(name).cloned();
    let number = |name: &str| given.get(name).and_then(|value| leading_number(value));
    let hf_repo = text("-hf");
    let model = hf_repo
        .clone()
        .or_else(|| text("-m"))
        .expect("without a model the real program is a router, which the fake does not support");
    Options {
        alias: text("-a").unwrap_or_else(|| {
            let name = model.rsplit('/').next().unwrap_or(&model);
            if hf_repo.is_some() { &model } else { name }.to_owned()
        }),
        hf_repo: hf_repo.is_some(),
        model,
        host: text("--host").unwrap_or_else(|| "127.0.0.1".to_owned()),
        port: number("--port").map_or(8080, |port| port as u16),
        reuse_port: text("--reuse-port").as_deref() == Some("on"),
        context: number("-c").map_or(0, |context| context as u32),
        slots: number("-np").map_or(0, |slots| u32::try_from(slots).unwrap_or(0)),
        api_keys: text("--api-key").map(|keys| keys.split(',').map(str::to_owned).collect()).unwrap_or_default(),
        slots_endpoint: text("--slots").as_deref() != Some("off"),
        metrics: text("--metrics").as_deref() == Some("on"),
    }
}

/// Validates a value like the real program's handler of the option.
fn check(entry: &Entry, value: &str) -> Result<(), String> {
    if entry.takes == Takes::Number && leading_number(value).is_none() {
        return Err("stoi".to_owned());
    }
    if entry.takes == Takes::Decimal && leading_decimal(value).is_none() {
        return Err("stof".to_owned());
    }
    match entry.names[0] {
        "-s" if leading_number(value).is_none() && value.parse::<u64>().is_err() => Err("stoul".to_owned()),
        "-ncmoe" if leading_number(value).is_some_and(|layers| layers < 0) => Err("invalid value".to_owned()),
        "-sm" if !["none", "layer", "row", "tensor"].contains(&value) => Err("invalid value".to_owned()),
        "-fa" if !FLASH_ATTENTION.contains(&value) => {
            Err(format!("error: unknown value for --flash-attn: '{value}'\n"))
        }
        "-ts" => {
            let parts: Vec<&str> = value.split([',', '/']).collect();
            match parts.iter().all(|part| leading_decimal(part).is_some()) {
                true if parts.len() < DEVICES => Ok(()),
                true => Err(format!("got {} input configs, but system only has {DEVICES} devices", parts.len())),
                false => Err("stof".to_owned()),
            }
        }
        "--repeat-penalty" if leading_decimal(value).is_some_and(|penalty| penalty <= 0.0) => {
            Err("error: repeat-penalty must be finite and greater than 0\n".to_owned())
        }
        "--chat-template-file" if std::fs::read_to_string(value).is_err() => {
            Err(format!("error: failed to open file '{value}'\n"))
        }
        "-np" if leading_number(value) == Some(0) => Err("error: invalid value for n_parallel\n".to_owned()),
        "-ctk" | "-ctv" if !CACHE_TYPES.contains(&value) => Err(format!("Unsupported cache type: {value}")),
        _ => Ok(()),
    }
}

/// C++'s `stof`: the number at the start of a text, here without an exponent.
fn leading_decimal(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// C++'s `stoi`: the number at the start of a text.
fn leading_number(text: &str) -> Option<i32> {
    let text = text.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = text[sign..].bytes().take_while(u8::is_ascii_digit).count();
    text[..sign + digits].parse().ok()
}

/// Splits the help into entries. Each starts at the left margin and includes the indented lines below.
fn entries() -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    for line in HELP.lines() {
        if line.starts_with('-') {
            entries.push(entry(line));
        }
        let entry = entries.last_mut().expect("the help begins with an option");
        entry.usage.push_str(line);
        entry.usage.push('\n');
        if let Some(variable) = line.trim().strip_prefix("(env: ") {
            entry.variable = variable.strip_suffix(')');
        }
    }
    entries
}

/// Parses `-a,  --name, --no-name VALUE    description`.
fn entry(line: &'static str) -> Entry {
    let mut names = Vec::new();
    let mut rest = line;
    loop {
        let (name, after) = rest.split_once(' ').unwrap_or((rest, ""));
        names.push(name.trim_end_matches(','));
        rest = after.trim_start();
        if name.ends_with(',') {
            continue;
        }
        // A value follows the last name after one space, a description after more.
        let value = after.split(' ').next().unwrap_or_default();
        let takes = match value {
            "" => Takes::Nothing,
            // 'auto' and 'all' are valid too.
            _ if names[0] == "-ngl" => Takes::Text,
            "N" if DECIMALS.contains(&names[0]) => Takes::Decimal,
            "N" | "PORT" | "INDEX" => Takes::Number,
            _ => Takes::Text,
        };
        return Entry { names, takes, variable: None, usage: String::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        parse(arguments.iter().map(ToString::to_string), |_| None).map(|asked| match asked {
            Asked::Run(options) => options,
            Asked::Version | Asked::Help => panic!("a run was asked for"),
        })
    }

    #[test]
    fn launcher_options_are_parsed() {
        let options = parsed(&[
            "-m",
            "/m/x.gguf",
            "--host",
            "127.0.0.1",
            "--port",
            "4000",
            "--reuse-port",
            "-c",
            "65536",
            "-np",
            "1",
            "--no-webui",
            "--alias",
            "x",
            "-ngl",
            "auto",
        ])
        .expect("these are options of llama-server");
        assert_eq!((options.port, options.context, options.slots), (4000, 65536, 1));
        assert!(options.reuse_port);
        assert_eq!(options.alias, "x");
    }

    #[test]
    fn errors_match_the_real_program() {
        let complaint = |arguments: &[&str]| parsed(arguments).err().expect("a complaint");
        assert_eq!(complaint(&["--bogus"]), "error: invalid argument: --bogus");
        assert_eq!(
            complaint(&["-c", "abc"]),
            "error while handling argument \"-c\": stoi\n\nusage:\n\
             -c,    --ctx-size N                     size of the prompt context (default: 0, 0 = loaded from model)\n\
             \x20                                       (env: LLAMA_ARG_CTX_SIZE)\n\n\n\
             to show complete usage, run with -h"
        );
        assert!(complaint(&["-m"]).contains("expected value for argument"));
        for (arguments, why) in [
            (["--n-cpu-moe", "-1"], "invalid value"),
            (["--split-mode", "rows"], "invalid value"),
            (["--tensor-split", "3,x"], "stof"),
            (["--flash-attn", "maybe"], "error: unknown value for --flash-attn: 'maybe'\n"),
            (["--temperature", "x"], "stof"),
            (["--top-k", "x"], "stoi"),
            (["--repeat-penalty", "0"], "error: repeat-penalty must be finite and greater than 0\n"),
            (["--chat-template-file", "/nope"], "error: failed to open file '/nope'\n"),
        ] {
            let start = format!("error while handling argument \"{}\": {why}\n\nusage:\n", arguments[0]);
            assert!(complaint(&arguments).starts_with(&start), "{}", complaint(&arguments));
        }
    }

    #[test]
    fn environment_sets_options() {
        let variable = |name: &str| (name == "LLAMA_API_KEY").then(|| "k".to_owned());
        let Ok(Asked::Run(options)) = parse(["-m", "x"].map(str::to_owned).into_iter(), variable) else {
            panic!("a run was asked for");
        };
        assert_eq!(options.api_keys, ["k"]);
    }
}
