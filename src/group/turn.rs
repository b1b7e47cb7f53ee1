//! What a member does in its turn: takes records, takes back what the dead have, moves the group's gate.

use crate::atomics::at;
use crate::error::Error;
use crate::group::layout::LOSSY;
use crate::group::leases::{Claimed, Leases, Open};
use crate::group::member::GroupMember;
use crate::group::tries::Tries;
use crate::group::until::Until;
use crate::ring::attach::{self, until_found};
use crate::ring::layout::SlotState;
use crate::ring::protocol::gate;
use crate::ring::protocol::own_slot::OwnSlot;
use crate::ring::protocol::{Place, after, index};
use crate::seats::Incarnation;
use crate::sync::member::NOBODYS;
use crate::sync::owned::Owned;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;
use crate::wait::timestamp;

/// How often a member looks for the dead, ns.
pub(super) const SWEEP_NS: u64 = doorbell::PROBE_NS;
/// The gate is moved once it is behind by this fraction of the capacity, as a consumer's cursor is.
const GATE_DUE: u64 = if cfg!(loom) { 2 } else { 8 };

/// A function, so that it is built only where it is returned: an error is large.
#[cold]
fn no_slot() -> Error {
    Error::Garbage { what: "the slot of the group in the ring" }
}

impl GroupMember {
    pub(super) fn me(&self) -> Incarnation {
        self.group.me()
    }

