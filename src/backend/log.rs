//! What the log of any server tells: the line that says why it failed, and its last lines.

use std::{collections::VecDeque, ops::Range};

use crate::base::ui;

/// Lines that are kept to find out what happened.
const TAIL: usize = 12;
/// The last of them that error messages show.
const SHOWN: usize = 5;
/// Characters of a line that are kept.
const MAX_LINE: usize = 2_000;
/// Characters of a line that fit into a cause or a progress line.
const MAX_SHOWN: usize = 300;
/// Words at the start of a line among which a log level is looked for.
const LEVEL_WORDS: usize = 12;
/// Levels below an error.
const LOW_LEVELS: [&str; 7] = ["TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "VERBOSE"];
const HIGH_LEVELS: [&str; 5] = ["ERROR", "ERR", "CRITICAL", "FATAL", "PANIC"];

/// The part of a log that error messages need, of a bounded size.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogExcerpt {
    /// The first line with the name and message of an exception.
    exception: Option<String>,
    /// The first line that reports an error in any other way.
    error: Option<String>,
    tail: VecDeque<String>,
    /// What stands before each line of a Python traceback that isn't complete yet.
    traceback: Option<String>,
}

impl LogExcerpt {
    /// Adds the next line.
    pub(crate) fn push(&mut self, line: &str) {
        let line: String = line.chars().take(MAX_LINE).collect();
        if self.exception.is_none() {
            let ends_traceback = self.ends_traceback(&line);
            match Report::of(&line) {
                _ if ends_traceback => self.exception = Some(line.clone()),
                Some(Report::Exception) => self.exception = Some(line.clone()),
                Some(Report::Error) if self.error.is_none() => self.error = Some(line.clone()),
                _ => {}
            }
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Returns whether a line names the exception at the end of a Python traceback, with or without a message.
    fn ends_traceback(&mut self, line: &str) -> bool {
        let plain = console::strip_ansi_codes(line);
        if let Some(before) = plain.trim_end().strip_suffix(TRACEBACK) {
            self.traceback = (!has_low_level(before)).then(|| before.to_owned());
            return false;
        }
        let rest = self.traceback.as_ref().and_then(|before| plain.strip_prefix(before.as_str()));
        // The lines of the call stack are indented.
        let ends = rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        if ends {
            self.traceback = None;
        }
        ends
    }

    /// Returns the message of the first error of the whole log. An exception takes precedence: a Python server first
    /// reports in its own words that something failed, and names the exception some lines later.
    pub(crate) fn first_error(&self) -> Option<String> {
        Some(message(self.exception.as_ref().or(self.error.as_ref())?))
    }

    /// Returns the message of the first line that contains one of these texts.
    pub(crate) fn find(&self, signs: &[&str]) -> Option<String> {
        let has_sign = |line: &&String| signs.iter().any(|sign| line.contains(sign));
        self.all_lines().find(has_sign).map(|line| message(line))
    }

    /// Returns the last lines, after the first errors if those came earlier.
    pub(crate) fn lines(&self) -> Vec<String> {
        let last = || self.tail.iter().skip(self.tail.len().saturating_sub(SHOWN));
        let early = [&self.error, &self.exception].into_iter().flatten();
        let early: Vec<&String> = early.filter(|line| !last().any(|shown| shown == *line)).collect();
        let gap = if early.is_empty() { None } else { Some("…".to_owned()) };
        early.into_iter().cloned().chain(gap).chain(last().cloned()).collect()
    }

    /// Returns an excerpt of the last lines only. After a start, an earlier error may be that of a single request.
    pub(crate) fn end(&self) -> Self {
        self.tail.iter().collect()
    }

    /// Returns whether one of its lines contains `sign`.
    pub(crate) fn contains(&self, sign: &str) -> bool {
        self.all_lines().any(|line| line.contains(sign))
    }

    fn all_lines(&self) -> impl Iterator<Item = &String> {
        self.exception.iter().chain(&self.error).chain(&self.tail)
    }
}

/// How a Python traceback begins.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// Returns what a line says, without the name of a logger before an exception or the time of llama-server.
fn message(line: &str) -> String {
    let line = clean(line);
    let start = exception_name(&line).map_or_else(|| llama_level(&line).map_or(0, |(_, end)| end), |name| name.start);
    ui::shorten(&line[start..], MAX_SHOWN)
}

impl<T: AsRef<str>> FromIterator<T> for LogExcerpt {
    fn from_iter<I: IntoIterator<Item = T>>(lines: I) -> Self {
        let mut excerpt = LogExcerpt::default();
        lines.into_iter().for_each(|line| excerpt.push(line.as_ref()));
        excerpt
    }
}

/// How a line reports an error.
#[derive(Debug, PartialEq)]
enum Report {
    /// `ValueError: …`, as Python prints it.
    Exception,
    /// The word `error`, llama-server's level of errors, what a Go or Rust program prints when it panics, or what a
    /// shell says of a program that it can't run.
    Error,
}

impl Report {
    fn of(line: &str) -> Option<Self> {
        // Most lines contain none of these, and a log may have millions.
        let lower = line.to_ascii_lowercase();
        let signs = ["error", "exception", "interrupt", "panic", " e ", "fatal"];
        if !signs.iter().chain(NOT_RUN).any(|word| lower.contains(word)) {
            return None;
        }
        let line = clean(line);
        if has_low_level(&line) {
            None
        } else if exception_name(&line).is_some() {
            Some(Report::Exception)
        } else if says_error(&line)
            || line.starts_with("panic: ")
            || line.starts_with("thread '") && line.contains(" panicked at ")
            || lower.starts_with("fatal")
            || llama_level(&line).is_some_and(|(level, _)| level == "E")
            || is_not_run(&lower)
        {
            Some(Report::Error)
        } else {
            None
        }
    }
}

/// What shells, env and Python say of a program or module that they can't run.
const NOT_RUN: &[&str] =
    &["command not found", ": not found", ": no such file or directory", ": permission denied", ": no module named "];

/// Returns whether a line such as `sh: 1: vllm: not found` says that a program can't be run.
fn is_not_run(line: &str) -> bool {
    const RUNNERS: [&str; 7] = ["sh", "bash", "dash", "zsh", "env", "python", "python3"];
    // `/bin/sh: line 1`, `zsh:1`
    let name = line.split(':').next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
    RUNNERS.contains(&name) && NOT_RUN.iter().any(|text| line.contains(text))
}

/// Returns llama-server's log level in a line such as `0.00.001.765 I …`, and where its message starts.
fn llama_level(line: &str) -> Option<(&str, usize)> {
    // Only llama-server begins a line with a time of four numbers.
    let (time, rest) = line.split_once(' ')?;
    let is_time = time.split('.').count() == 4 && time.starts_with(|c: char| c.is_ascii_digit());
    let (level, message) = rest.split_once(' ').filter(|_| is_time)?;
    Some((level, line.len() - message.trim_start().len()))
}

/// Returns where an exception's name stands in a line such as `(Engine pid=7) ERROR [core.py:9] ValueError: no memory`.
fn exception_name(line: &str) -> Option<Range<usize>> {
    let mut from = 0;
    while let Some(at) = line[from..].find(": ").map(|at| from + at) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let start = at - line[..at].chars().rev().take_while(|c| is_name(*c)).count();
        let class = line[start..at].rsplit('.').next().unwrap_or_default();
        let is_exception = ["Error", "Exception", "Interrupt"]
            .iter()
            .any(|end| class.ends_with(end) && (class.len() > end.len() || start == 0 && class == "Exception"));
        if is_exception && class.starts_with(|c: char| c.is_ascii_uppercase()) && !line[at + 2..].trim().is_empty() {
            return Some(start..at);
        }
        from = at + 2;
    }
    None
}

/// Returns whether a line contains the word `error` as a statement, not in a name or as the absence of errors.
fn says_error(line: &str) -> bool {
    const WORD: &str = "error";
    const NOTHING: [&str; 7] = ["<nil>", "nil", "null", "none", "\"\"", "false", "0"];
    const ABOUT: [&str; 9] =
        ["rate", "rates", "handler", "handlers", "handling", "correction", "log", "logs", "reporting"];
    let line = line.to_ascii_lowercase();
    line.match_indices(WORD).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + WORD.len()..]);
        let joins = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        let in_name = before.ends_with(|c: char| joins(c) || c == '.' || c == '/')
            || after.starts_with(joins)
            || after.strip_prefix(['.', '/']).is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
        let word_before = before.trim_end().rsplit(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let absent = matches!(word_before, "0" | "no" | "zero" | "without" | "any");
        // `error=null`, `"error": null` and `error: 0` alike.
        let value = after.trim_start_matches(['"', '\'']).trim_start().strip_prefix([':', '=']).unwrap_or_default();
        let value = value.trim_start().split([' ', ',', ';', '}', ')']).next().unwrap_or_default();
        let is_nothing = NOTHING.contains(&value);
        let next = after.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        let is_topic = after.starts_with(' ') && ABOUT.contains(&next);
        !in_name && !absent && !is_nothing && !is_topic
    })
}

