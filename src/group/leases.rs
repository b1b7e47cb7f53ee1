//! Leases: which member has which records, and which of them are done. This file knows words, and no operating system:
//! who lives is asked by the caller.
//!
//! Leases have numbers. Lease `n` is in entry `n` modulo their number, and covers the records from where lease `n - 1`
//! ends. All of this is changed in turns, under the group's owned word, but for acknowledgements.
//!
//! ```text
//! hand out      the entry of lease `next`: place, end, owner, tag        next = next + 1
//! acknowledge   done |= the records' bits, if the tag is still the member's          [J1]
//!               a store if a member has its leases for as long as it lives: nobody else writes the word meanwhile
//!               a compare-exchange if leases have a time: another member may take the lease at that moment
//! take back     returned = 1, then owner = 0
//! hand out      another tag, with the bits kept, then deliveries + 1, then owner = me
//!  again
//! shelve        shelved = 1, then owner = 0
//! collect       oldest = the first lease with a bit that is not set                  [J2]
//! ```
//!
//! * A member that is killed anywhere in its turn leaves either what was there before, or a lease that has an owner who
//!   is dead: whoever finds that takes it back. An entry that is being filled is no lease before `next` is stored.
//! * A lease that is not done and has no owner is found as long as `returned` or `shelved` is not 0.
//! * Whoever takes a lease changes its tag. So one member at a time can acknowledge, and no record twice.
//! * The records of a lease stay in the ring as long as `oldest` is not past it: the ring's gate is at its first one.
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | J1 → J2 | what a member read, and did, before the bit | the bit before the gate moves | a record is overwritten while it is read |

use crate::atomics::{AtomicU64, at};
use crate::error::Error;
use crate::group::layout::{Entry, Line};
use crate::group::tries::{Again, Tries};
use crate::ring::protocol::Place;
use crate::seats::Incarnation;
use crate::sync::owner::{owner_of, to_word};

/// Every record is done.
const ALL: u32 = u32::MAX;

/// The leases of a group. Every method but `acknowledge` and `seems_ready` is for the member whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leases<'a> {
    line: &'a Line,
    entries: &'a [Entry],
}

/// The leases that may not be done: `oldest` and `next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) oldest: u64,
    pub(crate) next: u64,
}

/// A lease that a member has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) number: u64,
    pub(crate) tag: u32,
    /// A bit for each record that it has not to do.
    pub(crate) done: u32,
    /// A bit for each record that is to be given back once the others are done.
    pub(crate) rest: u32,
    pub(crate) deliveries: u32,
    /// It was handed out as often as it may be: its one record is to be put aside.
    pub(crate) is_spent: bool,
    pub(crate) place: Place,
    pub(crate) end: Place,
}

/// A lease that is not done, as it looks without a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) owner: Option<Incarnation>,
    /// How many of its records are not done, and the sequence of the first of them.
    pub(crate) records: u32,
    pub(crate) first: u64,
    pub(crate) deliveries: u32,
    pub(crate) since_ns: u64,
}

/// What a member takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Claimed {
    Lease,
    /// The records between two places were overwritten.
    Lost(Place, Place),
}

/// The result of an acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The records are done.
    Records,
    /// The records are done, and with them the whole lease.
    Lease,
    /// Another member has the lease by now, or one of the records was done already. Nothing is changed.
    Lost,
}

const fn unpack(done: u64) -> (u32, u32) {
    ((done >> 32) as u32, done as u32)
}

const fn pack(tag: u32, bits: u32) -> u64 {
    (tag as u64) << 32 | bits as u64
}

/// The bits of records that a lease of so many does not have.
fn beyond(records: u64) -> u32 {
    u32::try_from(records).ok().and_then(|records| ALL.checked_shl(records)).unwrap_or(0)
}

fn read(words: &[AtomicU64; 3]) -> Place {
    let [position, sequence, bytes] = words;
    let load = |word: &AtomicU64| word.load(at!(J_READ, Relaxed));
    Place { position: load(position), sequence: load(sequence), bytes: load(bytes) }
}