    pub(super) fn leases(&self) -> Leases<'_> {
        let views = self.group.views();
        Leases::new(views.line, views.items)
    }

    /// Waits for its turn, and does something in it.
    pub(super) fn in_turn<T>(
        &self,
        until: Until,
        work: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.begin_turn(until)?;
        let result = work(self);
        self.end_turn()?;
        result
    }

    /// Waits for its turn.
    #[inline(always)]
    fn begin_turn(&self, until: Until) -> Result<(), Error> {
        self.check()?;
        let line = self.group.views().line;
        let turn = Owned::new(&line.turn, &line.watch);
        if !turn.take(self.me()) {
            turn.wait(&self.group, until.ns())?;
        }
        Ok(())
    }

    #[inline(always)]
    fn end_turn(&self) -> Result<(), Error> {
        let line = self.group.views().line;
        Owned::new(&line.turn, &line.watch).give(self.me());
        self.check_memory()
    }

    /// Takes at most `want` records in a turn. `now_ns`: see `now_if_due`.
    #[inline(always)]
    pub(super) fn take(&mut self, want: u32, now_ns: u64, until: Until) -> Result<Option<Claimed>, Error> {
        self.begin_turn(until)?;
        let claimed = self.claim(want, now_ns);
        self.end_turn()?;
        claimed
    }

    #[inline(always)]
    fn claim(&mut self, want: u32, now_ns: u64) -> Result<Option<Claimed>, Error> {
        let views = self.group.views();
        let leases = Leases::new(views.line, views.items);
        let mut open = leases.collect()?;
        if open.oldest != open.next && self.is_sweep_due(now_ns) {
            self.sweep(open, now_ns)?;
        }
        self.tend_gate(open, false)?;
        let tries = self.tries(now_ns);
        if tries.puts_aside {
            leases.unshelve();
        }
        let me = self.group.me();
        if leases.is_any_returned() && leases.hand_out_again(me, open, tries, now_ns, &mut self.current.lease)
        {
            return Ok(Some(Claimed::Lease));
        }
        if leases.is_full(open) {
            open = leases.collect()?;
            if leases.is_full(open) {
                return Ok(None);
            }
        }
        let end = leases.end(open);
        if !end.position.is_multiple_of(8) {
            return Err(Error::Garbage { what: "the end of a lease" });
        }
        let areas = self.ring.areas();
        let usual = self.reader.is_held(end.position).then(|| self.reader.usual());
        let Some(place) = attach::ahead(areas, end, want, usual, &mut self.seen)? else {
            let margin = areas.geometry.capacity / 8;
            let place = until_found(areas.geometry.capacity, |_| Ok(index::oldest(areas, margin)))?;
            if !after(place.position, end.position) {
                return Ok(None);
            }
            leases.pass_loss(open, (end, place));
            return Ok(Some(Claimed::Lost(end, place)));
        };
        if place.sequence == end.sequence {
            return Ok(None);
        }
        leases.hand_out(me, open, (end, place), now_ns, &mut self.current.lease);
        Ok(Some(Claimed::Lease))
    }

    /// The time for a turn, on the machine's clock, as members in other time namespaces compare with it. `None`: a turn would
    /// find nothing, and no look for the dead is due.
    ///
    /// Only leases with a time need the exact one. For all others it is that of the kernel's last tick, which costs a fifth: so
    /// members that work look for the dead up to a tick later.
    #[inline(always)]
    pub(super) fn now_if_due(&self) -> Option<u64> {
        if self.seems_ready() {
            return Some(if self.lease_ns > 0 { timestamp::now_ns() } else { timestamp::tick_ns() });
        }
        if !self.leases().is_any_open() {
            return None;
        }
        let now_ns = timestamp::now_ns();
        self.is_sweep_due(now_ns).then_some(now_ns)
    }

    fn tries(&self, now_ns: u64) -> Tries {
        let most = self.dead_letters.as_ref().map_or(0, |dead_letters| dead_letters.most);
        Tries { most, puts_aside: most > 0 && now_ns >= self.again_ns.get() }
    }

    pub(super) fn is_sweep_due(&self, now_ns: u64) -> bool {
        cfg!(loom) || now_ns.saturating_sub(self.swept_ns.get()) >= SWEEP_NS
    }

    /// Takes back what the dead have, and what others have had for too long. Returns whether there was anything.
    pub(super) fn sweep(&self, open: Open, now_ns: u64) -> Result<bool, Error> {
        self.swept_ns.set(now_ns);
        let mut asked: Vec<(Incarnation, bool)> = Vec::new();
        self.leases().take_back(open, |owner, since_ns| {
            if owner == self.me() {
                return Ok(false);
            }
            if !self.group.could_exist(owner) {
                return Err(NOBODYS);
            }
            if self.lease_ns > 0 && now_ns.saturating_sub(since_ns) >= self.lease_ns {
                return Ok(true);
            }
            if let Some((_, is_dead)) = asked.iter().find(|(other, _)| *other == owner) {
                return Ok(*is_dead);
            }
            let is_dead = !self.group.is_alive(owner);
            asked.push((owner, is_dead));
            Ok(is_dead)
        })
    }

    /// Opens the gate if it is to be open and is not, and moves it if it is far behind, if the producer waits for it, or
    /// `at_once`.
    pub(super) fn tend_gate(&self, open: Open, at_once: bool) -> Result<(), Error> {
        let areas = self.ring.areas();
        let slot = areas.slots.get(self.slot as usize).ok_or_else(no_slot)?;
        let place = self.leases().gate(open);
        let opens = self.opens_gate(gate::state(slot), place);
        let cursor = slot.gate.cursor.load(at!(G_FIELDS, Relaxed)) & !7;
        let behind = place.position.wrapping_sub(cursor);
        let is_due = at_once || behind >= self.gate_due() || self.producer_waits();
        if !opens && (behind == 0 || !is_due) {
            return Ok(());
        }
        let mut own_slot = OwnSlot::of_group(areas, self.slot).ok_or_else(no_slot)?;
        own_slot.store_cursor(areas, place);
        if opens {
            own_slot.open_at(areas, self.budget_ns != LOSSY, place);
        }
        doorbell::notify(&areas.control.space, WaitMode::Fence);
        Ok(())
    }

    fn gate_due(&self) -> u64 {
        self.ring.geometry().capacity / GATE_DUE
    }

    /// Whether the slot's state is to be that of an open gate at `place`, or of a lossy group, and is not.
    fn opens_gate(&self, state: Option<SlotState>, place: Place) -> bool {
        match state {
            Some(SlotState::Gated) => false,
            Some(SlotState::Lossy) => self.budget_ns != LOSSY,
            // Its budget is for a lap: it opens the gate again once the producer has nearly a lap before it.
            Some(SlotState::Evicted) => self.published().wrapping_sub(place.position) <= self.gate_due(),
            _ => true,
        }
    }

    /// Whether the producer sleeps until there is space, and so until the gate moves.
    pub(super) fn producer_waits(&self) -> bool {
        doorbell::is_armed(&self.ring.areas().control.space)
    }

    /// Moves the gate to where it can be.
    pub(super) fn settle(&self, until_ns: u64) -> Result<(), Error> {
        self.in_turn(Until::Ns(until_ns), |member| member.tend_gate(member.leases().collect()?, true))
    }

    /// Wakes members that sleep: there is something to be handed out.
    pub(super) fn ring_for_members(&self) {
        doorbell::notify(&self.ring.areas().control.data, WaitMode::Fence);
    }
}
