//! The model: what was sent and where it stands, the gates, and what the producer does.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use quoit::{Consumer, Loss, LossAccount, Observer, Producer, SendError, Timestamp};

use super::super::common::{Backing, Oracle, Ring, Sent, payload};
use super::{CAPACITY, Op, Policy, READERS, SLOTS};

/// Positions are counted from the stream's origin here, so that they never wrap.
pub(crate) struct World {
    pub(crate) ring: Ring,
    pub(crate) origin: u64,
    /// Its records carry times; and between which two looks at the clock each was published.
    pub(crate) timed: bool,
    pub(crate) times: Vec<(Timestamp, Timestamp)>,
    pub(crate) producer: Option<Producer>,
    pub(crate) epoch: u64,
    /// First sequence of each epoch, from epoch 1 on.
    pub(crate) began: Vec<u64>,
    pub(crate) sent: Sent,
    /// Where each record starts, and where the one before it ends: padding may lie between.
    pub(crate) starts: Vec<u64>,
    pub(crate) ends: Vec<u64>,
    pub(crate) published: u64,
    /// Payload bytes of all records.
    pub(crate) bytes: u64,
    pub(crate) readers: [Option<Follower>; READERS],
    pub(crate) away: BTreeMap<usize, Saved>,
}

pub(crate) enum Handle {
    Consumer(Consumer),
    Observer(Observer),
}

/// A reader and what the model knows of it.
pub(crate) struct Follower {
    pub(crate) handle: Handle,
    pub(crate) slot: Option<u32>,
    pub(crate) policy: Policy,
    pub(crate) name: Option<usize>,
    pub(crate) hold: bool,
    pub(crate) keep: bool,
    pub(crate) oracle: Oracle,
    /// Below what was published at the attach a gate may have come too late.
    pub(crate) guard: u64,
    /// Sequence of the first record not released, and what the cursor is at least.
    pub(crate) released: u64,
    pub(crate) cursor: u64,
    /// Losses so far; and those before `released`, which alone outlive the attachment.
    pub(crate) account: LossAccount,
    pub(crate) account_released: LossAccount,
    pub(crate) untold: Option<Loss>,
    /// Sequence behind the last record received: what follows was lost or skipped.
    pub(crate) received_to: u64,
    /// Records that end here or before may have been copied while they were whole.
    pub(crate) copied: u64,
    /// Nothing was received yet but a loss found on attaching.
    pub(crate) only_lost: bool,
    /// A gate that is still shut: where it would stand there is nothing to read.
    pub(crate) opens: bool,
    /// Sequence of the first record that the gate held for sure when it opened: from here on nothing is left out.
    pub(crate) held_from: Option<u64>,
    /// What was published when a gate opened at a place in the past.
    pub(crate) attached_at: Option<u64>,
    /// What was published when a name resumed: losses from before it are put down to the absence.
    pub(crate) resumed_at: Option<u64>,
    pub(crate) epoch: u64,
}

/// A name whose consumer is away.
#[derive(Clone)]
pub(crate) struct Saved {
    pub(crate) released: u64,
    pub(crate) account: LossAccount,
    /// It goes on gating, with the guard it had.
    pub(crate) held: Option<u64>,
}

/// A gate: its cursor is at least the first and at most the second; and it may have come too late for what is
/// below the third.
pub(crate) struct Gate {
    pub(crate) least: u64,
    pub(crate) most: u64,
    pub(crate) guard: u64,
    pub(crate) may_be_gone: bool,
}

pub(crate) type Outcome = Result<(), TestCaseError>;

/// A point on the publish clock that is later than every earlier look at it.
fn tick() -> Timestamp {
    let before = Timestamp::now();
    loop {
        let now = Timestamp::now();
        if now > before {
            return now;
        }
    }
}

impl World {
    pub(crate) fn new(backing: Backing, origin: u64, first: u64, inline: bool, timed: bool) -> Self {
        let options = quoit::Options::new().capacity(CAPACITY).slots(SLOTS).origin(origin, first);
        let options = options.inline(inline).times(timed);
        let ring = backing.ring(&options);
        let producer = ring.producer();
        Self {
            ring,
            origin,
            timed,
            times: Vec::new(),
            producer: Some(producer),
            epoch: 1,
            began: vec![first],
            sent: Sent::new(first),
            starts: Vec::new(),
            ends: vec![0],
            published: 0,
            bytes: 0,
            readers: [const { None }; READERS],
            away: BTreeMap::new(),
        }
    }

