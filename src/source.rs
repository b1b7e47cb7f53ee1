//! A source: something that a thread can wait for together with others. This layer says what a wait set needs from
//! each; the handles say how.

use crate::atomics::FutexWord;
#[cfg(not(loom))]
use crate::memory::map::SharedWord;

/// Something that a [`WaitSet`](crate::WaitSet) can wait for: a consumer, an observer, a member of a group, a producer's
/// [`Space`](crate::Space), a reader of a latest value or of a table, an [`Event`](crate::sync::Event), a
/// [`Latch`](crate::sync::Latch), a [`Barrier`](crate::sync::Barrier), a service's [`Server`](crate::service::Server) or
/// [`Client`](crate::service::Client), a [`Ticker`](crate::Ticker). The trait is sealed.
///
/// A wait borrows it for as long as it waits, so safe code never uses one handle from two threads.
pub trait Waitable {
    /// The part of the handle that waits. Nobody else can name its type.
    #[doc(hidden)]
    fn source(&mut self) -> &mut dyn Source;
}

/// How a source takes part in a wait. All calls of one wait come from one thread, in this order: `settle`; then
/// `probe`, `look`, `arm`, `look`, and a sleep on `bell`, in turns; `disarm` after each sleep.
pub trait Source {
    /// A wait begins. Nothing that the handle lent is in use: what it has received is released, as by a receive.
    fn settle(&mut self) {}

    /// Whether a try may have a result, without a system call. Misses no result that has come. May be true for what a try
    /// skips as well, such as padding.
    fn look(&mut self) -> bool;

    /// The same, with system calls: whether the process that would wake this one lives.
    fn probe(&mut self) -> bool {
        self.look()
    }

    /// The longest time between two probes, and so the longest sleep, ns. Slices are longer after a long silence.
    fn longest_ns(&self) -> u64 {
        u64::MAX
    }

    /// Marks the word as slept on, where somebody wakes it.
    fn arm(&mut self) -> Arming;

    /// The word to sleep on. `None`: there is none.
    fn bell(&self) -> Option<Bell<'_>>;

    /// The same word, with a share of its memory, for another thread of this process.
    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell>;

    /// This thread is awake again.
    fn disarm(&mut self) {}
}

/// The word of a source that is slept on.
#[derive(Clone, Copy, Debug)]
pub struct Bell<'a>(pub(crate) &'a FutexWord);

/// The same, for another thread of this process.
#[cfg(not(loom))]
#[derive(Debug)]
pub struct SharedBell(pub(crate) SharedWord);

/// How a source was armed.
#[derive(Clone, Copy, Debug)]
pub struct Arming {
    /// The value of the word to sleep on.
    pub(crate) expected: u32,
    pub(crate) waker: Waker,
    /// When this source is ready by itself, ns on the monotonic clock; `u64::MAX`: never.
    pub(crate) due_ns: u64,
}

/// What the sleeper owes the process that makes the source ready, so that it is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waker {
    /// A full fence.
    Fences,
    /// A barrier on the processor of the waker.
    NeedsBarrier,
    /// Both: the waker may be in either mode.
    InEitherMode,
    /// It does not wake this thread: the sleep is a nap.
    Missing,
    /// None is needed: the source is a time.
    Clock,
}

impl Arming {
    /// Armed, and woken.
    pub(crate) fn woken(expected: u32, waker: Waker) -> Self {
        Self { expected, waker, due_ns: u64::MAX }
    }

    /// Not armed: the word held `expected`, and changes only for other sleepers.
    pub(crate) fn unarmed(expected: u32) -> Self {
        Self { expected, waker: Waker::Missing, due_ns: u64::MAX }
    }

    /// Ready at a time.
    pub(crate) fn due(due_ns: u64) -> Self {
        Self { expected: 0, waker: Waker::Clock, due_ns }
    }
}