fn write(words: &[AtomicU64; 3], place: Place) {
    for (word, value) in words.iter().zip([place.position, place.sequence, place.bytes]) {
        word.store(value, at!(J_WRITE, Relaxed));
    }
}

/// Adds to a word in a turn.
fn add(word: &AtomicU64, more: u64) {
    word.store(word.load(at!(J_READ, Relaxed)).wrapping_add(more), at!(J_WRITE, Relaxed));
}

impl<'a> Leases<'a> {
    pub(crate) fn new(line: &'a Line, entries: &'a [Entry]) -> Self {
        Self { line, entries }
    }

    #[inline(always)]
    fn entry(self, number: u64) -> &'a Entry {
        let entries = self.entries.len() as u64;
        // A division takes as long as a compare-exchange.
        let at = if entries.is_power_of_two() { number & (entries - 1) } else { number % entries };
        &self.entries[at as usize]
    }

    /// Begins with lease 1: lease 0 is done, and ends where the group starts.
    pub(crate) fn begin(self, start: Place) {
        self.fill(0, 0, ALL, (start, start));
        self.line.oldest.store(1, at!(J_WRITE, Relaxed));
        self.line.next.store(1, at!(J_WRITE, Relaxed));
    }

    /// Which leases may not be done.
    ///
    /// # Errors
    ///
    /// [`Error::Garbage`].
    pub(crate) fn open(self) -> Result<Open, Error> {
        let oldest = self.line.oldest.load(at!(J_READ, Relaxed));
        let next = self.line.next.load(at!(J_READ, Relaxed));
        let there = next.wrapping_sub(oldest) <= self.entries.len() as u64 && oldest >= 1;
        // An error is large: to build one and drop it costs each turn.
        if there { Ok(Open { oldest, next }) } else { Err(Error::Garbage { what: "the numbers of leases" }) }
    }

    /// Passes the leases that are done.
    ///
    /// # Errors
    ///
    /// [`Error::Garbage`].
    pub(crate) fn collect(self) -> Result<Open, Error> {
        let Open { oldest: from, next } = self.open()?;
        let oldest = (from..next).find(|number| !self.is_done(*number)).unwrap_or(next);
        if oldest != from {
            self.line.oldest.store(oldest, at!(J_WRITE, Relaxed));
        }
        Ok(Open { oldest, next })
    }

    fn is_done(self, number: u64) -> bool {
        // [J2] Acquire. Pairs with [J1].
        // Orders: the acknowledgement before the gate is moved past the record, and before it is handed out again.
        // Without it: the producer overwrites a record while it is read.
        unpack(self.entry(number).done.load(at!(J2_DONE, Acquire))).1 == ALL
    }

    /// Where the ring's gate is to be.
    pub(crate) fn gate(self, open: Open) -> Place {
        if open.oldest == open.next { self.end(open) } else { read(&self.entry(open.oldest).place) }
    }

    /// Where the next lease begins.
    pub(crate) fn end(self, open: Open) -> Place {
        read(&self.entry(open.next.wrapping_sub(1)).end)
    }

    pub(crate) fn is_full(self, open: Open) -> bool {
        open.next - open.oldest == self.entries.len() as u64
    }

    fn new_tag(self) -> u32 {
        let tag = self.line.tag.load(at!(J_READ, Relaxed)).wrapping_add(1);
        self.line.tag.store(tag, at!(J_WRITE, Relaxed));
        tag as u32
    }

    fn fill(self, number: u64, tag: u32, done: u32, (place, end): (Place, Place)) {
        let entry = self.entry(number);
        entry.done.store(pack(tag, done), at!(J_WRITE, Relaxed));
        write(&entry.place, place);
        write(&entry.end, end);
    }

    /// Hands the records between two places out to `me`. There is room for a lease, which is filled in where it stays: moving
    /// it between functions would wait for its own stores.
    #[inline(always)]
    pub(crate) fn hand_out(
        self,
        me: Incarnation,
        open: Open,
        places: (Place, Place),
        now_ns: u64,
        lease: &mut Lease,
    ) {
        let (place, end) = places;
        let (tag, done) = (self.new_tag(), beyond(end.sequence.wrapping_sub(place.sequence)));
        self.fill(open.next, tag, done, places);
        let entry = self.entry(open.next);
        entry.deliveries.store(1, at!(J_WRITE, Relaxed));
        entry.since_ns.store(now_ns, at!(J_WRITE, Relaxed));
        entry.owner.store(to_word(me), at!(J_WRITE, Relaxed));
        self.line.next.store(open.next.wrapping_add(1), at!(J_WRITE, Relaxed));
        *lease = Lease { number: open.next, tag, done, rest: 0, deliveries: 1, is_spent: false, place, end };
    }

    /// The records between two places are lost: a lease that is done.
    pub(crate) fn pass_loss(self, open: Open, (place, end): (Place, Place)) {
        add(&self.line.lost, end.sequence.wrapping_sub(place.sequence));
        let tag = self.new_tag();
        self.fill(open.next, tag, ALL, (place, end));
        self.entry(open.next).owner.store(0, at!(J_WRITE, Relaxed));
        self.line.next.store(open.next.wrapping_add(1), at!(J_WRITE, Relaxed));
    }

    /// Whether a lease may have been taken back.
    #[inline(always)]
    pub(crate) fn is_any_returned(self) -> bool {
        self.line.returned.load(at!(J_READ, Relaxed)) != 0
    }

    /// Hands a lease out again that was taken back, if there is one.
    pub(crate) fn hand_out_again(
        self,
        me: Incarnation,
        open: Open,
        tries: Tries,
        now_ns: u64,
        lease: &mut Lease,
    ) -> bool {
        let mut is_any_left = false;
        for number in open.oldest..open.next {
            let entry = self.entry(number);
            if self.is_done(number) || owner_of(entry.owner.load(at!(J_READ, Relaxed))).is_some() {
                continue;
            }
            // First the tag: from here on nobody acknowledges any of these.
            let tag = self.new_tag();
            let (_, done) = change(entry, |_, bits| (tag, bits));
            if done == ALL {
                continue;
            }
            let Some(again) = tries.next(done, entry.deliveries.load(at!(J_READ, Relaxed))) else {
                is_any_left = true;
                continue;
            };
            // In this order: who dies in between has handed it out once more.
            entry.deliveries.store(again.word, at!(J_WRITE, Relaxed));
            entry.since_ns.store(now_ns, at!(J_WRITE, Relaxed));
            entry.owner.store(to_word(me), at!(J_WRITE, Relaxed));
            if !again.is_spent {
                add(&self.line.redelivered, 1);
            }
            let Again { done, rest, deliveries, is_spent, .. } = again;
            let (place, end) = (read(&entry.place), read(&entry.end));
            *lease = Lease { number, tag, done, rest, deliveries, is_spent, place, end };
            return true;
        }
        if is_any_left {
            self.line.shelved.store(1, at!(J_WRITE, Relaxed));
        }
        self.line.returned.store(0, at!(J_WRITE, Relaxed));
        false
    }

    /// What was shelved is looked at again.
    pub(crate) fn unshelve(self) {
        if self.line.shelved.load(at!(J_READ, Relaxed)) != 0 {
            // In this order: nobody looks for it while both are 0.
            self.line.returned.store(1, at!(J_WRITE, Relaxed));
            self.line.shelved.store(0, at!(J_WRITE, Relaxed));
        }
    }

    /// A record could not be put aside. Nobody has it until somebody tries again.
    pub(crate) fn shelve(self, me: Incarnation, lease: (u64, u32)) {
        if let Some(entry) = self.own_entry(me, lease) {
            self.line.shelved.store(1, at!(J_WRITE, Relaxed));
            entry.owner.store(0, at!(J_WRITE, Relaxed));
        }
    }

    pub(crate) fn count_dead_letter(self) {
        add(&self.line.dead_letters, 1);
    }

    /// Takes back what `is_gone` says of its owner, and when it got it. Returns whether there was anything.
    ///
    /// # Errors
    ///
    /// [`Error::Garbage`].
    pub(crate) fn take_back(
        self,
        open: Open,
        mut is_gone: impl FnMut(Incarnation, u64) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut is_any = false;
        for number in open.oldest..open.next {
            let entry = self.entry(number);
            let Some(owner) = owner_of(entry.owner.load(at!(J_READ, Relaxed))) else { continue };
            if !self.is_done(number) && is_gone(owner, entry.since_ns.load(at!(J_READ, Relaxed)))? {
                self.give_back_entry(entry);
                is_any = true;
            }
        }
        Ok(is_any)
    }

    fn give_back_entry(self, entry: &Entry) {
        // In this order: nobody looks for a lease without an owner while this is 0.
        self.line.returned.store(1, at!(J_WRITE, Relaxed));
        entry.owner.store(0, at!(J_WRITE, Relaxed));
    }

    /// Gives back what `me` has, if it still has it.
    pub(crate) fn give_back(self, me: Incarnation, lease: (u64, u32)) {
        if let Some(entry) = self.own_entry(me, lease) {
            self.give_back_entry(entry);
        }
    }

    /// The entry of a lease, if `me` still has it.
    fn own_entry(self, me: Incarnation, (number, tag): (u64, u32)) -> Option<&'a Entry> {
        let entry = self.entry(number);
        let is_mine = owner_of(entry.owner.load(at!(J_READ, Relaxed))) == Some(me);
        (is_mine && unpack(entry.done.load(at!(J_LOOK, Relaxed))).0 == tag).then_some(entry)
    }

    /// The records whose bits are set in `lost` were overwritten before `me` could read them, and are done by that. Returns
    /// how many of them were not done before.
    pub(crate) fn lose(self, (number, mine): (u64, u32), lost: u32) -> (u64, Acknowledged) {
        let (tag, bits) =
            change(self.entry(number), |tag, bits| (tag, if tag == mine { bits | lost } else { bits }));
        if tag != mine {
            return (0, Acknowledged::Lost);
        }
        let records = (lost & !bits).count_ones().into();
        add(&self.line.lost, records);
        (records, if bits | lost == ALL { Acknowledged::Lease } else { Acknowledged::Records })
    }

    /// Whether anything may be there for a member that has none of the leases: a record that nobody has, or a lease that
    /// was taken back. `is_behind`: whether something is published behind a position of the ring. Without a turn: what it sees
    /// may be changing, but what stays is seen.
    #[inline(always)]
    pub(crate) fn seems_ready(self, is_behind: impl FnOnce(u64) -> bool) -> bool {
        if self.line.returned.load(at!(J_LOOK, Relaxed)) != 0 {
            return true;
        }
        let next = self.line.next.load(at!(J_LOOK, Relaxed));
        let end = self.entry(next.wrapping_sub(1)).end[0].load(at!(J_LOOK, Relaxed));
        let oldest = self.line.oldest.load(at!(J_LOOK, Relaxed));
        is_behind(end) && (!self.seems_full() || self.is_done(oldest))
    }

    /// Whether a lease may not be done. Without a turn.
    pub(crate) fn is_any_open(self) -> bool {
        self.line.next.load(at!(J_LOOK, Relaxed)) != self.line.oldest.load(at!(J_LOOK, Relaxed))
    }

    /// Whether there may be no room for another lease. Without a turn.
    pub(crate) fn seems_full(self) -> bool {
        let next = self.line.next.load(at!(J_LOOK, Relaxed));
        next.wrapping_sub(self.line.oldest.load(at!(J_LOOK, Relaxed))) >= self.entries.len() as u64
    }

    /// The same without a turn, as far as it is seen.
    pub(crate) fn seem_all(self, me: Incarnation) -> bool {
        let oldest = self.line.oldest.load(at!(J_LOOK, Relaxed));
        let most = oldest.saturating_add(self.entries.len() as u64);
        self.are_all(me, Open { oldest, next: self.line.next.load(at!(J_LOOK, Relaxed)).min(most) })
    }

    /// Whether every lease that is not done is `me`'s.
    pub(crate) fn are_all(self, me: Incarnation, open: Open) -> bool {
        (open.oldest..open.next).all(|number| {
            let owner = owner_of(self.entry(number).owner.load(at!(J_READ, Relaxed)));
            owner == Some(me) || self.is_done(number)
        })
    }

    /// The leases that are not done, the oldest first, and the sequence of the next record to be handed out. Without a turn:
    /// for people. `None`: their numbers contradict each other.
    pub(crate) fn seen(self) -> Option<(Vec<Seen>, u64)> {
        let look = |word: &AtomicU64| word.load(at!(J_LOOK, Relaxed));
        let (oldest, next) = (look(&self.line.oldest), look(&self.line.next));
        if oldest == 0 || next.wrapping_sub(oldest) > self.entries.len() as u64 {
            return None;
        }
        let seen = (oldest..next).map(|number| self.entry(number)).filter_map(|entry| {
            let done = unpack(look(&entry.done)).1;
            (done != ALL).then(|| Seen {
                owner: owner_of(look(&entry.owner)),
                records: (!done).count_ones(),
                first: look(&entry.place[1]).wrapping_add((!done).trailing_zeros().into()),
                deliveries: look(&entry.deliveries) as u32,
                since_ns: look(&entry.since_ns),
            })
        });
        Some((seen.collect(), look(&self.entry(next.wrapping_sub(1)).end[1])))
    }

    /// Acknowledges the records of a lease whose bits are set in `more`. Without a turn. `is_sole`: the member has the lease as
    /// long as it lives.
    #[inline(always)]
    pub(crate) fn acknowledge(self, (number, tag): (u64, u32), more: u32, is_sole: bool) -> Acknowledged {
        let done = &self.entry(number).done;
        let mut seen = done.load(at!(J_LOOK, Relaxed));
        loop {
            let (now, bits) = unpack(seen);
            if now != tag || bits & more != 0 {
                return Acknowledged::Lost;
            }
            let next = pack(tag, bits | more);
            if is_sole {
                // [J1] Release. Pairs with [J2].
                // Orders: everything that the member read and did before the bits.
                // Without it: see [J2].
                // A plain store ends the release sequence of an earlier owner's [J1]. That loses nothing: this member got the
                // lease in a turn, after that owner's last turn, or after the kernel said that it is dead.
                done.store(next, at!(J1_STORE, Release));
            } else if let Err(other) =
                // Where leases have a time, members read copies that were checked: nothing rests on the order.
                done.compare_exchange(
                    seen,
                    next,
                    at!(J1_EXCHANGE, Relaxed),
                    at!(J1_EXCHANGE_FAILED, Relaxed),
                )
            {
                seen = other;
                continue;
            }
            return if bits | more == ALL { Acknowledged::Lease } else { Acknowledged::Records };
        }
    }
}

/// Changes tag and bits, whoever acknowledges meanwhile. Returns what they were.
fn change(entry: &Entry, next: impl Fn(u32, u32) -> (u32, u32)) -> (u32, u32) {
    let mut seen = entry.done.load(at!(J_LOOK, Relaxed));
    loop {
        let (tag, bits) = unpack(seen);
        let (new_tag, new_bits) = next(tag, bits);
        // An exchange keeps what [J1] released for [J2]; a store of another member after it need not: see there.
        let changed = entry.done.compare_exchange(
            seen,
            pack(new_tag, new_bits),
            at!(J_CHANGE, Relaxed),
            at!(J_CHANGE_FAILED, Relaxed),
        );
        match changed {
            Ok(_) => return (tag, bits),
            Err(other) => seen = other,
        }
    }
}
