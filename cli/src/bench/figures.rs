//! What one measurement yields, and the clock it is taken with.

use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::stats;

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Of round trips the median; of everything else the mean per record.
    pub(crate) typical: f64,
    pub(crate) tail: Option<Tail>,
    /// How much of what was published a consumer received, from 0 to 1.
    pub(crate) share: Option<f64>,
    /// How often other processes took the CPU away meanwhile.
    pub(crate) preempted: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tail {
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// Times `count` round trips, each on its own, after `warm` that are not timed.
pub(crate) fn trips(warm: u64, count: u64, mut trip: impl FnMut() -> Result<()>) -> Result<Figures> {
    let mut samples = vec![0_u32; count as usize];
    let clock = clock_cost();
    for _ in 0..warm {
        trip()?;
    }
    let watch = Watch::begin();
    let mut before = Instant::now();
    for sample in &mut samples {
        trip()?;
        let now = Instant::now();
        *sample = u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX);
        before = now;
    }
    let preempted = watch.end();
    samples.sort_unstable();
    let at = |quantile| (f64::from(stats::percentile(&samples, quantile)) - clock).max(1.0);
    let tail = Tail { p99: at(0.99), p999: at(0.999), max: at(1.0) };
    Ok(Figures { typical: at(0.5), tail: Some(tail), share: None, preempted })
}

/// Times `count` records together.
pub(crate) fn records(count: u64, all: impl FnOnce() -> Result<()>) -> Result<Figures> {
    let watch = Watch::begin();
    let before = Instant::now();
    all()?;
    let nanos = before.elapsed().as_nanos() as f64;
    Ok(Figures { typical: nanos / count.max(1) as f64, preempted: watch.end(), ..Figures::default() })
}

/// The other side's part of a measurement: it tells only whether it was disturbed.
pub(crate) fn partner(part: impl FnOnce() -> Result<()>) -> Result<Figures> {
    let watch = Watch::begin();
    part()?;
    Ok(Figures { preempted: watch.end(), ..Figures::default() })
}

/// Counts how often the CPU is taken away.
struct Watch(u64);

impl Watch {
    fn begin() -> Self {
        Self(preemptions())
    }

    fn end(self) -> u64 {
        preemptions().saturating_sub(self.0)
    }
}

/// Of this thread since it began; 0 where the kernel does not tell.
fn preemptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let count = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// What one look at the clock adds to a round trip, ns.
fn clock_cost() -> f64 {
    let mut before = Instant::now();
    let mut samples: [u32; 501] = std::array::from_fn(|_| {
        let now = Instant::now();
        let sample = (now - before).subsec_nanos();
        before = now;
        sample
    });
    samples.sort_unstable();
    f64::from(stats::percentile(&samples, 0.5))
}
