//! Columns of text, as wide as they need to be.

use super::colour::width;

/// A table with a heading; cells that look like numbers or sizes are aligned to the right by the
/// caller's choice of columns.
#[derive(Clone, Debug)]
pub struct Table {
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; a `>` before one aligns its column to the right.
    pub fn new(headings: &[&str]) -> Self {
        let right = headings
            .iter()
            .map(|heading| heading.starts_with('>'))
            .collect();
        let first = headings
            .iter()
            .map(|heading| heading.trim_start_matches('>').to_owned());
        Table {
            right,
            rows: vec![first.collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        assert_eq!(
            cells.len(),
            self.right.len(),
            "a row has a cell for each heading"
        );
        self.rows.push(cells);
    }

    /// The table as lines, without a newline at the end.
    pub fn text(&self) -> String {
        let widths: Vec<usize> = (0..self.right.len())
            .map(|column| {
                self.rows
                    .iter()
                    .map(|row| width(&row[column]))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row
                .iter()
                .zip(&widths)
                .zip(&self.right)
                .map(|((cell, &wide), &right)| {
                    let gap = " ".repeat(wide - width(cell));
                    if right {
                        format!("{gap}{cell}")
                    } else {
                        format!("{cell}{gap}")
                    }
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::colour::{Hue, Palette};

    // If this fails, tables are hard to read.
    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["name", ">size"]);
        table.row(vec!["é".to_owned(), "1 B".to_owned()]);
        table.row(vec!["node1".to_owned(), "10.0 MiB".to_owned()]);
        assert_eq!(
            table.text(),
            "name       size\né           1 B\nnode1  10.0 MiB"
        );
    }

    // If this fails, a colour moves the columns beside it.
    #[test]
    fn painted_cells_line_up_with_plain_ones() {
        let red = Palette::of_terminal().paint(Hue::Bad, "down");
        let mut table = Table::new(&["health", ">led"]);
        table.row(vec![red.clone(), "0".to_owned()]);
        table.row(vec!["up".to_owned(), "10".to_owned()]);
        let expected = format!("health  led\n{red}      0\nup       10");
        assert_eq!(table.text(), expected);
    }
}
