//! The description as text. Nothing is cut, so a long value may take more than one line of the terminal.

use std::fmt::{self, Write};

use super::view::{BackendView, ChildView, PlanView, ProgramView, SettingView};
use crate::{backend::HOST, base::ui};

/// The columns in which lines are kept where they can be broken.
const WIDTH: usize = 80;
/// The columns before a setting, and between it and its source.
const GAPS: usize = 5;

/// Writes a line. It contains names, paths and arguments, whose line breaks must not imitate ours.
macro_rules! line {
    ($out:expr, $($text:tt)*) => {
        writeln!($out, "{}", ui::one_line(format_args!($($text)*)))
    };
}

pub(super) fn render(view: &PlanView) -> String {
    let mut text = String::new();
    write_all(&mut text, view).expect("a String takes any text");
    text
}

fn write_all(out: &mut String, view: &PlanView) -> fmt::Result {
    write_settings(out, &view.settings)?;
    writeln!(out)?;
    match &view.backend {
        Some(backend) => write_backend(out, backend)?,
        None => line!(out, "no backend: arguments and environment stay unchanged")?,
    }
    writeln!(out)?;
    match &view.child {
        ChildView::Claude(program) => write_program(out, "claude", program),
        ChildView::Program(program) => write_program(out, "program", program),
    }
}

/// Writes each key with its value, and where it comes from: on the same line, or on the next if there is no room.
fn write_settings(out: &mut String, settings: &[SettingView]) -> fmt::Result {
    line!(out, "settings")?;
    if settings.is_empty() {
        line!(out, "  (all defaults)")?;
    }
    let shown = |setting: &SettingView| {
        let shown = |text: &str| ui::for_people(&ui::one_line(text));
        (shown(&setting.line), format!("from {}", shown(&setting.source)))
    };
    let lines: Vec<(String, String)> = settings.iter().map(shown).collect();
    let count = |text: &String| text.chars().count();
    let longest = lines.iter().map(|(value, _)| count(value)).max().unwrap_or(0);
    // A very long source would push all others to a line of their own.
    let sources = lines.iter().map(|(_, source)| count(source)).filter(|source| *source <= WIDTH / 2);
    let column = longest.min(WIDTH - GAPS - sources.max().unwrap_or(0));
    for (value, source) in &lines {
        // One that doesn't fit after the column starts before it.
        let column = column.min(WIDTH.saturating_sub(count(source) + GAPS));
        if count(value) <= column {
            line!(out, "  {value:column$}   {source}")?;
        } else {
            line!(out, "  {value}")?;
            line!(out, "  {:column$}   {source}", "")?;
        }
    }
    Ok(())
}

fn write_backend(out: &mut String, backend: &BackendView) -> fmt::Result {
    line!(out, "backend {} ({})", backend.kind, backend.id)?;
    if let Some(reason) = &backend.reason {
        line!(out, "  {reason}")?;
    }
    match &backend.program {
        Some(program) if backend.is_managed => {
            line!(out, "  {program} starts the server if it isn't running, and stops it afterwards")?;
        }
        Some(program) => write_server(out, program, backend)?,
        None => line!(out, "  uses {}; nothing is started", backend.url)?,
    }
    let models = if backend.models.is_empty() { "no model".to_owned() } else { backend.models.join(", ") };
    line!(out, "  {models} from {}", backend.origin)?;
    let rest = match (backend.expected_context, backend.trained_context) {
        (Some(expected), Some(trained)) => format!(", {expected} expected, trained for {trained}"),
        (Some(expected), None) => format!(", {expected} expected"),
        // Known once the backend is up.
        (None, _) => String::new(),
    };
    line!(out, "  context: {} tokens requested{rest}", backend.context)?;
    backend.context_note.iter().flat_map(|note| note.lines()).try_for_each(|line| line!(out, "  {line}"))?;
    if let Some(warm_start) = &backend.warm_start {
        line!(out, "  warm start: {warm_start}")?;
    }
    if !backend.downloads.is_empty() {
        line!(out, "  downloads first: {}", backend.downloads.join(", "))?;
    }
    if let Some(memory) = &backend.memory {
        line!(out, "  {memory}")?;
    }
    Ok(())
}

