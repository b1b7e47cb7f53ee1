//! The two clocks. Each process measures its deadlines on its own monotonic clock. A time that another process decides by,
//! the deadline of a call or the age of a lease, is on the machine's: see `timestamp.rs`. Other stored times are for people.

#[cfg(not(loom))]
mod imp {
    use rustix::thread::clock_nanosleep_absolute;
    use rustix::time::{ClockId, Timespec, clock_gettime};

    #[inline]
    fn ns(time: Timespec) -> u64 {
        (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
    }

    /// Time since the machine started, ns. Never steps; differs between time namespaces.
    #[inline]
    pub(crate) fn monotonic_ns() -> u64 {
        ns(clock_gettime(ClockId::Monotonic))
    }

    /// `monotonic_ns` at the kernel's last tick, which was 10 ms ago at most. It does not read the processor's counter, which is
    /// most of the cost of the exact time.
    pub(crate) fn tick_ns() -> u64 {
        ns(clock_gettime(ClockId::MonotonicCoarse))
    }

    /// Time since 1970, ns.
    pub(crate) fn wall_ns() -> u64 {
        ns(clock_gettime(ClockId::Realtime))
    }

    /// Sleeps until a point on the monotonic clock. A signal may end it early, so the caller checks again. This does
    /// not use the standard library's sleep, which panics where a filter refuses the call.
    pub(crate) fn sleep_until(until_ns: u64) {
        let until = Timespec {
            tv_sec: (until_ns / 1_000_000_000) as i64,
            tv_nsec: (until_ns % 1_000_000_000) as i64,
        };
        let _ = clock_nanosleep_absolute(ClockId::Monotonic, &until);
    }
}

/// In the models each reading of the clock advances it, so that time depends only on the interleaving.
#[cfg(loom)]
mod imp {
    use std::cell::Cell;

    // All threads of a model are coroutines of one thread.
    std::thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }

    pub(crate) fn monotonic_ns() -> u64 {
        NOW.with(|now| {
            now.set(now.get() + 1);
            now.get()
        })
    }

    pub(crate) fn tick_ns() -> u64 {
        monotonic_ns()
    }

    pub(crate) fn wall_ns() -> u64 {
        0
    }

    /// A new run of a model begins.
    pub(crate) fn restart() {
        NOW.with(|now| now.set(0));
    }
}

#[cfg(loom)]
pub(crate) use imp::restart;
#[cfg(not(loom))]
pub(crate) use imp::sleep_until;
pub(crate) use imp::{monotonic_ns, tick_ns, wall_ns};

use std::time::{Duration, Instant};

/// The point on the monotonic clock at which `deadline` falls, ns.
pub(crate) fn deadline_ns(deadline: Instant) -> u64 {
    // Keep this order: time that passes between the two readings makes a wait longer, and never ends it early.
    let left = duration_ns(deadline.saturating_duration_since(Instant::now()));
    monotonic_ns().saturating_add(left)
}

/// Polls between two readings of the clock when spinning until a deadline: some 3 us where a pause is long.
pub(crate) const TURNS: u32 = 64;

/// Whether a point on the monotonic clock has passed; `u64::MAX` never does.
pub(crate) fn is_past(until_ns: u64) -> bool {
    until_ns != u64::MAX && monotonic_ns() >= until_ns
}

/// The point on the monotonic clock that comes after `timeout`, ns.
pub(crate) fn after_ns(timeout: Duration) -> u64 {
    monotonic_ns().saturating_add(duration_ns(timeout))
}

/// A duration in ns. What does not fit 64 bits (584 years) counts as forever.
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        for turn in 0..50_000 {
            let deadline = Instant::now() + Duration::from_nanos(turn % 2_000);
            let until = deadline_ns(deadline);
            while monotonic_ns() < until {}
            let now = Instant::now();
            assert!(now >= deadline, "{:?} early", deadline - now);
        }
    }
}
