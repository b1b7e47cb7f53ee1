//! Locks between processes, ours and others: alone, with contenders, and handed to one who sleeps.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use quoit::sync::{self, SyncOptions};
use quoit_floors::asleep::{ASLEEP, sit};
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::ground::Word;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{clock_cost, latencies, partner, records};
use rustix::io::Errno;
use rustix::thread::futex;
use serde::{Deserialize, Serialize};

use super::{object, posix};

/// Bytes of the value that every lock guards, and copies to whoever has it.
pub(crate) const BYTES: usize = 64;
pub(super) type Value = [u64; BYTES / 8];

/// Which lock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Lock {
    Quoit,
    QuoitSemaphore,
    /// `parking_lot`'s, between the threads of one process: for one alone.
    ParkingLot,
    /// A word: free, taken, or taken with somebody asleep. One that can be shared, and does nothing else.
    Futex,
    /// The C library's, for several processes, which survives its holder.
    Robust,
    /// The C library's, with one permit.
    PosixSemaphore,
}

/// A lock and what it guards.
trait Guards {
    /// Locks, has the value changed, or looked at, and unlocks.
    fn hold(&mut self, within: impl FnOnce(&mut Value)) -> Result<()>;
    /// The same without a change.
    fn look(&mut self, within: impl FnOnce(&Value)) -> Result<()>;
}

impl Guards for sync::Mutex<Value> {
    #[inline(always)]
    fn hold(&mut self, within: impl FnOnce(&mut Value)) -> Result<()> {
        let mut guard = self.lock()?;
        within(&mut guard);
        Ok(guard.commit()?)
    }

    #[inline(always)]
    fn look(&mut self, within: impl FnOnce(&Value)) -> Result<()> {
        let guard = self.lock()?;
        within(&guard);
        drop(guard);
        Ok(())
    }
}

impl Guards for parking_lot::Mutex<Value> {
    #[inline(always)]
    fn hold(&mut self, within: impl FnOnce(&mut Value)) -> Result<()> {
        // Through a shared reference: `get_mut` would not lock.
        let shared = &*self;
        let mut guard = shared.lock();
        let mut copy = *guard;
        within(&mut copy);
        *guard = copy;
        Ok(())
    }

    #[inline(always)]
    fn look(&mut self, within: impl FnOnce(&Value)) -> Result<()> {
        let shared = &*self;
        let guard = shared.lock();
        within(&guard);
        Ok(())
    }
}

/// A lock without a value, and a value in shared memory.
struct Beside<'a, L> {
    lock: L,
    value: &'a [Word],
}

/// Such a lock.
trait Bare {
    fn lock(&self) -> Result<()>;
    fn unlock(&self) -> Result<()>;
}

impl<L: Bare> Guards for Beside<'_, L> {
    #[inline(always)]
    fn hold(&mut self, within: impl FnOnce(&mut Value)) -> Result<()> {
        self.lock.lock()?;
        let mut copy = std::array::from_fn(|word| self.value[word].get());
        within(&mut copy);
        self.value.iter().zip(copy).for_each(|(word, value)| word.set(value));
        self.lock.unlock()
    }

    #[inline(always)]
    fn look(&mut self, within: impl FnOnce(&Value)) -> Result<()> {
        self.lock.lock()?;
        within(&std::array::from_fn(|word| self.value[word].get()));
        self.lock.unlock()
    }
}

const FREE: u32 = 0;
const TAKEN: u32 = 1;
const SLEEPERS: u32 = 2;

