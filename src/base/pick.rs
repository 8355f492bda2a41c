//! A numbered choice on a terminal.

use super::ui;

/// The most items that are offered.
const MAX_ITEMS: usize = 9;

/// Asks which of `items` to use, and returns its index. Enter takes the first. Returns `None` if the user leaves with q
/// or at the end of the input.
pub(crate) fn pick(question: &str, items: &[String]) -> Option<usize> {
    let offered = &items[..items.len().min(MAX_ITEMS)];
    for (at, item) in offered.iter().enumerate() {
        ui::message(format_args!("  {}  {item}", at + 1));
    }
    loop {
        let answer = ui::ask(&format!("{question} [1]"))?;
        match answer.as_str() {
            "" => return Some(0),
            "q" => return None,
            number => match number.parse::<usize>() {
                Ok(number) if (1..=offered.len()).contains(&number) => return Some(number - 1),
                _ => ui::message(format_args!("enter a number from 1 to {}, or q to leave", offered.len())),
            },
        }
    }
}
