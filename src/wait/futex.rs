//! The system calls for sleeping, futex and membarrier, and their replacements in the models.

#[cfg(not(loom))]
mod imp {
    use core::num::NonZeroU32;

    use rustix::io::Errno;
    use rustix::thread::{MembarrierCommand, futex, membarrier, nanosleep};
    use rustix::time::{ClockId, Timespec};

    use super::{Ended, Refused};
    use crate::atomics::{AtomicU32, FutexWord, OwnedWord, copy};

    const ANY: NonZeroU32 = NonZeroU32::MAX;

    /// Sleeps until the word is woken, if it still holds `expected`, or until `until_ns` on the monotonic clock. May
    /// return early, so the caller checks again. Never uses the private flag, whose keys are per process.
    pub(crate) fn wait(word: &FutexWord, expected: u32, until_ns: u64) {
        let _ = wait_or_refused(word, expected, until_ns);
    }

    /// As `wait`. Where the call is refused, this was a short nap.
    pub(crate) fn wait_or_refused(word: &FutexWord, expected: u32, until_ns: u64) -> Result<(), Refused> {
        wait_on(&word.0, expected, until_ns)
    }

    /// As `wait`, on the low half of a word.
    pub(crate) fn wait_low(word: &OwnedWord, expected: u64, until_ns: u64) {
        let _ = wait_on(copy::low_half(word), expected as u32, until_ns);
    }

    fn wait_on(word: &AtomicU32, expected: u32, until_ns: u64) -> Result<(), Refused> {
        let until = Timespec {
            tv_sec: (until_ns / 1_000_000_000) as i64,
            tv_nsec: (until_ns % 1_000_000_000) as i64,
        };
        // An absolute time, so a signal handler that interrupts the sleep does not lengthen it.
        let ended = futex::wait_bitset(word, futex::Flags::empty(), expected, Some(&until), ANY);
        #[cfg(quoit_delays)]
        crate::atomics::delays::slept(&ended);
        match ended {
            Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Ok(()),
            // No futex here: a system-call filter.
            Err(errno @ (Errno::NOSYS | Errno::PERM | Errno::ACCESS)) => {
                pause();
                Err(Refused(errno.raw_os_error()))
            }
            // Such as the memory of the word that is gone. The caller looks at it.
            Err(_) => {
                pause();
                Ok(())
            }
        }
    }

    /// Sleeps until one of the words is woken, if all of them still hold what is expected, or until `until_ns` on the
    /// monotonic clock. May return early. At most [`MANY`](super::MANY) words.
    pub(crate) fn wait_any(words: &[(&FutexWord, u32)], until_ns: u64) -> Result<Ended, Refused> {
        let mut waits = [futex::Wait::new(); super::MANY];
        let used = waits.iter_mut().zip(words);
        for (wait, (word, expected)) in used {
            wait.val = u64::from(*expected);
            // The kernel only compares the word, and never writes it.
            wait.uaddr = futex::WaitPtr::new(core::ptr::from_ref(&word.0).cast_mut().cast());
            // Without the private flag, as in `wait`.
            wait.flags = futex::WaitFlags::SIZE_U32;
        }
        let until = Timespec {
            tv_sec: (until_ns / 1_000_000_000) as i64,
            tv_nsec: (until_ns % 1_000_000_000) as i64,
        };
        let used = waits.get(..words.len()).unwrap_or(&waits);
        let ended = futex::waitv(used, futex::WaitvFlags::empty(), Some(&until), ClockId::Monotonic);
        #[cfg(quoit_delays)]
        crate::atomics::delays::slept(&ended.map(|_| ()));
        match ended {
            Ok(woken) => Ok(Ended::Woken(woken)),
            Err(Errno::AGAIN) => Ok(Ended::Changed),
            Err(Errno::TIMEDOUT | Errno::INTR) => Ok(Ended::Quiet),
            Err(errno @ (Errno::NOSYS | Errno::PERM | Errno::ACCESS | Errno::INVAL)) => {
                Err(Refused(errno.raw_os_error()))
            }
            // Such as the memory of a word that is gone, as its file was cut short. The caller looks at each.
            Err(_) => {
                pause();
                Ok(Ended::Changed)
            }
        }
    }

