//! An owned word: which handle has something, and who waits for it.
//!
//! The word has the number of its owner (`owner.rs`); 0: nobody has it. So whether an owner lives is one question to the
//! kernel about that number. Bit 0 is `sleepers`, bit 1 is `long`. Sleepers sleep on the low half.
//!
//! ```text
//! take      0 -> me                                  [O1]
//! give      me -> 0                                  [O2]    bits set: clear them, but for `long`; wake one sleeper
//! wait      set `sleepers` in exactly the word seen, and sleep a slice on that
//!           the word is as it was: is its owner dead?  then take it: exactly that word -> me + sleepers
//! ```
//!
//! * Whoever takes the word after a sleep keeps `sleepers` set: others may still sleep, and nobody counts them.
//! * Whoever gives up looks once more. If the word is free, it takes it after all. If not, it sees to it that
//!   `sleepers` is set: the wake that it may have used up was for one of the others.
//! * A sleeper of more than a millisecond sets `long`. Then newcomers sleep a millisecond instead of taking a free
//!   word, and whoever has slept takes it and clears the bit. Nobody is made the owner by somebody else, who could
//!   not know whether it still lives.
//! * Every sleep has an end, so a waker or a woken sleeper that is killed costs one slice. Of the sleepers that have
//!   waited for a millisecond, one watches the owner (`watch.rs`). A watcher that stops waiting wakes the next one.
//! * What a dead owner did last counts only after the kernel has said that it is dead.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | O2 → O1 | what the owner did, before the word is free | the word, before what the next one does | the next owner misses what the last one stored |

use crate::atomics::{AtomicU64, OwnedWord, at};
use crate::error::{Error, Fault};
use crate::seats::Incarnation;
use crate::sync::looks::Looks;
use crate::sync::member::{Member, NOBODYS};
use crate::sync::owner::{BITS, owner_of, to_word};
use crate::sync::shape::Content;
use crate::sync::watch::{PATIENCE_NS, Watch};
use crate::wait::{clock, doorbell, futex};

/// At least one handle sleeps on the word.
const SLEEPERS: u64 = 1;
/// One of them has slept for long.
const LONG: u64 = 2;

/// An owned word, and who of its sleepers watches its owner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned<'a> {
    word: &'a OwnedWord,
    watch: &'a AtomicU64,
}

/// How a word was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was free.
    Free,
    /// Its owner is dead.
    FromTheDead,
}

/// Why a word was not taken. It is a byte in a register until the caller has it as an [`Error`], for the reason that
/// `NoValue` in `cells.rs` has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotTaken {
    TimedOut,
    Deadlock,
    /// The word names an owner that cannot exist.
    Nobodys,
    /// The handle is of no use.
    Broken(Fault),
}

impl From<NotTaken> for Error {
    #[inline(always)]
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::TimedOut => Self::TimedOut,
            NotTaken::Deadlock => Self::Deadlock,
            NotTaken::Nobodys => NOBODYS,
            NotTaken::Broken(fault) => fault.into(),
        }
    }
}

impl<'a> Owned<'a> {
    pub(crate) fn new(word: &'a OwnedWord, watch: &'a AtomicU64) -> Self {
        Self { word, watch }
    }

    fn look(self) -> u64 {
        self.word.0.load(at!(O_LOOK, Relaxed))
    }

    /// Who has it.
    pub(crate) fn owner(self) -> Option<Incarnation> {
        owner_of(self.look())
    }

    /// Whether somebody has slept for long.
    pub(crate) fn is_somebody_impatient(self) -> bool {
        self.look() & LONG != 0
    }

    /// From one exact state to one in which `me` has it.
    #[inline(always)]
    fn take_from(self, seen: u64, taken: u64) -> bool {
        // [O1] Acquire. Pairs with [O2].
        // Orders: the free word before everything that its new owner does.
        // Without it: the new owner misses what the last one stored.
        let taken =
            self.word.0.compare_exchange(seen, taken, at!(O1_TAKE, Acquire), at!(O1_TAKE_FAILED, Relaxed));
        taken.is_ok()
    }

    /// Whether nobody has it, as somebody sees who takes part in it.
    #[inline(always)]
    pub(crate) fn is_free(self) -> bool {
        // [O3] Acquire. Pairs with [O2].
        // Orders: the free word before what a reader does that it lets in.
        // Without it: a reader misses what the last owner did.
        owner_of(self.word.0.load(at!(O3_IS_FREE, Acquire))).is_none()
    }

    /// Takes the word if nobody has it and nobody sleeps.
    #[inline(always)]
    pub(crate) fn take(self, me: Incarnation) -> bool {
        self.take_from(0, to_word(me))
    }

    /// From one exact state to one in which nobody has it. The state it is in instead is the error.
    #[inline(always)]
    fn give_from(self, seen: u64, given: u64) -> Result<u64, u64> {
        // [O2] Release. Pairs with [O1].
        // Orders: everything that the owner did before the free word.
        // Without it: see [O1].
        self.word.0.compare_exchange(seen, given, at!(O2_GIVE, Release), at!(O2_GIVE_FAILED, Relaxed))
    }

    /// Gives the word back, and wakes a sleeper. Does nothing if `me` does not have it.
    #[inline(always)]
    pub(crate) fn give(self, me: Incarnation) {
        if let Err(seen) = self.give_from(to_word(me), 0) {
            self.give_and_wake(me, seen);
        }
    }

