//! Rounds: floor, what is measured, floor again, for every group in turn; then the next round. So whatever the
//! machine does meanwhile hits all of them alike.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::crew::{Crew, Job};
use crate::figures::{Figures, Tail};
use crate::latencies::Latencies;
use crate::progress::Progress;
use crate::report::Report;
use crate::stats::{Spread, settled};

/// What the rounds of one row have yielded.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Floor and row, of rounds in which the floor kept still.
    pub kept: Vec<(Figures, Figures)>,
    /// How long a line took there and back in each of them.
    pub bounces: Vec<f64>,
    /// Rounds in which the floor moved, or others disturbed the row, or lines took longer or shorter than usual.
    pub discarded: u32,
    /// The floor's, of the rounds kept, where they were taken one by one.
    pub floor_latencies: Option<Latencies>,
    /// The row's.
    pub latencies: Option<Latencies>,
}

impl Series {
    /// `bounce`: how long a line took there and back; `None` if that changed meanwhile.
    fn add(&mut self, bounce: Option<f64>, before: &Report, row: &Report, after: &Report) {
        match (settled(before.figures, after.figures), bounce) {
            (Some(floor), Some(bounce)) if !row.figures.disturbed => {
                self.kept.push((floor, row.figures));
                self.bounces.push(bounce);
            }
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

    /// Discards the rounds in which the two CPUs were nearer or farther than in most: a host that moves them makes
    /// every transfer between them several times as long, for a while.
    fn discard_unusual(&mut self) {
        let Some(usual) = self.usual_bounce() else { return };
        let (kept, bounces) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.bounces));
        for (round, bounce) in kept.into_iter().zip(bounces) {
            if is_usual(bounce, usual) {
                self.kept.push(round);
                self.bounces.push(bounce);
            } else {
                self.discarded += 1;
            }
        }
    }

    fn usual_bounce(&self) -> Option<f64> {
        Spread::of(self.bounces.iter().copied()).map(|spread| spread.median)
    }

    /// How many rounds would be left then.
    fn usual(&self) -> usize {
        let usual = self.usual_bounce();
        self.bounces.iter().filter(|bounce| usual.is_some_and(|usual| is_usual(**bounce, usual))).count()
    }

    /// The spread over the rounds of something taken round by round, of floor and row.
    pub fn spread(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.kept.iter().filter_map(|(floor, row)| of(*floor, *row)))
    }

    /// Its median.
    pub fn median(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<f64> {
        self.spread(of).map(|spread| spread.median)
    }

    /// The highest over the rounds.
    pub fn highest(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<f64> {
        self.kept.iter().filter_map(|(floor, row)| of(*floor, *row)).reduce(f64::max)
    }

    /// The lowest.
    pub fn lowest(&self, of: impl Fn(Figures, Figures) -> Option<f64>) -> Option<f64> {
        self.kept.iter().filter_map(|(floor, row)| of(*floor, *row)).reduce(f64::min)
    }

    /// Those of the floor or the row, whichever is chosen.
    pub fn times(&self, which: impl Fn(Figures, Figures) -> Figures) -> Option<Times> {
        let typical = self.median(|floor, row| Some(which(floor, row).typical))?;
        let tail = |of: fn(Tail) -> f64| move |figures: Figures| figures.tail.map(of);
        let median = |of: fn(Tail) -> f64| self.median(|floor, row| tail(of)(which(floor, row)));
        let max = self.highest(|floor, row| tail(|tail| tail.max)(which(floor, row)));
        let tail = match (median(|tail| tail.p99), median(|tail| tail.p999), max) {
            (Some(p99), Some(p999), Some(max)) => Some(Tail { p99, p999, max }),
            _ => None,
        };
        Some(Times { typical, tail })
    }
}

/// Medians over the rounds kept, ns; `max` is the highest of all.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Times {
    /// Of latencies the median, of everything else the mean per record.
    pub typical: f64,
    /// Of latencies only.
    #[serde(flatten)]
    pub tail: Option<Tail>,
}

/// What shares a floor. A round measures the floor, each row, and the floor again.
#[derive(Clone, Debug)]
pub struct Group<J> {
    /// For the one who waits.
    pub name: String,
    /// Both times.
    pub floor: J,
    /// In between.
    pub rows: Vec<J>,
}

/// How many rounds, and when to stop although there are some left.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// No more than these.
    pub most: u32,
    /// No further round that would end later.
    pub time: Duration,
    /// What has so many rounds kept needs no further ones.
    pub enough: usize,
}

