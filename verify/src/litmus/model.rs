//! The memory model of C11 as repaired in "Repairing Sequential Consistency in C/C++11" (Lahav, Vafeiadis, Kang, Hur,
//! Dreyer; PLDI 2017), with the release sequences of C++20, which Rust also uses. Its fences order exactly what the
//! language guarantees; loom's order more. Load buffering is excluded, as in loom.

use super::relation::{MOST, Relation, Set};

/// An ordering, of an access or a fence. `Plain` is not atomic: two of them that meet are a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Plain,
    Relaxed,
    Acquire,
    Release,
    AcqRel,
    SeqCst,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Update,
    Fence,
}

/// One access or fence, with the values it reads and writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    pub(super) thread: usize,
    pub(super) kind: Kind,
    pub(super) word: &'static str,
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) order: Order,
    /// For fences that a meeting refers to.
    pub(super) name: Option<usize>,
}

impl Event {
    fn reads(&self) -> bool {
        matches!(self.kind, Kind::Read | Kind::Update)
    }

    fn writes(&self) -> bool {
        matches!(self.kind, Kind::Write | Kind::Update)
    }

    fn acquires(&self) -> bool {
        let able = self.reads() || self.kind == Kind::Fence;
        able && matches!(self.order, Order::Acquire | Order::AcqRel | Order::SeqCst)
    }

    fn releases(&self) -> bool {
        let able = self.writes() || self.kind == Kind::Fence;
        able && matches!(self.order, Order::Release | Order::AcqRel | Order::SeqCst)
    }
}

/// The thread of the first value of every word: before all others.
const INIT: usize = usize::MAX;

/// Events whose values are chosen; who reads from whom is not yet.
#[derive(Debug)]
pub(super) struct Execution {
    events: Vec<Event>,
    sequenced: Relation,
    meetings: Relation,
}

impl Execution {
    pub(super) fn new(run: &[Event], meetings: &[(usize, usize)]) -> Self {
        let mut words: Vec<&'static str> =
            run.iter().map(|event| event.word).filter(|w| !w.is_empty()).collect();
        words.sort_unstable();
        words.dedup();
        let mut events: Vec<Event> = words
            .into_iter()
            .map(|word| Event {
                thread: INIT,
                kind: Kind::Write,
                word,
                read: 0,
                written: 0,
                order: Order::Relaxed,
                name: None,
            })
            .collect();
        events.extend_from_slice(run);
        assert!(events.len() <= MOST, "a program of {} events is too long", events.len());
        let mut sequenced = Relation::EMPTY;
        for (later, event) in events.iter().enumerate() {
            for (earlier, other) in events[..later].iter().enumerate() {
                if event.thread != INIT && (other.thread == event.thread || other.thread == INIT) {
                    sequenced.add(earlier, later);
                }
            }
        }
        let named = |name| events.iter().position(|event| event.name == Some(name));
        let mut met = Relation::EMPTY;
        for (before, after) in meetings {
            if let (Some(before), Some(after)) = (named(*before), named(*after)) {
                met.add(before, after);
            }
        }
        Self { events, sequenced, meetings: met }
    }

    /// Calls `found` for each consistent way in which reads find their stores and stores of a word follow each other,
    /// with whether plain accesses race in it.
    pub(super) fn each_consistent(&self, mut found: impl FnMut(bool)) {
        let reads: Vec<usize> = (0..self.events.len()).filter(|event| self.events[*event].reads()).collect();
        self.each_source(&reads, Relation::EMPTY, &mut |sources| {
            let mut words: Vec<&'static str> = self.events.iter().map(|event| event.word).collect();
            words.sort_unstable();
            words.dedup();
            words.retain(|word| !word.is_empty());
            self.each_order(&words, Relation::EMPTY, &mut |order| {
                if let Some(races) = self.judge(sources, order) {
                    found(races);
                }
            });
        });
    }

    fn each_source(&self, reads: &[usize], sources: Relation, done: &mut dyn FnMut(&Relation)) {
        let Some((read, rest)) = reads.split_first() else {
            done(&sources);
            return;
        };
        for (write, event) in self.events.iter().enumerate() {
            let here = &self.events[*read];
            if event.writes() && event.word == here.word && event.written == here.read && write != *read {
                let mut sources = sources;
                sources.add(write, *read);
                self.each_source(rest, sources, done);
            }
        }
    }

