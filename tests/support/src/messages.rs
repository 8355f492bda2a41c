//! Snapshots of lclaude's messages, one per test, in `tests/it/snapshots/MODULE/TEST.snap`.
//!
//! A test opens its snapshot with [`messages!`](crate::messages!). All text recorded after that is compared when the test
//! ends: each failure ([`Ended::expect_failure`](crate::Ended::expect_failure)), and text that the test adds with
//! [`Ended::record`](crate::Ended::record) or [`record`]. Values that depend on the run or the machine are replaced by
//! placeholders such as `[HOME]` and `[PORT]`.
//!
//! After a change of messages, update all snapshots and review the difference:
//!
//! ```sh
//! INSTA_UPDATE=always cargo test --workspace --no-fail-fast; git diff tests
//! ```
//!
//! If `CI` is set, insta writes nothing, and a changed or missing snapshot fails its test.

use std::{
    cell::RefCell,
    ffi::OsStr,
    fmt::{Display, Write},
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use crate::{Ended, lclaude, repository};

/// Opens the snapshot of the enclosing test.
#[macro_export]
macro_rules! messages {
    () => {
        let _messages = {
            fn marker() {}
            $crate::messages::Messages::open(&marker)
        };
    };
}

/// The starts of progress lines, which are left out, since a fast start may not print them.
const PROGRESS: [&str; 4] =
    ["lclaude: starting ", "lclaude: connecting to ", "lclaude: loading ", "lclaude: downloading "];

thread_local! {
    static OPEN: RefCell<Option<Transcript>> = const { RefCell::new(None) };
}

#[derive(Default)]
struct Transcript {
    text: String,
    /// Values of this run, with their placeholders.
    masks: Vec<(String, String)>,
}

/// The open snapshot of a test. Dropping it compares it with the file.
pub struct Messages {
    /// `it::module::test`
    test: String,
}

impl Messages {
    /// Opens a snapshot for [`messages!`](crate::messages!). `marker` is a function inside the test.
    pub fn open<F: Fn()>(_marker: &F) -> Self {
        let name = std::any::type_name::<F>();
        let test = name.strip_suffix("::marker").expect("the name of the marker function").to_owned();
        let before = OPEN.replace(Some(Transcript::default()));
        assert!(before.is_none(), "messages!() is called twice in {test}");
        Messages { test }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let transcript = OPEN.take().expect("the transcript is open");
        if thread::panicking() {
            return;
        }
        assert!(!transcript.text.is_empty(), "{} records nothing; remove messages!()", self.test);
        let mut path: Vec<&str> = self.test.split("::").collect();
        let name = path.pop().expect("a test");
        path.insert(1, "snapshots");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(repository().join("tests").join(path.join("/")));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        let text = normalized(&transcript.text, &transcript.masks);
        settings.bind(|| insta::assert_snapshot!(name, text));
    }
}

fn with_open(act: impl FnOnce(&mut Transcript)) {
    OPEN.with_borrow_mut(|open| {
        act(open.as_mut().expect("a test that records messages must call `messages!();` first"));
    });
}

/// Records text that isn't the output of a command, such as the screen of a terminal.
pub fn record(title: impl Display, text: impl Display) {
    let text = without_progress(&text.to_string());
    let text = if text.is_empty() { "[nothing]" } else { text.trim_end_matches('\n') };
    with_open(|open| write!(open.text, "# {title}\n{text}\n\n").expect("memory"));
}

/// Records a comment on the next command. Long text is truncated.
pub fn note(text: impl Display) {
    let text = text.to_string();
    let cut: String = text.chars().take(100).collect();
    let more = if cut.len() < text.len() { " …" } else { "" };
    with_open(|open| writeln!(open.text, "# {cut}{more}").expect("memory"));
}

/// Replaces a value of this run, such as a process ID, by `[NAME]` wherever it is a whole word.
pub fn mask(value: impl Display, name: &str) {
    with_open(|open| open.masks.push((value.to_string(), format!("[{name}]"))));
}

pub(crate) fn record_ended(ended: &Ended) {
    with_open(|open| {
        let text = &mut open.text;
        if !ended.command.is_empty() {
            writeln!(text, "$ {}", ended.command).expect("memory");
        }
        match ended.code {
            Some(0) => {}
            Some(code) => writeln!(text, "[exit {code}]").expect("memory"),
            None => text.push_str("[ended by a signal]\n"),
        }
        let stderr = without_progress(&ended.stderr);
        for (stream, output) in [("stdout", &ended.stdout), ("stderr", &stderr)] {
            if !output.is_empty() {
                let end = if output.ends_with('\n') { "" } else { "\n[no line end]\n" };
                write!(text, "[{stream}]\n{output}{end}").expect("memory");
            }
        }
        text.push('\n');
    });
}

fn without_progress(text: &str) -> String {
    let is_progress = |line: &&str| PROGRESS.iter().any(|start| line.starts_with(start));
    text.split_inclusive('\n').filter(|line| !is_progress(line)).collect()
}

/// Fails if a snapshot of this test program has no test that records it.
#[track_caller]
pub fn assert_no_orphans(program: &str) {
    let directory = repository().join("tests").join(program);
    let list = |directory: &Path| -> Vec<PathBuf> {
        fs::read_dir(directory).into_iter().flatten().map(|entry| entry.expect("a directory entry").path()).collect()
    };
    let mut files: Vec<PathBuf> = list(&directory.join("snapshots")).iter().flat_map(|module| list(module)).collect();
    files.retain(|file| {
        let module = file.parent().and_then(Path::file_name).expect("a module").display();
        let test = file.file_name().and_then(OsStr::to_str).and_then(|name| name.split('.').next()).expect("a name");
        let source = fs::read_to_string(directory.join(format!("{module}.rs"))).unwrap_or_default();
        let body = source.split_once(&format!("\nfn {test}() {{\n")).map_or("", |(_, after)| after);
        let body = body.split_once("\n}\n").map_or(body, |(body, _)| body);
        !body.contains("messages!();")
    });
    assert!(files.is_empty(), "no test uses these snapshots; delete them: {files:#?}");
}

/// Returns a command as a user would type it, with its LCLAUDE_ variables.
pub(crate) fn typed(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?, value?)))
        .filter(|(name, _)| name.starts_with("LCLAUDE_"))
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    // A test's own mounts are nothing that a user would type.
    let is_lclaude = |word: &&OsStr| Path::new(word) == lclaude();
    let all: Vec<&OsStr> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let start = if all[0] == "unshare" { all.iter().position(is_lclaude).unwrap_or(0) } else { 0 };
    words.push(Path::new(all[start]).file_name().map(quoted).unwrap_or_default());
    words.extend(all[start + 1..].iter().map(|word| quoted(word)));
    words.join(" ")
}

