//! Questions on a terminal: yes or no, and a numbered choice.

use super::ui;

/// Entries of a numbered list that are shown.
const SHOWN: usize = 20;

/// What Enter alone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enter {
    Yes,
    No,
}

/// Returns whether the answer to a yes/no question is yes. The end of the input (`None`) means no.
pub(crate) fn is_yes(answer: Option<&str>, enter: Enter) -> bool {
    match answer.map(str::to_lowercase).as_deref() {
        Some("") => enter == Enter::Yes,
        Some("y" | "yes") => true,
        _ => false,
    }
}

/// Asks a yes/no question. Without a terminal the answer is no.
pub(crate) fn confirm(question: &str, enter: Enter) -> bool {
    let keys = if enter == Enter::Yes { "Y/n" } else { "y/N" };
    ui::can_ask() && is_yes(ui::ask(&format!("{question} [{keys}]")).as_deref(), enter)
}

/// What the answer to a numbered choice means.
#[derive(Debug, PartialEq, Eq)]
enum Picked {
    /// The entry at this index.
    Entry(usize),
    Nothing,
    Invalid,
}

impl Picked {
    /// Reads the answer to a choice among `count` entries. Enter takes the first.
    fn parse(answer: Option<&str>, count: usize) -> Self {
        match answer.map(str::to_lowercase).as_deref() {
            Some("") => Picked::Entry(0),
            None | Some("q" | "quit" | "n" | "no") => Picked::Nothing,
            Some(number) => match number.parse::<usize>() {
                Ok(number) if (1..=count).contains(&number) => Picked::Entry(number - 1),
                _ => Picked::Invalid,
            },
        }
    }
}

/// Prints `title` and the numbered entries. Of a long list it prints the first and the last; `all` is the command that
/// prints the others.
pub(crate) fn list(title: &str, entries: &[String], all: &str) {
    ui::message_lines(format_args!("lclaude: {}\n{}", ui::one_line(title), numbered(entries, all)));
}

fn numbered(entries: &[String], all: &str) -> String {
    let width = entries.len().to_string().len();
    let line = |(at, entry): (usize, &String)| format!("  {:>width$}  {}", at + 1, ui::one_line(entry));
    let mut lines: Vec<String> = entries.iter().enumerate().map(line).collect();
    let more = lines.len().saturating_sub(SHOWN);
    if more > 0 {
        let last = lines.len() - 1;
        lines.splice(last - more..last, [format!("  … and {more} more: {}", ui::one_line(all))]);
    }
    lines.join("\n")
}

/// Asks which of `count` listed entries to use, and returns its index, or `None` if the user wants none of them.
pub(crate) fn pick(count: usize) -> Option<usize> {
    let numbers = if count == 1 { String::new() } else { format!("1-{count}, ") };
    loop {
        let answer = ui::ask(&format!("Which one? [{numbers}Enter for 1, q to quit]"));
        match Picked::parse(answer.as_deref(), count) {
            Picked::Entry(at) => return Some(at),
            Picked::Nothing => return None,
            Picked::Invalid => {
                ui::message(format_args!("lclaude: invalid answer {:?}", ui::shorten(&answer.unwrap_or_default(), 80)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_and_the_end_of_the_input_answer_yes_no_questions() {
        for (answer, if_yes, if_no) in [
            (Some(""), true, false),
            (Some("Y"), true, true),
            (Some("yes"), true, true),
            (Some("n"), false, false),
            (Some("?"), false, false),
            (None, false, false),
        ] {
            assert_eq!((is_yes(answer, Enter::Yes), is_yes(answer, Enter::No)), (if_yes, if_no), "{answer:?}");
        }
    }

    #[test]
    fn every_number_of_the_range_can_be_picked() {
        for (answer, picked) in [
            (Some(""), Picked::Entry(0)),
            (Some("1"), Picked::Entry(0)),
            (Some("14"), Picked::Entry(13)),
            (Some("0"), Picked::Invalid),
            (Some("15"), Picked::Invalid),
            (Some("x"), Picked::Invalid),
            (Some("q"), Picked::Nothing),
            (Some("Quit"), Picked::Nothing),
            (Some("no"), Picked::Nothing),
            (None, Picked::Nothing),
        ] {
            assert_eq!(Picked::parse(answer, 14), picked, "{answer:?}");
        }
    }

    #[test]
    fn long_lists_show_the_first_and_the_last() {
        let entries: Vec<String> = (1..=100).map(|number| format!("m{number}")).collect();
        let all = numbered(&entries[..20], "lclaude local models");
        assert!(all.starts_with("   1  m1\n") && all.ends_with("\n  20  m20") && !all.contains('…'), "{all}");
        let long = numbered(&entries, "lclaude local models");
        assert_eq!(long.lines().count(), 21);
        assert!(long.ends_with("   19  m19\n  … and 80 more: lclaude local models\n  100  m100"), "{long}");
    }
}
