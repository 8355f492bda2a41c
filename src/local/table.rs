//! Tables for a terminal and for scripts.

/// Returns aligned columns for a terminal, or tab-separated fields otherwise.
pub(super) fn render<const N: usize>(lines: &[[String; N]], is_terminal: bool) -> String {
    if !is_terminal {
        return lines.iter().map(|line| format!("{}\n", line.join("\t"))).collect();
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let aligned = |line: &[String; N]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    lines.iter().map(aligned).collect()
}
