//! Waiting for consumers to attach.

use std::time::Instant;

use super::Sender;
use crate::atomics::at;
use crate::error::Error;
use crate::ring::layout::{Slot, SlotState};
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::wait::clock;
use crate::wait::doorbell;

impl Sender {
    pub(crate) fn wait_for_consumers(&self, count: u32, deadline: Instant) -> Result<bool, Error> {
        if count > self.region.geometry().slots {
            return Err(Error::BadOption { what: "waiting for more consumers than the ring has slots" });
        }
        self.wait_for_attached(deadline, |sender| {
            let attached = sender.attached(|_| true).take(count as usize);
            attached.count() == count as usize
        })
    }

    pub(crate) fn wait_for_name(&self, name: &str, deadline: Instant) -> Result<bool, Error> {
        let name = names::padded(name)?;
        if self.region.is_sealed() {
            return Err(Error::BadOption { what: "a sealed ring has no names to wait for" });
        }
        self.wait_for_attached(deadline, |sender| {
            sender.attached(|slot| gate::name(slot) == name).next().is_some()
        })
    }

    /// The slots of living, attached consumers of which `is_one` is true.
    fn attached<'a>(&'a self, is_one: impl Fn(&Slot) -> bool + 'a) -> impl Iterator<Item = u32> + 'a {
        let slots = (0..).zip(self.region.areas().slots);
        slots.filter_map(move |(number, slot)| {
            // [G8'] Acquire. Pairs with [G8] in `gate.rs`.
            // Orders: see [G8]; and the attach before the load of the consumer's name.
            // Without it: see [G8].
            let attached_ns = slot.who.attached_ns.load(at!(G8_IS_ATTACHED, Acquire));
            let has_place =
                matches!(gate::state(slot), Some(SlotState::Lossy | SlotState::Gated | SlotState::Evicted));
            let is_attached = attached_ns != 0 && has_place && is_one(slot);
            (is_attached && self.region.is_alive(number)).then_some(number)
        })
    }

    fn wait_for_attached(&self, deadline: Instant, are_there: impl Fn(&Self) -> bool) -> Result<bool, Error> {
        let word = &self.region.areas().control.space;
        let until_ns = clock::deadline_ns(deadline);
        loop {
            if self.region.broken() {
                return Err(self.region.fault().into());
            }
            let are_there = are_there(self);
            if self.region.memory_gone() {
                return Err(self.region.fault().into());
            }
            if are_there || clock::is_past(until_ns) {
                return Ok(are_there);
            }
            doorbell::nap(word, || false, until_ns);
        }
    }
}
