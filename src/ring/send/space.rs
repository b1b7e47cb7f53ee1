//! A sender without space: which consumers it waits for, for how long, and how it takes their gates.

use std::time::{Duration, Instant};

use super::{Sender, TimeLimit};
use crate::atomics::{at, spin};
use crate::error::{Error, SendError};
use crate::ring::blocker::Blocker;
use crate::ring::evict;
use crate::ring::layout::SlotState;
use crate::ring::protocol::after;
use crate::ring::protocol::gate::{self, OpenGate, gated_at, resting_state, take_gate};
use crate::ring::protocol::stage;
use crate::ring::protocol::stalls::{Blocking, Wanted, budget_ns};
use crate::ring::protocol::writer::{Claimed, Refused};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

mod source;

/// The consumer that blocks the claim refused last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocked {
    by: Blocking,
    /// The claim needed everything before this to be writable.
    end: u64,
}

impl Sender {
    /// The claim passes the limit: scan the gates, take those that may be taken, then wait.
    #[cold]
    pub(super) fn claim_refused(
        &mut self,
        len: u32,
        mut refused: Refused,
        time_limit: TimeLimit,
    ) -> Result<Claimed, SendError> {
        let mut waiting_since = 0;
        let mut waited = false;
        // Honest consumers never need more rounds than there are slots. A hostile process can rewrite gates each
        // time, and must not make a call that never waits run on. So both are limited: rounds in which gates are
        // taken, and rounds in which they are found gone.
        let mut rounds = self.region.geometry().slots;
        let mut looks = rounds;
        self.stalls.begin();
        let result = loop {
            let Refused::Full { end } = refused else { break Err(SendError::BatchFull) };
            if self.region.memory_gone() {
                break Err(self.region.fault().into());
            }
            let scan = self.scan();
            if scan.asked && rounds > 0 && self.evict_asked() {
                rounds -= 1;
                continue;
            }
            self.writer.set_limit(scan.limit);
            refused = match self.writer.claim(self.region.areas(), len) {
                Ok(claimed) => break Ok(claimed),
                Err(Refused::Full { end: now }) if now == end => Refused::Full { end },
                Err(other) => {
                    // Padding was published meanwhile, so the claim has moved.
                    refused = other;
                    continue;
                }
            };
            let now = clock::monotonic_ns();
            if waiting_since == 0 {
                waiting_since = now.max(1);
                self.totals.full = self.totals.full.wrapping_add(1);
                self.refused = true;
                self.totals.show(self.region.areas());
            }
            let (again, blocking) = self.relieve(end, now, waited);
            if again && rounds > 0 {
                rounds -= 1;
                continue;
            }
            // No consumer blocks the claim any more if the one that the scan found has left since.
            if !again && blocking.is_none() && looks > 0 {
                looks -= 1;
                continue;
            }
            let by = blocking.unwrap_or(Blocking { slot: scan.slowest, since: now });
            self.show_blocked(Some(Blocked { by, end }));
            let until_ns = match time_limit {
                TimeLimit::Zero => break Err(SendError::Full { slot: by.slot }),
                TimeLimit::Until(deadline) if Instant::now() >= deadline => {
                    break Err(SendError::TimedOut { slot: by.slot });
                }
                TimeLimit::Until(deadline) => clock::deadline_ns(deadline),
                TimeLimit::Infinite => u64::MAX,
            };
            self.wait_for_space(end, until_ns);
            waited = true;
        };
        let stopped = (waiting_since != 0).then(clock::monotonic_ns);
        if let Some(now) = stopped
            && !matches!(time_limit, TimeLimit::Zero)
        {
            let stalled = now.saturating_sub(waiting_since);
            self.totals.stall_ns = self.totals.stall_ns.wrapping_add(stalled);
            self.totals.show(self.region.areas());
        }
        if result.is_ok() && self.refused {
            self.lift(stopped);
        }
        result
    }

    fn scan(&self) -> gate::Scan {
        let areas = self.region.areas();
        let published = self.writer.published().position;
        gate::scan(areas, published, |slot| self.stalls.disregards(areas, slot, published))
    }

    /// A claim succeeded: no consumer holds the producer up any more.
    #[cold]
    pub(super) fn lift(&mut self, waited: Option<u64>) {
        self.refused = false;
        self.stalls.lift(self.region.areas(), waited);
        self.show_blocked(None);
    }

    /// Takes the gate from consumers that are dead or over their budget. Returns whether to scan again, and which
    /// consumer still blocks the claim.
    fn relieve(&mut self, end: u64, now: u64, waited: bool) -> (bool, Option<Blocking>) {
        let areas = self.region.areas();
        let alive = |slot| self.region.is_alive(slot);
        let wanted = Wanted { published: self.writer.published().position, end, now, waited };
        let relief = self.stalls.relieve(areas, wanted, alive);
        self.count_taken(relief.evicted, relief.reclaimed);
        (relief.again, relief.blocking)
    }

    /// Counts gates taken from living and from dead consumers.
    fn count_taken(&mut self, evicted: u64, reclaimed: u64) {
        if evicted + reclaimed == 0 {
            return;
        }
        self.totals.evictions = self.totals.evictions.wrapping_add(evicted);
        self.totals.reclaims = self.totals.reclaims.wrapping_add(reclaimed);
        self.totals.show(self.region.areas());
        // An evicted consumer may be asleep, with only this event to receive; so may whoever asked for it.
        doorbell::announce(&self.region.areas().control.data);
        stage::wake_followers(self.region.areas());
    }

