//! One kill: the restored state, and the processes beside the victim.

mod killed;
mod stopped;

use anyhow::{Context, Result, ensure};
use quoit::{Attach, Consumer, Error, Event, Observer, Producer, Start};
use std::time::{Duration, Instant};
use support::offsets;

use super::notes::{Name, Notes};
use super::ops::{Act, Look, Op, Role};
use super::oracle::{Follower, Reader, Sent, payload};
use super::plan::{Plan, tail};
use super::stage::{Board, PATIENCE, Ring, Stage, Word, until};
use super::states::{Live, State};
use crate::child::Child;

/// A live reader, and what it has to see.
#[derive(Debug)]
struct Watcher {
    consumer: Consumer,
    follower: Follower,
    /// Holds the producer up if it does not keep up.
    gates: bool,
}

impl Watcher {
    fn catch_up(&mut self, sent: &Sent) -> Result<()> {
        self.consumer.catch_up(sent, &mut self.follower)
    }
}

#[derive(Debug)]
pub(crate) struct Scene<'a> {
    stage: &'a Stage,
    ring: &'a Ring,
    op: Op,
    plan: &'a Plan,
    slots: u32,
    gated_only: bool,
    sent: Sent,
    epoch: u64,
    producer: Option<Producer>,
    watchers: Vec<Watcher>,
    /// Names that nobody lives under.
    away: Vec<Name>,
    sleeper: Option<Child>,
    wants_blocked: bool,
    blocked: Option<Child>,
    pub(crate) checks: u64,
}

/// What is known of a state without looking at its ring.
pub(crate) fn known(state: &State, notes: &Notes) -> Sent {
    let mut sent = state.shape.sent();
    notes.lens.iter().for_each(|len| sent.push(*len));
    if let Some(end) = notes.dirt {
        sent.dirty(end);
    }
    sent
}

impl<'a> Scene<'a> {
    /// The state as it was made, and everybody who lives in it.
    pub(crate) fn set(
        stage: &'a Stage,
        state: &State,
        ring: &'a Ring,
        op: Op,
        plan: &'a Plan,
    ) -> Result<Self> {
        ring.restore(&stage.board)?;
        let sent = known(state, &ring.notes);
        let mut scene = Self {
            stage,
            ring,
            op,
            plan,
            slots: state.shape.slots,
            gated_only: state.shape.gated_only,
            sent,
            epoch: ring.notes.epoch,
            producer: None,
            watchers: Vec::new(),
            away: ring.notes.names.clone(),
            sleeper: None,
            wants_blocked: state.live.contains(&Live::Blocked),
            blocked: None,
            checks: 0,
        };
        if op.role() == Role::Consumer && state.producing {
            scene.succeed().context("the live producer")?;
        }
        for live in &state.live {
            scene.join(*live).with_context(|| format!("{live:?} joins"))?;
        }
        Ok(scene)
    }

    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    fn is(&mut self, so: bool, what: impl FnOnce() -> String) -> Result<()> {
        self.checks += 1;
        ensure!(so, "{}", what());
        Ok(())
    }

    /// A producer opens the ring, and finds everything as it has to be.
    fn succeed(&mut self) -> Result<()> {
        let producer = Producer::open(&self.ring.path).context("the next producer opens the ring")?;
        self.epoch += 1;
        let (found, due) = (producer.next_sequence(), self.sent.next());
        self.is(found == due, || format!("the sequence goes on with {found:#x}, not {due:#x}"))?;
        let (found, due) = (producer.epoch(), self.epoch);
        self.is(found == due, || format!("epoch {found}, not {due}"))?;
        self.producer = Some(producer);
        Ok(())
    }

    fn watch(&mut self, attach: &Attach, gated: bool, gates: bool) -> Result<()> {
        let consumer = Consumer::open(&self.ring.path, attach)?;
        let follower = Follower::new(consumer.next_sequence(), gated);
        self.watchers.push(Watcher { consumer, follower, gates });
        Ok(())
    }

