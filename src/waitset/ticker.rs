//! `Ticker`: periodic times that do not drift.

use std::time::{Duration, Instant};

use crate::atomics::spin;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable};
use crate::wait::clock;

/// Periodic ticks at fixed times: the first tick, and then every multiple of the period after it, on the clock that
/// never steps (`CLOCK_MONOTONIC`). A late tick does not delay those after it, and a tick that is missed is counted.
///
/// [`wait`](Self::wait) waits for the next tick alone. A [`WaitSet`](crate::WaitSet) waits for it together with other
/// things; then [`take`](Self::take) says how many ticks there were.
///
/// ```
/// use std::time::{Duration, Instant};
/// use quoit::Ticker;
///
/// let begin = Instant::now();
/// let mut ticker = Ticker::every(Duration::from_millis(1));
/// let mut ticks = 0;
/// while ticks < 5 {
///     let tick = ticker.wait();
///     ticks += tick.count;
///     // How late this round begins.
///     let _jitter = tick.late;
/// }
/// assert!(begin.elapsed() >= Duration::from_millis(5));
/// ```
#[derive(Clone, Debug)]
pub struct Ticker {
    period_ns: u64,
    /// The next tick, ns on the monotonic clock.
    next_ns: u64,
    /// How long before a tick sleeping ends, ns.
    ahead_ns: u64,
}

/// Ticks that have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// How many since the last were taken: 1, unless ticks were missed.
    pub count: u64,
    /// How long ago the last of them was due.
    pub late: Duration,
}

impl Ticker {
    /// Ticks once in each `period`, at least 1 ns, first a period from now.
    pub fn every(period: Duration) -> Self {
        let period_ns = clock::duration_ns(period).max(1);
        Self { period_ns, next_ns: clock::monotonic_ns().saturating_add(period_ns), ahead_ns: 0 }
    }

    /// Ticks once in each `period`, at least 1 ns, first at `first`.
    pub fn starting(first: Instant, period: Duration) -> Self {
        let period_ns = clock::duration_ns(period).max(1);
        // Keep this order: time that passes between the two readings makes ticks later, never early.
        let (now, now_ns) = (Instant::now(), clock::monotonic_ns());
        let next_ns = match first.checked_duration_since(now) {
            Some(ahead) => now_ns.saturating_add(clock::duration_ns(ahead)),
            None => now_ns.saturating_sub(clock::duration_ns(now.saturating_duration_since(first))),
        };
        Self { period_ns, next_ns, ahead_ns: 0 }
    }

    /// How long before a tick [`wait`](Self::wait) stops sleeping and looks at the clock all the time (default 0). It keeps a
    /// processor busy for that time, and hides how late the kernel wakes a sleeper. A wait set does not do so.
    pub fn set_spin(&mut self, ahead: Duration) {
        self.ahead_ns = clock::duration_ns(ahead);
    }

    /// The period.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(self.period_ns)
    }

    /// The ticks that have come since they were last taken, if there are any. Never waits.
    pub fn take(&mut self) -> Option<Tick> {
        let over_ns = clock::monotonic_ns().checked_sub(self.next_ns)?;
        let count = over_ns / self.period_ns + 1;
        let late = Duration::from_nanos(over_ns % self.period_ns);
        self.next_ns = self.next_ns.saturating_add(count.saturating_mul(self.period_ns));
        Some(Tick { count, late })
    }

    /// Sleeps until the next tick, and takes it. If it has come already, returns at once.
    pub fn wait(&mut self) -> Tick {
        loop {
            if let Some(tick) = self.take() {
                return tick;
            }
            let until = self.next_ns.saturating_sub(self.ahead_ns);
            if clock::is_past(until) {
                spin();
                continue;
            }
            #[cfg(not(loom))]
            clock::sleep_until(until);
        }
    }

    /// Forgets the ticks that were missed: the next one is that after now.
    pub fn skip(&mut self) {
        let _ = self.take();
    }
}

/// Ready when a tick has come that was not taken.
impl Waitable for Ticker {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Source for Ticker {
    fn look(&mut self) -> bool {
        clock::monotonic_ns() >= self.next_ns
    }

    fn arm(&mut self) -> Arming {
        Arming::due(self.next_ns)
    }

    fn bell(&self) -> Option<Bell<'_>> {
        None
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ticks_stay_where_they_are() {
        let mut ticker = Ticker { period_ns: 1000, next_ns: 0, ahead_ns: 0 };
        let tick = ticker.take().expect("long ago");
        let now = clock::monotonic_ns();
        assert!(tick.count > 1000 && tick.late < Duration::from_nanos(1000));
        assert!(ticker.next_ns.is_multiple_of(1000), "they moved");
        assert!(ticker.next_ns <= now + 1000);
        assert_eq!(tick.count * 1000, ticker.next_ns, "one was not counted");
    }

    #[test]
    fn the_first_tick_may_be_long_ago() {
        let begin = Instant::now();
        std::thread::sleep(Duration::from_millis(2));
        let mut ticker = Ticker::starting(begin, Duration::from_millis(1));
        assert!(ticker.take().is_some_and(|tick| tick.count >= 3));
        assert_eq!(Ticker::starting(begin + Duration::from_secs(60), Duration::ZERO).take(), None);
        assert_eq!(Ticker::every(Duration::from_secs(60)).take(), None);
        assert_eq!(Ticker::every(Duration::MAX).take(), None);
    }
}
