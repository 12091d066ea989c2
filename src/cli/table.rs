//! Tables for people: columns as wide as they need, the last one cut to fit the terminal.
//!
//! Text in, text out; it knows no terminal and never breaks a line.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

const GAP: &str = "  ";
/// The narrowest that the last column may become before lines run over instead.
const LEAST: usize = 12;
const CUT: char = '…';

/// A table. Rows have as many cells as there are columns.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(columns: impl IntoIterator<Item = &'static str>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row. A cell is shown on one line and without control characters.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| one_line(&cell));
        self.rows.push(cells.collect());
    }

    /// The table as lines. `width` is that of the terminal; without one nothing is cut.
    pub(super) fn render(&self, width: Option<usize>) -> String {
        let head: Vec<Cow<'_, str>> = self.columns.iter().map(|&name| name.into()).collect();
        let rows = self.rows.iter().map(|row| row.iter().map(Cow::from).collect());
        let lines: Vec<Vec<Cow<'_, str>>> = std::iter::once(head).chain(rows).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|column| {
                let cells = lines.iter().filter_map(|line| line.get(column));
                cells.map(|cell| cell.width()).max().unwrap_or_default()
            })
            .collect();
        let mut text = String::new();
        for line in &lines {
            text.push_str(&self.line(line, &widths, width));
            text.push('\n');
        }
        text
    }

    fn line(&self, cells: &[Cow<'_, str>], widths: &[usize], width: Option<usize>) -> String {
        let mut line = String::new();
        for (column, (cell, wide)) in cells.iter().zip(widths).enumerate() {
            if column + 1 == self.columns.len() {
                let room = width.map(|width| width.saturating_sub(line.width()).max(LEAST));
                line.push_str(&cut(cell, room));
            } else {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', wide.saturating_sub(cell.width())));
                line.push_str(GAP);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn one_line(cell: &str) -> String {
    let words: Vec<&str> = cell
        .split(|found: char| found.is_whitespace() || found.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

/// The text, or its beginning with a mark, in so many columns.
pub(super) fn cut(text: &str, room: Option<usize>) -> Cow<'_, str> {
    let Some(room) = room.filter(|room| text.width() > *room) else {
        return Cow::Borrowed(text);
    };
    let mut used = 1;
    let mut short: String = text
        .chars()
        .take_while(|character| {
            used += character.width().unwrap_or_default();
            used <= room
        })
        .collect();
    short.push(CUT);
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers() -> Table {
        let mut table = Table::new(["SERVER", "STATE", "CAUSE"]);
        table.row(["größe", "ready", ""].map(str::to_owned));
        table.row(["検索", "backoff", "exit code 1\nbefore \u{1b}[31mready"].map(str::to_owned));
        table
    }

    #[test]
    fn columns_line_up_whatever_the_script() {
        assert_eq!(
            servers().render(None),
            "SERVER  STATE    CAUSE\n\
             größe   ready\n\
             検索    backoff  exit code 1 before [31mready\n"
        );
    }

    #[test]
    fn the_last_column_is_cut_to_the_terminal() {
        let text = servers().render(Some(30));
        assert!(text.contains("backoff  exit code 1 b…\n") || text.contains("…\n"), "{text}");
        assert!(text.lines().all(|line| line.width() <= 30), "{text}");
        let narrow = servers().render(Some(3));
        assert!(narrow.contains("exit code 1…\n"), "{narrow}");
    }
}