    /// Whether the word holds something else than expected, without touching its memory, which may be gone.
    pub(crate) fn differs(word: &FutexWord, expected: u32) -> bool {
        let past = Timespec { tv_sec: 0, tv_nsec: 0 };
        let ended = futex::wait_bitset(&word.0, futex::Flags::empty(), expected, Some(&past), ANY);
        ended != Err(Errno::TIMEDOUT)
    }

    /// A short plain sleep, which keeps a caller from busy polling. This does not use the standard library's sleep,
    /// which panics where sleeping is refused as well.
    fn pause() {
        let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 200_000 });
    }

    /// Wakes every process that sleeps on the word.
    pub(crate) fn wake_all(word: &FutexWord) {
        wake(word, i32::MAX as u32);
    }

    /// Wakes so many processes that sleep on the word, if there are as many.
    pub(crate) fn wake(word: &FutexWord, sleepers: u32) {
        // If a filter refuses it in this process only, the sleepers return by themselves after their slice.
        let _ = futex::wake(&word.0, futex::Flags::empty(), sleepers);
    }

    /// Wakes one process that sleeps on the low half of the word.
    pub(crate) fn wake_one(word: &OwnedWord) {
        // As in `wake`.
        let _ = futex::wake(copy::low_half(word), futex::Flags::empty(), 1);
    }

    /// Registers this process for `heavy_barrier` of any process. False: the kernel or a filter refuses.
    pub(crate) fn accept_barriers() -> bool {
        // Miri does not know the call, and would abort.
        !cfg!(miri) && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
    }

    /// The same barrier for the sleepers of several words: one call serves them all.
    pub(crate) fn heavy_barrier_of<'a>(mut words: impl Iterator<Item = &'a FutexWord>) -> bool {
        words.next().is_none_or(heavy_barrier)
    }

    /// A full fence on every processor that runs a process which accepts barriers. False: none happened.
    pub(crate) fn heavy_barrier(_word: &FutexWord) -> bool {
        #[cfg(quoit_delays)]
        if crate::atomics::delays::is_weak("S2_HEAVY") {
            return true;
        }
        !cfg!(miri) && membarrier(MembarrierCommand::GlobalExpedited).is_ok()
    }
}

#[cfg(loom)]
mod imp {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::{Ended, Refused};
    use crate::atomics::{FutexWord, Ordering, OwnedWord, Sleeper, is_ghost};
    use crate::wait::clock;

    pub(crate) fn wait(word: &FutexWord, expected: u32, until_ns: u64) {
        if is_brief(until_ns) {
            return;
        }
        let guard = word.1.lock().unwrap();
        if word.0.load(Ordering::Relaxed) == expected {
            drop(word.2.wait(guard).unwrap());
        }
    }

    pub(crate) fn wait_or_refused(word: &FutexWord, expected: u32, until_ns: u64) -> Result<(), Refused> {
        wait(word, expected, until_ns);
        Ok(())
    }

    /// As the kernel does it: the sleeper is on every word's list before the words are compared, each under its
    /// word's lock.
    pub(crate) fn wait_any(words: &[(&FutexWord, u32)], _until_ns: u64) -> Result<Ended, Refused> {
        let sleeper = Arc::new(Sleeper::new());
        let mut woken = sleeper.woken.lock().unwrap();
        let mut is_same = true;
        for (word, expected) in words {
            let guard = word.1.lock().unwrap();
            word.add(&sleeper);
            is_same &= word.0.load(Ordering::Relaxed) == *expected;
            drop(guard);
        }
        while is_same && !*woken {
            woken = sleeper.wake.wait(woken).unwrap();
        }
        drop(woken);
        for (word, _) in words {
            word.remove(&sleeper);
        }
        Ok(if is_same { Ended::Woken(0) } else { Ended::Changed })
    }

