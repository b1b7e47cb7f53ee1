//! Rounds: floor, what is measured, floor again, for every group in turn; then the next round. So whatever the
//! machine does meanwhile hits all of them alike.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::figures::Figures;
use super::pair::Pair;
use super::plan::{Group, Ratio};
use super::stats::{Spread, settled};
use crate::signals::Signals;

/// What the rounds of one row have yielded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Floor and row, of rounds in which the floor kept still.
    pub(crate) kept: Vec<(Figures, Figures)>,
    pub(crate) discarded: u32,
}

impl Series {
    fn add(&mut self, before: Figures, row: Figures, after: Figures) {
        match settled(before, after) {
            Some(floor) if !row.disturbed => self.kept.push((floor, row)),
            _ => self.discarded += 1,
        }
    }

    /// The ratios of the rounds, taken round by round.
    pub(crate) fn ratio(&self, ratio: Ratio) -> Option<Spread> {
        Spread::of(self.kept.iter().map(|(floor, row)| ratio.of(floor.typical, row.typical)))
    }

    /// The median over the rounds of something that both floor and row have.
    pub(crate) fn median(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<f64> {
        let values = self.kept.iter().filter_map(|(floor, row)| of(*floor, *row));
        Spread::of(values).map(|spread| spread.median)
    }

    /// The highest over the rounds.
    pub(crate) fn highest(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<f64> {
        self.kept.iter().filter_map(|(floor, row)| of(*floor, *row)).reduce(f64::max)
    }
}

/// How many rounds, and when to stop although there are some left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rounds {
    pub(crate) most: u32,
    pub(crate) time: Duration,
}

/// One series for each row of each group. Every round has processes of its own: where their memory happens to lie is
/// part of the spread.
pub(crate) fn play(
    groups: &[Group],
    rounds: Rounds,
    place: &Path,
    cpus: [usize; 2],
    signals: &Signals,
) -> Result<Vec<Vec<Series>>> {
    let mut series: Vec<Vec<Series>> =
        groups.iter().map(|group| vec![Series::default(); group.rows.len()]).collect();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    for round in 1..=rounds.most {
        // The first round is played in any case, and none that would not be over in time.
        let before = began.elapsed();
        if round > 1 && before + longest > rounds.time {
            break;
        }
        let mut pair = Pair::start(place, cpus)?;
        for (number, (group, series)) in groups.iter().zip(&mut series).enumerate() {
            progress(&format!("round {round} of {}, {} of {}", rounds.most, number + 1, groups.len()));
            let before = pair.measure(group.floor, signals)?;
            let mut measured = Vec::with_capacity(group.rows.len());
            for row in &group.rows {
                measured.push(pair.measure(row.job, signals)?);
            }
            let after = pair.measure(group.floor, signals)?;
            for (series, row) in series.iter_mut().zip(measured) {
                series.add(before, row, after);
            }
        }
        longest = longest.max(began.elapsed() - before);
    }
    progress("");
    Ok(series)
}

/// One line on a terminal that the next one overwrites.
fn progress(text: &str) {
    let mut terminal = std::io::stderr().lock();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r\x1b[K{text}");
        let _ = terminal.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typical(typical: f64) -> Figures {
        Figures { typical, ..Figures::default() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut series = Series::default();
        series.add(typical(100.0), typical(110.0), typical(100.0));
        series.add(typical(200.0), typical(240.0), typical(200.0));
        series.add(typical(300.0), typical(390.0), typical(300.0));
        series.add(typical(100.0), typical(999.0), typical(150.0));
        series.add(typical(100.0), Figures { disturbed: true, ..typical(999.0) }, typical(100.0));
        let ratio = series.ratio(Ratio::Time).unwrap();
        assert!((ratio.median - 1.2).abs() < 1e-9, "{ratio:?}");
        assert_eq!((series.kept.len(), series.discarded), (3, 2));
        assert_eq!(series.median(|floor, _| Some(floor.typical)), Some(200.0));
        assert_eq!(series.highest(|_, row| Some(row.typical)), Some(390.0));
        assert_eq!(series.median(|floor, _| floor.share), None);
    }
}
