//! A merge by publish time.

use std::time::Duration;

use super::{Merge, State, Taken};
use crate::ring::protocol::record::Event;
use crate::ring::receive::Received;
#[cfg(not(loom))]
use crate::source::SharedBell;
use crate::source::{Arming, Bell, Source, Waitable};
use crate::wait::clock;
use crate::wait::timestamp;

/// What a merge by time keeps.
#[derive(Debug)]
pub(super) struct Order {
    /// How long a record waits for older ones, from its publish time on, ns.
    lateness_ns: u64,
    /// The newest publish time that was handed out.
    newest_ns: u64,
    turn: Turn,
}

/// Ready when the next record in hand goes out whatever comes.
#[derive(Debug)]
pub(super) struct Turn {
    /// On the monotonic clock of this process.
    due_ns: u64,
}

impl Waitable for Turn {
    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

impl Source for Turn {
    fn look(&mut self) -> bool {
        clock::is_past(self.due_ns)
    }

    fn arm(&mut self) -> Arming {
        Arming::due(self.due_ns)
    }

    fn bell(&self) -> Option<Bell<'_>> {
        None
    }

    #[cfg(not(loom))]
    fn share_bell(&self) -> Option<SharedBell> {
        None
    }
}

/// A record that was taken from its ring, and waits for its turn. Until then its ring is left alone: a receive, or a wait, would
/// release the record.
#[derive(Clone, Copy, Debug)]
pub(super) struct InHand {
    received: Received,
    time_ns: u64,
}

impl Order {
    /// The turn of the next record in hand, which comes at `due_ns` at the latest.
    pub(super) fn turn(&mut self, due_ns: u64) -> &mut Turn {
        self.turn.due_ns = due_ns;
        &mut self.turn
    }
}

impl Merge {
    /// By publish time. A record goes out when no ring can have an older one: when each that streams has one in hand. It
    /// waits for that until it is `lateness` old, counted from its publish time, and then goes out all the same. If an older
    /// one comes after it, that is marked as [late](super::Merged::late).
    ///
    /// So a lateness that covers the time from a publish to the receive gives all records in order, as far as clocks can tell:
    /// records with the same time go out in the order of their rings. A ring that is idle delays the others
    /// by the lateness. One whose stream has ended delays nobody.
    ///
    /// Losses and other events go out at once, before what their ring has next. So do records of a ring that was made without
    /// [`Options::times`](crate::Options::times).
    ///
    /// ```
    /// use std::time::Duration;
    /// use quoit::{Attach, Merge, Options, Ring};
    ///
    /// let options = Options::new().capacity(4096).times(true);
    /// let rings = [Ring::heap(&options)?, Ring::heap(&options)?];
    /// let mut merge = Merge::by_time(Duration::from_millis(10));
    /// for ring in &rings {
    ///     merge.push(ring.consumer(&Attach::gated())?);
    /// }
    /// let mut producers = [rings[0].producer()?, rings[1].producer()?];
    /// for (word, ring) in [("one", 1), ("two", 0), ("three", 1)] {
    ///     producers[ring].send(word.as_bytes())?;
    /// }
    /// for word in ["one", "two", "three"] {
    ///     let merged = merge.recv()?;
    ///     assert!(!merged.late);
    ///     assert_eq!(merged.event?.record().map(|record| record.to_vec()), Some(word.into()));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn by_time(lateness: Duration) -> Self {
        let order = Order {
            lateness_ns: clock::duration_ns(lateness),
            newest_ns: 0,
            turn: Turn { due_ns: u64::MAX },
        };
        Self { order: Some(order), ..Self::default() }
    }

    /// The oldest record in hand, if its turn has come, or an event that waits for none.
    pub(super) fn take_in_order(&mut self) -> Option<Taken> {
        if let Some(taken) = self.fill_hands() {
            return Some(taken);
        }
        let is_complete = self.members.iter().all(|member| {
            member.reader.is_none() || member.state != State::Streaming || member.in_hand.is_some()
        });
        let (ring, time_ns) = self.oldest()?;
        let order = self.order.as_mut()?;
        if !is_complete && timestamp::now_ns() < time_ns.saturating_add(order.lateness_ns) {
            return None;
        }
        let late = time_ns < order.newest_ns;
        order.newest_ns = order.newest_ns.max(time_ns);
        let InHand { received, .. } = self.members.get_mut(ring)?.in_hand.take()?;
        Some(Taken { ring, received: Ok(received), late })
    }

    /// Takes a record of each ring that has none in hand. Returns an event that waits for none.
    fn fill_hands(&mut self) -> Option<Taken> {
        let (count, turn) = (self.members.len(), self.turn);
        (0..count).map(|step| (turn + step) % count).find_map(|ring| {
            if self.members.get(ring)?.in_hand.is_some() {
                return None;
            }
            let taken = self.take_from(ring)?;
            let member = self.members.get_mut(ring)?;
            let reader = member.reader.as_ref()?;
            let time = taken.received.as_ref().ok().and_then(|received| {
                match reader.receiver().lend_taken(*received) {
                    Event::Record(record) => Some((*received, record.time()?)),
                    _ => None,
                }
            });
            match time {
                Some((received, time)) => {
                    member.in_hand = Some(InHand { received, time_ns: time.as_nanos() });
                    None
                }
                None => Some(taken),
            }
        })
    }

    /// The ring whose record in hand is the oldest, and its time.
    fn oldest(&self) -> Option<(usize, u64)> {
        let in_hand = self.members.iter().map(|member| member.in_hand).enumerate();
        let times = in_hand.filter_map(|(ring, in_hand)| Some((ring, in_hand?.time_ns)));
        times.min_by_key(|(ring, time_ns)| (*time_ns, *ring))
    }

    /// When the next record in hand goes out whatever comes, on this process's monotonic clock; `u64::MAX`: there is none.
    pub(super) fn due_ns(&self) -> u64 {
        let (Some((_, time_ns)), Some(order)) = (self.oldest(), &self.order) else { return u64::MAX };
        let left = time_ns.saturating_add(order.lateness_ns).saturating_sub(timestamp::now_ns());
        clock::monotonic_ns().saturating_add(left)
    }
}
