//! Draws what a terminal showed as an SVG image: one frame, or several that follow each other.

use std::fmt::Write;

use vt100::{Cell, Color, Screen};

use super::terminal::{COLUMNS, ROWS};

/// The size of a character, in the units of the image.
const CELL: (usize, usize) = (8, 18);
/// The space between the window's edge and the text.
const MARGIN: usize = 16;
/// The colors of text and window, and the 16 colors that a program can name.
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#14171c";
const NAMED: [&str; 16] = [
    "#3b4252", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d8dee9", "#7a8291", "#e88388",
    "#b3d19a", "#ecd2a0", "#87c3f5", "#d69be6", "#7fcbd4", "#ffffff",
];
/// The levels of red, green and blue in the 6×6×6 cube of 256 colors.
const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];

/// Everything that a terminal got until some moment, and how long the picture shows it.
pub struct Frame {
    pub output: Vec<u8>,
    pub seconds: f64,
}

/// A piece of text that looks the same, in one row.
struct Piece {
    column: u16,
    /// Its width. A wide character takes two cells.
    cells: usize,
    text: String,
    style: Style,
}

/// How a piece of text looks.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Style {
    foreground: String,
    background: Option<String>,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

/// Returns an image that shows the frames again and again. Where animations are unwanted, it shows the last one.
///
/// `title`: the text for those who can't see it.
pub fn draw(title: &str, frames: &[Frame]) -> String {
    let (width, height) = (usize::from(COLUMNS) * CELL.0 + 2 * MARGIN, usize::from(ROWS) * CELL.1 + 2 * MARGIN);
    let total: f64 = frames.iter().map(|frame| frame.seconds).sum();
    let mut style = format!(
        "text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}\n\
         .f{{visibility:hidden;animation:{total}s step-end infinite}}\n"
    );
    let mut drawn = String::new();
    let mut start = 0.0;
    for (number, frame) in frames.iter().enumerate() {
        let end = start + frame.seconds;
        let (from, to) = (start / total * 100.0, end / total * 100.0);
        // The first and the last moment of a loop are the same one.
        let before = if number == 0 { String::new() } else { "0%{visibility:hidden}".into() };
        let after = if number + 1 == frames.len() { String::new() } else { format!("{to:.2}%{{visibility:hidden}}") };
        writeln!(style, "@keyframes k{number}{{{before}{from:.2}%{{visibility:visible}}{after}}}").expect("text");
        writeln!(style, "#f{number}{{animation-name:k{number}}}").expect("text");
        writeln!(drawn, "<g class=\"f\" id=\"f{number}\">{}</g>", draw_screen(&frame.output)).expect("text");
        start = end;
    }
    let last = frames.len().saturating_sub(1);
    write!(style, "@media (prefers-reduced-motion:reduce){{.f{{animation:none}}#f{last}{{visibility:visible}}}}")
        .expect("text");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"{title}\">\n<title>{title}</title>\n<style>{style}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n{drawn}</svg>\n",
        title = escape(title)
    )
}

fn draw_screen(output: &[u8]) -> String {
    let mut emulator = vt100::Parser::new(ROWS, COLUMNS, 0);
    emulator.process(output);
    let screen = emulator.screen();
    let (mut backgrounds, mut texts) = (String::new(), String::new());
    for row in 0..ROWS {
        for piece in pieces(screen, row) {
            draw_piece(&mut backgrounds, &mut texts, row, &piece);
        }
    }
    backgrounds + &texts
}

/// Returns the pieces of a row. Empty ones are left out.
fn pieces(screen: &Screen, row: u16) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for column in 0..COLUMNS {
        let Some(cell) = screen.cell(row, column).filter(|cell| !cell.is_wide_continuation()) else { continue };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        let (style, cells) = (Style::of(cell), if cell.is_wide() { 2 } else { 1 });
        match pieces.last_mut() {
            Some(piece) if piece.style == style => {
                piece.text.push_str(text);
                piece.cells += cells;
            }
            _ => pieces.push(Piece { column, cells, text: text.to_owned(), style }),
        }
    }
    let is_seen =
        |Piece { text, style, .. }: &Piece| !text.trim().is_empty() || style.background.is_some() || style.underline;
    pieces.retain(is_seen);
    pieces
}

