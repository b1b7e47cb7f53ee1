//! What readers do, and what the model expects of them.

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use quoit::{Attach, ConsumerState, Error, Event, EventOf, Loss, LossAccount, LossCause, Start, Timestamp};

use super::super::common::Oracle;
use super::world::{Follower, Handle, Outcome, Saved, World};
use super::{CAPACITY, NAMES, Policy, READERS, SLOTS, Where};

/// Bytes that a reader which can be overwritten copies at a time, at most.
const COPIED_AHEAD: u64 = 1024;

impl World {
    pub(crate) fn start(&self, start: Where) -> Start {
        match start {
            Where::Newest => Start::Newest,
            Where::Oldest => Start::Oldest,
            Where::Last(records) => Start::Last(records),
            Where::Back(back) => Start::Sequence(self.sent.next().wrapping_sub(back as u64)),
            Where::Time(back) => {
                let index =
                    usize::try_from(back).ok().and_then(|back| self.times.len().checked_sub(back + 1));
                let before = index.map(|index| self.times[index].0);
                Start::Time(before.unwrap_or_else(Timestamp::now))
            }
        }
    }

    /// The sequence that `start` leads to; none: an error.
    pub(crate) fn expected_start(&self, start: Start) -> Option<u64> {
        let next = self.sent.next();
        let oldest = self.ring.snapshot().oldest_sequence;
        let held = next.wrapping_sub(oldest);
        match start {
            Start::Newest => Some(next),
            Start::Oldest => Some(oldest),
            Start::Last(records) => Some(next.wrapping_sub(records.min(held))),
            Start::Sequence(asked) => (next.wrapping_sub(asked) <= held).then_some(asked),
            Start::Time(time) => {
                let earlier = self.times.partition_point(|(before, _)| *before < time) as u64;
                let first = next.wrapping_sub(self.times.len() as u64).wrapping_add(earlier);
                self.timed.then_some(if next.wrapping_sub(first) <= held { first } else { oldest })
            }
            _ => unreachable!("no other kind is known here"),
        }
    }

