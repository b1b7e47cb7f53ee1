//! Tables of the outcome, for a terminal and for the documentation: a row for each system, a column for each size or
//! whatever else differs.

use std::fmt::Write as _;

use quoit_floors::units;

use crate::document::{Document, Outcome};
use crate::points::Point;
use crate::ratio::Ratio;
use crate::system::System;
use crate::titles::floor;

pub(crate) struct Table {
    pub(crate) title: &'static str,
    floor: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) rows: Vec<Row>,
    rounds: Rounds,
}

pub(crate) struct Column {
    pub(crate) label: String,
    /// What the floor takes, ns.
    floor: Option<f64>,
}

/// A system's cells, one for each column.
pub(crate) struct Row {
    pub(crate) system: System,
    credits: bool,
    pub(crate) cells: Vec<Option<Cell>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) ratio: Ratio,
    pub(crate) share: Option<f64>,
    /// The fastest between processes.
    best: bool,
}

/// How many rounds a table rests on.
#[derive(Default)]
struct Rounds {
    least: usize,
    most: usize,
    kept: usize,
    discarded: usize,
}

pub(crate) fn tables(document: &Document) -> Vec<Table> {
    let mut titles: Vec<&str> = Vec::new();
    let points: Vec<(&Outcome, Point)> = document
        .results
        .iter()
        .flat_map(|outcome| outcome.points().into_iter().map(move |point| (outcome, point)))
        .collect();
    for (_, point) in &points {
        if !titles.contains(&point.table) {
            titles.push(point.table);
        }
    }
    let of = |title| points.iter().filter(move |(_, point)| point.table == title).collect();
    titles.into_iter().filter_map(|title| Table::of(title, of(title))).collect()
}

impl Table {
    fn of(title: &'static str, points: Vec<&(&Outcome, Point)>) -> Option<Self> {
        let (first, _) = points.first()?;
        let mut table = Self {
            title,
            floor: floor(first.work),
            columns: Vec::new(),
            rows: Vec::new(),
            rounds: Rounds::of(points.iter().map(|(outcome, _)| *outcome)),
        };
        for (_, point) in &points {
            match table.columns.iter_mut().find(|column| column.label == point.column) {
                Some(column) => column.floor = column.floor.or(point.floor),
                None => table.columns.push(Column { label: point.column.clone(), floor: point.floor }),
            }
        }
        for (outcome, point) in points {
            let width = table.columns.len();
            let at = table.columns.iter().position(|column| column.label == point.column);
            let row = match table.rows.iter().position(|row| row.system == outcome.system) {
                Some(row) => row,
                None => {
                    let (system, credits) = (outcome.system, outcome.credits);
                    table.rows.push(Row { system, credits, cells: vec![None; width] });
                    table.rows.len() - 1
                }
            };
            let cell = point.ratio.map(|ratio| Cell { ratio, share: outcome.share, best: false });
            table.rows[row].cells[at?] = cell;
        }
        table.rank();
        Some(table)
    }

    /// The fastest over all columns that everybody has first; and the fastest between processes of each column.
    fn rank(&mut self) {
        let everybody: Vec<bool> = (0..self.columns.len())
            .map(|column| self.rows.iter().all(|row| row.cells[column].is_some()))
            .collect();
        let mean = |row: &Row| {
            let cells = row.cells.iter().zip(&everybody).filter(|(_, all)| **all);
            let logs: Vec<f64> =
                cells.filter_map(|(cell, _)| Some(cell.as_ref()?.ratio.median().ln())).collect();
            logs.iter().sum::<f64>() / logs.len().max(1) as f64
        };
        self.rows.sort_by(|a, b| mean(a).total_cmp(&mean(b)));
        for column in 0..self.columns.len() {
            let cells = self.rows.iter_mut().filter(|row| !row.system.threads());
            let best = cells
                .filter_map(|row| row.cells[column].as_mut())
                .min_by(|a, b| a.ratio.median().total_cmp(&b.ratio.median()));
            if let Some(best) = best {
                best.best = true;
            }
        }
    }

    fn lines(&self, bold: impl Fn(String) -> String) -> Vec<Vec<String>> {
        let labels = self.columns.iter().map(|column| column.label.clone());
        let head = [String::new()].into_iter().chain(labels).chain([String::new()]).collect();
        let floors = self.columns.iter().map(|column| nanos(column.floor));
        let floor = ["floor".to_owned()].into_iter().chain(floors).chain([String::new()]).collect();
        let rows = self.rows.iter().map(|row| {
            let cells = row.cells.iter().map(|cell| match cell {
                None => "–".to_owned(),
                Some(cell) if cell.best => bold(cell.text()),
                Some(cell) => cell.text(),
            });
            let note = match (row.system.threads(), row.credits) {
                (true, _) => "threads",
                (_, true) => "credits added",
                _ => "",
            };
            [row.system.name().to_owned()].into_iter().chain(cells).chain([note.to_owned()]).collect()
        });
        [head, floor].into_iter().chain(rows).collect()
    }