fn draw_piece(backgrounds: &mut String, texts: &mut String, row: u16, piece: &Piece) {
    let Piece { column, cells, text, style } = piece;
    let (x, y) = (MARGIN + usize::from(*column) * CELL.0, MARGIN + usize::from(row) * CELL.1);
    if let Some(color) = &style.background {
        let (width, height) = (cells * CELL.0, CELL.1);
        write!(backgrounds, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{color}\"/>")
            .expect("text");
    }
    // Blanks are seen only if they are underlined.
    let (mut shown, mut indent, mut cells) = (text.as_str(), 0, *cells);
    if !style.underline {
        shown = text.trim_matches(' ');
        indent = text.len() - text.trim_start_matches(' ').len();
        cells -= text.len() - shown.len();
    }
    if shown.is_empty() {
        return;
    }
    // The length keeps the columns in place, whatever the font.
    let (x, y, length) = (x + indent * CELL.0, y + CELL.1 - 5, cells * CELL.0);
    write!(texts, "<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\" fill=\"{}\"", style.foreground).expect("text");
    let flags = [
        (style.bold, " font-weight=\"bold\""),
        (style.dim, " opacity=\"0.65\""),
        (style.italic, " font-style=\"italic\""),
        (style.underline, " text-decoration=\"underline\""),
    ];
    texts.extend(flags.into_iter().filter_map(|(is_set, attribute)| is_set.then_some(attribute)));
    write!(texts, ">{}</text>", escape(shown)).expect("text");
}

impl Style {
    fn of(cell: &Cell) -> Self {
        let (mut foreground, mut background) = (color(cell.fgcolor()), color(cell.bgcolor()));
        if cell.inverse() {
            let swapped = background.take().unwrap_or_else(|| BACKGROUND.into());
            background = Some(foreground.take().unwrap_or_else(|| FOREGROUND.into()));
            foreground = Some(swapped);
        }
        Style {
            foreground: foreground.unwrap_or_else(|| FOREGROUND.into()),
            background,
            bold: cell.bold(),
            dim: cell.dim(),
            italic: cell.italic(),
            underline: cell.underline(),
        }
    }
}

/// Returns a color for the image, or `None` for the default.
fn color(color: Color) -> Option<String> {
    let hex = |red: u8, green: u8, blue: u8| Some(format!("#{red:02x}{green:02x}{blue:02x}"));
    match color {
        Color::Default => None,
        Color::Idx(index @ 0..=15) => Some(NAMED[usize::from(index)].into()),
        Color::Idx(index @ 16..=231) => {
            let level = |part: u8| LEVELS[usize::from(part % 6)];
            let index = index - 16;
            hex(level(index / 36), level(index / 6), level(index))
        }
        Color::Idx(index) => {
            let gray = 8 + (index - 232) * 10;
            hex(gray, gray, gray)
        }
        Color::Rgb(red, green, blue) => hex(red, green, blue),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_as_wide_as_its_cells() {
        let drawn = draw_screen("  日本 x  \r\n\x1b[44m日 \x1b[0m".as_bytes());
        assert!(drawn.contains(&format!("<text x=\"{}\" y=\"29\" textLength=\"48\"", MARGIN + 16)), "{drawn}");
        assert!(drawn.contains("width=\"24\"") && drawn.contains("textLength=\"16\""), "{drawn}");
    }

    #[test]
    fn underlined_blanks_are_drawn() {
        let drawn = draw_screen(b"a \x1b[4m   \x1b[0m b");
        assert!(drawn.contains("textLength=\"24\"") && drawn.contains("text-decoration=\"underline\">   <"), "{drawn}");
    }
}
