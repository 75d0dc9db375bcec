//! Columns for people; programs read `--json`.

use std::fmt;

use crate::report;

/// A table whose columns are as wide as their widest cell.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// Starts a table with its heading.
    pub(super) fn new(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned)] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    fn widths(&self) -> [usize; N] {
        let width =
            |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        std::array::from_fn(width)
    }

    /// Formats the table in a number of columns; the last cell of a row continues in further lines.
    pub(super) fn wrapped(&self, width: usize) -> String {
        let widths = self.widths();
        let lines = self.rows.iter().map(|row| {
            let Some((last, cells)) = row.split_last() else { return String::new() };
            let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  "));
            let head: String = cells.collect();
            let indent = " ".repeat(head.chars().count());
            report::paragraph(&head, &indent, last, width)
        });
        lines.collect()
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        for row in &self.rows {
            let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["run", "lab"]);
        table.row(["20261121-093403-étcd".to_owned(), "étcd".to_owned()]);
        table.row(["x".to_owned(), String::new()]);
        insta::assert_snapshot!(table.to_string(), @r"
        run                   lab
        20261121-093403-étcd  étcd
        x
        ");
    }

    #[test]
    fn the_last_column_is_wrapped() {
        let mut table = Table::new(["node", "last seen"]);
        table.row(["a".to_owned(), "console line `Booting the kernel now`".to_owned()]);
        table.row(["b".to_owned(), String::new()]);
        insta::assert_snapshot!(table.wrapped(30), @"
        node  last seen
        a     console line `Booting
              the kernel now`
        b
        ");
    }
}
