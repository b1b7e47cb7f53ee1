//! The times of the demo's actions.

use std::collections::VecDeque;
use std::time::Duration;

use super::tick;

/// An action of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cue {
    StallDeadline,
    /// Due only after it has lost its gate.
    DeadlineGoesOn,
    KillGated,
    ResumeGated,
    FlatOut,
    KillProducer,
    Successor,
    End,
}

/// The remaining actions, soonest first.
#[derive(Debug)]
pub(crate) struct Script {
    cues: VecDeque<(Duration, Cue)>,
}

impl Script {
    /// Spreads them over `total`. The gated consumer is away for less time than the ring can hold the stream for it.
    pub(crate) fn new(total: Duration, ring_time: Duration) -> Self {
        let away = total.mul_f64(0.03).min(ring_time / 2).max(Duration::from_millis(20));
        let kill_gated = total.mul_f64(0.32);
        let kill_producer = total.mul_f64(0.63);
        let cues = [
            (total.mul_f64(0.12), Cue::StallDeadline),
            (kill_gated, Cue::KillGated),
            (kill_gated + away, Cue::ResumeGated),
            (total.mul_f64(0.6), Cue::FlatOut),
            (kill_producer, Cue::KillProducer),
            (kill_producer + total.mul_f64(0.02), Cue::Successor),
            (total, Cue::End),
        ];
        Self { cues: cues.into() }
    }

    /// The consumer with a budget lost its gate: it may continue after a while, in which it misses records.
    pub(crate) fn gate_lost(&mut self, elapsed: Duration, total: Duration) {
        let at = elapsed + total.mul_f64(0.03).min(Duration::from_secs(1));
        let place = self.cues.partition_point(|(other, _)| *other <= at);
        self.cues.insert(place, (at, Cue::DeadlineGoesOn));
    }

    /// The next action, if its time has come.
    pub(crate) fn due(&mut self, elapsed: Duration) -> Option<Cue> {
        self.cues.pop_front_if(|(at, _)| *at <= elapsed).map(|(_, cue)| cue)
    }

    /// How long until the next action.
    pub(crate) fn idle(&self, elapsed: Duration) -> Option<Duration> {
        self.cues.front().map(|(at, _)| at.saturating_sub(elapsed))
    }
}

/// How much of the stream a ring holds.
pub(crate) fn ring_time(capacity: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(capacity as f64 / (rate * tick::mean_footprint()) as f64)
}

/// A ring that fills within a small part of the demo when a consumer stands still.
pub(crate) fn capacity(total: Duration, rate: u64) -> u64 {
    let wanted = total.mul_f64(0.08).min(Duration::from_secs(1));
    let bytes = (rate * tick::mean_footprint()) as f64 * wanted.as_secs_f64();
    // The next lower power of two, within limits.
    1 << (bytes as u64).clamp(1 << 16, 1 << 26).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::cast::DEADLINE;

    #[test]
    fn every_cue_comes_once_and_in_order() {
        for seconds in [4, 5, 20, 600] {
            let total = Duration::from_secs(seconds);
            let rate = 250_000;
            let ring_time = ring_time(capacity(total, rate), rate);
            let mut script = Script::new(total, ring_time);
            let (mut seen, mut before) = (Vec::new(), Duration::ZERO);
            assert_eq!(script.due(Duration::ZERO), None);
            while let Some(idle) = script.idle(before) {
                before += idle;
                seen.push(script.due(before).expect("its time has come"));
                if seen == [Cue::StallDeadline] {
                    script.gate_lost(before + ring_time + DEADLINE, total);
                }
            }
            assert_eq!(
                seen,
                [
                    Cue::StallDeadline,
                    Cue::DeadlineGoesOn,
                    Cue::KillGated,
                    Cue::ResumeGated,
                    Cue::FlatOut,
                    Cue::KillProducer,
                    Cue::Successor,
                    Cue::End
                ]
            );
            assert_eq!(before, total);
        }
    }

    #[test]
    fn the_capacity_fits_the_rate() {
        assert_eq!(capacity(Duration::from_secs(20), 250_000), 16 << 20);
        assert_eq!(capacity(Duration::from_secs(20), 1), 1 << 16);
        assert_eq!(capacity(Duration::from_secs(20), 20_000_000), 64 << 20);
    }
}