    fn join(&mut self, live: Live) -> Result<()> {
        let first = Start::Sequence(self.sent.first);
        match live {
            Live::Lossy if self.gated_only => {}
            Live::Lossy => self.watch(&Attach::lossy().start(Start::Oldest), false, false)?,
            Live::Gated => self.watch(&Attach::gated(), true, true)?,
            Live::GatedFirst => self.watch(&Attach::gated().start(first), true, true)?,
            Live::Overdue => {
                let overdue = Attach::gated_for(Duration::from_nanos(1)).start(first);
                self.watch(&overdue, false, true)?;
            }
            Live::Resumed => {
                let name = self.away.remove(0);
                self.resume(&name, (name.sequence, name.sequence), false)?;
            }
            Live::Sleeper => {
                let (path, board, next) = (self.ring.path.clone(), &self.stage.board, self.sent.next());
                board.set(Word::Slept, next);
                let process = Child::start(move || sleep(&path, board, next))?;
                until("the sleeper sleeps", || self.ring.is_armed(offsets::DATA_WORD))?;
                self.sleeper = Some(process);
            }
            Live::Blocked => {}
        }
        Ok(())
    }

    /// A name comes back. It goes on within `places`, and has lost nothing unless it was lapped.
    fn resume(&mut self, name: &Name, places: (u64, u64), optional: bool) -> Result<()> {
        let attach = Attach::gated().name(name.name.clone());
        let attach = if name.held { attach.hold_forever() } else { attach };
        let consumer = Consumer::open(&self.ring.path, &attach)
            .with_context(|| format!("the consumer named {:?} comes back", name.name))?;
        let next = consumer.next_sequence();
        let mut due = next;
        match consumer.resumed() {
            Some(resumed) => {
                due = resumed.lost.map_or(next, |loss| loss.first);
                self.is(next == resumed.sequence, || format!("{resumed:?} but {next:#x}"))?;
                let within = due.wrapping_sub(places.0) <= places.1.wrapping_sub(places.0);
                self.is(within, || format!("{:?} resumes at {due:#x}, not in {places:x?}", name.name))?;
            }
            None => self.is(optional, || format!("the name {:?} is gone", name.name))?,
        }
        let gated = !self.sent.is_overwritten(due);
        self.is(!gated || due == next, || format!("{:?} lost records nobody overwrote", name.name))?;
        // Where the name was lapped while away, its first event is that loss.
        let follower = Follower::new(due, gated);
        self.watchers.push(Watcher { consumer, follower, gates: true });
        Ok(())
    }

    /// Records that the victim published before its operation.
    pub(crate) fn prepared(&mut self) {
        if self.op.role() == Role::Producer && self.op.act != Act::TakeOver {
            self.epoch += 1;
        }
        self.plan.before.iter().for_each(|len| self.sent.push(*len));
    }

    /// What others do while the victim stands at its first mark.
    pub(crate) fn between(&mut self) -> Result<()> {
        self.prepared();
        if matches!(self.op.act, Act::Receive(_, Look::Lapped)) {
            self.send_a_lap(self.sent.capacity())?;
        }
        if self.wants_blocked {
            let (path, board) = (self.ring.path.clone(), &self.stage.board);
            let record = payload(self.sent.next(), BLOCKED);
            let process = Child::start(move || {
                let mut producer = Producer::open(&path).expect("open");
                producer.set_spins(0);
                producer.send(&record).expect("send");
                board.set(Word::Through, 1);
                loop {
                    std::thread::sleep(PATIENCE);
                }
            })?;
            until("the producer is blocked", || self.ring.is_armed(offsets::SPACE_WORD))?;
            self.epoch += 1;
            self.blocked = Some(process);
        }
        Ok(())
    }

    /// So many successors began an epoch, and died.
    pub(crate) fn skip_epochs(&mut self, epochs: u64) {
        self.epoch += epochs;
    }

    /// The victim may have been writing all that its operation would.
    pub(crate) fn dirtied(&mut self) {
        self.sent.dirty(self.plan.extent);
    }

