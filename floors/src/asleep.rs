//! Round trips whose sides sleep, each beginning after a while in which nobody did anything: so the other side is asleep
//! whatever it does before, and the way there takes so long that the asking side is, too. The floor is two futex words.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::io::Errno;
use rustix::thread::futex;

use crate::figures::Measured;
use crate::scene::{Scene, Side};
use crate::windows::{clock_cost, latencies, partner};

/// After this long whoever waits is asleep.
pub const ASLEEP: Duration = Duration::from_micros(100);

/// Passes the time awake: a processor that sleeps as well takes a while to come back.
pub fn sit(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// The asking side: each trip by itself, the other side being asleep.
///
/// # Errors
///
/// The first one of a trip.
pub fn asking(scene: &Scene, count: u64, mut trip: impl FnMut() -> Result<()>) -> Result<Measured> {
    let clock = clock_cost();
    latencies(scene, clock, || {
        let mut samples = Vec::with_capacity(count as usize);
        for _ in 0..count {
            sit(ASLEEP);
            let before = Instant::now();
            trip()?;
            samples.push(u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        Ok(samples)
    })
}

/// The answering side.
///
/// # Errors
///
/// The first one of an answer.
pub fn answering(scene: &Scene, count: u64, mut answer: impl FnMut() -> Result<()>) -> Result<Measured> {
    partner(scene, || (0..count).try_for_each(|_| answer()).map(|()| None))
}

/// By two words, and nothing else.
///
/// # Errors
///
/// Those of the system calls.
pub fn futexes(scene: &Scene, count: u64) -> Result<Measured> {
    let (there, back) = scene.ground.futexes();
    // Both words go on from the measurement before.
    let (mut sent, mut heard) = (there.load(Ordering::Acquire), back.load(Ordering::Acquire));
    scene.meet();
    match scene.side {
        Side::Left => asking(scene, count, || {
            sent = sent.wrapping_add(1);
            wake(there, sent)?;
            sleep(back, &mut heard)
        }),
        Side::Right => answering(scene, count, || {
            sleep(there, &mut sent)?;
            heard = heard.wrapping_add(1);
            wake(back, heard)
        }),
    }
}

/// Stores into the word, and wakes who sleeps on it.
///
/// # Errors
///
/// Those of the system call.
pub fn wake(word: &AtomicU32, value: u32) -> Result<()> {
    word.store(value, Ordering::Release);
    futex::wake(word, futex::Flags::empty(), 1)?;
    Ok(())
}

/// Sleeps until the word is no longer as it was known.
///
/// # Errors
///
/// Those of the system call.
pub fn sleep(word: &AtomicU32, known: &mut u32) -> Result<()> {
    loop {
        match futex::wait(word, futex::Flags::empty(), *known, None) {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let value = word.load(Ordering::Acquire);
        if value != *known {
            *known = value;
            return Ok(());
        }
    }
}
