//! Following a stage, and being followed.

use super::Receiver;
use crate::ring::geometry::Areas;
use crate::ring::protocol::stage::{Followers, Stage};
use crate::ring::stream::is_closed;
use crate::wait::clock;
use crate::wait::doorbell;

/// The shortest time between two checks of the stage's lock by one handle, ns.
const PROBE_NS: u64 = 1_000_000;

/// The stage that a receiver follows, and those that follow this receiver.
#[derive(Debug, Default)]
pub(super) struct Following {
    behind: Option<Behind>,
    followers: Followers,
}

#[derive(Clone, Copy, Debug)]
struct Behind {
    stage: Stage,
    /// The number that the stage hears of when it looks for followers.
    count: u64,
    /// The last check of the stage's lock: when, and whether it was dead.
    probe: Option<(u64, bool)>,
}

impl Following {
    #[inline(always)]
    pub(super) fn stage(&self) -> Option<Stage> {
        self.behind.map(|behind| behind.stage)
    }

    /// Whether others follow this receiver, and so every release is to be shown.
    #[inline(always)]
    pub(super) fn is_followed(&self) -> bool {
        self.followers.any()
    }
}

impl Receiver {
    /// Receives only what the stage has released. The slot names the stage already.
    pub(crate) fn follow(&mut self, stage: Stage) {
        let count = stage.count_follower(self.region.areas());
        self.following.behind = Some(Behind { stage, count, probe: None });
        self.choose_ways();
    }

    /// Receives everything published again.
    pub(crate) fn unfollow(&mut self) {
        let Some(Behind { stage, .. }) = self.following.behind else { return };
        if self.region.broken() {
            return;
        }
        self.following.behind = None;
        let areas = self.region.areas();
        if let Some(own_slot) = &self.own_slot {
            own_slot.follow_nothing(areas);
        }
        stage.count_follower(areas);
        // What the last look found may be read; more is published.
        self.waiting.moved_on();
        self.choose_ways();
    }

    /// Leaves the stage, after the slot is given up.
    pub(super) fn leave_stage(&mut self) {
        if let Some(Behind { stage, .. }) = self.following.behind.take() {
            stage.count_follower(self.region.areas());
        }
    }

    /// Whether there is a record that was not read, or padding.
    #[inline(always)]
    pub(super) fn has_new(&self, areas: Areas<'_>) -> bool {
        match self.following.stage() {
            None => self.reader.is_behind(areas),
            Some(stage) => self.reader.is_behind_stage(areas, stage),
        }
    }

    /// Whether the stream may be at its end, or the stage gone, as far as the words show.
    pub(super) fn may_have_ended(&self) -> bool {
        let areas = self.region.areas();
        match self.following.stage() {
            None => is_closed(areas),
            // In this order, so that what was published just before the end is seen.
            Some(stage) => (is_closed(areas) && !self.reader.is_behind(areas)) || !stage.stands(areas),
        }
    }

    /// Whether records are published that the stage has still to release.
    pub(super) fn waits_for_stage(&self) -> bool {
        self.following.stage().is_some() && self.reader.is_behind(self.region.areas())
    }

    /// Whether the stage's gate is gone, or nobody keeps it. Checks the stage's lock at most once in `PROBE_NS`.
    pub(super) fn is_stage_gone(&mut self) -> bool {
        let areas = self.region.areas();
        let Some(behind) = &mut self.following.behind else { return false };
        if !behind.stage.stands(areas) {
            return true;
        }
        if behind.stage.is_held(areas) {
            return false;
        }
        let now = clock::monotonic_ns();
        // The models have no time, so they always check.
        if let Some((looked, dead)) = behind.probe
            && !cfg!(loom)
            && now.saturating_sub(looked) < PROBE_NS
        {
            return dead;
        }
        let dead = !self.region.is_alive(behind.stage.slot);
        behind.probe = Some((now, dead));
        dead
    }

    /// Until the stage has noticed this follower, it shows what it has released once in an eighth of the capacity, or
    /// when it has nothing to do. As a producer that waits for space, a follower that waits makes it show its cursor.
    pub(super) fn prompt_stage(&self) {
        let areas = self.region.areas();
        if let Some(Behind { stage, count, .. }) = self.following.behind
            && !stage.has_heard(areas, count)
            && self.reader.is_behind(areas)
            && !doorbell::is_armed(&areas.control.space)
        {
            doorbell::arm(&areas.control.space);
        }
    }

    /// After the cursor was stored and a full fence, or `anew`: looks for followers, and wakes them.
    pub(crate) fn tell_followers(&mut self, anew: bool) {
        let Some(own_slot) = self.own_slot.as_ref().filter(|own_slot| own_slot.is_named()) else { return };
        let (areas, number) = (self.region.areas(), own_slot.number);
        // Those that follow a stretch that is over, too.
        self.following.followers.wake(areas, number);
        if self.following.followers.look(areas, number, anew) {
            self.following.followers.wake(areas, number);
            self.choose_ways();
            self.reader.forbid_fast();
        }
    }
}