    pub(crate) fn attach(
        &mut self,
        who: usize,
        policy: Policy,
        start: Where,
        name: Option<usize>,
        hold: bool,
        keep: bool,
    ) -> Outcome {
        if self.readers[who].is_some() {
            return Ok(());
        }
        let hold = hold && name.is_some() && policy == Policy::Gated;
        let start = self.start(start);
        let mut attach = match policy {
            Policy::Gated => Attach::gated(),
            Policy::Brief => Attach::gated_for(std::time::Duration::from_nanos(1)),
            Policy::Lossy => Attach::lossy(),
        };
        attach = attach.start(start);
        if let Some(name) = name {
            attach = attach.name(NAMES[name]);
        }
        if hold {
            attach = attach.hold_forever();
        }
        let live =
            self.readers.iter().flatten().filter(|it| matches!(it.handle, Handle::Consumer(_))).count();
        let saved = name.and_then(|name| self.away.get(&name).cloned());
        let in_use = name.is_some() && self.readers.iter().flatten().any(|it| it.name == name);
        let taken = saved.is_none() && live + self.away.len() == SLOTS as usize;
        let expected = if saved.is_some() { None } else { self.expected_start(start) };
        let mut consumer = match self.ring.try_consumer(&attach) {
            Ok(consumer) => consumer,
            Err(Error::NameInUse { .. }) => {
                prop_assert!(in_use, "nobody uses the name");
                return Ok(());
            }
            Err(Error::SlotsTaken { slots, saved }) => {
                prop_assert!(taken && !in_use, "slots are left");
                prop_assert_eq!((slots, saved as usize), (SLOTS, self.away.len()));
                return Ok(());
            }
            Err(Error::StartGone { .. }) => {
                prop_assert!(saved.is_none() && expected.is_none() && !taken, "the start is there");
                return Ok(());
            }
            Err(Error::BadOption { .. }) => {
                let is_time = matches!(start, Start::Time(_));
                prop_assert!(saved.is_none() && !taken && is_time && !self.timed, "the records have times");
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert!(!in_use && !taken);
        if keep {
            consumer.keep(true);
        }
        let mut oracle = Oracle::new(consumer.next_sequence());
        let (mut account, mut untold) = (LossAccount::default(), None);
        match (&saved, consumer.resumed()) {
            (None, None) => prop_assert_eq!(Some(oracle.next), expected),
            (Some(saved), Some(resumed)) => {
                account = saved.account;
                prop_assert_eq!(resumed.sequence, oracle.next);
                untold = resumed.lost;
                oracle.next = untold.map_or(resumed.sequence, |loss| loss.first);
                prop_assert_eq!(oracle.next, saved.released, "resumed elsewhere");
            }
            _ => return Err(TestCaseError::fail("resumed or not, it is the other way round")),
        }
        let account_released = account;
        if let Some(loss) = &untold {
            prop_assert_eq!(loss.cause, LossCause::Away);
            book(&mut account, loss);
        }
        prop_assert_eq!(consumer.account(), account);
        let held = saved.as_ref().and_then(|saved| saved.held).filter(|_| policy != Policy::Lossy);
        let released = oracle.next;
        let slot = consumer.slot();
        // A gate stands where there is something to read: not before a loss that is still to be told.
        let opens = saved.is_some() && policy != Policy::Lossy && self.state(slot) != ConsumerState::Gated;
        // The padding before its next record may be all that is gone.
        let least = self.least(released) as i64;
        prop_assert!(!opens || least < self.floor() || untold.is_some(), "a name came back without its gate");
        prop_assert!(!(policy != Policy::Lossy && untold.is_some()) || opens, "a gate where nothing is left");
        let began = *self.began.last().unwrap();
        let recalls = saved.is_some() && self.epoch > 1 && began.wrapping_sub(released) as i64 >= 0;
        self.readers[who] = Some(Follower {
            handle: Handle::Consumer(consumer),
            slot: Some(slot),
            policy,
            name,
            hold,
            keep,
            // A gate that was never shut needs no guard.
            guard: held.unwrap_or(self.published),
            cursor: self.least(released),
            released,
            oracle,
            account,
            account_released,
            untold,
            received_to: released,
            copied: 0,
            only_lost: untold.is_some() || opens,
            opens,
            held_from: (policy != Policy::Lossy && !opens).then_some(self.sent.next()),
            attached_at: (saved.is_none() && policy != Policy::Lossy).then_some(self.published),
            // Without a gate, what was there when it came was lost by an overrun.
            resumed_at: (saved.is_some() && policy != Policy::Lossy).then_some(self.published),
            // Who comes back across a change of producers is told of it.
            epoch: self.epoch - u64::from(recalls),
        });
        if let Some(name) = name {
            self.away.remove(&name);
        }
        Ok(())
    }

    fn state(&self, slot: u32) -> ConsumerState {
        let now = self.ring.snapshot();
        now.consumers.iter().find(|info| info.slot == slot).expect("it is attached").state
    }

    /// Below this position everything is gone, counted from the origin.
    fn floor(&self) -> i64 {
        self.ring.snapshot().reserve.wrapping_sub(self.origin) as i64 - CAPACITY as i64
    }

    pub(crate) fn observe(&mut self, who: usize, start: Where) -> Outcome {
        if self.readers[who].is_some() {
            return Ok(());
        }
        let start = self.start(start);
        let expected = self.expected_start(start);
        let observer = match self.ring.try_observer(start) {
            Ok(observer) => observer,
            Err(Error::StartGone { .. } | Error::BadOption { .. }) => {
                prop_assert_eq!(expected, None);
                return Ok(());
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        prop_assert_eq!(Some(observer.next_sequence()), expected);
        let next = observer.next_sequence();
        self.readers[who] = Some(Follower {
            handle: Handle::Observer(observer),
            slot: None,
            policy: Policy::Lossy,
            name: None,
            hold: false,
            keep: false,
            oracle: Oracle::new(next),
            guard: 0,
            released: next,
            cursor: 0,
            account: LossAccount::default(),
            account_released: LossAccount::default(),
            untold: None,
            received_to: next,
            copied: 0,
            only_lost: false,
            opens: false,
            held_from: None,
            attached_at: None,
            resumed_at: None,
            epoch: self.epoch,
        });
        Ok(())
    }

    pub(crate) fn receive(&mut self, who: usize, events: usize) -> Outcome {
        let Some(mut reader) = self.readers[who].take() else { return Ok(()) };
        let floor = self.floor();
        let result = (0..events).try_for_each(|_| self.receive_one(&mut reader, floor));
        self.readers[who] = Some(reader);
        result
    }

    pub(crate) fn receive_one(&self, reader: &mut Follower, floor: i64) -> Outcome {
        let may_open = release_last(reader);
        let at = reader.oracle.next;
        let event = match &mut reader.handle {
            Handle::Consumer(consumer) => consumer.try_recv(),
            Handle::Observer(observer) => observer.try_recv(),
        };
        let event = event.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let told = event.as_ref().map(Event::to_owned);
        if let Some(event) = event {
            reader.oracle.feed(&self.sent, event);
        }
        self.check_gate(reader, may_open, at, floor)?;
        // At least once for every eighth of the ring the cursor is stored.
        let lazy = self.least(reader.released).saturating_sub(CAPACITY / 8);
        reader.cursor = reader.cursor.max(lazy);
        let Some(told) = told else {
            prop_assert_eq!(at, self.sent.next(), "nothing, and there is more");
            prop_assert!(reader.untold.is_none());
            reader.cursor = self.least(reader.released);
            return Ok(());
        };
        self.check_told(reader, &told, at, floor)?;
        if matches!(told, EventOf::Record { .. }) {
            reader.received_to = reader.oracle.next;
        }
        if let Handle::Consumer(consumer) = &reader.handle {
            prop_assert_eq!(consumer.account(), reader.account);
            if reader.untold.is_none() {
                prop_assert_eq!(consumer.next_sequence(), reader.oracle.next);
            }
        }
        Ok(())
    }

    /// All but the newest record is skipped. What comes first is told as by a receive.
    pub(crate) fn skip(&mut self, who: usize) -> Outcome {
        let Some(mut reader) = self.readers[who].take() else { return Ok(()) };
        let result = self.skip_as(&mut reader);
        self.readers[who] = Some(reader);
        result
    }

    fn skip_as(&self, reader: &mut Follower) -> Outcome {
        let floor = self.floor();
        let (first, mut told) = (reader.oracle.next, Vec::new());
        let other = |event: Event<'_>| told.push(event.to_owned());
        let skipped = match &mut reader.handle {
            Handle::Consumer(consumer) => consumer.skip_to_newest(other),
            Handle::Observer(observer) => observer.skip_to_newest(other),
        };
        let skipped = skipped.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (losses, mut passed) = (reader.oracle.losses.len(), (0, 0));
        for told in &told {
            let may_open = release_last(reader);
            self.check_gate(reader, may_open, reader.oracle.next, floor)?;
            match told {
                EventOf::Lost(loss) => {
                    // What was copied in time is skipped, not lost.
                    let copied = loss.first == reader.oracle.next || self.least(loss.first) <= reader.copied;
                    prop_assert!(copied, "skipped what was lost");
                    self.pass(reader, loss.first, &mut passed);
                    reader.oracle.feed(&self.sent, Event::Lost(*loss));
                }
                EventOf::Evicted => reader.oracle.feed(&self.sent, Event::Evicted),
                told => return Err(TestCaseError::fail(format!("{told:?} comes before a skip"))),
            }
            let at = reader.oracle.losses.get(losses).map_or(reader.oracle.next, |loss| loss.first);
            self.check_told(reader, told, at, floor)?;
        }
        let may_open = release_last(reader);
        let at = reader.oracle.next;
        self.check_gate(reader, may_open, at, floor)?;
        if at != self.sent.next() {
            let is_there = self.most(at) as i64 >= floor || self.least(at.wrapping_add(1)) <= reader.copied;
            prop_assert!(is_there, "skipped what was overwritten, from {first} on");
            self.pass(reader, self.sent.next().wrapping_sub(1), &mut passed);
        }
        prop_assert_eq!((skipped.records, skipped.bytes), passed);
        let lazy = self.least(reader.released).saturating_sub(CAPACITY / 8);
        reader.cursor = reader.cursor.max(lazy);
        let next = match &reader.handle {
            Handle::Consumer(consumer) => {
                prop_assert_eq!(consumer.account(), reader.account);
                consumer.next_sequence()
            }
            Handle::Observer(observer) => observer.next_sequence(),
        };
        prop_assert_eq!(next, reader.oracle.next);
        Ok(())
    }

    /// The reader skips to a record. Without `keep` it releases what is before it.
    fn pass(&self, reader: &mut Follower, to: u64, passed: &mut (u64, u64)) {
        let from = reader.oracle.next;
        if from == to {
            return;
        }
        let (records, bytes) = (to.wrapping_sub(from), self.sent.bytes(from, to));
        (passed.0, passed.1) = (passed.0 + records, passed.1 + bytes);
        if matches!(reader.handle, Handle::Consumer(_)) {
            reader.account.skipped.records += records;
            reader.account.skipped.bytes += bytes;
        }
        reader.oracle.next = to;
        release_last(reader);
    }

    /// A gate that was still to be opened is open now, or there is nothing at its place.
    fn check_gate(&self, reader: &mut Follower, may_open: bool, at: u64, floor: i64) -> Outcome {
        let opened = may_open && reader.slot.is_some_and(|slot| self.state(slot) == ConsumerState::Gated);
        prop_assert!(!may_open || opened || (self.least(at) as i64) < floor, "a gate that stays shut");
        if opened {
            reader.opens = false;
            reader.guard = self.published;
            reader.held_from = Some(self.sent.next());
            reader.cursor = self.least(reader.released);
            reader.resumed_at = Some(self.published);
        }
        Ok(())
    }

    /// What the reader was told when it stood at `at`. The oracle has it already.
    fn check_told(&self, reader: &mut Follower, told: &EventOf<Vec<u8>>, at: u64, floor: i64) -> Outcome {
        let lost_for_sure = (self.most(at) as i64) < floor && at != self.sent.next();
        let intact = self.least(at) as i64 >= floor;
        let oracle = &reader.oracle;
        match told {
            EventOf::Record { sequence, time, .. } => {
                let (after, before) = self.times[self.index(*sequence)];
                let is_then = time.is_some_and(|time| after <= time && time <= before);
                prop_assert!(is_then || !self.timed && time.is_none(), "published at {:?}", time);
                if lost_for_sure {
                    let end = self.least(at.wrapping_add(1));
                    prop_assert!(end <= reader.copied, "a record that was overwritten: {}", sequence);
                } else {
                    let most = (self.most(at) + COPIED_AHEAD).min(self.least(self.sent.next()));
                    reader.copied = reader.copied.max(most);
                }
                prop_assert!(reader.untold.is_none(), "a loss was not told first");
            }
            EventOf::Lost(loss) => {
                let before = |position: u64| {
                    let before = reader.resumed_at.is_some_and(|at| position < at);
                    reader.untold.is_some() || reader.opens || before
                };
                let attaching = |position: u64| reader.attached_at.is_some_and(|at| position < at);
                let cause = |position| match (oracle.evictions > 0, before(position), attaching(position)) {
                    (true, ..) => LossCause::Evicted,
                    (false, true, _) => LossCause::Away,
                    (false, false, true) => LossCause::Attaching,
                    (false, false, false) => LossCause::Overrun,
                };
                // The reader stood behind or before the padding.
                let causes = [cause(self.least(at)), cause(self.most(at))];
                prop_assert!(causes.contains(&loss.cause), "lost by {:?}", loss.cause);
                match reader.untold.take() {
                    Some(untold) => prop_assert_eq!(*loss, untold),
                    None => {
                        prop_assert!(!intact, "a loss of what is still there");
                        prop_assert!(self.most(loss.next) as i64 >= floor, "goes on at what is overwritten");
                        let late = self.least(loss.first) < reader.guard;
                        let evicted = reader.policy == Policy::Brief && oracle.evictions == 1;
                        prop_assert!(
                            reader.policy == Policy::Lossy || late || evicted || reader.opens,
                            "a loss behind a gate"
                        );
                        let held_from = reader.held_from.filter(|_| !evicted);
                        prop_assert!(
                            held_from.is_none_or(|held| held.wrapping_sub(loss.next) as i64 >= 0),
                            "left out what the gate held"
                        );
                        book(&mut reader.account, loss);
                        reader.only_lost |= reader.policy != Policy::Lossy && reader.released == loss.first;
                    }
                }
            }
            EventOf::Evicted => {
                prop_assert!(reader.policy == Policy::Brief && oracle.evictions == 1, "evicted");
            }
            EventOf::ProducerChanged { epoch } => {
                prop_assert!(
                    *epoch > reader.epoch && *epoch <= self.epoch,
                    "epoch {epoch} after {}",
                    reader.epoch
                );
                reader.epoch = *epoch;
                let began = self.began[*epoch as usize - 1];
                // Before its first record; or after the losses and the skips that took it.
                let passed = reader.received_to != at
                    && began.wrapping_sub(reader.received_to) as i64 >= 0
                    && self.least(began) < self.most(at);
                prop_assert!(began == at || passed, "epoch {epoch} told at {at}");
            }
            _ => unreachable!("no other kind is known here"),
        }
        Ok(())
    }

    pub(crate) fn release(&mut self, who: usize) -> Outcome {
        let Some(reader) = &mut self.readers[who] else { return Ok(()) };
        let Handle::Consumer(consumer) = &mut reader.handle else { return Ok(()) };
        consumer.release();
        if reader.untold.is_none() {
            reader.released = reader.oracle.next;
            reader.account_released = reader.account;
        }
        let released = reader.released;
        let slot = consumer.slot();
        if reader.opens && self.state(slot) == ConsumerState::Gated {
            let (published, next) = (self.published, self.sent.next());
            let reader = self.readers[who].as_mut().unwrap();
            reader.opens = false;
            (reader.guard, reader.held_from, reader.resumed_at) = (published, Some(next), Some(published));
        }
        let Some(reader) = &self.readers[who] else { return Ok(()) };
        let account = reader.account_released;
        let least = self.least(released);
        self.readers[who].as_mut().unwrap().cursor = least;
        let now = self.ring.snapshot();
        let info = now.consumers.iter().find(|info| info.slot == slot).expect("it is attached");
        prop_assert_eq!((info.next_sequence, info.lost), (released, account));
        prop_assert_eq!(info.lag_records, self.sent.next().wrapping_sub(released));
        Ok(())
    }

    pub(crate) fn detach(&mut self, who: usize) -> Outcome {
        let Some(reader) = self.readers[who].take() else { return Ok(()) };
        let evicted = reader.oracle.evictions > 0;
        drop(reader.handle);
        let Some(name) = reader.name else { return Ok(()) };
        let info = self.ring.named(NAMES[name]).expect("a name is kept");
        prop_assert_eq!(info.next_sequence, reader.released);
        prop_assert_eq!(info.lost, reader.account_released);
        prop_assert!(!info.alive);
        let held = (reader.hold && !evicted && !reader.opens).then_some(reader.guard);
        self.away.insert(name, Saved { released: reader.released, account: reader.account_released, held });
        Ok(())
    }

    pub(crate) fn forget(&mut self, name: usize) -> Outcome {
        let in_use = self.readers.iter().flatten().any(|it| it.name == Some(name));
        let known = self.away.remove(&name).is_some();
        match self.ring.forget(NAMES[name]) {
            Ok(()) => prop_assert!(known),
            Err(Error::NameInUse { .. }) => prop_assert!(in_use),
            Err(Error::NameUnknown { .. }) => prop_assert!(!known && !in_use),
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
        Ok(())
    }

    /// Every reader catches up, and has everything.
    pub(crate) fn finish(&mut self) -> Outcome {
        for who in 0..READERS {
            // Each record is one event; losses, evictions and changes are few.
            self.receive(who, CAPACITY as usize / 8 + 200)?;
            if let Some(reader) = &self.readers[who] {
                prop_assert_eq!(reader.oracle.next, self.sent.next(), "reader {} stopped early", who);
            }
            self.detach(who)?;
        }
        Ok(())
    }
}

/// Receiving releases what was received before, but for a loss that is still to be told. Who keeps what it receives does
/// not keep what it lost before that. Returns whether a gate is opened next that is still shut.
fn release_last(reader: &mut Follower) -> bool {
    if reader.untold.is_none() && (!reader.keep || reader.only_lost) {
        reader.only_lost = false;
        reader.released = reader.oracle.next;
        reader.account_released = reader.account;
    }
    reader.opens && reader.untold.is_none()
}

fn book(account: &mut LossAccount, loss: &Loss) {
    if loss.cause == LossCause::Attaching {
        return;
    }
    if account.gaps == 0 {
        account.first = loss.first;
    }
    account.records += loss.records;
    account.bytes += loss.bytes;
    account.gaps += 1;
    account.largest_gap = account.largest_gap.max(loss.records);
    account.last = loss.next.wrapping_sub(1);
    match loss.cause {
        LossCause::Overrun => account.overrun += loss.records,
        LossCause::Evicted => account.evicted += loss.records,
        LossCause::Away => account.away += loss.records,
        LossCause::Attaching => {}
        _ => unreachable!("no other kind is known here"),
    }
}
