//! Rounds in which a number of parties meet. Each party has a seat, and a word that says in which round it arrived last.
//! One word says which round it is, and whether it is broken.
//!
//! ```text
//! 63           1  0
//! [ round       ][ broken ]
//!
//! party                                                 whoever looks on, each party at least
//!
//! 1  begun = the round                   [B4]           a  the round is another: it is over
//! 2  arrival = begun                     [B1]           b  all have arrived: round -> round + 1        [B2] [B3]
//! 3  full fence                          [B5]           c  one that has not arrived is dead: broken
//! 4  look on until the round is over                    d  sleep a slice, and look again
//! ```
//!
//! * Whoever arrives last, in the order of the fences, sees that all have arrived. If it dies before it says so, another
//!   one sees it after its slice.
//! * Passing, breaking and resetting are each one compare-exchange from exactly the round seen. Whoever comes too late
//!   takes what the other one made of it.
//! * The arrival of one who died since counts. A seat that nobody ever had is waited for.
//! * A reset goes two rounds on, so an odd distance from the round that a party began says that it passed: no round passes
//!   without it.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | B1 → B2 | what a party did before it arrived | its arrival, before the round is over | a party misses what another did before the round |
//! | B3 → B4 | the arrivals that were seen | the next round, before what its parties do | the same |
//! | B5 → B5 | an arrival | those of the others | the last two miss each other, and the round lasts until a slice is over |

use std::cell::Cell;

use crate::atomics::{AtomicU64, FutexWord, at, fence_at};
use crate::error::Error;
use crate::memory::block::block;
use crate::source::{Arming, Waker};
use crate::sync::bell;
use crate::sync::member::Member;
use crate::sync::shape::{Content, Views};
use crate::sync::watch::Watch;
use crate::wait::clock;
use crate::wait::doorbell;

block! {
    /// The round.
    pub(crate) struct Line: 128 bytes, aligned to 128 {
        at 0: pub(crate) round: AtomicU64,
        /// Who of those that wait looks for the dead.
        at 8: pub(crate) watch: AtomicU64,
        /// They sleep here.
        at 16: pub(crate) bell: FutexWord,
    }
}

/// A kind of object that has rounds. Its items are the parties' arrivals.
pub(crate) trait HasRounds: Content<Line = Line, Item = AtomicU64> {}

impl<K: Content<Line = Line, Item = AtomicU64>> HasRounds for K {}

/// How much longer than looking for the dead takes one waits until the next time, at least.
const ASK_PART: u64 = 16;

/// A state of the word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Round(u64);

/// How a round ended for one that waited for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All arrived. `is_leader`: it was this one that said so.
    Passed { is_leader: bool },
    /// It was broken, or reset.
    Broken,
}

impl Round {
    pub(crate) fn number(self) -> u64 {
        self.0 >> 1
    }

    /// Whether it comes after one that was passed, where no other round is passed: of a latch.
    pub(crate) fn is_passed(self) -> bool {
        self.number() % 2 == 1
    }

    pub(crate) fn is_broken(self) -> bool {
        self.0 & 1 == 1
    }

    /// The number as it stands in an arrival. 0: none.
    fn arrival(self) -> u64 {
        self.number().wrapping_add(1)
    }

    fn on(self, rounds: u64) -> Self {
        Self((self.0 & !1).wrapping_add(rounds << 1))
    }

    fn broken(self) -> Self {
        Self(self.0 | 1)
    }

    /// What became of this round, now that the word is another.
    fn end(self, now: Self) -> End {
        let distance = now.number().wrapping_sub(self.number());
        if distance % 2 == 1 { End::Passed { is_leader: false } } else { End::Broken }
    }
}

impl Line {
    /// The round.
    pub(crate) fn look(&self) -> Round {
        // [B4] Acquire. Pairs with [B3].
        // Orders: the round before everything that its parties do.
        // Without it: a party misses what another did before the last round was over.
        Round(self.round.load(at!(B4_ROUND, Acquire)))
    }

    /// From exactly one round to another state, and wakes all that wait.
    fn change(&self, seen: Round, next: Round) -> bool {
        // [B3] Release. Pairs with [B4].
        // Orders: the arrivals that were seen before the next round.
        // Without it: see [B4].
        let changed =
            self.round.compare_exchange(seen.0, next.0, at!(B3_CHANGE, Release), at!(B3_FAILED, Relaxed));
        let is_changed = changed.is_ok();
        if is_changed {
            bell::ring(&self.bell);
        }
        is_changed
    }

    /// Breaks the round, unless it is over.
    pub(crate) fn break_round(&self, seen: Round) -> bool {
        self.change(seen, seen.broken())
    }

    /// Goes on to a round of which nobody knows yet. False: others have changed it meanwhile.
    pub(crate) fn reset(&self, seen: Round) -> bool {
        self.change(seen, seen.on(2))
    }
}

/// Whether a party has not arrived yet. A hint.
pub(crate) fn is_awaited<K: HasRounds>(views: Views<'_, K>, number: usize) -> bool {
    let round = Round(views.line.round.load(at!(B_PEEK, Relaxed)));
    views.items.get(number).is_none_or(|arrival| arrival.load(at!(B_PEEK, Relaxed)) != round.arrival())
}

/// How many parties have not arrived in this round. A hint.
pub(crate) fn missing<K: HasRounds>(member: &Member<K>) -> usize {
    let views = member.views();
    (0..views.items.len()).filter(|number| is_awaited(views, *number)).count()
}

/// The round as a read-only look shows it.
#[cfg(not(loom))]
pub(crate) struct Seen {
    pub(crate) parties: u32,
    pub(crate) arrived: u32,
    pub(crate) round: Round,
}