    pub(crate) fn wait_low(word: &OwnedWord, expected: u64, until_ns: u64) {
        if is_brief(until_ns) {
            return;
        }
        let guard = word.1.lock().unwrap();
        if word.0.load(Ordering::Relaxed) as u32 == expected as u32 {
            drop(word.2.wait(guard).unwrap());
        }
    }

    pub(crate) fn wake_one(word: &OwnedWord) {
        if is_ghost() {
            return;
        }
        let _guard = word.1.lock().unwrap();
        word.2.notify_one();
    }

    pub(crate) fn wake_all(word: &FutexWord) {
        if is_ghost() {
            return;
        }
        let guard = word.1.lock().unwrap();
        word.2.notify_all();
        let sleepers = word.sleepers();
        drop(guard);
        for sleeper in sleepers {
            *sleeper.woken.lock().unwrap() = true;
            sleeper.wake.notify_all();
        }
    }

    pub(crate) fn wake(word: &FutexWord, sleepers: u32) {
        if is_ghost() {
            return;
        }
        let _guard = word.1.lock().unwrap();
        (0..sleepers).for_each(|_| word.2.notify_one());
    }

    // All threads of a model are coroutines of one thread.
    std::thread_local! {
        static REFUSED: Cell<bool> = const { Cell::new(false) };
        /// The longest sleep that ends by itself, ns. `None`: none does.
        static BRIEF_NS: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Whether a sleep ends by itself, after the others had their turn. That of a ghost does: nobody wakes it.
    fn is_brief(until_ns: u64) -> bool {
        let is_within = |most| most == u64::MAX || until_ns.saturating_sub(clock::monotonic_ns()) <= most;
        let is_brief = is_ghost() || BRIEF_NS.get().is_some_and(is_within);
        if is_brief {
            loom::thread::yield_now();
        }
        is_brief
    }

    /// Whether sleeps end by themselves, as they do outside the models. Otherwise a lost wake is a deadlock.
    pub(crate) fn slice_sleeps(sliced: bool) {
        BRIEF_NS.set(sliced.then_some(u64::MAX));
    }

    /// Sleeps of at most so long end by themselves, and no others.
    pub(crate) fn brief_sleeps(most_ns: u64) {
        BRIEF_NS.set(Some(most_ns));
    }

    /// Whether the kernel has `membarrier` from now on.
    pub(crate) fn refuse_barriers(refused: bool) {
        REFUSED.set(refused);
    }

    pub(crate) fn accept_barriers() -> bool {
        !REFUSED.get()
    }

    pub(crate) fn heavy_barrier_of<'a>(words: impl Iterator<Item = &'a FutexWord>) -> bool {
        words.map(heavy_barrier).fold(true, |all, one| all & one)
    }

    pub(crate) fn heavy_barrier(word: &FutexWord) -> bool {
        word.meet(("S2_HEAVY", concat!(file!(), ":", line!())));
        true
    }
}

#[cfg(not(loom))]
pub(crate) use imp::differs;
pub(crate) use imp::{
    accept_barriers, heavy_barrier, heavy_barrier_of, wait, wait_any, wait_low, wait_or_refused, wake,
    wake_all, wake_one,
};
#[cfg(loom)]
pub(crate) use imp::{brief_sleeps, refuse_barriers, slice_sleeps};

/// How many words one call can sleep on.
pub(crate) const MANY: usize = 128;

/// How a sleep on several words ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// This one of the words was woken, and maybe others.
    Woken(usize),
    /// A word did not hold what was expected.
    Changed,
    /// The time was over, or a signal came.
    Quiet,
}

/// The error number with which the kernel, or a system-call filter, refuses a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) i32);
