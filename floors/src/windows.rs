//! Short windows that all sides measure in together. On a machine that others use as well, a window in which the
//! kernel took a CPU away from any of them says nothing of queues or floors: it is left out, and the next one begun.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::figures::{Figures, Measured, Samples, Tail};
use crate::scene::{Scene, Side};
use crate::stats::{Spread, percentile};

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
    left_out: u32,
}

/// What a crowd that shares a CPU has to have run of a window, or others had a part of that CPU.
const CROWDED: f64 = 0.85;

fn windows<T>(scene: &Scene, mut part: impl FnMut() -> Result<T>) -> Result<Windows<T>> {
    let began = Instant::now();
    let (mut kept, mut disturbed, mut left_out) = (Vec::new(), true, 0);
    loop {
        scene.meet();
        let (preemptions, ran) = (scene.preemptions(), scene.ran());
        let before = Instant::now();
        let outcome = part()?;
        let nanos = before.elapsed().as_nanos() as f64;
        // A crowd is preempted by itself. There it counts how long all of it ran.
        // The left side keeps the time for all.
        let over = scene.side == Side::Left && began.elapsed() > TIME;
        let told = if scene.is_roaming() || scene.is_helped() {
            // Those that share all CPUs and sleep cannot tell others from each other, nor can a thread tell strangers from
            // those that it wakes itself: there the floor has to.
            Told { calm: true, over, nanos: nanos as u64 }
        } else if scene.is_crowded() {
            Told { calm: true, over: false, nanos: scene.ran() - ran }
        } else {
            Told { calm: scene.preemptions() == preemptions, over, nanos: nanos as u64 }
        };
        let all = scene.tell(told.word()).map(Told::of);
        let (left, right) = (all[0], &all[1..scene.members()]);
        let ran: u64 = right.iter().map(|told| told.nanos).sum();
        let alone = scene.is_roaming() || right.len() < 2 || ran as f64 > left.nanos as f64 * CROWDED;
        if left.calm && right.iter().all(|told| told.calm) && alone {
            if disturbed {
                kept.clear();
            }
            disturbed = false;
            kept.push((nanos, outcome));
        } else {
            left_out += 1;
            if disturbed {
                kept.push((nanos, outcome));
            }
        }
        if left.over || (!disturbed && kept.len() == WANTED) {
            return Ok(Windows { kept, disturbed, left_out });
        }
    }
}

/// What a process tells the others of a window.
#[derive(Clone, Copy)]
struct Told {
    /// It kept its CPU.
    calm: bool,
    /// The time for all windows is over.
    over: bool,
    /// How long the window was; of one in a crowd, how long it ran.
    nanos: u64,
}

impl Told {
    fn word(self) -> u64 {
        u64::from(self.calm) | u64::from(self.over) << 1 | self.nanos << 2
    }

    fn of(word: u64) -> Self {
        Self { calm: word & 1 != 0, over: word & 2 != 0, nanos: word >> 2 }
    }
}

/// Times round trips, each on its own, `count` to a window.
pub fn trips(scene: &Scene, count: u64, mut trip: impl FnMut() -> Result<()>) -> Result<Measured> {
    let clock = clock_cost();
    latencies(scene, clock, || {
        let mut samples = Vec::with_capacity(count as usize);
        let mut before = Instant::now();
        for _ in 0..count {
            trip()?;
            let now = Instant::now();
            samples.push(u32::try_from((now - before).as_nanos()).unwrap_or(u32::MAX));
            before = now;
        }
        Ok(samples)
    })
}

/// Latencies that the part times by itself; of each, looking at the clock took `clock` nanoseconds.
pub fn latencies(scene: &Scene, clock: f64, part: impl FnMut() -> Result<Vec<u32>>) -> Result<Measured> {
    let windows = windows(scene, part)?;
    let mut samples: Vec<u32> = windows.kept.into_iter().flat_map(|(_, samples)| samples).collect();
    samples.sort_unstable();
    let at = |quantile| (f64::from(percentile(&samples, quantile)) - clock).max(1.0);
    let tail = Tail { p99: at(0.99), p999: at(0.999), max: at(1.0) };
    let figures = Figures {
        typical: at(0.5),
        tail: Some(tail),
        share: None,
        disturbed: windows.disturbed,
        windows_left_out: windows.left_out,
    };
    Ok(Measured { figures, latencies: Some(Samples { nanos: samples, clock }) })
}

/// Times records together, `count` to a window.
pub fn records(scene: &Scene, count: u64, mut all: impl FnMut() -> Result<()>) -> Result<Measured> {
    received(scene, || all().map(|()| count))
}

/// The same where not all records arrive: `all` returns how many did, and the time is divided by that.
pub fn received(scene: &Scene, all: impl FnMut() -> Result<u64>) -> Result<Measured> {
    let windows = windows(scene, all)?;
    let times = windows.kept.iter().map(|(nanos, count)| nanos / (*count).max(1) as f64);
    let typical = Spread::of(times).map_or(0.0, |spread| spread.median);
    let (disturbed, windows_left_out) = (windows.disturbed, windows.left_out);
    Ok(Figures { typical, disturbed, windows_left_out, ..Figures::default() }.into())
}

/// The part of the side that is not timed; it may tell how much it received.
pub fn partner(scene: &Scene, part: impl FnMut() -> Result<Option<f64>>) -> Result<Measured> {
    let windows = windows(scene, part)?;
    let share = Spread::of(windows.kept.iter().filter_map(|(_, share)| *share)).map(|spread| spread.median);
    let (disturbed, windows_left_out) = (windows.disturbed, windows.left_out);
    Ok(Figures { share, disturbed, windows_left_out, ..Figures::default() }.into())
}

/// What one look at the clock adds to a round trip, ns.
pub fn clock_cost() -> f64 {
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