fn quoted(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./~-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns the text with placeholders for values that depend on the run or the machine.
fn normalized(text: &str, masks: &[(String, String)]) -> String {
    let mut text = text.to_owned();
    for (value, name) in masks {
        text = replaced_alone(&text, value, name);
    }
    let version = lclaude_version();
    text = text.replace(&format!("lclaude {version}"), "lclaude [VERSION]");
    text = text.replace(&format!("lclaude-{version}"), "lclaude-[VERSION]");
    text = text.replace(&format!("/v{version}/"), "/v[VERSION]/");
    text = text.replace(&format!("{version} (lclaude"), "[VERSION] (lclaude");
    let program = lclaude().display().to_string();
    let target = lclaude().parent().expect("a directory").display().to_string();
    let repository = repository().display().to_string();
    for (place, name) in [(program, "[LCLAUDE]"), (target, "[TARGET]"), (repository, "[REPOSITORY]")] {
        text = text.replace(&place, name);
    }
    let text = without_stages(&text);
    without_numbers(&without_memory(&without_times(&text)))
}

pub(crate) fn lclaude_version() -> String {
    let manifest = fs::read_to_string(repository().join("Cargo.toml")).expect("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = ")).expect("a version");
    version.trim_matches('"').to_owned()
}

/// Masks dates, times in logs, and durations.
fn without_times(text: &str) -> String {
    const PUNCTUATION: [char; 4] = [':', ',', '.', ';'];
    let words: Vec<&str> = text.split(' ').collect();
    let masked = words.iter().enumerate().map(|(at, word)| {
        let next = words.get(at + 1).and_then(|next| next.split('\n').next()).unwrap_or_default();
        match word.trim_end_matches(PUNCTUATION) {
            day if is_day(day) => word.replace(day, "[DAY]"),
            _ if next.trim_end_matches(PUNCTUATION) == "s" && word.parse::<f64>().is_ok() => "[TIME]".into(),
            _ if is_log_time(word) => "[TIME]".into(),
            _ if word.starts_with("time=20") => "time=[TIME]".into(),
            _ => (*word).to_owned(),
        }
    });
    masked.collect::<Vec<_>>().join(" ")
}

/// Returns whether a word is a date such as `2026-11-30`.
fn is_day(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let are_digits = parts.iter().all(|part| part.chars().all(|c| c.is_ascii_digit()));
    are_digits && matches!(parts[..], [a, b, c] if [a.len(), b.len(), c.len()] == [4, 2, 2])
}

/// Returns whether a word is a time in llama-server's log format, such as `0.00.001.765`.
fn is_log_time(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').collect();
    let are_digits = parts.iter().all(|part| part.chars().all(|c| c.is_ascii_digit()));
    are_digits && matches!(parts[..], [_, a, b, c] if [a.len(), b.len(), c.len()] == [2, 3, 3])
}

/// Replaces `value` by `name` wherever it isn't part of a longer word.
fn replaced_alone(text: &str, value: &str, name: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let alone = !before.ends_with(is_word) && !after.starts_with(is_word);
        out.push_str(before);
        out.push_str(if alone { name } else { value });
        rest = after;
    }
    out + rest
}

