//! What is promised of the time after a death, and which kills count against it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::ms_of;
use crate::outcome::Outcome;

/// Within so many ms of the kernel's release of its lock whoever waits for the dead goes on, if a processor is free.
pub(super) const WITHIN_MS: f64 = 2.0;
/// A kill does not count if after the release whoever waited, or whoever saw it, had no processor for longer than this.
pub(super) const KEPT: Duration = Duration::from_micros(200);
/// Of so many kills one has to count, or nothing is said.
const ONE_IN: usize = 8;
/// The median of fewer than these is chance: with five, it is beyond 2 ms every few dozen times although nothing is wrong. All
/// of them have to be beyond then.
const FEW: usize = 20;

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

/// Fails if the median of the rounds that count is beyond what is promised. Each is a time in ms, and for how long nobody
/// could run. Returns how many count.
pub(super) fn judge(
    what: &str,
    rounds: impl ExactSizeIterator<Item = (f64, Duration)>,
    promised_ms: f64,
    outcome: &mut Outcome,
) -> usize {
    let all = rounds.len();
    let mut counted: Vec<f64> =
        rounds.filter(|(_, kept)| *kept <= KEPT).map(|(after_ms, _)| after_ms).collect();
    if counted.len() * ONE_IN < all || counted.is_empty() {
        outcome.note(format!(
            "SKIPPED: {what}: the machine was busy, in all but {} of {all} kills somebody had no processor for more \
             than {} ms",
            counted.len(),
            ms_of(KEPT)
        ));
        return counted.len();
    }
    if let Some((how_many, ms)) = beyond(&mut counted, promised_ms) {
        outcome.fail(format!(
            "{what}: {how_many} of {} went on {ms:.2} ms after the lock or later, and {promised_ms} ms are promised [cargo verify \
             burial]",
            counted.len()
        ));
    }
    counted.len()
}

/// How many took too long, and how long at least: half of them, or of a few all.
fn beyond(times_ms: &mut [f64], promised_ms: f64) -> Option<(&'static str, f64)> {
    times_ms.sort_by(f64::total_cmp);
    let few = times_ms.len() < FEW;
    let (how_many, at) = if few { ("all", 0) } else { ("half", (times_ms.len() - 1) / 2) };
    times_ms.get(at).filter(|ms| **ms > promised_ms).map(|ms| (how_many, *ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_fail_together_and_many_by_half() {
        let beyond = |mut times: Vec<f64>| beyond(&mut times, 2.0);
        assert_eq!(beyond(vec![0.3, 2.2, 2.1, 2.3, 1.9]), None, "chance");
        assert_eq!(beyond(vec![100.0, 2.2, 2.1, 2.3, 50.0]), Some(("all", 2.1)));
        let many = |late: usize| [vec![0.5; FEW - late], vec![2.5; late]].concat();
        assert_eq!(beyond(many(FEW / 2)), None);
        assert_eq!(beyond(many(FEW / 2 + 1)), Some(("half", 2.5)));
        assert_eq!(beyond(vec![]), None);
    }
}