    /// Takes the gates whose eviction is requested. True: at least one was taken, so scan again.
    fn evict_asked(&mut self) -> bool {
        let areas = self.region.areas();
        let (mut evicted, mut reclaimed, mut declined) = (0, 0, false);
        for (number, slot) in (0..).zip(areas.slots) {
            let Some(OpenGate { state, .. }) = gated_at(slot).filter(|gate| gate::is_asked(slot, gate.state))
            else {
                continue;
            };
            match self.take_from(number, state) {
                Some(true) => evicted += 1,
                Some(false) => reclaimed += 1,
                // The consumer may not be evicted, or has left.
                None => declined |= gate::withdraw(slot, state),
            }
        }
        if declined {
            doorbell::announce(&areas.control.data);
        }
        self.count_taken(evicted, reclaimed);
        evicted + reclaimed > 0
    }

    /// Takes the gate of a slot. Returns whether its consumer lives. `None`: the gate may not be taken, or is no
    /// longer open.
    fn take_from(&self, number: u32, state: u64) -> Option<bool> {
        let areas = self.region.areas();
        let slot = areas.slots.get(number as usize)?;
        let alive = self.region.is_alive(number);
        if alive && !areas.geometry.sealed && budget_ns(areas, slot).is_none() {
            return None;
        }
        let next = if alive { SlotState::Evicted } else { resting_state(areas, slot) };
        take_gate(slot, state, next).then_some(alive)
    }

    pub(crate) fn evict(&mut self, slot: u32) -> Result<(), Error> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        let areas = self.region.areas();
        let found = areas.slots.get(slot as usize);
        let Some((entry, OpenGate { state, .. })) = found.and_then(|entry| Some((entry, gated_at(entry)?)))
        else {
            return Err(Error::NotGated { slot });
        };
        let Some(alive) = self.take_from(slot, state) else {
            let is_there = gated_at(entry).is_some_and(|gate| gate.state == state);
            return Err(if is_there { evict::not_evictable(areas, slot) } else { Error::NotGated { slot } });
        };
        if areas.geometry.sealed {
            self.stalls.exhaust(areas, slot, self.writer.published().position);
        }
        self.count_taken(u64::from(alive), u64::from(!alive));
        if self.region.memory_gone() {
            return Err(self.region.fault().into());
        }
        Ok(())
    }

    pub(crate) fn held_by(&self) -> Option<Blocker> {
        let Blocked { by, end } = self.blocked?;
        if self.region.broken() {
            return None;
        }
        let areas = self.region.areas();
        let cursor = |number: u32| {
            let gate = areas.slots.get(number as usize).and_then(gated_at)?;
            gate.blocks(areas, end).then_some(gate.cursor)
        };
        let slot = cursor(by.slot).map(|_| by.slot).or_else(|| {
            let others = (0..self.region.geometry().slots).filter_map(|slot| Some((cursor(slot)?, slot)));
            others
                .reduce(|first, next| if after(first.0, next.0) { next } else { first })
                .map(|(_, slot)| slot)
        })?;
        let now = clock::monotonic_ns();
        let since = self.stalls.since(slot).unwrap_or(now);
        Blocker::new(&self.region, slot, Duration::from_nanos(now.saturating_sub(since)))
    }

    /// Shows in the ring which consumer blocks the producer. `None`: none.
    pub(super) fn show_blocked(&mut self, blocked: Option<Blocked>) {
        if self.blocked == blocked {
            return;
        }
        self.blocked = blocked;
        let counters = &self.region.areas().head.counters;
        if let Some(Blocked { by, end }) = blocked {
            let ago = clock::monotonic_ns().saturating_sub(by.since);
            counters.blocked_ns.store(clock::wall_ns().saturating_sub(ago), at!(C_WRITE, Relaxed));
            counters.blocked_end.store(end, at!(C_WRITE, Relaxed));
        }
        let shown = blocked.map_or(0, |blocked| u64::from(blocked.by.slot) + 1);
        counters.blocked.store(shown, at!(C_WRITE, Relaxed));
    }

    /// Waits, for one slice, until everything before `end` is writable.
    fn wait_for_space(&self, end: u64, until_ns: u64) {
        let word = &self.region.areas().control.space;
        let is_free = || {
            let scan = self.scan();
            scan.asked || !after(end, scan.limit)
        };
        for turn in 0..self.spins {
            if turn % 16 == 0 && is_free() {
                return;
            }
            if turn % clock::TURNS == clock::TURNS - 1 && clock::is_past(until_ns) {
                return;
            }
            spin();
        }
        let probe_ns = doorbell::armed_ns(doorbell::PROBE_NS);
        let until_ns = until_ns.min(clock::monotonic_ns().saturating_add(probe_ns));
        if self.region.geometry().wait == WaitMode::Spin {
            doorbell::nap(word, is_free, until_ns);
        } else {
            let heavy = |_: &_| {
                doorbell::full_fence();
                true
            };
            doorbell::sleep(word, heavy, is_free, until_ns);
            doorbell::disarm(word);
        }
    }
}
