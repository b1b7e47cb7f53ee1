//! Rounds: floor, what is measured, floor again, for every group in turn; then the next round. So whatever the
//! machine does meanwhile hits all of them alike.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::crew::{Crew, Job};
use crate::distance::Distance;
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
    /// How long a line took there and back in each of them, ns.
    pub bounces: Vec<f64>,
    /// Rounds in which the floor moved, or others disturbed the row, or the CPUs were at another distance.
    pub discarded: u32,
    /// The floor's and the row's of each of them, where they were taken one by one.
    pub latencies: Vec<[Option<Latencies>; 2]>,
}

impl Series {
    /// `bounce`: how long a line took there and back; `None` if that changed meanwhile.
    fn add(&mut self, bounce: Option<f64>, before: &Report, row: &Report, after: &Report) {
        match (settled(before.figures, after.figures), bounce) {
            (Some(floor), Some(bounce)) if !row.figures.disturbed => {
                self.kept.push((floor, row.figures));
                self.bounces.push(bounce);
                let floor = joined([&before.latencies, &after.latencies]);
                self.latencies.push([floor, row.latencies.clone()]);
            }
            _ => self.discarded += 1,
        }
    }

    /// Discards the rounds in which a line took longer or shorter than counts.
    fn discard_others(&mut self, counts: impl Fn(f64) -> bool) {
        let which: Vec<bool> = self.bounces.iter().map(|bounce| counts(*bounce)).collect();
        keep(&mut self.kept, &which);
        keep(&mut self.bounces, &which);
        keep(&mut self.latencies, &which);
        self.discarded += which.iter().filter(|counts| !**counts).count() as u32;
    }

    /// How many rounds would be left then.
    fn counted(&self, counts: impl Fn(f64) -> bool) -> usize {
        self.bounces.iter().filter(|bounce| counts(**bounce)).count()
    }

    /// The floor's latencies of the rounds kept, where they were taken one by one.
    pub fn floor_latencies(&self) -> Option<Latencies> {
        joined(self.latencies.iter().map(|[floor, _]| floor))
    }

    /// The row's.
    pub fn row_latencies(&self) -> Option<Latencies> {
        joined(self.latencies.iter().map(|[_, row]| row))
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

/// Those of the items for which `which` is true.
fn keep<T>(items: &mut Vec<T>, which: &[bool]) {
    let mut which = which.iter();
    items.retain(|_| which.next() == Some(&true));
}

fn joined<'a>(parts: impl IntoIterator<Item = &'a Option<Latencies>>) -> Option<Latencies> {
    let mut all = None;
    for part in parts.into_iter().flatten() {
        all.get_or_insert_with(Latencies::default).add_all(part);
    }
    all
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
    /// Waits until the CPUs are at this distance. `None`: rounds count in which they are at that of most.
    pub distance: Option<Distance>,
}

impl Rounds {
    /// How long a group may wait for the distance wanted.
    fn patience(&self, elapsed: Duration) -> Duration {
        if self.time == Duration::MAX { PATIENCE } else { self.time.saturating_sub(elapsed) }
    }
}

/// Which rounds count, by how long a line took there and back.
#[derive(Clone, Copy)]
struct Counting {
    wanted: Option<Distance>,
    usual: Option<f64>,
}

impl Counting {
    fn of(wanted: Option<Distance>, series: &[Vec<Series>]) -> Self {
        Self { wanted, usual: usual_bounce(series) }
    }

