//! Helpers: threads that sleep on words for others, and ring a bell when one is woken. They never touch the memory of a
//! word, only name it to the kernel; so a file that is cut short does no harm to them.
//!
//! With `futex_waitv`, one thread sleeps on up to 127 words, whoever they are for (`many`). Where that is refused, each
//! word has a thread (`single`), up to 64 of them. All threads block all signals, and end after a second without work.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::error::Error;
use crate::memory::map::{EMPTY, SharedWord, io_error};
use crate::wait::clock;
use crate::wait::doorbell::NAP_NS;
use crate::wait::futex::{self, Refused};
use crate::waitset::method::WaitMethod;

pub(super) mod called;
mod many;
mod pool;
mod single;

use many::Many;
use pool::Pool;
use single::Single;

/// How long a thread stays without work.
const IDLE: Duration = Duration::from_secs(1);
/// The most threads that sleep on one word each.
const SINGLES: usize = 64;

/// What a helper does when something happened. It runs on the helper's thread, without a lock.
pub(super) type Ring = Arc<dyn Fn() + Send + Sync>;

/// A word that is slept on while it holds what is expected.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) word: SharedWord,
    pub(super) expected: u32,
}

/// What a helper sleeps for: a word, or only a time, ns on the monotonic clock. Then it rings.
#[derive(Clone)]
struct Errand {
    owner: u64,
    watched: Option<Watched>,
    until_ns: u64,
    ring: Ring,
}

impl Errand {
    fn is_over(&self) -> bool {
        clock::is_past(self.until_ns)
    }

    /// Whether the word holds something else than was expected. Asks the kernel, which may find no memory there.
    fn has_changed(&self) -> bool {
        let Some(watched) = &self.watched else { return false };
        watched.word.word().is_none_or(|word| futex::differs(word, watched.expected))
    }
}

/// One who has helpers. Dropping it sends them home.
pub(super) struct Helped {
    owner: u64,
    ring: Ring,
    many: Vec<Arc<Many>>,
    singles: Vec<Arc<Single>>,
    pool: &'static Pool,
}

impl Helped {
    pub(super) fn new(ring: Ring) -> Result<Self, Error> {
        let pool = Pool::of_this_process()?;
        Ok(Self { owner: pool.next_owner(), ring, many: Vec::new(), singles: Vec::new(), pool })
    }

    /// Whether this is a child's copy of its parent's: it has no helpers.
    pub(super) fn is_forked(&self) -> bool {
        !self.pool.is_of_this_process()
    }

    /// No thread of this process can sleep on several words.
    pub(super) fn refuse(&self, refused: Refused) {
        self.pool.refuse(refused);
    }

    /// Has helpers sleep on these words until `slice_end`, or `nap_end` if there are too many, in the place of those
    /// before. One of them rings, once or more often.
    pub(super) fn watch(
        &mut self,
        watched: Vec<Watched>,
        slice_end: u64,
        nap_end: u64,
    ) -> Result<WaitMethod, Error> {
        let (method, errands) = match self.pool.refused() {
            // Without a word, there is still the time.
            None if watched.is_empty() => (WaitMethod::Futex, vec![self.errand(None, slice_end)]),
            None => {
                let errands = watched.into_iter().map(|watched| self.errand(Some(watched), slice_end));
                (WaitMethod::Futexes, errands.collect())
            }
            Some(_) => {
                let method = self.watch_words(watched);
                let is_nap = matches!(method, WaitMethod::Refused(_));
                (method, vec![self.errand(None, if is_nap { nap_end } else { slice_end })])
            }
        };
        self.many = self.pool.give_to_many(self.owner, &self.many, errands)?;
        Ok(method)
    }

    /// Has a helper sleep on each of these words, whatever the time. The text says if there are too many.
    pub(super) fn watch_words(&mut self, watched: Vec<Watched>) -> WaitMethod {
        for single in self.singles.drain(..) {
            single.leave(self.owner);
        }
        let errands = watched.into_iter().map(|watched| self.errand(Some(watched), u64::MAX)).collect();
        let (singles, is_all) = self.pool.give_to_singles(errands);
        self.singles = singles;
        let errno = self.pool.refused().map_or(0, |refused| refused.0);
        if is_all { WaitMethod::Threads(errno) } else { WaitMethod::Refused(errno) }
    }

    fn errand(&self, watched: Option<Watched>, until_ns: u64) -> Errand {
        Errand { owner: self.owner, watched, until_ns, ring: Arc::clone(&self.ring) }
    }

    /// Ends what the helpers do for this one.
    pub(super) fn leave(&mut self) {
        for many in self.many.drain(..) {
            many.leave(self.owner);
        }
        for single in self.singles.drain(..) {
            single.leave(self.owner);
        }
    }
}

impl Drop for Helped {
    fn drop(&mut self) {
        // In a child the threads do not exist, and one of them may have held a lock for good.
        if self.is_forked() {
            std::mem::forget(std::mem::take(&mut self.many));
            std::mem::forget(std::mem::take(&mut self.singles));
        } else {
            self.leave();
        }
    }
}

impl std::fmt::Debug for Helped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Helped").field("owner", &self.owner).finish_non_exhaustive()
    }
}

/// A helper's state is whole between any two statements: a bell that panics does not make it wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rings, whatever the bell does.
fn ring_all(rings: impl IntoIterator<Item = Ring>) {
    for ring in rings {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ring()));
    }
}

/// Starts a helper. It blocks every signal but those that a fault of its own raises.
fn start(work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
    let mut blocked = SigSet::all();
    for fault in [Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGSEGV, Signal::SIGTRAP] {
        blocked.remove(fault);
    }
    // The thread is born with the mask of this one.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_SETMASK);
    let started = std::thread::Builder::new().name("quoit-wait".into()).stack_size(256 << 10).spawn(work);
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    match started {
        Ok(_) => Ok(()),
        Err(error) => Err(io_error(EMPTY, "start a thread that waits", error)),
    }
}

/// The end of a nap that begins now.
fn nap_end() -> u64 {
    clock::monotonic_ns().saturating_add(NAP_NS)
}