impl Bare for &AtomicU32 {
    #[inline(always)]
    fn lock(&self) -> Result<()> {
        if self.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return Ok(());
        }
        while self.swap(SLEEPERS, Ordering::Acquire) != FREE {
            match futex::wait(self, futex::Flags::empty(), SLEEPERS, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn unlock(&self) -> Result<()> {
        if self.swap(FREE, Ordering::Release) == SLEEPERS {
            futex::wake(self, futex::Flags::empty(), 1)?;
        }
        Ok(())
    }
}

impl Bare for posix::Mutex<'_> {
    #[inline(always)]
    fn lock(&self) -> Result<()> {
        posix::Mutex::lock(self)
    }

    #[inline(always)]
    fn unlock(&self) -> Result<()> {
        posix::Mutex::unlock(self)
    }
}

impl Bare for posix::Semaphore<'_> {
    #[inline(always)]
    fn lock(&self) -> Result<()> {
        self.wait()
    }

    #[inline(always)]
    fn unlock(&self) -> Result<()> {
        self.post()
    }
}

impl Guards for Beside<'_, sync::Semaphore> {
    #[inline(always)]
    fn hold(&mut self, within: impl FnOnce(&mut Value)) -> Result<()> {
        let permit = self.lock.acquire()?;
        let mut copy = std::array::from_fn(|word| self.value[word].get());
        within(&mut copy);
        self.value.iter().zip(copy).for_each(|(word, value)| word.set(value));
        drop(permit);
        Ok(())
    }

    #[inline(always)]
    fn look(&mut self, within: impl FnOnce(&Value)) -> Result<()> {
        let permit = self.lock.acquire()?;
        within(&std::array::from_fn(|word| self.value[word].get()));
        drop(permit);
        Ok(())
    }
}

/// Something that is measured with every lock.
trait Measures {
    fn with(self, scene: &Scene, lock: impl Guards) -> Result<Measured>;
}

/// Makes the lock, or opens it.
fn measure(scene: &Scene, lock: Lock, what: impl Measures) -> Result<Measured> {
    let value = scene.ground.room(BYTES);
    if scene.side == Side::Left {
        value.iter().for_each(|word| word.set(0));
    }
    let options = SyncOptions::new();
    match lock {
        Lock::Quoit => {
            let first = Value::default();
            let make = |path: &Path| sync::Mutex::create(path, &options, &first);
            what.with(scene, object(scene, make, |path| sync::Mutex::open(path))?)
        }
        Lock::QuoitSemaphore => {
            let make = |path: &Path| sync::Semaphore::create(path, &options, 1);
            let lock = object(scene, make, |path| sync::Semaphore::open(path))?;
            what.with(scene, Beside { lock, value })
        }
        Lock::ParkingLot => what.with(scene, parking_lot::Mutex::new(Value::default())),
        Lock::Futex => {
            let (lock, _) = scene.ground.futexes();
            if scene.side == Side::Left {
                lock.store(FREE, Ordering::Relaxed);
            }
            what.with(scene, Beside { lock, value })
        }
        Lock::Robust => {
            let lock = posix::Mutex::robust(scene)?;
            what.with(scene, Beside { lock, value })
        }
        Lock::PosixSemaphore => {
            let lock = posix::Semaphore::of_one(scene)?;
            what.with(scene, Beside { lock, value })
        }
    }
}

#[inline(always)]
fn change(value: &mut Value) {
    value[0] = value[0].wrapping_add(1);
}

/// Lock and unlock with nobody else there.
struct Alone {
    changes: bool,
    count: u64,
}

pub(super) fn alone(scene: &Scene, lock: Lock, changes: bool, count: u64) -> Result<Measured> {
    measure(scene, lock, Alone { changes, count })
}

impl Measures for Alone {
    fn with(self, scene: &Scene, mut lock: impl Guards) -> Result<Measured> {
        scene.meet();
        let measured = if scene.side == Side::Right {
            partner(scene, || Ok(None))?
        } else {
            let mut again = |count: u64| -> Result<()> {
                for _ in 0..count {
                    if self.changes {
                        lock.hold(change)?;
                    } else {
                        lock.look(|value| {
                            std::hint::black_box(*value);
                        })?;
                    }
                }
                Ok(())
            };
            again(self.count / 4)?;
            records(scene, self.count, || again(self.count))?
        };
        scene.meet();
        Ok(measured)
    }
}

