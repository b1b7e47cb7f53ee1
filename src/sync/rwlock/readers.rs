//! The readers of a reader-writer lock: each has a mark in its seat while it reads.
//!
//! ```text
//! reader                                         writer
//!
//! 1  mark = its generation                       1  take the word                           (owned.rs)
//! 2  full fence                      [K1]        2  full fence                              [K1]
//! 3  is the word free?               [O3]        3  look at all marks, until none is left   [K3]
//!    else mark = 0, and wait for the word: with it,
//!    set the mark, and give the word back
//! 4  mark = 0, full fence, ring      [K2]
//! ```
//!
//! Either the reader sees the word taken, or the writer sees the mark: the pair of fences excludes that both miss each
//! other. A mark counts while the incarnation that it names lives.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | K1 → K1 | a mark, or a taken word | the look at the other | a reader and a writer are in together |
//! | K2 → K3 | what a reader read | what the writer writes then | a reader has half of the next value |
//! | O2 → O3 | what a writer did | the word, before what a reader reads | a reader misses what the last writer did |

use std::cell::Cell;

use crate::atomics::{AtomicU64, FutexWord, Word, at, fence_at};
use crate::error::{Error, Kind};
use crate::memory::block::block;
use crate::schema::{Schema, Typed};
use crate::seats::Incarnation;
use crate::sync::bell;
use crate::sync::guarded::{self, HasLock, Lock};
use crate::sync::member::Member;
use crate::sync::shape::Content;
use crate::wait::clock;
use crate::wait::doorbell;

block! {
    /// The writers' lock, and where a writer waits for readers.
    pub(crate) struct Line: 64 bytes, aligned to 64 {
        at 0: pub(crate) lock: Lock,
        at 32: pub(crate) bell: FutexWord,
    }
}

/// The type of the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(super) schema: Schema,
}

impl Value {
    pub(super) fn of<T: Typed>() -> Self {
        Self { schema: Schema::of::<T>() }
    }
}

impl HasLock for Value {
    #[inline(always)]
    fn lock(line: &Line) -> &Lock {
        &line.lock
    }
}

impl Content for Value {
    const KIND: Kind = Kind::RwLock;

    type Line = Line;

    type Item = Word;

    fn check(&self, _: u64) -> Result<(), Error> {
        guarded::check_size(self.schema)
    }

    fn items(&self) -> u64 {
        guarded::words(self.schema)
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2] {
        [self.schema.to_word(), 0]
    }

    #[cfg(not(loom))]
    fn decode([schema, unused]: [u64; 2]) -> Option<Self> {
        (unused == 0).then(|| Self { schema: Schema::of_word(schema) })
    }
}

/// How much longer than asking about the readers takes a writer waits until the next time, at least.
const ASK_PART: u64 = 16;

fn mark(member: &Member<Value>) -> &AtomicU64 {
    &member.views().seats[member.me().number as usize].reads
}

/// [K1]: between a mark, or a word that was taken, and the look at the other.
fn meet() {
    // SeqCst. Pairs with itself.
    // Orders: the store before it, ahead of the loads after it.
    // Without it: a reader and a writer miss each other, and both are in.
    fence_at!(K1_FENCE, SeqCst);
}

/// Sets the mark of a reader that is about to look whether there is a writer.
pub(super) fn raise(member: &Member<Value>) {
    mark(member).store(member.me().generation, at!(K_RAISE, Relaxed));
    meet();
}

/// Sets the mark of a reader that has the word.
pub(super) fn raise_as_writer(member: &Member<Value>) {
    // Giving the word back orders it.
    mark(member).store(member.me().generation, at!(K_RAISE, Relaxed));
}

/// Takes the mark back, and wakes a writer that waits for that.
pub(super) fn lower(member: &Member<Value>) {
    // [K2] Release. Pairs with [K3].
    // Orders: everything that was read before the mark is taken back.
    // Without it: the next writer writes what is still being read.
    mark(member).store(0, at!(K2_LOWER, Release));
    bell::ring(&member.views().line.bell);
}

/// Takes back the mark that a forgotten guard left.
pub(super) fn forget(member: &Member<Value>) {
    if mark(member).load(at!(K_OWN, Relaxed)) != 0 {
        lower(member);
    }
}

/// Those who read, this handle not counted. Some of them may be dead.
pub(super) fn all(member: &Member<Value>) -> impl Iterator<Item = Incarnation> {
    (0..).zip(member.views().seats).filter_map(|(number, seat)| {
        // [K3] Acquire. Pairs with [K2].
        // Orders: marks before everything that the writer does.
        // Without it: see [K2].
        let generation = seat.reads.load(at!(K3_LOOK, Acquire));
        let reader = Incarnation { number, generation };
        (generation != 0 && reader != member.me()).then_some(reader)
    })
}

/// The writer, which has the word, waits until nobody reads.
///
/// # Errors
///
/// [`Error::TimedOut`]; [`Error::Deadlock`] if the calling thread reads, through another handle; what is wrong with the
/// handle.
pub(super) fn drain(member: &Member<Value>, until_ns: u64) -> Result<(), Error> {
    meet();
    let (asks, took_ns) = (Cell::new(false), Cell::new(0));
    let look = || {
        if !asks.take() {
            return Ok(all(member).next().is_none().then_some(()));
        }
        let began_ns = clock::monotonic_ns();
        let mut is_anyone_left = false;
        for reader in all(member) {
            if member.waits_for_itself(reader) && until_ns != 0 {
                return Err(Error::Deadlock);
            }
            if member.could_exist(reader) && member.is_alive(reader) {
                is_anyone_left = true;
            } else {
                bury(member, reader);
            }
        }
        took_ns.set(clock::monotonic_ns().saturating_sub(began_ns));
        Ok((!is_anyone_left).then_some(()))
    };
    let has_changed = || all(member).next().is_none();
    let slice_ns = |_| {
        // It asks when the slice is over.
        asks.set(true);
        doorbell::PROBE_NS.max(ASK_PART * took_ns.get())
    };
    let waited = bell::wait(member, &member.views().line.bell, until_ns, slice_ns, look, has_changed);
    if matches!(waited, Err(Error::TimedOut)) && member.may_ask(member.me()) {
        // With a point that has passed nobody has asked yet.
        asks.set(true);
        if look()?.is_some() {
            return member.check_memory();
        }
    }
    waited
}

/// Takes back the mark of a reader that is dead.
fn bury(member: &Member<Value>, dead: Incarnation) {
    if let Some(seat) = member.views().seats.get(dead.number as usize) {
        let _ = seat.reads.compare_exchange(
            dead.generation,
            0,
            at!(K_BURY, Relaxed),
            at!(K_BURY_FAILED, Relaxed),
        );
    }
}
