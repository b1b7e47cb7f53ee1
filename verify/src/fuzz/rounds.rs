//! All targets, in rounds, as many at a time as there are processors. A round goes to the target that is furthest
//! behind, so all end at about the same time and progress shows the time left. Each round starts with all inputs
//! found so far.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::libfuzzer::{Done, fuzz};
use crate::outcome::grouped;

/// Rounds of each target.
const ROUNDS: u64 = 25;

/// A target and how much of all it gets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) name: &'static str,
    /// Of all executions.
    pub(super) thousandths: u64,
    /// Bytes of the longest input.
    pub(super) longest: u32,
}

/// How far one target is.
#[derive(Clone, Debug)]
struct Place {
    share: Share,
    runs: u64,
    done: Done,
    /// Of the round that runs, if one does.
    running: Option<u64>,
    /// Time spent in its rounds.
    spent: Duration,
}

impl Place {
    fn so_far(&self) -> u64 {
        self.done.executed + self.running.unwrap_or(0)
    }

    fn is_left(&self) -> bool {
        self.done.failure.is_none() && self.done.executed < self.runs
    }

    /// One at most: libFuzzer may run a few inputs more than it was asked for.
    fn part(&self) -> f64 {
        (self.so_far() as f64 / self.runs as f64).min(1.0)
    }
}

/// Runs every target for its share of so many executions. What each came to, in their order.
pub(super) fn in_rounds(shares: &[Share], sanitizer: &str, executions: u64) -> Result<Vec<Done>> {
    let places = shares.iter().map(|share| Place {
        share: *share,
        runs: (executions * share.thousandths / 1000).max(1),
        done: Done::default(),
        running: None,
        spent: Duration::ZERO,
    });
    let places = Mutex::new(places.collect::<Vec<_>>());
    let at_a_time = std::thread::available_parallelism().map_or(1, usize::from).min(shares.len());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..at_a_time).map(|_| scope.spawn(|| work(&places, sanitizer, began))).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let places = places.into_inner().expect("no worker panics");
    Ok(places.into_iter().map(|place| place.done).collect())
}

/// The target that is furthest behind and that nobody runs.
fn next(places: &Mutex<Vec<Place>>) -> Option<(usize, Share, u64)> {
    let mut places = places.lock().expect("no worker panics");
    let free = places.iter_mut().enumerate().filter(|(_, place)| place.running.is_none() && place.is_left());
    let (number, place) = free.min_by(|(_, one), (_, other)| one.part().total_cmp(&other.part()))?;
    place.running = Some(0);
    let round = place.runs.div_ceil(ROUNDS).min(place.runs - place.done.executed);
    Some((number, place.share, round))
}

fn work(places: &Mutex<Vec<Place>>, sanitizer: &str, began: Instant) -> Result<()> {
    let mut told = Instant::now();
    while let Some((number, share, runs)) = next(places) {
        let round = Instant::now();
        let Done { executed, failure } = fuzz(share.name, sanitizer, runs, share.longest, |so_far| {
            let mut places = places.lock().expect("no worker panics");
            places[number].running = Some(so_far);
            if told.elapsed() >= Duration::from_secs(10) {
                told = Instant::now();
                tell(&places, number, round, began);
            }
        })?;
        let mut places = places.lock().expect("no worker panics");
        let place = &mut places[number];
        place.running = None;
        place.spent += round.elapsed();
        place.done.executed += executed;
        place.done.failure = failure;
    }
    Ok(())
}

/// How far this target is, and all of them.
fn tell(places: &[Place], number: usize, round: Instant, began: Instant) {
    let place = &places[number];
    let (so_far, runs) = (place.so_far(), place.runs);
    let rate = so_far as f64 / (place.spent + round.elapsed()).as_secs_f64();
    let [done, all] =
        [Place::so_far, |place: &Place| place.runs].map(|of| places.iter().map(of).sum::<u64>());
    let left = left(places, began.elapsed());
    eprintln!(
        "fuzz: {}: {} of {}, {rate:.0} a second; in all {} of {}, {left:.0} s left",
        place.share.name,
        grouped(so_far),
        grouped(runs),
        grouped(done),
        grouped(all)
    );
}

/// How many seconds the rest takes.
fn left(places: &[Place], elapsed: Duration) -> f64 {
    // All targets keep step, so that the mean of their parts is the part of the time.
    let part = places.iter().map(Place::part).sum::<f64>() / places.len() as f64;
    elapsed.as_secs_f64() * (1.0 - part) / part.max(1e-6)
}

#[cfg(test)]
mod tests {
    use super::{Done, Duration, Place, Share, left};

    fn place(runs: u64, executed: u64) -> Place {
        Place {
            share: Share { name: "walk", thousandths: 1, longest: 1 },
            runs,
            done: Done { executed, ..Done::default() },
            running: None,
            spent: Duration::ZERO,
        }
    }

    #[test]
    fn a_target_that_ran_past_its_share_leaves_no_time_below_zero_and_hides_no_other() {
        let elapsed = Duration::from_secs(60);
        assert_eq!(left(&[place(100, 150), place(100, 100)], elapsed), 0.0);
        assert_eq!(left(&[place(100, 150), place(100, 50)], elapsed), 20.0);
    }
}