    fn counts(self, bounce: f64) -> bool {
        match self.wanted {
            Some(wanted) => Distance::of(bounce) == wanted,
            None => self.usual.is_none_or(|usual| is_usual(bounce, usual)),
        }
    }
}

/// How long a line took there and back, ns: the median over all rounds of all rows. `None`: there are none.
pub fn usual_bounce(series: &[Vec<Series>]) -> Option<f64> {
    let bounces = series.iter().flatten().flat_map(|series| series.bounces.iter().copied());
    Spread::of(bounces).map(|spread| spread.median)
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
        let counting = Counting::of(rounds.distance, &series);
        let counted = |series: &Series| series.counted(|bounce| counting.counts(bounce));
        if series.iter().flatten().all(|series| counted(series) >= rounds.enough) {
            break;
        }
        crew.dismiss();
        let mut waited = Duration::ZERO;
        for (group, series) in groups.iter().zip(&mut series) {
            let kept = series.iter().map(counted).min().unwrap_or(0);
            if kept >= rounds.enough {
                continue;
            }
            let done = f64::from(round - 1) / f64::from(rounds.most);
            let done = done.max(began.elapsed().as_secs_f64() / rounds.time.as_secs_f64()).min(1.0);
            let what = format!("round {round}: {}, {kept} kept so far", group.name);
            progress.at((done * PROGRESS as f64) as u64, what);
            let patience = rounds.patience(began.elapsed());
            let waiting = Instant::now();
            let found = wait_for(rounds.distance, || Ok(crew.measure(bounce)?.figures.typical), patience)?;
            waited += waiting.elapsed();
            let Some(near) = found else {
                series.iter_mut().for_each(|series| series.discarded += 1);
                continue;
            };
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
        // How long the host keeps the CPUs elsewhere says nothing of the next round.
        longest = longest.max((began.elapsed() - before).saturating_sub(waited));
    }
    crew.dismiss();
    let counting = Counting::of(rounds.distance, &series);
    series.iter_mut().flatten().for_each(|series| series.discard_others(|bounce| counting.counts(bounce)));
    Ok(series)
}

/// Looks until the two CPUs are at the distance wanted, and returns how long a line takes. `None`: they were not in time.
fn wait_for(
    wanted: Option<Distance>,
    mut look: impl FnMut() -> Result<f64>,
    patience: Duration,
) -> Result<Option<f64>> {
    let began = Instant::now();
    loop {
        let bounce = look()?;
        if wanted.is_none_or(|wanted| Distance::of(bounce) == wanted) {
            return Ok(Some(bounce));
        }
        if began.elapsed() >= patience {
            return Ok(None);
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// How long a group waits for the distance wanted, if there is no other end.
const PATIENCE: Duration = Duration::from_secs(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

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
        series.add(Some(99.0), &timed(200), &timed(230), &timed(201));
        series.discard_others(|bounce| is_usual(bounce, 9.0));
        assert_eq!(series.floor_latencies().map(String::from).unwrap(), "100x1 101x1");
        assert_eq!(series.row_latencies().map(String::from).unwrap(), "130x1");
        assert_eq!((series.kept.len(), series.discarded), (1, 2));
    }

    #[test]
    fn rounds_with_the_cpus_at_another_distance_are_discarded() {
        let same = Report::from(typical(20.0));
        let series = |bounces: &[f64]| {
            let mut series = Series::default();
            for bounce in bounces {
                series.add(Some(*bounce), &same, &typical(*bounce).into(), &same);
            }
            series.add(None, &same, &same, &same);
            series
        };
        // What most rounds have is asked of all rows together: so a table is of one distance.
        let all =
            vec![vec![series(&[100.0, 110.0, 450.0, 95.0, 120.0])], vec![series(&[440.0, 450.0, 105.0])]];
        let left = |wanted: Option<Distance>| {
            let counting = Counting::of(wanted, &all);
            let mut left = all.clone();
            let left = left.iter_mut().flatten().map(|series| {
                let counted = series.counted(|bounce| counting.counts(bounce));
                series.discard_others(|bounce| counting.counts(bounce));
                assert_eq!(counted, series.kept.len());
                (counted, series.discarded, series.highest(|_, row| Some(row.typical)).unwrap())
            });
            left.collect::<Vec<_>>()
        };
        assert_eq!(left(None), [(4, 2, 120.0), (1, 3, 105.0)]);
        assert_eq!(left(Some(Distance::Near)), [(4, 2, 120.0), (1, 3, 105.0)]);
        assert_eq!(left(Some(Distance::Far)), [(1, 5, 450.0), (2, 2, 450.0)]);
    }

    #[test]
    fn it_is_waited_for_as_long_as_there_is_time() {
        let rounds = |time| Rounds { most: 1, time, enough: 1, distance: None };
        let elapsed = Duration::from_secs(100);
        assert_eq!(rounds(Duration::from_secs(3600)).patience(elapsed), Duration::from_secs(3500));
        assert_eq!(rounds(Duration::from_secs(60)).patience(elapsed), Duration::ZERO);
        assert_eq!(rounds(Duration::MAX).patience(elapsed), PATIENCE, "a number of rounds has no other end");
    }

    #[test]
    fn the_distance_wanted_is_waited_for() {
        let mut looks = [110.0, 105.0, 480.0, 90.0].into_iter();
        let mut look = |wanted, patience| wait_for(wanted, || Ok(looks.next().unwrap()), patience).unwrap();
        assert_eq!(look(Some(Distance::Far), Duration::from_secs(60)), Some(480.0));
        assert_eq!(look(Some(Distance::Far), Duration::ZERO), None);
        assert_eq!(wait_for(None, || Ok(1e9), Duration::ZERO).unwrap(), Some(1e9));
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