    /// What a record of `len` payload bytes takes up.
    pub(crate) fn size(&self, len: usize) -> u64 {
        (if self.timed { 16 } else { 8 }) + (len as u64).next_multiple_of(8)
    }

    /// The longest payload, or `len` if that is shorter.
    fn clamp(&self, len: usize) -> usize {
        len.min((CAPACITY / 2 - self.size(0)) as usize)
    }

    pub(crate) fn room(&self, position: u64) -> u64 {
        CAPACITY - self.origin.wrapping_add(position) % CAPACITY
    }

    pub(crate) fn index(&self, sequence: u64) -> usize {
        sequence.wrapping_sub(self.sent.first) as usize
    }

    /// Where the record before `sequence` ends.
    pub(crate) fn least(&self, sequence: u64) -> u64 {
        self.ends[self.index(sequence)]
    }

    /// Where the record of `sequence` starts.
    pub(crate) fn most(&self, sequence: u64) -> u64 {
        self.starts.get(self.index(sequence)).copied().unwrap_or(self.published)
    }

    /// A record of `len` was published since `before`, from `position` on or behind padding.
    pub(crate) fn publish(&mut self, len: usize, before: Timestamp) {
        let size = self.size(len);
        self.times.push((before, Timestamp::now()));
        if size > self.room(self.published) {
            self.published += self.room(self.published);
        }
        self.starts.push(self.published);
        self.published += size;
        self.ends.push(self.published);
        self.sent.lens.push(len);
        self.bytes += len as u64;
    }

    pub(crate) fn gates(&self) -> Vec<Gate> {
        let live = self.readers.iter().flatten().filter(|it| {
            let gated = matches!(it.handle, Handle::Consumer(_)) && it.policy != Policy::Lossy;
            gated && !it.opens && it.oracle.evictions == 0
        });
        let live = live.map(|it| Gate {
            least: it.cursor,
            most: self.most(it.released),
            guard: it.guard,
            may_be_gone: it.policy == Policy::Brief,
        });
        let away = self.away.values().filter_map(|saved| {
            let guard = saved.held?;
            Some(Gate {
                least: self.least(saved.released),
                most: self.most(saved.released),
                guard,
                may_be_gone: false,
            })
        });
        live.chain(away).collect()
    }

    /// A claim up to `end` succeeded: no gate was in the way.
    pub(crate) fn check_room(&self, end: u64) -> Outcome {
        for gate in self.gates() {
            let limit = gate.most.max(gate.guard) + CAPACITY;
            prop_assert!(gate.may_be_gone || end <= limit, "wrote up to {end} past a gate at {}", gate.most);
        }
        Ok(())
    }

    /// A claim up to `end` was refused: a gate was in the way.
    pub(crate) fn check_full(&self, end: u64) -> Outcome {
        let in_the_way = self.gates().iter().any(|gate| end > gate.least + CAPACITY);
        prop_assert!(in_the_way, "full, and no gate is in the way of {end}");
        Ok(())
    }

    /// Where a record of `len` would end if it came next.
    pub(crate) fn end_of(&self, len: usize) -> u64 {
        let padding = if self.size(len) > self.room(self.published) { self.room(self.published) } else { 0 };
        self.published + padding + self.size(len)
    }

