//! `Merge`: several rings as one stream.

use std::time::{Duration, Instant};

use crate::error::RecvError;
use crate::ring::any::AnyReader;
use crate::ring::protocol::record::Event;
use crate::ring::receive::Received;
use crate::source::Waitable;
use crate::wait::clock;
use crate::wait::doorbell::SLICE_NS;
use crate::waitset::WaitSet;

mod ordered;

use ordered::{InHand, Order};

/// Events in a row from one ring, while others have some too.
const BURST: u32 = 16;
/// Events in a row of all rings, before a look at those that have none: they may have ended.
const MOST: u32 = 1024;

/// Several readers as one stream, each event told with its ring: in the order in which events are found, fairly
/// ([`new`](Self::new)), or by publish time ([`by_time`](Self::by_time)).
///
/// Each ring keeps its own order. Where none is asked for between rings, one with many records gives way to
/// the others after 16 in a row. What happens to one ring does not stop the others: the end of its stream, the death of its
/// producer, or an error of its handle is an event, told once. After an end its ring goes on if another producer comes.
///
/// The number of a ring is its place in the order in which readers were added, from 0. Consumers and observers may be mixed.
/// Everything between two calls is as with one consumer: each receive releases the last record of the ring that it looks at.
///
/// One thread at a time uses a merge; it may move between threads.
///
/// ```
/// use quoit::{Attach, Merge, Options, RecvError, Ring};
///
/// let options = Options::new().capacity(4096);
/// let rings = [Ring::heap(&options)?, Ring::heap(&options)?];
/// let mut merge = Merge::new();
/// for ring in &rings {
///     merge.push(ring.consumer(&Attach::gated())?);
/// }
/// rings[1].producer()?.send(b"from the second")?;
/// rings[0].producer()?.send(b"from the first")?;
///
/// let (mut records, mut ends) = (0, Vec::new());
/// loop {
///     match merge.recv() {
///         Ok(merged) => match merged.event {
///             Ok(event) => records += usize::from(event.record().is_some()),
///             Err(RecvError::Closed) => ends.push(merged.ring),
///             Err(error) => return Err(error.into()),
///         },
///         // All rings have ended.
///         Err(RecvError::Closed) => break,
///         Err(error) => return Err(error.into()),
///     }
/// }
/// ends.sort();
/// assert_eq!((records, ends), (2, vec![0, 1]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Merge {
    members: Vec<Member>,
    /// Whose turn it is, and how many events it had in a row.
    turn: usize,
    in_a_row: u32,
    /// The end of all rings was returned.
    told: bool,
    set: WaitSet,
    /// Events since the last look by the set.
    since_look: u32,
    /// Rings that the set found ready although they have no event: they may have ended. What makes them ready is told
    /// once in a while only, and others may have had an event at that very moment.
    quiet: Vec<usize>,
    /// By publish time. `None`: as events come.
    order: Option<Order>,
}

#[derive(Debug)]
struct Member {
    /// `None`: it was removed.
    reader: Option<AnyReader>,
    state: State,
    /// Only by time.
    in_hand: Option<InHand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Streaming,
    /// The end of its stream was told. Another producer may come.
    Ended,
    /// Its handle has an error that stays.
    Failed,
}

/// An event, and the ring that it is from.
#[derive(Debug)]
pub struct Merged<'a> {
    /// The number of the ring.
    pub ring: usize,
    /// What a receive from it returned. An error is told once, and concerns this ring alone: [`RecvError::Closed`] and
    /// [`RecvError::ProducerGone`], after which it goes on if another producer comes; [`RecvError::StageGone`], after which it
    /// goes on if the stage comes back; or an error that stays, after which the ring is not looked at any more.
    pub event: Result<Event<'a>, RecvError>,
    /// Of a merge [by time](Merge::by_time): the record is older than one that was handed out before.
    pub late: bool,
}

/// An event that is not lent yet.
#[derive(Debug)]
struct Taken {
    ring: usize,
    received: Result<Received, RecvError>,
    late: bool,
}

impl Taken {
    fn of(ring: usize, received: Result<Received, RecvError>) -> Self {
        Self { ring, received, late: false }
    }
}

impl Merge {
    /// In the order in which events are found. Of no rings yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a reader, and returns the number of its ring.
    pub fn push(&mut self, reader: impl Into<AnyReader>) -> usize {
        self.members.push(Member { reader: Some(reader.into()), state: State::Streaming, in_hand: None });
        self.told = false;
        self.members.len() - 1
    }

    /// Takes a reader out. The numbers of the others stay. By time, a record of it that still waits for its turn is dropped; it
    /// counts as received. `None`: it was taken out before, or never added.
    pub fn remove(&mut self, ring: usize) -> Option<AnyReader> {
        let member = self.members.get_mut(ring)?;
        member.in_hand = None;
        member.reader.take()
    }

    /// The reader of a ring.
    pub fn reader(&self, ring: usize) -> Option<&AnyReader> {
        self.members.get(ring)?.reader.as_ref()
    }

    /// The reader of a ring. `None`: there is none; or, by time, a record of it waits for its turn.
    pub fn reader_mut(&mut self, ring: usize) -> Option<&mut AnyReader> {
        self.members.get_mut(ring).filter(|member| member.in_hand.is_none())?.reader.as_mut()
    }

    /// The readers that are waited for, as things for a wait set, a watch or a descriptor of the caller. By time there is one
    /// thing more, the last: the turn of a record that waits for it.
    pub fn things(&mut self) -> Vec<&mut dyn Waitable> {
        let due_ns = self.due_ns();
        let Self { members, order, .. } = self;
        let turn = order.as_mut().map(|order| order.turn(due_ns) as &mut dyn Waitable);
        let readers = waited(members).map(|(_, reader)| reader as &mut dyn Waitable);
        readers.chain(turn).collect()
    }

