//! What must hold when the victim is dead.

use anyhow::{Context, Result, ensure};

use super::{BLOCKED, Scene};
use crate::steps::notes::Name;
use crate::steps::ops::Act;
use crate::steps::stage::{Word, until};

impl Scene<'_> {
    /// The victim is dead, killed in the middle of its operation or after it.
    pub(crate) fn aftermath(mut self, complete: bool, thorough: bool) -> Result<u64> {
        if self.blocked.is_some() {
            until("a blocked producer gets through", || self.stage.board.get(Word::Through) == 1)?;
            self.sent.push(BLOCKED);
            self.checks += 1;
            self.blocked = None;
        }
        self.settle_records(complete)?;
        if let Some(epoch) = self.after_take_over(complete)? {
            self.epoch = epoch;
        }
        if thorough {
            // Before any successor: what is visible is whole, and a sleeper finds it in a slice.
            self.read_afresh().context("before the next producer")?;
            self.sleeper_is_up_to_date().context("before the next producer")?;
            if self.sent.next().is_multiple_of(2) {
                self.all_catch_up().context("before the next producer")?;
            }
        }
        if self.producer.is_none() {
            self.succeed()?;
            // And again: a successor may end as soon as it has begun.
            self.producer = None;
            self.succeed().context("the second takeover")?;
        }
        self.names_come_back(complete)?;
        if thorough || matches!(self.op.act, Act::Attach(_) | Act::Detach(_) | Act::Forget) {
            self.slots_are_free()?;
        }
        self.send_a_lap(self.sent.capacity() + 200)?;
        self.all_catch_up()?;
        self.read_afresh()?;
        self.sleeper_is_up_to_date()?;
        Ok(self.checks)
    }

    /// The epoch that a killed takeover left: its own, or the one before.
    fn after_take_over(&mut self, complete: bool) -> Result<Option<u64>> {
        if self.op.act != Act::TakeOver {
            return Ok(None);
        }
        let (found, before) = (self.ring.epoch(), self.epoch);
        let known = found == before + 1 || found == before && !complete;
        self.is(known, || format!("epoch {found} after a takeover in epoch {before}"))?;
        Ok(Some(found))
    }

    /// Everybody who has a name comes back to where it was; the victim too.
    fn names_come_back(&mut self, complete: bool) -> Result<()> {
        let victim = self.plan.name.clone();
        for name in std::mem::take(&mut self.away) {
            if victim.as_ref() != Some(&name.name) {
                self.resume(&name, (name.sequence, name.sequence), false)?;
            }
        }
        if let Some(name) = victim {
            let held = self.ring.notes.names.iter().any(|other| other.name == name && other.held);
            let name = Name { name, sequence: 0, gated: true, held };
            let forgotten = self.op.act == Act::Forget && complete;
            let optional = self.plan.optional && !(complete && self.op.act != Act::Forget);
            let (mut first, last) = self.plan.places;
            // A first attach opens its gate before it knows where the newest record is, at a place not after it: cut
            // short there, it leaves the name at that place.
            if matches!(self.op.act, Act::Attach(_)) && !complete && self.plan.optional {
                first = self.sent.first;
            }
            let resumed = self.resume(&name, (first, last), optional);
            if forgotten {
                let watcher = self.watchers.last().filter(|watcher| watcher.consumer.resumed().is_some());
                ensure!(resumed.is_ok() && watcher.is_none(), "a forgotten name is still there");
            }
            resumed?;
        }
        Ok(())
    }
}
