//! Where everything that was measured is shown: in which table, and in which column.

use crate::document::Outcome;
use crate::ratio::Ratio;
use crate::titles::{column, table};
use crate::work::Work;

/// One cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) table: &'static str,
    pub(crate) column: String,
    pub(crate) ratio: Option<Ratio>,
    /// What the floor takes, ns.
    pub(crate) floor: Option<f64>,
}

impl Outcome {
    pub(crate) fn points(&self) -> Vec<Point> {
        let column = column(self.work, self.bytes);
        let floor = self.floor.map(|times| times.typical);
        let tail = self.floor.and_then(|times| times.tail);
        let point =
            |table, column: &str, ratio, floor| Point { table, column: column.to_owned(), ratio, floor };
        let table = table(self.work);
        match self.work {
            Work::Pingpong => vec![
                point(table, &column, self.ratio, floor),
                point(
                    "Round trip, both sides busy, 99th percentile",
                    &column,
                    self.p99,
                    tail.map(|tail| tail.p99),
                ),
            ],
            Work::Call => vec![
                point(table, &column, self.ratio, floor),
                point(table, &format!("{column}, p99"), self.p99, tail.map(|tail| tail.p99)),
            ],
            Work::Open | Work::Event => vec![
                point(table, "p50", self.ratio, floor),
                point(table, "p99", self.p99, tail.map(|tail| tail.p99)),
                point(table, "p99.9", self.p999, tail.map(|tail| tail.p999)),
            ],
            _ => vec![point(table, &column, self.ratio, floor)],
        }
    }
}