    fn each_order(&self, words: &[&'static str], order: Relation, done: &mut dyn FnMut(&Relation)) {
        let Some((word, rest)) = words.split_first() else {
            done(&order);
            return;
        };
        let of = |init: bool| {
            let matching =
                move |event: &Event| event.writes() && event.word == *word && (event.thread == INIT) == init;
            (0..self.events.len()).filter(move |event| matching(&self.events[*event]))
        };
        let first: Vec<usize> = of(true).collect();
        let mut later: Vec<usize> = of(false).collect();
        let length = later.len();
        permute(&mut later, length, &mut |sequence| {
            let mut order = order;
            let whole: Vec<usize> = first.iter().chain(sequence).copied().collect();
            for (at, event) in whole.iter().enumerate() {
                for after in &whole[at + 1..] {
                    order.add(*event, *after);
                }
            }
            self.each_order(rest, order, done);
        });
    }

    fn set(&self, is: impl Fn(&Event) -> bool) -> Set {
        self.events.iter().enumerate().filter(|(_, event)| is(event)).fold(0, |set, (at, _)| set | 1 << at)
    }

    /// `None`: the axioms forbid this execution. Else whether plain accesses race.
    fn judge(&self, reads_from: &Relation, modified: &Relation) -> Option<bool> {
        let all = self.set(|_| true);
        let events = &self.events;
        let sequenced = &self.sequenced;
        // No thin air, and so no load buffering.
        if !sequenced.union(reads_from).union(&self.meetings).is_acyclic() {
            return None;
        }
        // From a read to the stores after the one it read.
        let mut read_before = Relation::EMPTY;
        for write in 0..events.len() {
            for read in (0..events.len()).filter(|read| reads_from.has(write, *read)) {
                for later in (0..events.len()).filter(|later| modified.has(write, *later) && *later != read) {
                    read_before.add(read, later);
                }
            }
        }
        // Nothing comes between the two halves of a read-modify-write.
        let updates = self.set(|event| event.kind == Kind::Update);
        for update in (0..events.len()).filter(|event| updates & (1 << event) != 0) {
            let torn =
                (0..events.len()).any(|other| read_before.has(update, other) && modified.has(other, update));
            if torn {
                return None;
            }
        }
        let atomic = |event: &Event| event.order != Order::Plain;
        let writes = self.set(|event| event.writes() && atomic(event));
        let atomic_reads = self.set(|event| event.reads() && atomic(event));
        let fences = self.set(|event| event.kind == Kind::Fence);
        let releasing = self.set(Event::releases);
        let acquiring = self.set(Event::acquires);
        let nothing = Relation::EMPTY.maybe();
        // A release sequence: a store and the read-modify-writes that follow it.
        let sequence = reads_from.between(all, updates).plus().union(&nothing).between(writes, writes);
        let from_release = nothing.union(&sequenced.between(fences, writes)).between(releasing, writes);
        let to_acquire =
            nothing.union(&sequenced.between(atomic_reads, fences)).between(atomic_reads, acquiring);
        let synchronised =
            from_release.then(&sequence).then(&reads_from.between(writes, atomic_reads)).then(&to_acquire);
        let before = sequenced.union(&synchronised).union(&self.meetings).plus();
        let communicated = reads_from.union(modified).union(&read_before).plus();
        // Coherence.
        if !before.then(&communicated.maybe()).is_irreflexive() {
            return None;
        }
        // Full fences have one order. No access is SeqCst: they are for fences alone, as in the library.
        let full = self.set(|event| event.kind == Kind::Fence && event.order == Order::SeqCst);
        let by_fences = before.union(&before.then(&communicated).then(&before)).between(full, full);
        let same_word = |a: usize, b: usize| events[a].word == events[b].word && !events[a].word.is_empty();
        let elsewhere = sequenced.filter(|a, b| !same_word(a, b));
        let by_accesses = sequenced
            .union(&elsewhere.then(&before).then(&elsewhere))
            .union(&before.filter(same_word))
            .union(modified)
            .union(&read_before);
        let base = before.maybe().then(&by_accesses).then(&before.maybe()).between(full, full);
        if !by_fences.union(&base).is_acyclic() {
            return None;
        }
        Some(self.races(&before))
    }

    /// Two accesses of a word, one a store, one not atomic, neither before the other.
    fn races(&self, before: &Relation) -> bool {
        let pairs = (0..self.events.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        pairs.into_iter().any(|(a, b)| {
            let (one, other) = (&self.events[a], &self.events[b]);
            one.word == other.word
                && !one.word.is_empty()
                && (one.writes() || other.writes())
                && (one.order == Order::Plain || other.order == Order::Plain)
                && one.thread != other.thread
                && !before.has(a, b)
                && !before.has(b, a)
        })
    }
}

/// All orders of the first `length` of `items`.
fn permute(items: &mut Vec<usize>, length: usize, done: &mut dyn FnMut(&[usize])) {
    if length <= 1 {
        done(items);
        return;
    }
    for at in 0..length {
        items.swap(at, length - 1);
        permute(items, length - 1, done);
        items.swap(at, length - 1);
    }
}