    #[cold]
    fn give_and_wake(self, me: Incarnation, mut seen: u64) {
        while owner_of(seen) == Some(me) {
            match self.give_from(seen, seen & LONG) {
                Ok(_) => return futex::wake_one(self.word),
                Err(now) => seen = now,
            }
        }
    }

    /// Waits for the word until a point on the monotonic clock, and takes it. With a point that has passed it looks
    /// once, and asks whether the owner lives.
    ///
    /// # Errors
    ///
    /// Any [`NotTaken`].
    #[cold]
    #[inline(never)]
    pub(crate) fn wait<K: Content>(self, member: &Member<K>, until_ns: u64) -> Result<Taken, NotTaken> {
        let looks = if until_ns == 0 { Looks::none() } else { Looks::new() };
        let watch = Watch::new(self.watch);
        let mut wait = Wait { owned: self, member, until_ns, began_ns: None, has_slept: false, watch, looks };
        let taken = wait.run();
        if wait.watch.end(member) {
            futex::wake_one(self.word);
        }
        taken
    }
}

/// One handle's wait for a word.
struct Wait<'a, K: Content> {
    owned: Owned<'a>,
    member: &'a Member<K>,
    until_ns: u64,
    /// When it first went to sleep.
    began_ns: Option<u64>,
    has_slept: bool,
    watch: Watch<'a>,
    looks: Looks,
}

impl<K: Content> Wait<'_, K> {
    fn me(&self) -> u64 {
        to_word(self.member.me())
    }

    fn run(&mut self) -> Result<Taken, NotTaken> {
        loop {
            self.member.check_handle().map_err(NotTaken::Broken)?;
            let seen = self.owned.look();
            let Some(owner) = owner_of(seen) else {
                if seen & LONG != 0 && !self.has_slept && !clock::is_past(self.until_ns) {
                    self.let_pass(seen);
                } else if self.owned.take_from(seen, self.taken(seen)) {
                    return Ok(Taken::Free);
                }
                continue;
            };
            // A guard was forgotten. What it guarded is this handle's again.
            if owner == self.member.me() {
                return Ok(Taken::Free);
            }
            if !self.member.could_exist(owner) {
                return Err(NotTaken::Nobodys);
            }
            if self.looks.wait() {
                continue;
            }
            if clock::is_past(self.until_ns) {
                if self.member.may_ask(owner) && self.take_from_the_dead(seen, owner) {
                    return Ok(Taken::FromTheDead);
                }
                if self.leave(seen) {
                    return Err(NotTaken::TimedOut);
                }
                continue;
            }
            if self.sleep(seen, owner)? {
                return Ok(Taken::FromTheDead);
            }
        }
    }

    /// The word once it is this handle's, after it was free.
    fn taken(&self, seen: u64) -> u64 {
        let others_may_sleep = self.has_slept || seen & BITS != 0;
        self.me() | if others_may_sleep { SLEEPERS } else { 0 }
    }

    /// Lets a sleeper that has waited for long have the free word.
    fn let_pass(&mut self, seen: u64) {
        let until_ns = clock::monotonic_ns().saturating_add(PATIENCE_NS);
        // Nobody has to wake it.
        #[cfg(quoit_delays)]
        crate::atomics::delays::count(|sleeps| sleeps.naps += 1);
        futex::wait_low(self.owned.word, seen, until_ns.min(self.until_ns));
        self.has_slept = true;
    }

    /// Sleeps a slice if the word still is as it was seen. True: its owner is dead, and the word is this handle's.
    fn sleep(&mut self, seen: u64, owner: Incarnation) -> Result<bool, NotTaken> {
        let now = clock::monotonic_ns();
        let began_ns = match self.began_ns {
            Some(began_ns) => began_ns,
            None if self.member.waits_for_itself(owner) => return Err(NotTaken::Deadlock),
            None => *self.began_ns.insert(now),
        };
        let waited = now.saturating_sub(began_ns);
        let armed = seen | SLEEPERS | if waited >= PATIENCE_NS { LONG } else { 0 };
        if armed != seen && !self.arm(seen, armed) {
            return Ok(false);
        }
        let slice = self.watch.slice_ns(self.member, waited);
        let until_ns = now.saturating_add(doorbell::armed_ns(slice)).min(self.until_ns);
        self.member.note_waiting(true);
        futex::wait_low(self.owned.word, armed, until_ns);
        self.member.note_waiting(false);
        self.has_slept = true;
        Ok(self.owned.look() == armed && self.take_from_the_dead(armed, owner))
    }

    /// Takes the word if its owner is dead and nothing has happened to it since it was seen.
    fn take_from_the_dead(&self, seen: u64, owner: Incarnation) -> bool {
        !self.member.is_alive(owner) && self.owned.take_from(seen, self.me() | SLEEPERS)
    }

    fn arm(&self, seen: u64, armed: u64) -> bool {
        let word = &self.owned.word.0;
        word.compare_exchange(seen, armed, at!(O_ARM, Relaxed), at!(O_ARM_FAILED, Relaxed)).is_ok()
    }

    /// Gives up. False: the word has changed, so look again.
    fn leave(&self, seen: u64) -> bool {
        let left = (seen | SLEEPERS) & !LONG;
        !self.has_slept || left == seen || self.arm(seen, left)
    }
}
