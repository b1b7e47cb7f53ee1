//! Rounds: floor, what is measured, floor again, for every group in turn; then the next round. So whatever the
//! machine does meanwhile hits all of them alike.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use quoit_floors::figures::Figures;
use quoit_floors::stats::{Spread, settled};

use super::crew::Crew;
use super::latencies::Latencies;
use super::plan::{Group, Ratio};
use super::progress::Progress;
use super::report::Report;
use crate::signals::Signals;

/// What the rounds of one row have yielded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series {
    /// Floor and row, of rounds in which the floor kept still.
    pub(crate) kept: Vec<(Figures, Figures)>,
    pub(crate) discarded: u32,
    /// Of these rounds, where they were taken one by one.
    pub(crate) floor_latencies: Option<Latencies>,
    pub(crate) latencies: Option<Latencies>,
}

impl Series {
    fn add(&mut self, before: &Report, row: &Report, after: &Report) {
        match settled(before.figures, after.figures) {
            Some(floor) if !row.figures.disturbed => self.kept.push((floor, row.figures)),
            _ => {
                self.discarded += 1;
                return;
            }
        }
        let collect = |into: &mut Option<Latencies>, report: &Report| {
            if let Some(latencies) = &report.latencies {
                into.get_or_insert_default().add_all(latencies);
            }
        };
        collect(&mut self.floor_latencies, before);
        collect(&mut self.floor_latencies, after);
        collect(&mut self.latencies, row);
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
    /// What has so many rounds kept needs no further ones.
    pub(crate) enough: usize,
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
    let progress = Progress::new(PROGRESS);
    let mut crew = Crew::new(place, cpus);
    let mut longest = Duration::ZERO;
    for round in 1..=rounds.most {
        // The first round is played in any case, and none that would not be over in time.
        let before = began.elapsed();
        if round > 1 && before + longest > rounds.time {
            break;
        }
        if series.iter().flatten().all(|series| series.kept.len() >= rounds.enough) {
            break;
        }
        crew.dismiss();
        for (group, series) in groups.iter().zip(&mut series) {
            if series.iter().all(|series| series.kept.len() >= rounds.enough) {
                continue;
            }
            let kept = series.iter().map(|series| series.kept.len()).min().unwrap_or(0);
            let done = f64::from(round - 1) / f64::from(rounds.most);
            let done = done.max(began.elapsed().as_secs_f64() / rounds.time.as_secs_f64()).min(1.0);
            let what = format!("round {round}: {}, {kept} kept so far", group.name());
            progress.at((done * PROGRESS as f64) as u64, what);
            let before = crew.measure(group.floor, signals)?;
            let mut measured = Vec::with_capacity(group.rows.len());
            for row in &group.rows {
                measured.push(crew.measure(row.job, signals)?);
            }
            let after = crew.measure(group.floor, signals)?;
            for (series, row) in series.iter_mut().zip(measured) {
                series.add(&before, &row, &after);
            }
        }
        longest = longest.max(began.elapsed() - before);
    }
    Ok(series)
}

/// Steps of the bar.
const PROGRESS: u64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn typical(typical: f64) -> Figures {
        Figures { typical, ..Figures::default() }
    }

    #[test]
    fn latencies_are_those_of_the_rounds_kept() {
        let timed = |nanos: u32| Report {
            figures: typical(f64::from(nanos)),
            latencies: Some(Latencies::of(&[nanos], 0.0)),
        };
        let mut series = Series::default();
        series.add(&timed(100), &timed(130), &timed(101));
        series.add(&timed(100), &timed(170), &timed(200));
        assert_eq!(series.floor_latencies.map(String::from).unwrap(), "100x1 101x1");
        assert_eq!(series.latencies.map(String::from).unwrap(), "130x1");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut series = Series::default();
        let mut add = |before, row: Figures, after| {
            let [before, row, after] =
                [typical(before), row, typical(after)].map(|figures| Report { figures, latencies: None });
            series.add(&before, &row, &after);
        };
        add(100.0, typical(110.0), 100.0);
        add(200.0, typical(240.0), 200.0);
        add(300.0, typical(390.0), 300.0);
        add(100.0, typical(999.0), 150.0);
        add(100.0, Figures { disturbed: true, ..typical(999.0) }, 100.0);
        let ratio = series.ratio(Ratio::Time).unwrap();
        assert!((ratio.median - 1.2).abs() < 1e-9, "{ratio:?}");
        assert_eq!((series.kept.len(), series.discarded), (3, 2));
        assert_eq!(series.median(|floor, _| Some(floor.typical)), Some(200.0));
        assert_eq!(series.highest(|_, row| Some(row.typical)), Some(390.0));
        assert_eq!(series.median(|floor, _| floor.share), None);
    }
}
