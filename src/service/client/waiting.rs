//! How a client waits: for replies and ends, and for room.

use super::{CallId, Client, Event};
use crate::atomics::{at, spin};
use crate::error::{CallError, Error};
use crate::service::{SPINS, server_lives, sleep};
use crate::wait::{clock, doorbell};

/// How often a client that does not wait asks whether the server lives, ns.
const PROBE_NS: u64 = if cfg!(loom) { 0 } else { doorbell::PROBE_NS };

/// One wait of a client.
struct Wait {
    until_ns: u64,
    spins: u32,
    began_ns: Option<u64>,
}

impl Wait {
    fn until(until_ns: u64) -> Self {
        Self { until_ns, spins: if until_ns == 0 { 0 } else { SPINS }, began_ns: None }
    }

    /// The time. For a single try with no deadline in flight it only decides whether to ask if the server lives, so the time of
    /// the last tick is enough.
    fn look_at_clock(&self, client: &Client) -> u64 {
        if self.until_ns == 0 && client.calls.earliest_ns() == u64::MAX {
            return clock::tick_ns();
        }
        clock::monotonic_ns()
    }

    /// A look has found nothing: looks closer, or sleeps. `false`: the time is over.
    fn turn(&mut self, client: &mut Client, is_true: impl Fn(&Client) -> bool) -> bool {
        if self.spins > 0 {
            self.spins -= 1;
            spin();
            return true;
        }
        let now = self.look_at_clock(client);
        if client.look_closer(now) {
            return true;
        }
        if self.until_ns != u64::MAX && now >= self.until_ns {
            return false;
        }
        let waited_ns = now.saturating_sub(*self.began_ns.get_or_insert(now));
        let slice_ns = doorbell::armed_ns(doorbell::nap_ns(waited_ns));
        let until_ns = now.saturating_add(slice_ns).min(self.until_ns).min(client.calls.earliest_ns());
        sleep(&client.seat().bell, until_ns, waited_ns, || {
            // The server may have begun to wait for room since the last release.
            client.feed();
            client.has_event() || is_true(client) || client.region.memory_gone()
        });
        true
    }
}

impl Client {
    /// The next event, by that time on the monotonic clock. With a time that has passed: one look, the clock, and at
    /// times whether the server lives.
    pub(super) fn next_event(&mut self, until_ns: u64) -> Result<Option<Event>, Error> {
        let mut wait = Wait::until(until_ns);
        loop {
            if let Some(event) = self.poll()? {
                return Ok(Some(event));
            }
            if !wait.turn(self, |_| false) {
                return Ok(None);
            }
        }
    }

    /// The last event of a call. Replies before it are passed over, and events of other calls are kept.
    pub(super) fn wait_for(&mut self, call: CallId) -> Result<Event, Error> {
        let mut others = Vec::new();
        let event = loop {
            match self.next_event(u64::MAX) {
                Ok(Some(event)) if event.call() != call => others.push(self.lend(event).into_owned()),
                Ok(Some(event)) if event.is_last() => break Ok(event),
                Ok(_) => {}
                Err(error) => break Err(error),
            }
        };
        self.kept.extend(others);
        event
    }

    /// Where a request of `len` bytes can begin, once there is room for it. Events that come meanwhile are kept, so
    /// that a server that waits for room for replies goes on.
    pub(super) fn wait_for_room(&mut self, len: usize, until_ns: u64) -> Result<u64, CallError> {
        let mut wait = Wait::until(until_ns);
        let mut events = Vec::new();
        let position = loop {
            match self.room(len) {
                Ok(Some(position)) => break Ok(position),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
            let seen = self.released;
            let turned = match self.poll() {
                Ok(Some(event)) => {
                    events.push(self.lend(event).into_owned());
                    continue;
                }
                Ok(None) => wait.turn(self, |client| client.has_room_since(seen)),
                Err(error) => break Err(error.into()),
            };
            if !turned {
                break Err(CallError::NotExecuted);
            }
        };
        self.kept.extend(events);
        position
    }

    /// Whether a poll may find something. Orders nothing.
    pub(super) fn has_event(&self) -> bool {
        self.channels().replies.has_some(self.replies)
            || self.server().ready.load(at!(Q_PEEK, Relaxed)) != self.ready
    }

    fn has_room_since(&self, released: u64) -> bool {
        self.seat().requests_released.load(at!(Q_PEEK, Relaxed)) != released
    }

    /// Looks at deadlines, and at times asks whether the server lives. `true`: poll again.
    #[cfg_attr(loom, allow(clippy::absurd_extreme_comparisons, reason = "the models have no time"))]
    pub(super) fn look_closer(&mut self, now_ns: u64) -> bool {
        if self.calls.len() == 0 {
            return false;
        }
        // A client that polls does not sleep, and would miss a server that has just begun to wait for room.
        self.feed();
        if now_ns >= self.calls.earliest_ns() {
            let channels = self.region.views().channels(self.region.shape(), self.me.number as usize);
            self.calls.expire(channels.requests, now_ns, &mut self.ended);
        }
        if self.calls.len() > 0 && now_ns.saturating_sub(self.probed_ns) >= PROBE_NS {
            self.probed_ns = now_ns;
            let generation = self.server().generation.load(at!(Q_GENERATION, Relaxed));
            // What a dead server had taken is told once: it takes nothing any more.
            let is_told = self.is_told && generation == self.dead;
            if generation != 0 && !is_told && !server_lives(&self.region, generation) {
                self.dead = generation;
                self.is_told = false;
                self.is_suspicious = true;
            }
        }
        self.has_told() || self.is_suspicious
    }

    /// Whether the next poll has something without a look.
    pub(super) fn has_told(&self) -> bool {
        !self.ended.is_empty() || !self.kept.is_empty()
    }
}
