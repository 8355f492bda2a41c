//! The documentation: links lead somewhere, configurations are valid, and command lines are accepted by lclaude.

mod markdown;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use markdown::Page;
use support::{Stage, repository, write_program};

/// The longest README, in lines.
const MAX_README: usize = 200;
/// The largest picture, in bytes.
const MAX_PICTURE: usize = 100_000;

/// Options of other programs that the pages mention.
const FOREIGN: &[&str] = &[
    "--agent",
    "--agents",
    "--allowedTools",
    "--append-system-prompt",
    "--api-key",
    "--bg",
    "--binary",
    "--cloud",
    "--data-parallel-size",
    "--enable-auto-tool-choice",
    "--enable-prompt-tokens-details",
    "--fit",
    "--input-format",
    "--mcp-config",
    "--nnodes",
    "--nocontainer",
    "--node-rank",
    "--output-format",
    "--prefix",
    "--remote-control",
    "--resume",
    "--reuse-port",
    "--setting-sources",
    "--swa-full",
    "--system-prompt",
    "--teleport",
    "--tool-call-parser",
    "--tools",
    "--uninstall",
    "--version",
];

/// Command lines of the pages that start nothing and end at once, with their exit codes on a machine with llama-server
/// and without a running backend.
const RUNNABLE: &[(&str, i32)] = &[
    ("--dry-run", 0),
    ("--dry-run --json", 0),
    ("local cache", 0),
    ("local completions bash", 0),
    ("local completions bash --hook", 0),
    ("local config", 0),
    ("local config get model", 0),
    ("local config list --json", 0),
    ("local doctor", 0),
    ("local doctor --json", 0),
    ("local doctor --privacy", 0),
    ("local env --format dotenv", 69),
    ("local help", 0),
    ("local logs", 69),
    ("local man", 0),
    ("local models", 0),
    ("local models --json", 0),
    ("local profiles", 0),
    ("local profiles --json", 0),
    ("local run --dry-run -- claude -p hello", 0),
    ("local setup --dry-run", 0),
    ("local status", 0),
    ("local status --json", 0),
    ("local stop --all", 0),
    ("local trust --list", 0),
];

/// Every page at the root of the repository and in `docs`.
fn pages() -> Vec<Page> {
    let markdown = |directory: &Path| {
        let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect::<Vec<PathBuf>>()
    };
    let mut paths = [markdown(repository()), markdown(&repository().join("docs"))].concat();
    paths.sort();
    assert!(paths.len() > 10, "{paths:?}");
    paths.into_iter().map(Page::read).collect()
}

fn page(name: &str) -> Page {
    Page::read(repository().join(name))
}

#[test]
fn relative_links_and_anchors_resolve() {
    let pages = pages();
    for page in &pages {
        let links = page.links();
        for link in links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.path.clone() } else { page.directory().join(file) };
            let target = target.canonicalize().unwrap_or_else(|error| panic!("{}: {link}: {error}", page.name()));
            if anchor.is_empty() {
                continue;
            }
            let headings = pages.iter().find(|page| page.path == target).expect(link).anchors();
            assert!(headings.contains(anchor), "{}: {link} is not one of {headings:#?}", page.name());
        }
    }
}

#[test]
fn readme_is_a_front_page_that_links_every_page() {
    let readme = page("README.md");
    let lines = readme.text.lines().count();
    assert!(lines <= MAX_README, "README.md has {lines} lines");
    let text = readme.text.split_whitespace().collect::<Vec<_>>().join(" ");
    for statement in ["LM Studio was never run for real", "macOS is supported in the code but has not been run"] {
        assert!(text.contains(statement), "{statement}");
    }
    let links: BTreeSet<PathBuf> =
        readme.links().iter().filter_map(|link| repository().join(link).canonicalize().ok()).collect();
    for page in pages().iter().filter(|page| page.path != readme.path) {
        assert!(links.contains(&page.path), "README.md doesn't link {}", page.name());
    }
}