#[cfg(not(loom))]
pub(crate) fn seen<K: HasRounds>(views: Views<'_, K>) -> Seen {
    let (parties, round) = (views.items.len(), views.line.look());
    let arrived = (0..parties).filter(|number| !is_awaited(views, *number)).count();
    Seen { parties: parties as u32, arrived: arrived as u32, round }
}

fn has_arrived(arrival: &AtomicU64, round: Round) -> bool {
    // [B2] Acquire. Pairs with [B1].
    // Orders: an arrival before the end of the round.
    // Without it: a party misses what another did before it arrived.
    arrival.load(at!(B2_ARRIVED, Acquire)) == round.arrival()
}

/// Whether all parties but this handle's have arrived in a round.
pub(crate) fn is_last<K: HasRounds>(member: &Member<K>, round: Round) -> bool {
    let me = member.me().number;
    (0..).zip(member.views().items).all(|(number, arrival)| number == me || has_arrived(arrival, round))
}

/// Whether this handle's party arrives now. `false`: whoever had its seat before has arrived in this round already.
pub(crate) fn arrive<K: HasRounds>(member: &Member<K>, begun: Round) -> bool {
    let arrival = &member.views().items[member.me().number as usize];
    if has_arrived(arrival, begun) {
        return false;
    }
    // [B1] Release. Pairs with [B2].
    // Orders: everything that the party did before its arrival.
    // Without it: see [B2].
    arrival.store(begun.arrival(), at!(B1_ARRIVE, Release));
    // [B5] SeqCst. Pairs with itself.
    // Orders: this arrival before the looks at the others.
    // Without it: the last two to arrive miss each other.
    fence_at!(B5_FENCE, SeqCst);
    true
}

/// One look at a round that was begun: whether it is over, or over now. `first` is the first party that was missing.
/// `asks`: whether to ask the kernel about those that are missing.
pub(crate) fn look_on<K: HasRounds>(
    member: &Member<K>,
    begun: Round,
    first: &mut usize,
    asks: bool,
) -> Option<End> {
    let views = member.views();
    let now = views.line.look();
    if now != begun {
        return Some(begun.end(now));
    }
    while views.items.get(*first).is_some_and(|arrival| has_arrived(arrival, begun)) {
        *first += 1;
    }
    let is_changed = if *first == views.items.len() {
        if views.line.change(begun, begun.on(1)) {
            return Some(End::Passed { is_leader: true });
        }
        true
    } else {
        asks && is_anyone_dead(member, begun, *first) && {
            views.line.break_round(begun);
            true
        }
    };
    is_changed.then(|| begun.end(views.line.look()))
}

/// Is one of the parties from `first` on dead, that has not arrived?
fn is_anyone_dead<K: HasRounds>(member: &Member<K>, begun: Round, first: usize) -> bool {
    let is_missing = |number: usize| !has_arrived(&member.views().items[number], begun);
    (first..member.views().items.len()).filter(|number| is_missing(*number)).any(|number| {
        let Some(sitter) = member.sitter(number) else { return false };
        let is_dead = sitter != member.me() && member.could_exist(sitter) && !member.is_alive(sitter);
        // What it did last counts only now. A successor on its seat is waited for.
        is_dead && is_missing(number) && member.sitter(number) == Some(sitter)
    })
}

/// Waits until a round is over that was begun.
///
/// # Errors
///
/// [`Error::TimedOut`], or what is wrong with the handle.
pub(crate) fn wait<K: HasRounds>(member: &Member<K>, begun: Round, until_ns: u64) -> Result<End, Error> {
    let line = member.views().line;
    let mut watch = Watch::new(&line.watch);
    let (asks, took_ns) = (Cell::new(until_ns == 0), Cell::new(0));
    let mut first = 0;
    let look = || {
        let asks = asks.take();
        let began_ns = if asks { clock::monotonic_ns() } else { 0 };
        let end = look_on(member, begun, &mut first, asks);
        if asks {
            took_ns.set(clock::monotonic_ns().saturating_sub(began_ns));
        }
        Ok(end)
    };
    let has_changed = || line.round.load(at!(B_PEEK, Relaxed)) != begun.0;
    let slice_ns = |waited_ns| {
        // It asks when the slice is over.
        asks.set(true);
        watch.slice_ns(member, waited_ns).max(ASK_PART * took_ns.get())
    };
    let end = bell::wait(member, &line.bell, until_ns, slice_ns, look, has_changed);
    watch.end(member);
    end
}

/// What a handle remembers that waits for the end of a round together with other things.
#[derive(Debug, Default)]
pub(crate) struct Lookout {
    begun: Cell<Round>,
    /// The first party that was missing in that round.
    first: Cell<usize>,
    /// The bell was armed, and nobody has looked since.
    is_armed: Cell<bool>,
}

impl Lookout {
    /// As [`look_on`]. After the bell was armed, it asks whether it is to or not: a party that left before has rung for
    /// nobody.
    pub(crate) fn look<K: HasRounds>(&self, member: &Member<K>, begun: Round, asks: bool) -> Option<End> {
        if self.begun.replace(begun) != begun {
            self.first.set(0);
        }
        let mut first = self.first.get();
        let end = look_on(member, begun, &mut first, self.is_armed.take() || asks);
        self.first.set(first);
        end
    }

    /// Marks the bell as slept on.
    pub(crate) fn arm<K: HasRounds>(&self, member: &Member<K>) -> Arming {
        member.note_waiting(true);
        self.is_armed.set(true);
        Arming::woken(doorbell::arm(&member.views().line.bell), Waker::Fences)
    }

    /// The thread is awake again.
    pub(crate) fn disarm<K: HasRounds>(member: &Member<K>) {
        if member.check().is_ok() {
            member.note_waiting(false);
        }
    }
}
