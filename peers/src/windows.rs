//! Short windows that both sides measure in together. A window in which the kernel took a CPU away from either side
//! says nothing of queues or floors: it is left out, and the next one begun.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::figures::{Figures, Spread, Tail, percentile};
use crate::scene::{Scene, Side};

/// Calm windows that make a measurement.
const WANTED: usize = 3;
/// How long to look for them.
const TIME: Duration = Duration::from_millis(120);

/// What the windows of one measurement have yielded.
struct Windows<T> {
    /// Times in nanoseconds, and what the windows returned.
    kept: Vec<(f64, T)>,
    /// Not one was calm, so these are not.
    disturbed: bool,
}

fn windows<T>(scene: &Scene, mut part: impl FnMut() -> Result<T>) -> Result<Windows<T>> {
    let began = Instant::now();
    let (mut kept, mut disturbed) = (Vec::new(), true);
    loop {
        scene.meet();
        let preemptions = scene.preemptions();
        let before = Instant::now();
        let outcome = part()?;
        let nanos = before.elapsed().as_nanos() as f64;
        let calm = scene.preemptions() == preemptions;
        // The left side keeps the time for both.
        let over = scene.side == Side::Left && began.elapsed() > TIME;
        let [left, right] = scene.tell(u64::from(calm) | u64::from(over) << 1);
        let both_calm = left & right & 1 == 1;
        if both_calm && disturbed {
            kept.clear();
            disturbed = false;
        }
        if both_calm || disturbed {
            kept.push((nanos, outcome));
        }
        if left & 2 != 0 || (!disturbed && kept.len() == WANTED) {
            return Ok(Windows { kept, disturbed });
        }
    }
}

/// Times round trips, each on its own, `count` to a window.
pub(crate) fn trips(scene: &Scene, count: u64, mut trip: impl FnMut() -> Result<()>) -> Result<Figures> {
    let clock = clock_cost();
    let windows = windows(scene, || {
        let mut samples = Vec::with_capacity(count as usize);
        let mut before = Instant::now();
        for _ in 0..count {
            trip()?;
            let now = Instant::now();
            samples.push(u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX));
            before = now;
        }
        Ok(samples)
    })?;
    let mut samples: Vec<u32> = windows.kept.into_iter().flat_map(|(_, samples)| samples).collect();
    samples.sort_unstable();
    let at = |quantile| (f64::from(percentile(&samples, quantile)) - clock).max(1.0);
    let tail = Tail { p99: at(0.99), p999: at(0.999), max: at(1.0) };
    Ok(Figures { typical: at(0.5), tail: Some(tail), share: None, disturbed: windows.disturbed })
}

/// Times records together, `count` to a window.
pub(crate) fn records(scene: &Scene, count: u64, mut all: impl FnMut() -> Result<()>) -> Result<Figures> {
    let windows = windows(scene, &mut all)?;
    let times = windows.kept.iter().map(|(nanos, ())| nanos / count.max(1) as f64);
    let typical = Spread::of(times).map_or(0.0, |spread| spread.median);
    Ok(Figures { typical, disturbed: windows.disturbed, ..Figures::default() })
}

/// The part of the side that is not timed; it may tell how much it received.
pub(crate) fn partner(scene: &Scene, part: impl FnMut() -> Result<Option<f64>>) -> Result<Figures> {
    let windows = windows(scene, part)?;
    let share = Spread::of(windows.kept.iter().filter_map(|(_, share)| *share)).map(|spread| spread.median);
    Ok(Figures { share, disturbed: windows.disturbed, ..Figures::default() })
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
    f64::from(percentile(&samples, 0.5))
}