#[test]
fn picture_is_small_and_shows_nothing_of_the_machine() {
    let picture = fs::read_to_string(repository().join("docs/picture.svg")).expect("the picture");
    assert!(picture.len() <= MAX_PICTURE, "{} bytes", picture.len());
    assert!(picture.contains("~/src/hello $ lclaude") && picture.contains("No backend is running."), "{picture}");
    for private in ["/tmp/", "/home/", "/root/", "/Users/", "@"] {
        let outside_styles = picture.replace("@keyframes", "").replace("@media", "");
        assert!(!outside_styles.contains(private), "{private} is in the picture");
    }
}

/// Returns the keys that lclaude knows, from its source.
fn known_keys() -> BTreeSet<String> {
    let source = fs::read_to_string(repository().join("src/config/keys.rs")).expect("the source");
    let (_, list) = source.split_once("const KEYS: &[&str] = &[").expect("the list of keys");
    let (list, _) = list.split_once("];").expect("its end");
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn configuration_page_lists_every_key_with_a_valid_example() {
    let page = page("docs/configuration.md");
    let rows: Vec<Vec<String>> = page.rows().into_iter().filter(|row| row.len() == 5).collect();
    let rows: Vec<&Vec<String>> = rows.iter().filter(|row| row[0].starts_with('`')).collect();
    let documented: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(documented.len(), rows.len(), "a key has two rows");

    let stage = stage();
    for row in &rows {
        let (key, example) = (row[0].trim_matches('`'), row[3].trim_matches('`'));
        let text = match key.trim_end_matches(".*").rsplit_once('.') {
            Some((table, _)) => format!("[{table}]\n{example}\n"),
            None => format!("{example}\n"),
        };
        let table = text.parse().unwrap_or_else(|error| panic!("{key}: {example}: {error}"));
        let set = markdown::keys(&table);
        let is_it = |found: &String| found == key || key.ends_with('*') && found.starts_with(key.trim_end_matches('*'));
        assert!(set.len() == 1 && set.iter().all(is_it), "{key}: {example} sets {set:?}");
        // A profile must exist.
        let more = if key == "profile" { "[profiles.small]\n" } else { "" };
        accept(&stage, &(text + more));
    }

    assert_eq!(documented, known_keys());
}

#[test]
fn configurations_are_valid() {
    let stage = stage();
    let mut checked = 0;
    for page in pages() {
        for block in page.blocks("toml") {
            accept(&stage, &block);
            checked += 1;
        }
    }
    assert!(checked >= 15, "{checked}");
}

/// Returns a stage on which no command can start anything.
fn stage() -> Stage {
    let stage = Stage::bare();
    write_program(&stage.bin().join("claude"), "#!/bin/sh\nexit 0\n");
    stage
}

/// Asserts that lclaude takes this text as the user's configuration. `cache` reads all of it and looks at nothing else.
fn accept(stage: &Stage, text: &str) {
    stage.config(text);
    let ended = stage.ended(&mut stage.lclaude(&["local", "cache"]));
    assert_eq!(ended.code, Some(0), "{text}\n{}", ended.stderr);
}

/// Returns the arguments of each `lclaude` in the shell blocks and the inline code of all pages, with their places.
fn command_lines(stage: &Stage) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for page in pages() {
        let is_command = |code: &String| {
            let is_complete = !code.contains(['[', '…', '<']) && !code.starts_with("lclaude:");
            is_complete && (code == "lclaude" || code.starts_with("lclaude "))
        };
        let inline = page.inline_code().into_iter().filter(is_command);
        let scripts: Vec<String> = page.blocks("sh").into_iter().chain(inline).collect();
        found.extend(markdown::lclaude_calls(stage, &scripts).into_iter().map(|words| (page.name(), words)));
    }
    assert!(found.len() > 100, "{}", found.len());
    found
}

