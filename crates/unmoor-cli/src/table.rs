//! Aligned columns, cut to the width of the terminal.

use crate::escape::escape;
use crate::truncate::cut;
use unicode_width::UnicodeWidthStr;

/// Rows of cells; the last cell of a row may have any length.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Right-aligned columns: numbers.
    right: Vec<usize>,
    /// Least width of each column.
    widths: Vec<usize>,
}

impl Table {
    pub fn new(right: &[usize]) -> Table {
        Table { rows: Vec::new(), right: right.to_vec(), widths: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|c| escape(&c).into_owned()).collect());
    }

    /// Returns the rows as lines, each at most `width` columns wide.
    ///
    /// The next rows stand under these: no column becomes narrower.
    pub fn lines(&mut self, width: Option<usize>) -> Vec<String> {
        for row in &self.rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (column, cell) in row.iter().enumerate() {
                self.widths[column] = self.widths[column].max(cell.width());
            }
        }
        let rows = std::mem::take(&mut self.rows);
        rows.iter().map(|row| self.line(row, &self.widths, width)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize], limit: Option<usize>) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let space = " ".repeat(widths[column] - cell.width());
            match self.right.contains(&column) {
                true => line.extend([&space, cell.as_str()]),
                false => line.extend([cell.as_str(), &space]),
            }
            line.push_str("  ");
        }
        let line = line.trim_end();
        cut(line, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_stand_under_each_other_whatever_the_script() {
        let mut table = Table::new(&[1]);
        table.row(["sdb".into(), "16.0 GB".into(), "写真".into(), "x".into()]);
        table.row(["└─ sdb1".into(), "8 B".into(), "AB".into(), "y".into()]);
        assert_eq!(table.lines(None), ["sdb      16.0 GB  写真  x", "└─ sdb1      8 B  AB    y"]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(cells in prop::collection::vec(any::<String>(), 1..5), limit in 1usize..100) {
            let mut table = Table::new(&[]);
            table.row(cells);
            for line in table.lines(Some(limit)) {
                prop_assert!(line.width() <= limit, "{line:?}");
            }
        }
    }
}