fn write_server(out: &mut String, program: &str, backend: &BackendView) -> fmt::Result {
    write_command(out, "  ", std::iter::once(program).chain(backend.arguments.iter().map(String::as_str)))?;
    let key = backend.key_variable.as_ref().map(|name| format!(", with a random key in {name}")).unwrap_or_default();
    line!(out, "  on a free port of {HOST}{key}")?;
    if let Some(stop) = &backend.stop {
        line!(out, "  ended by a command, which may take {}:", stop.timeout)?;
        write_command(out, "    ", stop.command.iter().map(String::as_str))?;
    }
    for (name, value) in &backend.environment {
        line!(out, "  + {name}={value}")?;
    }
    for pattern in &backend.removed {
        line!(out, "  - {pattern}")?;
    }
    Ok(())
}

fn write_program(out: &mut String, title: &str, program: &ProgramView) -> fmt::Result {
    line!(out, "{title}")?;
    if let Some(throwaway) = &program.throwaway {
        line!(out, "  {throwaway}")?;
    }
    let words = std::iter::once(&program.program).chain(&program.arguments);
    write_command(out, "  ", words.map(String::as_str))?;
    if !program.left_out.is_empty() {
        line!(out, "  without {}", program.left_out.join(", "))?;
    }
    for (name, value) in &program.environment {
        line!(out, "  + {name}={value}")?;
    }
    for name in &program.removed {
        line!(out, "  - {name}")?;
    }
    Ok(())
}

/// Writes a command that a shell can read, broken between its options where a line is full.
fn write_command<'a>(out: &mut String, indent: &str, words: impl Iterator<Item = &'a str>) -> fmt::Result {
    let mut row = indent.to_owned();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        // An option and its value stay together.
        let value = words.next_if(|value| word.starts_with('-') && !value.starts_with('-'));
        let group = ui::quote_command(std::iter::once(word).chain(value).map(str::to_owned));
        let group = ui::for_people(&ui::one_line(group));
        let is_empty = row.trim().is_empty();
        // Room for the ` \` at the end.
        if !is_empty && row.chars().count() + group.chars().count() + 3 > WIDTH {
            writeln!(out, "{row} \\")?;
            row = format!("{indent}  {group}");
        } else {
            row.push_str(if is_empty { "" } else { " " });
            row.push_str(&group);
        }
    }
    writeln!(out, "{row}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_in_one_column() {
        let setting = |line: &str, source: &str| SettingView {
            key: String::new(),
            value: serde_json::Value::Null,
            source: source.into(),
            line: line.into(),
        };
        let far = "/a/very/long/directory/with/a/long/name/of/a/project/.lclaude.toml";
        let settings = [
            setting("model = 1", "--model"),
            setting(&format!("args = {}", "x".repeat(50)), "a file of 30 characters in all"),
            setting("lean = true", far),
            setting("a long line that is not much longer than column", "--lean"),
            setting("context = 2", "--context"),
        ];
        let mut text = String::new();
        write_settings(&mut text, &settings).expect("a text");
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert!(rows.iter().all(|row| row.chars().count() <= WIDTH), "{text}");
        let columns = |end: &str| rows.iter().find(|row| row.ends_with(end)).and_then(|row| row.find("from"));
        assert_eq!(columns(far), Some(WIDTH - far.len() - "from ".len()));
        let column = columns("--model");
        assert_eq!(column, Some(WIDTH - "from a file of 30 characters in all".len()));
        for end in ["in all", "--lean", "--context"] {
            assert_eq!(columns(end), column, "{text}");
        }
    }
}