    pub(crate) fn plain(&self) -> String {
        let lines = self.lines(|text| format!("*{text}"));
        let widths: Vec<usize> = (0..self.columns.len() + 2)
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = format!("{}\n  floor: {}\n", self.title, self.floor);
        for line in lines {
            let mut cells = String::new();
            for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
                // Words to the left, numbers to the right.
                let words = column == 0 || column + 1 == line.len();
                let _ =
                    if words { write!(cells, "  {cell:width$}") } else { write!(cells, "  {cell:>width$}") };
            }
            text.push_str(cells.trim_end());
            text.push('\n');
        }
        text + "  " + &self.rounds.text() + "\n"
    }

    pub(crate) fn markdown(&self) -> String {
        let lines = self.lines(|text| format!("**{text}**"));
        let mut lines = lines.into_iter().map(|line| format!("| {} |\n", line.join(" | ")));
        let head = lines.next().unwrap_or_default();
        let rule = format!("|---|{}---|\n", "--:|".repeat(self.columns.len()));
        let rows: String = lines.collect();
        let (title, floor, rounds) = (self.title, self.floor, self.rounds.text());
        format!("**{title}.** Floor: {floor}. {rounds}.\n\n{head}{rule}{rows}")
    }
}

impl Cell {
    /// The median, and the worst round kept; an exclamation mark says that it was in another mode.
    fn text(self) -> String {
        let Ratio { worst, slow_mode, .. } = self.ratio;
        let mark = if slow_mode { "!" } else { "" };
        let share = self.share.map_or_else(String::new, |share| format!(", {:.0} %", share * 100.0));
        format!("{} ({}{mark}){share}", number(self.ratio.median()), number(worst))
    }
}

impl Rounds {
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Self {
        let mut rounds = Self { least: usize::MAX, ..Self::default() };
        for outcome in outcomes {
            rounds.least = rounds.least.min(outcome.kept);
            rounds.most = rounds.most.max(outcome.kept);
            rounds.kept += outcome.kept;
            rounds.discarded += outcome.discarded as usize;
        }
        rounds
    }

    fn text(&self) -> String {
        let all = (self.kept + self.discarded).max(1);
        let discarded = (100.0 * self.discarded as f64 / all as f64).round();
        let kept = if self.least == self.most {
            self.least.to_string()
        } else {
            format!("{} to {}", self.least, self.most)
        };
        format!("Rounds kept: {kept}, {discarded} % discarded")
    }
}

/// Three figures or so.
pub(crate) fn number(value: f64) -> String {
    match value {
        _ if value < 10.0 => format!("{value:.2}"),
        _ if value < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn nanos(nanos: Option<f64>) -> String {
    nanos.map_or_else(|| "–".to_owned(), |nanos| units::nanos(nanos, 3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::plan;
    use crate::work::Workload;
    use quoit_floors::figures::Figures;
    use quoit_floors::rounds::Series;

    #[test]
    fn numbers_are_short() {
        assert_eq!([1.234, 12.34, 123.4].map(number), ["1.23", "12.3", "123"]);
    }

    /// Takes so many ns in its rounds, where the floor takes 10.
    fn series(times: &[f64]) -> Series {
        let figures = |typical| Figures { typical, ..Figures::default() };
        let kept = times.iter().map(|time| (figures(10.0), figures(*time))).collect();
        Series { kept, discarded: 1, ..Series::default() }
    }

    #[test]
    fn the_fastest_between_processes_comes_first_and_is_bold() {
        let systems = [System::Shaq, System::Rtrb, System::Quoit];
        let groups: Vec<_> =
            plan(&[Workload::Batch], 1.0)[..2].iter().map(|group| (*group, systems.to_vec())).collect();
        let first = vec![series(&[30.0, 30.0, 60.0]), series(&[10.0; 3]), series(&[20.0, 20.0, 21.0])];
        let second = vec![series(&[11.0; 3]), series(&[10.0; 3]), series(&[12.0; 3])];
        let document = Document::of(Vec::new(), &groups, &[first, second]);
        let [table] = &tables(&document)[..] else { panic!("one table") };
        assert_eq!(
            table.markdown(),
            "**Stream in batches of 64.** Floor: a textbook ring with two cursors, each stored once a batch. Rounds kept: \
             3, 25 % discarded.\n\n\
             |  | 8 B | 64 B |  |\n\
             |---|--:|--:|---|\n\
             | floor | 10 ns | 10 ns |  |\n\
             | rtrb | 1.00 (1.00) | 1.00 (1.00) | threads |\n\
             | quoit | **2.00 (2.10)** | 1.20 (1.20) |  |\n\
             | shaq | 3.00 (6.00!) | **1.10 (1.10)** |  |\n"
        );
        assert!(table.plain().contains("*1.10 (1.10)"));
    }
}
