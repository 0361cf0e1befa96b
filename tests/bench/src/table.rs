//! Tables in Markdown.

use std::fmt::{self, Write as _};

/// A table that is written row by row.
pub(crate) struct Table {
    text: String,
    columns: usize,
}

impl Table {
    /// The first `texts` columns hold texts, the others figures, which stand to the right.
    pub(crate) fn new(texts: usize, titles: &[&str]) -> Self {
        let mut table = Self {
            text: String::new(),
            columns: titles.len(),
        };
        table.row(titles);
        let rules = (0..titles.len()).map(|column| if column < texts { "---" } else { "--:" });
        table.text.push('|');
        for rule in rules {
            write!(table.text, "{rule}|").expect("a String takes all that is written");
        }
        table.text.push('\n');
        table
    }

    /// As many cells as there are columns.
    pub(crate) fn row(&mut self, cells: &[impl AsRef<str>]) {
        assert_eq!(cells.len(), self.columns, "a row has a cell in each column");
        self.text.push('|');
        for cell in cells {
            write!(self.text, " {} |", cell.as_ref()).expect("a String takes all that is written");
        }
        self.text.push('\n');
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_as_markdown_has_it() {
        let mut table = Table::new(1, &["server", "tasks/s", ""]);
        table.row(&["host", "1,000", ""]);
        assert_eq!(
            table.to_string(),
            "| server | tasks/s |  |\n|---|--:|--:|\n| host | 1,000 |  |\n"
        );
    }

    #[test]
    #[should_panic(expected = "a row has a cell in each column")]
    fn a_row_that_is_too_short() {
        Table::new(0, &["a", "b"]).row(&["1"]);
    }
}
