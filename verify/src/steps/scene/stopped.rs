//! What must hold while the victim is stopped, and after it continues.

use anyhow::Result;
use quoit::{Error, Producer, SendError};

use super::{BLOCKED, Scene};
use crate::steps::notes::Name;
use crate::steps::ops::{Act, Role};
use crate::steps::oracle::payload;
use crate::steps::plan::tail;
use crate::steps::stage::{Word, until};

impl Scene<'_> {
    /// The victim stands still. It is alive, and others are not disturbed.
    pub(crate) fn while_stopped(&mut self) -> Result<()> {
        match self.op.role() {
            Role::Producer => {
                self.dirtied();
                if self.ring.has_producer()? {
                    let refused = matches!(Producer::open(&self.ring.path), Err(Error::ProducerAlive { .. }));
                    self.is(refused, || "a stopped producer was taken over".to_owned())?;
                } else {
                    let late = matches!(self.op.act, Act::Close | Act::TakeOver);
                    self.is(late, || "a stopped producer without its lock".to_owned())?;
                }
            }
            Role::Consumer => {
                if self.blocked.is_none() {
                    self.press_the_stopped()?;
                }
            }
            Role::Creator => {}
        }
        let more = u64::from(self.blocked.is_some());
        self.stage.board.set(Word::Target, self.sent.next().wrapping_add(more));
        Ok(())
    }

    /// A producer goes as far as it can with the victim standing still.
    fn press_the_stopped(&mut self) -> Result<()> {
        let gates = self.op.gates() && self.slot_is_gated();
        let alone = self.producer.is_none();
        if alone {
            self.succeed()?;
        }
        let most = if gates { 2 * self.sent.capacity() } else { 300 };
        let begin = self.sent.position();
        let mut full = false;
        while !full && self.sent.position().wrapping_sub(begin) < most {
            for watcher in self.watchers.iter_mut().filter(|watcher| watcher.gates) {
                watcher.catch_up(&self.sent)?;
            }
            let len = tail(self.sent.next());
            let Some(producer) = &mut self.producer else { break };
            match producer.try_send(&payload(self.sent.next(), len)) {
                Ok(_) => self.sent.push(len),
                // A dead consumer that was in the way is gone the next time.
                Err(SendError::Full { .. }) => full = true,
                Err(error) => return Err(error.into()),
            }
        }
        self.is(!gates || full, || "the gate of a stopped consumer does not hold".to_owned())?;
        if alone {
            self.producer = None;
        }
        Ok(())
    }

    /// Does a slot say that the victim gates? Others that live beside it are told by their numbers.
    fn slot_is_gated(&self) -> bool {
        let live = |slot| self.watchers.iter().any(|watcher| watcher.consumer.slot() == slot);
        (0..self.slots).any(|slot| self.ring.slot_state(slot) & 0xff == 3 && !live(slot))
    }

    /// The victim was let go and has ended well.
    pub(crate) fn after_stop(mut self) -> Result<u64> {
        if self.blocked.is_some() {
            until("a blocked producer gets through", || self.stage.board.get(Word::Through) == 1)?;
            self.sent.push(BLOCKED);
            self.blocked = None;
        }
        self.settle_records(true)?;
        if self.op.act == Act::TakeOver {
            self.epoch += 1;
        }
        if self.producer.is_none() {
            self.succeed()?;
        }
        let mut plan = self.plan.clone();
        // It has received everything since, and released it.
        plan.places.1 = self.sent.next();
        for name in std::mem::take(&mut self.away) {
            if plan.name.as_ref() != Some(&name.name) {
                self.resume(&name, (name.sequence, name.sequence), false)?;
            }
        }
        if let Some(name) = plan.name {
            let held = self.ring.notes.names.iter().any(|other| other.name == name && other.held);
            let name = Name { name, sequence: 0, gated: true, held };
            self.resume(&name, plan.places, self.op.act == Act::Forget)?;
        }
        self.slots_are_free()?;
        self.send_a_lap(self.sent.capacity() / 2)?;
        self.all_catch_up()?;
        self.read_afresh()?;
        self.sleeper_is_up_to_date()?;
        Ok(self.checks)
    }
}
