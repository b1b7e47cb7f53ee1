//! Tables of the outcome, for a terminal and for the documentation.

use std::fmt::Write as _;

use quoit_floors::units;

use crate::document::{Document, Outcome};
use crate::plan::Workload;

/// One table: its title and floor, its head, and its rows, each with whether it is the fastest between processes.
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) floor: String,
    head: Vec<&'static str>,
    rows: Vec<(Vec<String>, bool)>,
}

pub(crate) fn tables(document: &Document) -> Vec<Table> {
    let tables = document.groups().into_iter().map(|(workload, bytes, mut outcomes)| {
        let key = |outcome: &Outcome| outcome.ratio.map_or(f64::MAX, |ratio| ratio.median);
        outcomes.sort_by(|a, b| key(a).total_cmp(&key(b)));
        let best = outcomes.iter().find(|outcome| !outcome.system.threads()).map(|outcome| outcome.system);
        let floor = outcomes.iter().find_map(|outcome| outcome.floor).map(|times| times.typical);
        Table {
            title: format!("{}, {}", workload.title(), units::bytes(bytes as u64)),
            floor: format!("{} takes {}", workload.floor(), nanos(floor)),
            head: head(workload),
            rows: outcomes.iter().map(|outcome| (row(outcome), Some(outcome.system) == best)).collect(),
        }
    });
    tables.collect()
}

fn head(workload: Workload) -> Vec<&'static str> {
    match workload {
        Workload::Pingpong => {
            vec!["", "p50", "ratio", "quartiles", "p99", "its ratio", "p99.9", "max", "rounds", ""]
        }
        Workload::Flood => vec!["", "a publish", "ratio", "quartiles", "received", "rounds", ""],
        _ => vec!["", "a record", "ratio", "quartiles", "rounds", ""],
    }
}

fn row(outcome: &Outcome) -> Vec<String> {
    let ratio = number(outcome.ratio.map(|ratio| ratio.median));
    let quartiles = outcome.ratio.map_or_else(
        || "–".to_owned(),
        |ratio| format!("{}–{}", number(Some(ratio.lower_quartile)), number(Some(ratio.upper_quartile))),
    );
    let mut cells = vec![
        outcome.system.name().to_owned(),
        nanos(outcome.times.map(|times| times.typical)),
        ratio,
        quartiles,
    ];
    match outcome.workload {
        Workload::Pingpong => {
            let tail = outcome.times.and_then(|times| times.tail);
            cells.push(nanos(tail.map(|tail| tail.p99)));
            cells.push(number(outcome.ratio_p99));
            cells.push(nanos(tail.map(|tail| tail.p999)));
            cells.push(nanos(tail.map(|tail| tail.max)));
        }
        Workload::Flood => {
            cells.push(outcome.share.map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0)));
        }
        Workload::Stream | Workload::Batch => {}
    }
    cells.push(match outcome.discarded {
        0 => outcome.kept.to_string(),
        discarded => format!("{} of {}", outcome.kept, outcome.kept + discarded as usize),
    });
    let credits = outcome.workload == Workload::Stream && outcome.system.overwrites();
    cells.push(match (outcome.system.threads(), credits) {
        (true, _) => "threads".into(),
        (_, true) => "credits added".into(),
        _ => String::new(),
    });
    cells
}

impl Table {
    pub(crate) fn plain(&self) -> String {
        let rows = || {
            std::iter::once(self.head.clone())
                .chain(self.rows.iter().map(|(row, _)| row.iter().map(String::as_str).collect()))
        };
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| rows().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = format!("{}\n  floor: {}\n", self.title, self.floor);
        for row in rows() {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                let words = column == 0 || column + 1 == row.len();
                let _ =
                    if words { write!(line, "  {cell:width$}") } else { write!(line, "  {cell:>width$}") };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The fastest between processes in bold.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("**{}.** Floor: {}.\n\n", self.title, self.floor);
        text.push_str(&line(&self.head.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>()));
        text.push_str(&format!("|---|{}\n", "--:|".repeat(self.head.len() - 2) + "---|"));
        for (row, best) in &self.rows {
            let mut row = row.clone();
            if *best {
                row[0] = format!("**{}**", row[0]);
            }
            text.push_str(&line(&row));
        }
        text
    }
}

/// Three figures or so.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

fn nanos(nanos: Option<f64>) -> String {
    nanos.map_or_else(|| "–".to_owned(), |nanos| units::nanos(nanos, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let shown = [1.234, 12.34, 123.4].map(|value| number(Some(value)));
        assert_eq!(shown, ["1.23", "12.3", "123"]);
    }
}
