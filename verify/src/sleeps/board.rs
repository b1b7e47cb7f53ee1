//! Memory that the processes of one load share beside the ring: the progress and the counts of each.

#![allow(unsafe_code, reason = "memory shared with forked children")]

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use crossbeam_utils::CachePadded;
use delayed::delays::Sleeps;

use crate::child::Shareable;

/// Most processes of a load.
pub(crate) const MOST: usize = 4;

/// A number alone on its lines.
#[derive(Debug, Default)]
pub(crate) struct Line(CachePadded<AtomicU64>);

impl Line {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// A plain store on purpose: a locked one would fence the processor between two steps of the load.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn set_fenced(&self, value: u64) {
        self.0.store(value, SeqCst);
    }
}

/// What one process counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Steps of the load: the sign of life that the watchdog looks at.
    pub(crate) steps: AtomicU64,
    counts: [AtomicU64; 8],
    /// For loads with counts of their own.
    pub(crate) own: [AtomicU64; 4],
}

impl Tally {
    pub(crate) fn show(&self, steps: u64) {
        let Sleeps { woken, changed, found, timed_out, broken, naps, unbarriered, delays } =
            delayed::delays::sleeps();
        let now = [woken, changed, found, timed_out, broken, naps, unbarriered, delays];
        for (count, now) in self.counts.iter().zip(now) {
            count.store(now, Relaxed);
        }
        self.steps.store(steps, Relaxed);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Relaxed)
    }

    pub(crate) fn sleeps(&self) -> Sleeps {
        let [woken, changed, found, timed_out, broken, naps, unbarriered, delays] =
            self.counts.each_ref().map(|count| count.load(Relaxed));
        Sleeps { woken, changed, found, timed_out, broken, naps, unbarriered, delays }
    }
}

#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Board {
    /// 1: finish cleanly.
    pub(crate) stop: Line,
    /// What the producer has begun to send: one more than the sequence.
    pub(crate) begun: Line,
    /// What each process has received: one more than the sequence.
    pub(crate) received: [Line; MOST],
    /// Two words for store buffering, and the round that each side is in.
    pub(crate) litmus: [Line; 2],
    pub(crate) seen: [Line; 2],
    pub(crate) rounds: [Line; 2],
    pub(crate) tallies: [CachePadded<Tally>; MOST],
}

// SAFETY: it consists of atomic integers.
unsafe impl Shareable for Board {}