#[test]
fn command_lines_are_accepted() {
    let stage = stage();
    // The model of the examples.
    fs::create_dir(stage.home().join("models")).expect("a directory");
    fs::write(stage.home().join("models/qwen3-coder-30b-q4_k_m.gguf"), "GGUF").expect("a file");
    let lines: BTreeSet<(String, Vec<String>)> = command_lines(&stage).into_iter().collect();
    let is_internal = |words: &[String]| words.starts_with(&["local".into(), "keep".into()]);
    for (place, words) in lines.into_iter().filter(|(_, words)| !is_internal(words)) {
        let mut tried = words.clone();
        // Its values may look like options.
        let is_change = words.starts_with(&["local".into(), "config".into()]) && !words.contains(&"edit".into());
        if is_change {
            // It runs.
        } else if words.first().is_some_and(|word| word == "local") {
            let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
            tried.insert(end, "--help".into());
        } else {
            tried.insert(0, "--dry-run".into());
        }
        let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
        let ended = stage.ended(&mut stage.lclaude(&tried));
        let is_accepted = match tried[0] {
            // A key may be unset.
            "local" if is_change => matches!(ended.code, Some(0 | 1)),
            "local" => ended.code == Some(0),
            _ => ended.code != Some(64),
        };
        assert!(is_accepted, "{place}: lclaude {}\n{}", words.join(" "), ended.stderr);
    }
}

#[test]
fn commands_that_start_nothing_run() {
    let lines = command_lines(&Stage::bare());
    let documented: BTreeSet<String> = lines.into_iter().map(|(_, words)| words.join(" ")).collect();
    for (line, code) in RUNNABLE {
        assert!(documented.contains(*line), "no page has lclaude {line}");
        let words: Vec<&str> = line.split(' ').collect();
        let stage = Stage::new();
        stage.config(&format!("backend = \"llamacpp\"\nmodel = \"{}\"\n", stage.model().display()));
        let ended = stage.ended(&mut stage.lclaude(&words));
        assert_eq!(ended.code, Some(*code), "lclaude {line}\n{}", ended.stderr);
    }
}

/// Returns what lclaude completes after these words.
fn completions(stage: &Stage, words: &[&str]) -> BTreeSet<String> {
    let ended = stage.output(&[&["local", "complete", "--"], words].concat()).expect(0);
    let words = ended.stdout.lines().filter_map(|line| line.strip_prefix("word\t"));
    words.map(|word| word.split('\t').next().unwrap_or(word).to_owned()).collect()
}

#[test]
fn options_and_commands_of_the_pages_are_those_of_lclaude() {
    let stage = Stage::bare();
    let (options, verbs) = (completions(&stage, &["--"]), completions(&stage, &["local", ""]));
    let sessions = page("docs/sessions.md");
    let cells: Vec<String> = sessions.rows().into_iter().map(|row| row[0].clone()).collect();

    let names = cells.iter().filter(|cell| cell.starts_with("`--")).flat_map(|cell| cell.split('`'));
    let names = names.filter(|code| code.starts_with("--")).filter_map(|code| code.split_whitespace().next());
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), options);

    let names = cells.iter().filter_map(|cell| cell.strip_prefix("`lclaude local ")?.strip_suffix('`'));
    assert_eq!(names.map(str::to_owned).collect::<BTreeSet<_>>(), verbs);

    let mut all = options;
    for verb in &verbs {
        all.extend(completions(&stage, &["local", verb, "--"]));
    }
    for page in pages() {
        for code in page.inline_code() {
            let name = code.split([' ', '=']).next().unwrap_or(&code);
            let is_known = all.contains(name) || FOREIGN.contains(&name);
            assert!(!name.starts_with("--") || name == "--" || is_known, "{}: unknown option {name}", page.name());
        }
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let help = Stage::bare().output(&["--help"]).expect(0).stdout;
    let (_, list) = help.split_once("Exit codes").expect("the help's exit codes");
    let codes = |text: &str| -> BTreeSet<u8> {
        let numbers = text.split(|character: char| !character.is_ascii_digit());
        numbers.filter_map(|number| number.parse().ok()).filter(|code| (64..=127).contains(code)).collect()
    };
    // 128+N is the signal's.
    let documented: BTreeSet<u8> = page("docs/scripting.md").rows().iter().flat_map(|row| codes(&row[0])).collect();
    assert_eq!(documented, codes(list));
}
