use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::harmless::harmless;

const GAP: &str = "  ";
/// Nothing is cut shorter than this.
const SHORTEST: usize = 8;

/// Rows under headings, for people.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(headings: [&'static str; N]) -> Self {
        Self {
            headings: headings.map(Into::into).into(),
            rows: Vec::new(),
        }
    }

    /// Under headings that are not known before.
    pub(crate) fn under(headings: &[String]) -> Self {
        Self {
            headings: headings.iter().map(|cell| on_a_line(cell)).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.row_of(cells);
    }

    pub(crate) fn row_of<'c>(&mut self, cells: impl IntoIterator<Item = &'c str>) {
        let cells: Vec<String> = cells.into_iter().map(on_a_line).collect();
        debug_assert_eq!(
            cells.len(),
            self.headings.len(),
            "a cell under each heading"
        );
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table, no wider than `width` where that is possible: its widest columns are cut.
    pub(crate) fn render(&self, width: Option<usize>) -> String {
        let mut widths: Vec<usize> = self.headings.iter().map(|cell| cell.width()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        if let Some(width) = width {
            shrink(&mut widths, width);
        }
        std::iter::once(&self.headings)
            .chain(&self.rows)
            .map(|row| line(row, &widths))
            .collect::<Vec<_>>()
            .join("\n")
    }
}

fn on_a_line(cell: &str) -> String {
    harmless(cell).replace(['\n', '\t'], " ")
}

fn shrink(widths: &mut [usize], most: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > most {
        match widths.iter_mut().max() {
            Some(widest) if *widest > SHORTEST => *widest -= 1,
            _ => return,
        }
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, &width) in cells.iter().zip(widths) {
        let cell = cut(cell, width);
        line.push_str(&cell);
        line.push_str(&" ".repeat(width - cell.width().min(width)));
        line.push_str(GAP);
    }
    line.truncate(line.trim_end().len());
    line
}

fn cut(cell: &str, width: usize) -> String {
    if cell.width() <= width {
        return cell.into();
    }
    let mut used = 1; // of the ellipsis
    let kept = cell.chars().take_while(|char| {
        used += char.width().unwrap_or(0);
        used <= width
    });
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shops() -> Table {
        let mut table = Table::new(["CODE", "NAME", "URL"]);
        table.row(["acme", "Acme", "http://acme.localhost:8000"]);
        table.row([
            "globex",
            &"Globex Corporation ".repeat(4),
            "http://globex.localhost:8000",
        ]);
        table
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(["CODE", "NAME"]);
        table.row(["acme", "Acme"]);
        table.row(["long-code", "東京"]);
        assert_eq!(
            table.render(None),
            "CODE       NAME\nacme       Acme\nlong-code  東京"
        );
    }

    #[test]
    fn on_a_terminal_it_fits_into_80_columns() {
        let text = shops().render(Some(80));
        assert!(text.lines().all(|line| line.width() <= 80), "{text}");
        assert!(
            text.contains("http://globex.localhost:8000"),
            "only the widest is cut\n{text}"
        );
        assert!(text.contains('…'));
    }

    #[test]
    fn in_a_pipe_nothing_is_cut() {
        assert!(!shops().render(None).contains('…'));
    }

    #[test]
    fn wide_characters_are_cut_by_what_they_take() {
        assert_eq!(cut("東京都庁", 5), "東京…");
        assert_eq!(cut("東京都庁", 4), "東…");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\u{1b}[2Jevil\nline \u{202e}"]);
        assert_eq!(table.render(None), "NAME\n\u{fffd}[2Jevil line \u{fffd}");
    }
}