    /// As [`WaitSet::set_spins`].
    pub fn set_spins(&mut self, spins: u32) {
        self.set.set_spins(spins);
    }

    /// Waits for the next event of any ring.
    ///
    /// # Errors
    ///
    /// [`RecvError::Closed`]: the streams of all rings have ended, cleanly or not, and nothing is left. The next call waits
    /// 100 ms for another producer before it says so again. Errors of single rings are events.
    pub fn recv(&mut self) -> Result<Merged<'_>, RecvError> {
        self.recv_until(u64::MAX)
    }

    /// As [`recv`](Self::recv), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`RecvError::TimedOut`].
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Merged<'_>, RecvError> {
        self.recv_until(clock::deadline_ns(deadline))
    }

    /// As [`recv`](Self::recv), for `timeout` at most. A time-out of 0 looks at all rings once, and tells ends.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv); [`RecvError::TimedOut`].
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Merged<'_>, RecvError> {
        self.recv_until(clock::monotonic_ns().saturating_add(clock::duration_ns(timeout)))
    }

    /// The next event, if there is one. Never waits, and tells no ends.
    pub fn try_recv(&mut self) -> Option<Merged<'_>> {
        let taken = self.take()?;
        Some(self.lend(taken))
    }

    fn recv_until(&mut self, until_ns: u64) -> Result<Merged<'_>, RecvError> {
        let mut until_ns = until_ns;
        let taken = loop {
            if self.since_look >= MOST && self.quiet.is_empty() {
                self.look(0);
            }
            if let Some(taken) = self.take_quiet_end().or_else(|| self.take()) {
                break taken;
            }
            if self.has_ended() {
                if !std::mem::replace(&mut self.told, true) {
                    return Err(RecvError::Closed);
                }
                until_ns = until_ns.min(clock::monotonic_ns().saturating_add(SLICE_NS));
            }
            match self.wait(until_ns.min(self.due_ns())) {
                Some(taken) => break taken,
                None if self.has_ended() && clock::is_past(until_ns) => return Err(RecvError::Closed),
                None if clock::is_past(until_ns) => return Err(RecvError::TimedOut),
                None => {}
            }
        };
        self.since_look += 1;
        Ok(self.lend(taken))
    }

    /// The next event of the ring whose turn it is, or of the first after it that has one.
    fn take(&mut self) -> Option<Taken> {
        if self.order.is_some() {
            return self.take_in_order();
        }
        let (count, turn) = (self.members.len(), self.turn);
        (0..count).find_map(|step| self.take_from((turn + step) % count))
    }

    fn take_from(&mut self, ring: usize) -> Option<Taken> {
        let member = self.members.get_mut(ring)?;
        let receiver = member.reader.as_mut().filter(|_| member.state != State::Failed)?.receiver_mut();
        let received = receiver.try_take().transpose()?;
        member.state = if received.is_ok() { State::Streaming } else { State::Failed };
        self.told = false;
        self.in_a_row = if ring == self.turn { self.in_a_row + 1 } else { 1 };
        self.turn = ring;
        if self.in_a_row >= BURST {
            (self.turn, self.in_a_row) = (ring + 1, 0);
        }
        Some(Taken::of(ring, received))
    }

    /// Waits for one round. `None`: the time is over, or what was ready had no event.
    fn wait(&mut self, until_ns: u64) -> Option<Taken> {
        self.look(until_ns);
        // First whatever has an event, in turn.
        self.take().or_else(|| self.take_quiet_end())
    }

    /// Has the set look at all rings, and wait.
    fn look(&mut self, until_ns: u64) {
        let Self { members, set, quiet, since_look, .. } = self;
        *since_look = 0;
        let mut rings = Vec::with_capacity(members.len());
        let mut things: Vec<&mut dyn Waitable> = Vec::with_capacity(members.len());
        for (ring, reader) in waited(members) {
            rings.push(ring);
            things.push(reader);
        }
        let ready = set.wait_until(&mut things, until_ns);
        quiet.extend(ready.iter().filter_map(|token| rings.get(token).copied()));
        quiet.retain(|ring| {
            let reader = members.get(*ring).and_then(|member| member.reader.as_ref());
            reader.is_some_and(|reader| !reader.receiver().has_more())
        });
    }

    fn take_quiet_end(&mut self) -> Option<Taken> {
        while let Some(ring) = self.quiet.pop() {
            if let Some(end) = self.take_end(ring) {
                return Some(end);
            }
        }
        None
    }

    fn take_end(&mut self, ring: usize) -> Option<Taken> {
        let member = self.members.get_mut(ring)?;
        let end = member.reader.as_mut()?.receiver_mut().take_end()?;
        member.state = State::Ended;
        Some(Taken::of(ring, Err(end)))
    }

    fn lend(&self, Taken { ring, received, late }: Taken) -> Merged<'_> {
        let reader = self.members.get(ring).and_then(|member| member.reader.as_ref());
        let event = received.and_then(|received| match reader {
            Some(reader) => Ok(reader.receiver().lend_taken(received)),
            None => Err(RecvError::Closed),
        });
        Merged { ring, event, late }
    }

    /// Whether no ring streams any more.
    fn has_ended(&self) -> bool {
        !self.members.iter().any(|member| member.reader.is_some() && member.state == State::Streaming)
    }
}

fn waited(members: &mut [Member]) -> impl Iterator<Item = (usize, &mut AnyReader)> {
    let is_waited_for = |member: &Member| member.state != State::Failed && member.in_hand.is_none();
    let waited = members.iter_mut().enumerate().filter(move |(_, member)| is_waited_for(member));
    waited.filter_map(|(ring, member)| Some((ring, member.reader.as_mut()?)))
}
