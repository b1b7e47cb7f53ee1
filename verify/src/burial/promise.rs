//! What is promised of the time after a death, and which kills count against it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, ensure};

use super::ms_of;
use crate::outcome::Outcome;

/// Within so many ms of the kernel's release of its lock whoever waits for the dead goes on, if a processor is free.
pub(super) const WITHIN_MS: f64 = 2.0;
/// A kill does not count if after the release whoever waited, or whoever saw it, had no processor for longer than this.
pub(super) const KEPT: Duration = Duration::from_micros(200);
/// Of so many kills one has to count, or nothing is said.
const ONE_IN: usize = 8;
/// The median of fewer kills than these may be late by chance.
const ENOUGH: u32 = 20;

/// A thread that waits for a death.
#[derive(Debug, Default)]
pub(super) struct Waiting(OnceLock<i32>);

/// What it came to.
pub(super) struct Went<T> {
    pub(super) result: T,
    pub(super) at: Instant,
    /// For how long it had no processor in its life.
    kept: Duration,
}

impl Waiting {
    /// In the thread itself: waits.
    pub(super) fn run<T>(&self, wait: impl FnOnce() -> T) -> Went<T> {
        self.0.get_or_init(|| rustix::thread::gettid().as_raw_nonzero().get());
        let result = wait();
        let at = Instant::now();
        Went { result, at, kept: self.kept().unwrap_or_default() }
    }

    /// Waits until the thread sleeps for a word of memory: on a busy machine it takes a while to come to that.
    pub(super) fn until_asleep(&self) -> Result<()> {
        const FUTEXES: [&str; 2] = ["202 ", "449 "];
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let call = self
                .0
                .get()
                .map(|thread| std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")));
            match call {
                Some(Ok(call)) if FUTEXES.iter().any(|futex| call.starts_with(futex)) => return Ok(()),
                // It has ended, or the kernel does not say.
                Some(Err(_)) => return Ok(()),
                _ => ensure!(Instant::now() < end, "it never falls asleep"),
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// For how long the thread was ready to run and had no processor, up to now. `None`: it has ended, has not begun, or the
    /// kernel does not say.
    pub(super) fn kept(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/self/task/{}/schedstat", self.0.get()?)).ok()?;
        Some(Duration::from_nanos(text.split_whitespace().nth(1)?.parse().ok()?))
    }
}

impl<T> Went<T> {
    /// For how long it had no processor since then. Nothing if it had gone by then.
    pub(super) fn kept_since(&self, then: Option<Duration>) -> Duration {
        then.map_or(Duration::ZERO, |then| self.kept.saturating_sub(then))
    }
}

/// A kill, as it counts: how long after the release the waiting one went on, ms, and for how long nobody could run.
pub(super) type Round = (f64, Duration);

/// Kills so many times. If the median is late then, and they were few, it goes on until there are enough to tell. Returns what
/// they came to, and the number and the error of the one that failed.
pub(super) fn kill_all<T>(
    kills: u32,
    promised_ms: f64,
    mut kill: impl FnMut(u32) -> Result<T>,
    round: impl Fn(&T) -> Round,
) -> (Vec<T>, Option<(u32, Error)>) {
    let (mut all, mut end) = (Vec::new(), kills);
    while (all.len() as u32) < end {
        let number = all.len() as u32;
        match kill(number) {
            Ok(times) => all.push(times),
            Err(error) => return (all, Some((number, error))),
        }
        if number + 1 == end && median(&counted(all.iter().map(&round))).is_some_and(|ms| ms > promised_ms) {
            end = end.max(ENOUGH);
        }
    }
    (all, None)
}

/// The times of the rounds that count, in order.
fn counted(rounds: impl Iterator<Item = Round>) -> Vec<f64> {
    let mut counted: Vec<f64> =
        rounds.filter(|(_, kept)| *kept <= KEPT).map(|(after_ms, _)| after_ms).collect();
    counted.sort_by(f64::total_cmp);
    counted
}

fn median(sorted: &[f64]) -> Option<f64> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// Fails if the median of the rounds that count is beyond what is promised. Returns how many
/// count.
pub(super) fn judge(
    what: &str,
    rounds: impl ExactSizeIterator<Item = Round>,
    promised_ms: f64,
    outcome: &mut Outcome,
) -> usize {
    let all = rounds.len();
    let counted = counted(rounds);
    if counted.len() * ONE_IN < all || counted.is_empty() {
        outcome.note(format!(
            "SKIPPED: {what}: the machine was busy, in all but {} of {all} kills somebody had no processor for more \
             than {} ms",
            counted.len(),
            ms_of(KEPT)
        ));
        return counted.len();
    }
    if let Some(median) = median(&counted).filter(|median| *median > promised_ms) {
        outcome.fail(format!(
            "{what}: half of {} went on {median:.2} ms after the lock or later, and {promised_ms} ms are promised [cargo verify \
             burial]",
            counted.len()
        ));
    }
    counted.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_that_are_late_are_not_judged_before_there_are_enough() {
        let kills = |kills, late: fn(u32) -> bool| {
            let kill = |number| Ok(if late(number) { 2.1 } else { 0.5 });
            let (all, failed) = kill_all(kills, 2.0, kill, |ms| (*ms, Duration::ZERO));
            assert!(failed.is_none());
            (all.len(), median(&counted(all.into_iter().map(|ms| (ms, Duration::ZERO)))))
        };
        assert_eq!(kills(5, |number| number > 2), (5, Some(0.5)));
        assert_eq!(kills(5, |number| number < 3), (20, Some(0.5)), "chance");
        assert_eq!(kills(5, |_| true), (20, Some(2.1)));
        assert_eq!(kills(50, |_| true), (50, Some(2.1)), "enough");
    }

    #[test]
    fn kills_after_which_nobody_could_run_do_not_count() {
        let rounds = [(0.5, Duration::ZERO), (9.0, KEPT * 2), (1.5, KEPT), (1.0, Duration::ZERO)];
        assert_eq!(counted(rounds.into_iter()), [0.5, 1.0, 1.5]);
        let (all, failed) = kill_all(3, 2.0, |number| ensure_not(number, 1), |_| (0.0, Duration::ZERO));
        assert_eq!((all.len(), failed.map(|(number, _)| number)), (1, Some(1)));
    }

    fn ensure_not(number: u32, which: u32) -> Result<()> {
        ensure!(number != which, "this one fails");
        Ok(())
    }
}