/// Returns whether a line's first log level is below an error, as in `INFO 11-30 …`, `level=WARN …` or llama-server's
/// `0.00.001.765 I …`.
fn has_low_level(line: &str) -> bool {
    let words = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    if let Some((level, _)) = llama_level(line) {
        return matches!(level, "I" | "W" | "D" | "T");
    }
    let mut previous = "";
    for (at, word) in words.take(LEVEL_WORDS).enumerate() {
        let upper = word.to_ascii_uppercase();
        // A word in lower case is a level only where levels stand.
        if word == upper || at == 0 || previous.eq_ignore_ascii_case("level") {
            if LOW_LEVELS.contains(&&*upper) {
                return true;
            }
            if HIGH_LEVELS.contains(&&*upper) {
                return false;
            }
        }
        previous = word;
    }
    false
}

/// Returns the start of a line as a short text without colors.
pub(crate) fn shown(line: &str) -> String {
    ui::shorten(&clean(line), MAX_SHOWN)
}

fn clean(line: &str) -> String {
    let text = console::strip_ansi_codes(line);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of a failed start of vLLM 0.32.0, shortened.
    const VLLM: &[&str] = &[
        "INFO 11-30 12:00:01 [__init__.py:216] Automatically detected platform cpu.",
        "WARNING 11-30 12:00:02 [_ipex_ops.py:16] Import error msg: No module named 'intel_extension_for_pytorch'",
        "\u{1b}[0;36m(APIServer pid=7)\u{1b}[0;0m INFO 11-30 12:00:03 [utils.py:328] non-default args: \
         {'port': 8000, 'disable_log_errors': True, 'max_model_len': 65536}",
        "\u{1b}[1;36m(EngineCore_DP0 pid=9)\u{1b}[0;0m ERROR 11-30 12:00:09 [core.py:708] EngineCore failed to start.",
        "(EngineCore_DP0 pid=9) ERROR 11-30 12:00:09 [core.py:708] Traceback (most recent call last):",
        "(EngineCore_DP0 pid=9) ERROR 11-30 12:00:09 [core.py:708]     raise ValueError(",
        "(EngineCore_DP0 pid=9) ERROR 11-30 12:00:09 [core.py:708] ValueError: To serve at least one request with the \
         models's max seq len (65536), 6.00 GiB KV cache is needed",
    ];

    #[test]
    fn first_exception_is_the_error_wherever_it_stands() {
        let rest = (0..200).map(|line| format!("  File \"core.py\", line {line}, in run"));
        let end = "RuntimeError: Engine core initialization failed. See root cause above.".to_owned();
        let log: LogExcerpt = VLLM.iter().map(|&line| line.to_owned()).chain(rest).chain([end.clone()]).collect();
        let error = log.first_error().expect("an error");
        assert!(error.starts_with("ValueError: To serve at least one request"), "{error}");
        let lines = log.lines();
        assert_eq!((lines[0].contains("EngineCore failed"), &*lines[2], lines.last()), (true, "…", Some(&end)));
        assert!(lines.len() <= TAIL + 3, "{lines:#?}");
        // A crash after the start is explained by its end.
        assert_eq!(log.end().first_error().as_ref(), Some(&end));
    }

    #[test]
    fn traceback_ends_with_the_error() {
        let traceback = |end: &str| {
            let python = ["Traceback (most recent call last):", "  File \"x.py\", line 1, in <module>", "    serve()"];
            let log: LogExcerpt = python.iter().copied().chain(["    ^^^^^^^", end, "error: later"]).collect();
            log.first_error()
        };
        for end in ["AssertionError", "KeyError: 'x'", "ModuleNotFoundError: No module named 'vllm'", "mine.Trouble: x"]
        {
            assert_eq!(traceback(end).as_deref(), Some(end));
        }
        // vLLM puts the same before each line.
        let before = "(EngineCore pid=9) ERROR 11-30 12:00:09 [core.py:708] ";
        let lines = ["Traceback (most recent call last):", "  File \"x.py\"", "AssertionError"];
        let log: LogExcerpt = lines.iter().map(|line| format!("{before}{line}")).collect();
        assert_eq!(log.first_error(), Some(format!("{before}AssertionError")));
        // A warning shows its traceback too.
        let log: LogExcerpt = ["WARNING Traceback (most recent call last):", "WARNING AssertionError"].iter().collect();
        assert_eq!(log.first_error(), None);
    }

    #[test]
    fn error_of_llama_server_is_shown_without_its_time() {
        let log: LogExcerpt = ["0.00.01.7 I main: loading", "0.00.046.909 E gguf_init: failed"].iter().collect();
        assert_eq!(log.first_error().as_deref(), Some("gguf_init: failed"));
        assert_eq!(log.find(&["nothing", "loading"]).as_deref(), Some("main: loading"));
    }

    #[test]
    fn exceptions_are_recognized_by_their_name() {
        let error = |line: &str| [line].iter().collect::<LogExcerpt>().first_error();
        for line in
            ["torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", "OSError: [Errno 28] No space"]
        {
            assert_eq!(Report::of(line), Some(Report::Exception), "{line}");
            assert_eq!(error(&format!("[rank0]: é{line}")).as_deref(), Some(line));
        }
        assert_eq!(error("Exception: no config").as_deref(), Some("Exception: no config"));
        for line in ["    except ImportError: ", "raise ValueError(\"Error: x\")", "WARNING x.py:1 OSError: no cache"] {
            assert_ne!(Report::of(line), Some(Report::Exception), "{line}");
        }
    }

    #[test]
    fn error_is_recognized_as_a_statement() {
        for line in [
            "error: invalid argument: --foo",
            "ERROR:    [Errno 98] error while attempting to bind on address",
            "0.00.001.765 E llama_model_load: error loading model: unknown model architecture: 'newarch'",
            "time=2026-11-30T12:00:00Z level=ERROR source=server.go:9 msg=\"llm load\"",
            "Error: listen tcp 127.0.0.1:11434: bind: address already in use",
            "some error",
            "12:00:00 - LiteLLM:ERROR: proxy_server.py:1 - no database",
            "{\"error\": \"no model\"}",
            "panic: runtime trouble",
            "thread 'main' (7) panicked at src/main.rs:1:1:",
            "0.00.046.909 E gguf_init_from_reader: failed to read magic",
            "fatal: no GPU",
            // dash, bash, macOS's sh, zsh, env and Python.
            "sh: 1: vllm: not found",
            "bash: line 1: vllm: command not found",
            "/bin/sh: vllm: command not found",
            "zsh:1: command not found: vllm",
            "sh: 1: exec: vllm: not found",
            "env: 'vllm': No such file or directory",
            "bash: ./serve.sh: Permission denied",
            "/usr/bin/python3: No module named vllm",
        ] {
            assert_eq!(Report::of(line), Some(Report::Error), "{line}");
        }
    }

    #[test]
    fn other_uses_of_the_word_are_not_errors() {
        for line in [
            "done: 0 errors, 3 warnings",
            "0 error(s)",
            "finished without error",
            "error_correction = true",
            "using error-correction codes",
            "writing to /var/log/error.log",
            "level=INFO msg=served error=<nil>",
            "status {\"error\": null}",
            "result error=0 code=7",
            "error handling is on",
            "INFO 11-30 12:00:01 [x.py:1] log level is ERROR",
            "0.00.001.765 W common_fit_params: encountered an error while trying to fit params",
            "terrors",
            "0.00.046.909 I srv  load_model: E is not an error",
            "GET /favicon.ico: not found",
            "cache /tmp/x: no such file or directory, creating it",
        ] {
            assert_eq!(Report::of(line), None, "{line}");
        }
    }

    #[test]
    fn long_lines_are_kept_in_part() {
        let log: LogExcerpt =
            ["é".repeat(1_000_000), format!("error: {}", "x".repeat(1_000_000))].into_iter().collect();
        assert!(log.lines().iter().all(|line| line.chars().count() == MAX_LINE));
        assert_eq!(log.first_error().map(|error| error.chars().count()), Some(MAX_SHOWN + 1));
        assert_eq!(shown("\u{1b}[31mred\u{1b}[0m\ttext\u{7}"), "red text");
    }
}
