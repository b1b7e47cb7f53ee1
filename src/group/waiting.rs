//! How a member waits: for records, for what others give back, and for the death of others.

use crate::atomics::{at, spin};
use crate::error::Error;
use crate::group::error::GroupError;
use crate::group::member::{GroupMember, Ready};
use crate::group::until::Until;
use crate::ring::locks;
use crate::ring::stream::{is_closed, mode};
use crate::seats::Incarnation;
use crate::sync::owner::{owner_of, to_word};
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

impl GroupMember {
    /// Waits for a record, and takes at most `want`.
    #[inline]
    pub(super) fn wait(&mut self, want: u32, until: Until) -> Result<Ready, GroupError> {
        let found = self.prepare(want, until);
        if let Ok(Some(ready)) = found {
            self.stop_watching();
            return Ok(ready);
        }
        self.wait_longer(found.err(), want, until)
    }

    /// The rest of `wait`, after a turn that found nothing, or an error.
    #[cold]
    #[inline(never)]
    fn wait_longer(
        &mut self,
        error: Option<GroupError>,
        want: u32,
        until: Until,
    ) -> Result<Ready, GroupError> {
        let result = error.map_or_else(|| self.wait_watching(want, until), Err);
        self.stop_watching();
        if matches!(result, Err(GroupError::Closed | GroupError::ProducerGone)) {
            self.told_at = Some(self.published());
        }
        result
    }

    fn wait_watching(&mut self, want: u32, until: Until) -> Result<Ready, GroupError> {
        let mut until = until;
        let mut spins_left = None;
        loop {
            // Only now: a call that finds something at once does not look at the clock.
            let until_ns = until.ns();
            until = Until::Ns(until_ns);
            let spins =
                spins_left.get_or_insert_with(|| if clock::is_past(until_ns) { 0 } else { self.spins });
            if *spins > 0 {
                *spins -= 1;
                spin();
            } else if let Some(end) = self.ended(until_ns)? {
                return Err(end);
            } else if clock::is_past(until_ns) {
                return Err(GroupError::TimedOut);
            } else {
                self.sleep(until_ns)?;
            }
            if let Some(ready) = self.prepare(want, until)? {
                return Ok(ready);
            }
        }
    }

    /// The end of the stream, if it has come, and no record can come from another member.
    fn ended(&self, until_ns: u64) -> Result<Option<GroupError>, Error> {
        let areas = self.ring.areas();
        // In this order, so that what was published just before the end is seen.
        if !self.is_producer_gone() || self.seems_ready() {
            return Ok(None);
        }
        let nothing_left = self.in_turn(Until::Ns(until_ns), |member| {
            let leases = member.leases();
            let open = leases.collect()?;
            let nothing_left = leases.are_all(member.me(), open) && member.is_all_leased(leases.end(open));
            if nothing_left {
                // There may be no member after this one to show that everything is acknowledged.
                member.tend_gate(open, true)?;
            }
            Ok(nothing_left)
        })?;
        // A producer sets the flag and then unlocks, so look again.
        let end = if is_closed(areas) { GroupError::Closed } else { GroupError::ProducerGone };
        Ok(nothing_left.then_some(end))
    }

    /// Whether there was a producer, and it has ended or died.
    pub(super) fn is_producer_gone(&self) -> bool {
        let areas = self.ring.areas();
        let has_begun = areas.head.reserve.epoch.load(at!(R4_EPOCH, Relaxed)) != 0;
        has_begun && (is_closed(areas) || !self.ring.locked(locks::PRODUCER))
    }

    /// One slice of sleep, with the gate where it can be.
    #[cold]
    fn sleep(&self, until_ns: u64) -> Result<(), Error> {
        match self.settle(until_ns) {
            Err(Error::TimedOut) => {}
            settled => settled?,
        }
        let areas = self.ring.areas();
        if areas.geometry.wait == WaitMode::Spin {
            // The producer wakes nobody in this mode.
            std::thread::yield_now();
            return Ok(());
        }
        let (is_open, was_closed) = (self.leases().is_any_open(), is_closed(areas));
        let is_watching = is_open && self.watches();
        let slice_ns = if is_watching { doorbell::PROBE_NS } else { doorbell::SLICE_NS };
        // Somebody has got a lease since, or who watched has gone since, and nobody looks whether its holder lives.
        let is_unwatched = || !is_watching && self.leases().is_any_open() && (!is_open || !self.is_watched());
        let is_over = || is_closed(areas) && (!was_closed || self.leases().seem_all(self.me()));
        let is_true = || self.seems_ready() || is_unwatched() || is_over() || self.check_memory().is_err();
        let ends_ns = clock::monotonic_ns().saturating_add(doorbell::armed_ns(slice_ns));
        let word = &areas.control.data;
        self.group.note_waiting(true);
        doorbell::sleep(word, |word| doorbell::heavy_for(word, mode(areas)), is_true, until_ns.min(ends_ns));
        self.group.note_waiting(false);
        Ok(())
    }

    /// Whether this is the member that looks for the dead, from now on at the latest. One that has records itself does not
    /// rely on another, nor others on it.
    pub(super) fn watches(&self) -> bool {
        if self.is_watching.get() || self.unacknowledged() > 0 {
            return true;
        }
        let watcher = &self.group.views().line.watcher;
        let seen = watcher.load(at!(J_WATCHER, Relaxed));
        let is_alive = |other: Incarnation| {
            other != self.me() && self.group.could_exist(other) && self.group.is_alive(other)
        };
        if owner_of(seen).is_some_and(is_alive) {
            return false;
        }
        let me = to_word(self.me());
        let taken = watcher.compare_exchange(seen, me, at!(J_WATCH, Relaxed), at!(J_WATCH_FAILED, Relaxed));
        self.is_watching.set(taken.is_ok());
        taken.is_ok()
    }

    /// Whether a member has said that it looks for the dead. It may have died since: that is noticed when the sleep ends.
    fn is_watched(&self) -> bool {
        self.group.views().line.watcher.load(at!(J_WATCHER, Relaxed)) != 0
    }

    /// Lets another member that sleeps look for the dead.
    #[inline]
    pub(super) fn stop_watching(&self) {
        if self.is_watching.replace(false) {
            self.let_others_watch();
        }
    }

    #[cold]
    #[inline(never)]
    fn let_others_watch(&self) {
        if self.check().is_ok() {
            let (watcher, me) = (&self.group.views().line.watcher, to_word(self.me()));
            let _ = watcher.compare_exchange(me, 0, at!(J_WATCH, Relaxed), at!(J_WATCH_FAILED, Relaxed));
            self.ring_for_members();
        }
    }
}