/// One series for each row of each group. Every round has processes of its own: where their memory happens to lie is
/// part of the spread.
///
/// `bounce` measures how long a line takes there and back, before and after each group.
pub fn play<J: Job>(
    groups: &[Group<J>],
    bounce: J,
    rounds: Rounds,
    crew: &mut Crew<'_>,
) -> Result<Vec<Vec<Series>>> {
    let mut series: Vec<Vec<Series>> =
        groups.iter().map(|group| vec![Series::default(); group.rows.len()]).collect();
    let began = Instant::now();
    let progress = Progress::new(PROGRESS);
    let mut longest = Duration::ZERO;
    for round in 1..=rounds.most {
        // The first round is played in any case, and none that would not be over in time.
        let before = began.elapsed();
        if round > 1 && before + longest > rounds.time {
            break;
        }
        if series.iter().flatten().all(|series| series.usual() >= rounds.enough) {
            break;
        }
        crew.dismiss();
        for (group, series) in groups.iter().zip(&mut series) {
            if series.iter().all(|series| series.usual() >= rounds.enough) {
                continue;
            }
            let kept = series.iter().map(Series::usual).min().unwrap_or(0);
            let done = f64::from(round - 1) / f64::from(rounds.most);
            let done = done.max(began.elapsed().as_secs_f64() / rounds.time.as_secs_f64()).min(1.0);
            let what = format!("round {round}: {}, {kept} kept so far", group.name);
            progress.at((done * PROGRESS as f64) as u64, what);
            let near = crew.measure(bounce)?.figures.typical;
            let before = crew.measure(group.floor)?;
            let mut measured = Vec::with_capacity(group.rows.len());
            for row in &group.rows {
                measured.push(crew.measure(*row)?);
            }
            let after = crew.measure(group.floor)?;
            let still_near = crew.measure(bounce)?.figures.typical;
            let bounce = is_usual(near, still_near).then_some((near + still_near) / 2.0);
            for (series, row) in series.iter_mut().zip(measured) {
                series.add(bounce, &before, &row, &after);
            }
        }
        longest = longest.max(began.elapsed() - before);
    }
    crew.dismiss();
    series.iter_mut().flatten().for_each(Series::discard_unusual);
    Ok(series)
}

/// How much longer or shorter than usual a line may take there and back.
const UNUSUAL: f64 = 1.4;

fn is_usual(bounce: f64, usual: f64) -> bool {
    (usual / UNUSUAL..=usual * UNUSUAL).contains(&bounce)
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
        series.add(Some(9.0), &timed(100), &timed(130), &timed(101));
        series.add(Some(9.0), &timed(100), &timed(170), &timed(200));
        assert_eq!(series.floor_latencies.map(String::from).unwrap(), "100x1 101x1");
        assert_eq!(series.latencies.map(String::from).unwrap(), "130x1");
    }

    #[test]
    fn rounds_with_the_cpus_at_another_distance_are_discarded() {
        let mut series = Series::default();
        let same = Report::from(typical(20.0));
        for bounce in [100.0, 110.0, 450.0, 95.0, 120.0] {
            series.add(Some(bounce), &same, &typical(bounce).into(), &same);
        }
        series.add(None, &same, &same, &same);
        assert_eq!((series.usual(), series.discarded), (4, 1));
        series.discard_unusual();
        assert_eq!((series.kept.len(), series.discarded), (4, 2));
        assert_eq!(series.highest(|_, row| Some(row.typical)), Some(120.0));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut series = Series::default();
        let mut add = |before, row: Figures, after| {
            let [before, row, after] = [typical(before), row, typical(after)].map(Report::from);
            series.add(Some(9.0), &before, &row, &after);
        };
        add(100.0, typical(110.0), 100.0);
        add(200.0, typical(240.0), 200.0);
        add(300.0, typical(390.0), 300.0);
        add(100.0, typical(999.0), 150.0);
        add(100.0, Figures { disturbed: true, ..typical(999.0) }, 100.0);
        let ratio = series.spread(|floor, row| Some(row.typical / floor.typical)).unwrap();
        assert!((ratio.median - 1.2).abs() < 1e-9, "{ratio:?}");
        assert_eq!((series.kept.len(), series.discarded), (3, 2));
        assert_eq!(series.median(|floor, _| Some(floor.typical)), Some(200.0));
        assert_eq!(series.highest(|_, row| Some(row.typical)), Some(390.0));
        assert_eq!(series.lowest(|_, row| Some(row.typical)), Some(110.0));
        assert_eq!(series.median(|floor, _| floor.share), None);
    }
}