/// All members want it all the time.
struct Contended {
    count: u64,
}

pub(super) fn contended(scene: &Scene, lock: Lock, count: u64) -> Result<Measured> {
    measure(scene, lock, Contended { count })
}

impl Measures for Contended {
    fn with(self, scene: &Scene, mut lock: impl Guards) -> Result<Measured> {
        scene.meet();
        // Two have a CPU each.
        let _roaming = if scene.members() > 2 { Some(scene.roam()?) } else { None };
        let mut again = || -> Result<()> {
            (0..self.count).try_for_each(|_| lock.hold(change))?;
            // The last one's last lock ends the window.
            scene.meet();
            Ok(())
        };
        again()?;
        let all = self.count * scene.members() as u64;
        let measured = match scene.side {
            Side::Left => records(scene, all, again)?,
            Side::Right => partner(scene, || again().map(|()| None))?,
        };
        scene.meet();
        Ok(measured)
    }
}

/// The left side unlocks, and the right side, which sleeps, has the lock.
struct HandOver {
    count: u64,
}

pub(super) fn hand_over(scene: &Scene, lock: Lock, count: u64) -> Result<Measured> {
    measure(scene, lock, HandOver { count })
}

impl Measures for HandOver {
    fn with(self, scene: &Scene, mut lock: impl Guards) -> Result<Measured> {
        let (wanted, taken) = (&scene.ground.area(0)[0], &scene.ground.area(1)[0]);
        if scene.side == Side::Left {
            wanted.set(0);
            taken.set(0);
        }
        scene.meet();
        let mut turn = 0;
        let measured = if scene.side == Side::Left {
            let clock = clock_cost();
            latencies(scene, clock, || {
                let mut samples = Vec::with_capacity(self.count as usize);
                for _ in 0..self.count {
                    turn += 1;
                    let mut unlocked = Instant::now();
                    lock.hold(|value| {
                        wanted.release(turn);
                        sit(ASLEEP);
                        change(value);
                        unlocked = Instant::now();
                    })?;
                    while taken.acquire() != turn {
                        std::hint::spin_loop();
                    }
                    samples.push(u32::try_from(unlocked.elapsed().as_nanos()).unwrap_or(u32::MAX));
                }
                Ok(samples)
            })?
        } else {
            partner(scene, || {
                for _ in 0..self.count {
                    turn += 1;
                    while wanted.acquire() != turn {
                        std::hint::spin_loop();
                    }
                    lock.hold(|value| {
                        change(value);
                        taken.release(turn);
                    })?;
                }
                Ok(None)
            })?
        };
        scene.meet();
        Ok(measured)
    }
}

/// How often each of many gets it who want it all the time.
struct Fairness {
    time: Duration,
}

pub(super) fn fairness(scene: &Scene, lock: Lock, millis: u64) -> Result<Measured> {
    measure(scene, lock, Fairness { time: Duration::from_millis(millis) })
}

impl Measures for Fairness {
    fn with(self, scene: &Scene, mut lock: impl Guards) -> Result<Measured> {
        scene.meet();
        let _roaming = scene.roam()?;
        scene.meet();
        let (begin, mut mine) = (Instant::now(), 0_u64);
        while begin.elapsed() < self.time {
            (0..8).try_for_each(|_| lock.hold(change))?;
            mine += 8;
        }
        let counts = &scene.tell(mine)[..scene.members()];
        let total: u64 = counts.iter().sum();
        let mean = total as f64 / counts.len() as f64;
        let least = counts.iter().min().map_or(0.0, |least| *least as f64);
        let typical = self.time.as_nanos() as f64 / total.max(1) as f64;
        Ok(Figures { typical, share: Some(least / mean.max(1.0)), ..Figures::default() }.into())
    }
}
