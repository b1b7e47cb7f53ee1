//! Tables for a terminal.

use std::fmt::Write as _;

/// Formats one line per row. Each column is as wide as its widest cell: words align left, numbers align right.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]], words: &[bool; N]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = if words[column] {
                write!(line, "{cell:<width$}  ")
            } else {
                write!(line, "{cell:>width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["name", "lag"], ["a", "1,000"], ["größer", "2"]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows, &[true, false]), "name      lag\na       1,000\ngrößer      2\n");
    }
}
