//! Random delays before every shared access, and sleeps without a time limit: for the one package that compiles this
//! source with `cfg(quoit_delays)`. No other build contains any of it.
//!
//! Every window between two shared accesses is stretched at random, between real processes on real processors. Since
//! sleeps end only by a wake, a lost wake shows as a hang and not as a delay.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::atomics::Ordering;

/// Counts of how the sleeps of this thread ended. A sleep is entered by arming the word; each ends in one of five
/// ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sleeps {
    /// It slept in the kernel until a waker woke it.
    pub woken: u64,
    /// The waker changed the word between the last check and the sleep, so the kernel did not let it sleep.
    pub changed: u64,
    /// The condition was true already at the check after arming.
    pub found: u64,
    /// It slept until its time was over.
    pub timed_out: u64,
    /// A signal ended it, or the system call was refused.
    pub broken: u64,
    /// How many of all these were unarmed: observers, and every sleeper on a ring of `WaitMode::Spin`.
    pub naps: u64,
    /// Armings whose barrier did not happen: their sleeps have a time limit.
    pub unbarriered: u64,
    /// Delays that were injected.
    pub delays: u64,
}

struct Injector {
    /// Sites to pass before the next delay.
    left: Cell<u32>,
    /// 0: not started.
    dice: Cell<u64>,
    for_ever: Cell<bool>,
    weak: Cell<&'static str>,
    sleeps: Cell<Sleeps>,
}

thread_local! {
    static INJECTOR: Injector = const {
        Injector {
            left: Cell::new(0),
            dice: Cell::new(0),
            for_ever: Cell::new(false),
            weak: Cell::new(""),
            sleeps: Cell::new(Sleeps {
                woken: 0,
                changed: 0,
                found: 0,
                timed_out: 0,
                broken: 0,
                naps: 0,
                unbarriered: 0,
                delays: 0,
            }),
        }
    };
}

/// Starts delays in this thread with this seed. `for_ever`: armed sleeps have no time limit. Until this is called, a
/// thread has delays if `QUOIT_DELAYS` is a number: its seed, to which each thread adds its own.
pub fn begin(seed: u64, for_ever: bool) {
    INJECTOR.with(|injector| {
        injector.dice.set(mix(seed) | 1);
        injector.left.set(0);
        injector.for_ever.set(for_ever);
    });
}

/// Leaves out the named fence, or heavy barrier, in this thread: to show that a test detects its absence.
pub fn weaken(site: &'static str) {
    INJECTOR.with(|injector| injector.weak.set(site));
}

/// The counts of this thread so far.
pub fn sleeps() -> Sleeps {
    INJECTOR.with(|injector| injector.sleeps.get())
}

/// A place where this thread may be delayed: before every shared access.
///
/// It must not affect the processor's ordering: a locked instruction here would drain the store buffer, and hide the
/// reorderings that the fences are for. So most passes are one count in a thread's own memory.
#[inline(always)]
pub(crate) fn point() {
    INJECTOR.with(|injector| match injector.left.get() {
        0 => delay(injector),
        left => injector.left.set(left - 1),
    });
}

/// The fence of a site, if it is not left out.
#[inline(always)]
pub(crate) fn fence(site: &str, ordering: Ordering) {
    point();
    if !is_weak(site) {
        crate::atomics::fence(ordering);
    }
}

#[cold]
#[inline(never)]
fn delay(injector: &Injector) {
    if injector.dice.get() == 0 {
        match std::env::var("QUOIT_DELAYS").ok().and_then(|seed| seed.parse::<u64>().ok()) {
            Some(seed) => begin(seed ^ own_number(), false),
            None => injector.left.set(u32::MAX),
        }
        return;
    }
    let dice = mix(injector.dice.get()) | 1;
    injector.dice.set(dice);
    injector.left.set((dice >> 8) as u32 % 14);
    count(|sleeps| sleeps.delays += 1);
    let size = dice >> 32;
    match (dice >> 16) % 256 {
        0 => std::thread::yield_now(),
        1..=3 => {
            let begin = Instant::now();
            while begin.elapsed() < Duration::from_nanos(size % 30_000) {}
        }
        4..=35 => (0..size % 400).for_each(|_| core::hint::spin_loop()),
        _ => (0..size % 24).for_each(|_| core::hint::spin_loop()),
    }
}

/// A number unique to this thread.
fn own_number() -> u64 {
    u64::from(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()) << 32
}

/// SplitMix64.
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

pub(crate) fn for_ever() -> bool {
    INJECTOR.with(|injector| injector.for_ever.get())
}

pub(crate) fn is_weak(site: &str) -> bool {
    INJECTOR.with(|injector| injector.weak.get() == site)
}

/// Counts in this thread.
pub(crate) fn count(count: impl FnOnce(&mut Sleeps)) {
    INJECTOR.with(|injector| {
        let mut sleeps = injector.sleeps.get();
        count(&mut sleeps);
        injector.sleeps.set(sleeps);
    });
}

/// A call of futex wait ended like this.
pub(crate) fn slept(ended: &Result<(), Errno>) {
    count(|sleeps| match ended {
        Ok(()) => sleeps.woken += 1,
        Err(Errno::AGAIN) => sleeps.changed += 1,
        Err(Errno::TIMEDOUT) => sleeps.timed_out += 1,
        Err(_) => sleeps.broken += 1,
    });
}