/// Masks the directories of a [`Stage`](crate::Stage), whose names are random.
fn without_stages(text: &str) -> String {
    const DIRECTORIES: [(&str, &str); 7] = [
        ("/home", "[HOME]"),
        ("/project", "[PROJECT]"),
        ("/cache", "[CACHE]"),
        ("/bin", "[BIN]"),
        ("/run/lclaude", "[RUNTIME]"),
        ("/run", "[RUN]"),
        ("/tmp", "[TMP]"),
    ];
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(crate::STAGE) {
        let after = &rest[at + crate::STAGE.len()..];
        let end = after.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(after.len());
        out.push_str(&rest[..at]);
        rest = &after[end..];
        let continues_name = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let known = DIRECTORIES
            .iter()
            .find(|(path, _)| rest.strip_prefix(path).is_some_and(|rest| !rest.starts_with(continues_name)));
        if let Some((path, name)) = known {
            out.push_str(name);
            rest = &rest[path.len()..];
        } else {
            out.push_str("[ROOT]");
        }
    }
    out + rest
}

/// Masks what depends on the machine's memory and disks: sizes next to certain words, and an option that is left out on
/// large machines.
fn without_memory(text: &str) -> String {
    const BEFORE_A_SIZE: &str = " up to ";
    const OPTION: &str = " --cache-ram ";
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let mut line = line.to_owned();
        if let Some((before, after)) = line.split_once(OPTION) {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            line = format!("{before}{rest}");
        }
        if let Some((before, after)) = line.split_once(BEFORE_A_SIZE) {
            line = format!("{before}{BEFORE_A_SIZE}{}", without_sizes(after));
        }
        out.push_str(&without_free(&without_free_of_total(&line)));
    }
    out
}

/// Masks the sizes up to the end of the clause or of the line.
fn without_sizes(text: &str) -> String {
    let end = text.find([':', ';', '\n']).unwrap_or(text.len());
    let (text, rest) = text.split_at(end);
    let mut out: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match out.last_mut() {
            Some(number) if is_size(number, word) => *number = mask_size(word),
            _ => out.push(word.to_owned()),
        }
    }
    out.join(" ") + rest
}

/// Masks both sizes of `24.9 GB of 25.3 GB is free`, and all sizes after them in the same clause.
fn without_free_of_total(line: &str) -> String {
    const IS_FREE: &str = " is free";
    let Some((before, after)) = line.split_once(IS_FREE) else { return line.to_owned() };
    let words: Vec<&str> = before.split(' ').collect();
    match words[..] {
        [.., free, free_unit, "of", total, unit] if is_size(free, free_unit) && is_size(total, unit) => {
            let before = words[..words.len() - 5].join(" ");
            format!("{before} {} of {}{IS_FREE}{}", mask_size(free_unit), mask_size(unit), without_sizes(after))
        }
        _ => line.to_owned(),
    }
}

/// Masks both sizes of `25.3 GB, 24.9 GB free`, or the size of `24.9 GB free`.
fn without_free(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    for at in (2..words.len()).rev() {
        let is_unit = words[at - 1].chars().all(char::is_alphabetic);
        if words[at].trim_end() != "free" || !is_unit || !is_size(&words[at - 2], &words[at - 1]) {
            continue;
        }
        words.splice(at - 2..at, [mask_size(&words[at - 1])]);
        if at >= 4 && words[at - 3].ends_with(',') && is_size(&words[at - 4], &words[at - 3]) {
            words.splice(at - 4..at - 2, [mask_size(&words[at - 3])]);
        }
        return without_free(&words.join(" "));
    }
    line.to_owned()
}

fn is_size(number: &str, unit: &str) -> bool {
    let unit = unit.trim_end_matches(|c: char| !c.is_alphabetic());
    ["kB", "MB", "GB", "TB"].contains(&unit) && number.parse::<f64>().is_ok()
}

/// Returns a placeholder for a size, with a comma that may follow the unit.
fn mask_size(unit: &str) -> String {
    let after = unit.trim_start_matches(char::is_alphabetic);
    format!("[SIZE]{after}")
}

/// Masks free ports, and IDs and keys of backends.
fn without_numbers(text: &str) -> String {
    const BEFORE_A_PORT: [&str; 5] = ["127.0.0.1:", "0.0.0.0:", "localhost:", "--port ", " port "];
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_word = char::is_alphanumeric;
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_hex = word.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
        // Lower ports are defaults of programs or chosen by tests.
        let is_port = word.parse().is_ok_and(|port| (15_000..=65_535).contains(&port));
        out.push_str(match word {
            _ if is_hex && word.len() == 16 => "[ID]",
            _ if is_hex && word.len() == 32 => "[KEY]",
            _ if is_port && BEFORE_A_PORT.iter().any(|before| out.ends_with(before)) => "[PORT]",
            _ => word,
        });
        let next = after.find(is_word).unwrap_or(after.len());
        out.push_str(&after[..next]);
        rest = &after[next..];
    }
    out
}