    fn send(&mut self, len: usize) -> Result<()> {
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.gates) {
            watcher.catch_up(&self.sent).context("a reader at the producer's heels")?;
        }
        let sequence = self.sent.next();
        let Some(producer) = &mut self.producer else { anyhow::bail!("nobody to send") };
        let sent = producer.send_deadline(&payload(sequence, len), Instant::now() + PATIENCE);
        self.sent.push(len);
        self.is(sent == Ok(sequence), || format!("sending {sequence:#x}: {sent:?}"))
    }

    /// So many bytes of records, past everybody who is dead.
    fn send_a_lap(&mut self, bytes: u64) -> Result<()> {
        let alone = self.producer.is_none();
        if alone {
            self.succeed()?;
        }
        let begin = self.sent.position();
        while self.sent.position().wrapping_sub(begin) <= bytes {
            self.send(tail(self.sent.next()))?;
        }
        if alone {
            self.producer = None;
        }
        Ok(())
    }

    fn all_catch_up(&mut self) -> Result<()> {
        for watcher in &mut self.watchers {
            watcher.catch_up(&self.sent)?;
            self.checks += std::mem::take(&mut watcher.follower.checks);
            let (found, due) = (watcher.follower.next, self.sent.next());
            ensure!(found == due, "a reader came to {found:#x}, not to {due:#x}");
        }
        Ok(())
    }

    /// A newcomer reads all there is.
    fn read_afresh(&mut self) -> Result<()> {
        let mut follower;
        if self.gated_only {
            // Nobody may start in the past here.
            let mut reader = Consumer::open(&self.ring.path, &Attach::gated())?;
            follower = Follower::new(reader.next_sequence(), false);
            reader.catch_up(&self.sent, &mut follower)?;
        } else {
            let mut reader = Observer::open(&self.ring.path, Start::Oldest)?;
            follower = Follower::new(reader.next_sequence(), false);
            reader.catch_up(&self.sent, &mut follower)?;
        }
        self.checks += follower.checks;
        let (found, due) = (follower.next, self.sent.next());
        self.is(found == due, || format!("a newcomer came to {found:#x}, not to {due:#x}"))
    }

    /// Which of the operation's records came out: all or none.
    fn settle_records(&mut self, complete: bool) -> Result<()> {
        if self.op.role() != Role::Producer {
            return Ok(());
        }
        let published = self.ring.published();
        let without = self.sent.clone();
        let mut with = self.sent.clone();
        if self.op.publishes() {
            self.plan.records.iter().for_each(|len| with.push(*len));
        }
        let done = published == with.position();
        self.checks += 1;
        if done && (complete || with.records() > without.records()) {
            self.sent = with;
            self.dirtied();
            return Ok(());
        }
        let mut padded = without.clone();
        padded.pad();
        let refused = complete && self.op.publishes();
        ensure!(!refused, "the operation is over, but its records are not there");
        if published == padded.position() && !self.plan.records.is_empty() {
            self.sent = padded;
        } else {
            ensure!(published == without.position(), "published is {published:#x}: a part of the operation");
        }
        self.dirtied();
        Ok(())
    }

    fn sleeper_is_up_to_date(&mut self) -> Result<()> {
        if self.sleeper.is_none() {
            return Ok(());
        }
        self.checks += 1;
        let due = self.sent.next();
        until("a sleeper gets to the newest record", || self.stage.board.get(Word::Slept) == due)
    }

    /// Every slot that nobody lives in can be had.
    fn slots_are_free(&mut self) -> Result<()> {
        let taken = self.watchers.len() as u32 + u32::from(self.sleeper.is_some());
        let open = || Consumer::open(&self.ring.path, &Attach::gated());
        let newcomers: Vec<_> = (taken..self.slots)
            .map(|_| open())
            .collect::<Result<_, _>>()
            .with_context(|| format!("{taken} of {} slots are taken", self.slots))?;
        let full = matches!(open(), Err(Error::SlotsTaken { .. }));
        drop(newcomers);
        self.is(full, || "more slots than there are".to_owned())
    }
}

/// Payload bytes of the record that a blocked producer sends.
pub(crate) const BLOCKED: usize = 100;

/// The sleeper: checks what comes by the length it comes with, and says how far it is.
fn sleep(path: &std::path::Path, board: &Board, mut next: u64) {
    let mut consumer = Consumer::open(path, &Attach::gated()).expect("attach");
    consumer.set_spins(0);
    loop {
        // Between two producers a wait ends with an error, and the next one waits for the next.
        let Ok(event) = consumer.recv() else { continue };
        if let Event::Record(record) = event {
            assert_eq!(record.sequence(), next, "in order");
            assert_eq!(record.to_vec(), payload(next, record.len()), "whole");
            next = next.wrapping_add(1);
            board.set(Word::Slept, next);
        } else {
            assert!(matches!(event, Event::ProducerChanged { .. }), "{event:?}");
        }
    }
}