    /// What is published by the ring's own account. A refused or dropped claim may have brought padding out.
    pub(crate) fn check_published(&mut self, len: Option<usize>) -> Outcome {
        let now = self.ring.snapshot();
        let published = now.published.wrapping_sub(self.origin);
        let room = self.room(self.published);
        let padded = len.is_some_and(|len| self.size(len) > room) && published == self.published + room;
        prop_assert!(
            published == self.published || padded,
            "{published} published, and not {}",
            self.published
        );
        self.published = published;
        prop_assert_eq!(now.next_sequence, self.sent.next());
        prop_assert_eq!(now.records, self.sent.lens.len() as u64);
        prop_assert_eq!(now.bytes, self.bytes);
        let reserve = now.reserve.wrapping_sub(now.published);
        prop_assert!(reserve <= CAPACITY, "reserve is {reserve} ahead");
        prop_assert_eq!(now.epoch, self.epoch);
        Ok(())
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Outcome {
        match op {
            Op::Send(len) => self.send(self.clamp(*len)),
            Op::Claim { len, publish } => self.claim(self.clamp(*len), *publish),
            Op::Batch { lens, claims, publish } => {
                let lens: Vec<_> = lens.iter().map(|len| self.clamp(*len)).collect();
                self.batch(&lens, *claims, *publish)
            }
            Op::Reopen => self.reopen(),
            Op::Attach { who, policy, start, name, hold, keep } => {
                self.attach(*who, *policy, *start, *name, *hold, *keep)
            }
            Op::Observe { who, start } => self.observe(*who, *start),
            Op::Receive { who, events } => self.receive(*who, *events),
            Op::Skip { who } => self.skip(*who),
            Op::Release { who } => self.release(*who),
            Op::Detach { who } => self.detach(*who),
            Op::Forget { name } => self.forget(*name),
        }
    }

    pub(crate) fn send(&mut self, len: usize) -> Outcome {
        let next = self.sent.next();
        let (end, before) = (self.end_of(len), tick());
        match self.producer.as_mut().unwrap().try_send(&payload(next, len)) {
            Ok(sequence) => {
                prop_assert_eq!(sequence, next);
                self.check_room(end)?;
                self.publish(len, before);
                self.check_published(None)
            }
            Err(SendError::Full { .. }) => {
                self.check_full(end)?;
                self.check_published(Some(len))
            }
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    pub(crate) fn claim(&mut self, len: usize, publish: bool) -> Outcome {
        let next = self.sent.next();
        let (end, before) = (self.end_of(len), tick());
        match self.producer.as_mut().unwrap().try_claim(len) {
            Ok(mut claim) => {
                let bytes = if publish { payload(next, len) } else { vec![0xcd; len] };
                claim.write_at(0, &bytes).unwrap();
                if publish {
                    prop_assert_eq!(claim.publish(), next);
                }
                self.check_room(end)?;
                if publish {
                    self.publish(len, before);
                }
                self.check_published(Some(len))
            }
            Err(SendError::Full { .. }) => {
                self.check_full(end)?;
                self.check_published(Some(len))
            }
            Err(error) => Err(TestCaseError::fail(error.to_string())),
        }
    }

    pub(crate) fn batch(&mut self, lens: &[usize], claims: u8, publish: bool) -> Outcome {
        // The first record's padding goes out alone, whatever becomes of the batch.
        let first = lens.first().copied();
        let mut producer = self.producer.take().unwrap();
        let mut batch = producer.batch();
        let mut staged: Vec<usize> = Vec::new();
        let (mut begin, mut end) = (self.published, self.published);
        let mut padded_at_the_end = false;
        for (number, len) in lens.iter().copied().enumerate() {
            let sequence = self.sent.next().wrapping_add(staged.len() as u64);
            let bytes = payload(sequence, len);
            let padding = if self.size(len) > self.room(end) { self.room(end) } else { 0 };
            let alone = staged.is_empty();
            let new_end = end + padding + self.size(len);
            let result = if claims >> (number % 8) & 1 == 1 {
                batch.try_claim(len).map(|mut claim| {
                    claim.write_at(0, &bytes).unwrap();
                    claim.add()
                })
            } else {
                batch.try_send(&bytes)
            };
            match result {
                Ok(staged_as) => {
                    prop_assert_eq!(staged_as, sequence);
                    prop_assert!(
                        alone || new_end - begin <= CAPACITY / 2,
                        "more than half the ring in a batch"
                    );
                    self.check_room(new_end)?;
                    if alone {
                        begin = end + padding;
                    }
                    end = new_end;
                    staged.push(len);
                    prop_assert_eq!(batch.records(), staged.len() as u64);
                }
                Err(SendError::BatchFull) => {
                    prop_assert!(!alone, "an empty batch is full");
                    prop_assert!(new_end - begin > CAPACITY / 2, "full at {} bytes", new_end - begin);
                }
                Err(SendError::Full { .. }) => {
                    self.check_full(new_end)?;
                    padded_at_the_end = padding > 0;
                    break;
                }
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
        }
        let before = tick();
        let last = if publish {
            batch.publish()
        } else {
            drop(batch);
            None
        };
        self.producer = Some(producer);
        if publish && !staged.is_empty() {
            for len in &staged {
                self.publish(*len, before);
            }
            prop_assert_eq!(last, Some(self.sent.next().wrapping_sub(1)));
            return self.check_published(padded_at_the_end.then_some(self.clamp(2040)));
        }
        prop_assert_eq!(last, None);
        self.check_published(first)
    }

    pub(crate) fn reopen(&mut self) -> Outcome {
        self.producer = None;
        let producer = self.ring.producer();
        self.epoch += 1;
        self.began.push(self.sent.next());
        prop_assert_eq!((producer.epoch(), producer.next_sequence()), (self.epoch, self.sent.next()));
        self.producer = Some(producer);
        self.check_published(None)
    }
}
