//! Tables for a terminal and for scripts.

use crate::base::ui;

/// Between two columns.
const GAP: &str = "  ";

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub title: &'static str,
    /// Whether it is left out where the terminal is too narrow for all columns.
    pub can_drop: bool,
}

/// A column that is always shown.
pub(super) const fn always(title: &'static str) -> Column {
    Column { title, can_drop: false }
}

/// A column that is left out where the terminal is too narrow.
pub(super) const fn if_wide(title: &'static str) -> Column {
    Column { title, can_drop: true }
}

/// Prints a table: aligned columns that fit the terminal, or all of them as tab-separated fields if stdout goes elsewhere.
pub(super) fn print<const N: usize>(columns: [Column; N], rows: impl IntoIterator<Item = [String; N]>) {
    let titles = columns.map(|column| column.title.to_owned());
    let lines: Vec<[String; N]> = std::iter::once(titles).chain(rows).collect();
    ui::print(&match ui::width() {
        // As they are shown, since that changes their width.
        Some(width) => aligned(
            columns,
            &lines.into_iter().map(|line| line.map(|cell| ui::for_people(&cell))).collect::<Vec<_>>(),
            width,
        ),
        None => lines.iter().map(|line| format!("{}\n", line.join("\t"))).collect(),
    });
}

/// Returns the columns that fit a width: the widest are left out first. If the others are still too wide, the widest is
/// cut, so that no line wraps.
fn aligned<const N: usize>(columns: [Column; N], lines: &[[String; N]], width: usize) -> String {
    let cell_width = |cell: &String| cell.chars().count();
    let widest = |column: usize| lines.iter().map(|line| cell_width(&line[column])).max().unwrap_or(0);
    let mut widths: [usize; N] = std::array::from_fn(widest);
    let mut shown: Vec<usize> = (0..N).collect();
    let total = |shown: &[usize], widths: [usize; N]| {
        shown.iter().map(|column| widths[*column]).sum::<usize>() + GAP.len() * shown.len().saturating_sub(1)
    };
    while total(&shown, widths) > width
        && let Some(dropped) = shown.iter().copied().filter(|at| columns[*at].can_drop).max_by_key(|at| widths[*at])
    {
        shown.retain(|column| *column != dropped);
    }
    let cut = shown.iter().copied().max_by_key(|column| widths[*column]).unwrap_or(0);
    widths[cut] = widths[cut].saturating_sub(total(&shown, widths).saturating_sub(width)).max(columns[cut].title.len());
    let row = |line: &[String; N]| {
        let cell = |column: usize| match cell_width(&line[column]) > widths[column] {
            true => ui::shorten(&line[column], widths[column].saturating_sub(1)),
            false => format!("{:1$}", line[column], widths[column]),
        };
        let cells: Vec<String> = shown.iter().map(|column| cell(*column)).collect();
        format!("{}\n", cells.join(GAP).trim_end())
    };
    lines.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [always("NAME"), if_wide("ORIGIN"), if_wide("SIZE"), always("FITS")];

    fn shown(width: usize) -> String {
        let line = |cells: [&str; 4]| cells.map(str::to_owned);
        aligned(
            COLUMNS,
            &[line(COLUMNS.map(|column| column.title)), line(["qwen3-coder:30b", "somewhere else", "18.6 GB", "yes"])],
            width,
        )
    }

    #[test]
    fn widest_columns_go_first_and_then_the_widest_is_cut() {
        let all = "NAME             ORIGIN          SIZE     FITS\nqwen3-coder:30b  somewhere else  18.6 GB  yes\n";
        assert_eq!(shown(46), all);
        let without_origin = "NAME             SIZE     FITS\nqwen3-coder:30b  18.6 GB  yes\n";
        assert_eq!(shown(45), without_origin);
        assert_eq!(shown(29), "NAME             FITS\nqwen3-coder:30b  yes\n");
        assert_eq!(shown(16), "NAME        FITS\nqwen3-cod…  yes\n");
        assert_eq!(shown(1), "NAME  FITS\nqwe…  yes\n");
    }
}
