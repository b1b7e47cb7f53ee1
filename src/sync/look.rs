//! What a read-only look at an object shows.

use std::collections::BTreeMap;

use crate::atomics::at;
use crate::error::{Error, Kind};
use crate::memory::format::Format;
use crate::memory::region::Region;
use crate::schema::Schema;
use crate::seats::{self, Incarnation};
use crate::sync::event::Reset;
use crate::sync::shape::{Content, Seat, Shape};

/// An object of this module at one moment. The fields are read one after another, so they may be slightly out of step
/// while the object is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its kind.
    pub kind: Kind,
    /// Its own random number.
    pub id: u128,
    /// When it was created, wall clock, ns since 1970.
    pub created_ns: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// What its kind is about.
    pub state: State,
    /// How many handles may be open at a time; 0 for a latest value, which has no seats.
    pub seats: u32,
    /// Who has a handle on it, by seat; and the dead that something is still in the name of. Of a latest value: its
    /// writer, if it lives.
    pub participants: Vec<Participant>,
    /// What is wrong in the object: another process wrote garbage into it. The other fields leave that out.
    pub garbage: Option<&'static str>,
}

/// What the kind of an object is about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Of a [`Mutex`](crate::sync::Mutex).
    #[non_exhaustive]
    Mutex {
        /// The type of its value.
        value: Schema,
        /// The number of commits, the first value included.
        version: u64,
        /// A holder died or panicked, and nobody has said since that what the lock guards is in order. A holder that is
        /// dead now counts once the next one has found it.
        is_abandoned: bool,
    },
    /// Of a [`Semaphore`](crate::sync::Semaphore).
    #[non_exhaustive]
    Semaphore {
        /// How many permits there are.
        permits: u32,
        /// How many of them are free, those of the dead not counted.
        available: u32,
    },
    /// Of an [`Event`](crate::sync::Event).
    #[non_exhaustive]
    Event {
        /// What ends its signal.
        reset: Reset,
        /// Whether it is set.
        is_set: bool,
        /// How often it was set while it was not.
        count: u64,
    },
    /// Of a [`Latest`](crate::sync::Latest).
    #[non_exhaustive]
    Latest {
        /// The type of the value.
        value: Schema,
        /// Copies of the value in the file.
        cells: u32,
        /// The number of commits, the first value included.
        version: u64,
        /// The process id of the current or last writer, as it stored it.
        writer_pid: u32,
    },
    /// Of a [`Barrier`](crate::sync::Barrier).
    #[non_exhaustive]
    Barrier {
        /// How many parties meet.
        parties: u32,
        /// How many have arrived in this round.
        arrived: u32,
        /// The number of the round.
        round: u64,
        /// Whether a party died or gave up in this round.
        is_broken: bool,
    },
    /// Of a [`Latch`](crate::sync::Latch).
    #[non_exhaustive]
    Latch {
        /// How many parties arrive.
        parties: u32,
        /// How many have arrived.
        arrived: u32,
        /// Whether all have arrived.
        is_open: bool,
        /// Whether a party died or left before it arrived.
        is_broken: bool,
    },
    /// Of a [`Once`](crate::sync::Once).
    #[non_exhaustive]
    Once {
        /// Whether it is done.
        is_done: bool,
        /// How many died or panicked at it.
        attempts: u64,
    },
    /// Of a [`Condvar`](crate::sync::Condvar): who waits, the participants say.
    Condvar,
    /// Of an [`RwLock`](crate::sync::RwLock).
    #[non_exhaustive]
    RwLock {
        /// The type of its value.
        value: Schema,
        /// The number of commits, the first value included.
        version: u64,
        /// As of a mutex.
        is_abandoned: bool,
        /// How many read, those included who died at it. They are among the holders.
        readers: u32,
    },
    /// Of a [`Table`](crate::sync::Table).
    #[non_exhaustive]
    Table {
        /// The type of its rows.
        value: Schema,
        /// How many rows it has. Who writes one is among the holders.
        rows: u32,
        /// Copies of each row in the file.
        cells: u32,
    },
}

/// Who has a handle on an object, or died with something of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Participant {
    /// The number of its seat; 0 for the writer of a latest value.
    pub seat: u32,
    /// Its process id, as it stored it: a hint. It may have ended, and a child that has its proof of life keep the seat alive.
    /// `None`: another one has had the seat since.
    pub pid: Option<u32>,
    /// When it came, wall clock, ns since 1970, as it stored it. `None`: as above, or it is not known.
    pub since_ns: Option<u64>,
    /// Is it alive, running or stopped?
    pub is_alive: bool,
    /// It sleeps until it gets what it wants; or died while it did.
    pub is_waiting: bool,
    /// How much of the object it holds: 1 for a lock, or a number of permits or of rows.
    pub holds: u32,
}

/// A kind of object with seats that can be looked at.
pub(crate) trait Look: Content {
    /// Its state, and in whose name something of it is: each as often as it holds something.
    fn look(region: &Region<Shape<Self>>) -> (State, Vec<Incarnation>);
}

pub(crate) fn snapshot<K: Look>(region: &Region<Shape<K>>) -> Snapshot {
    let (state, owners) = K::look(region);
    let (participants, garbage) = participants(region, owners);
    let Shape { content: _, seats, .. } = region.shape();
    Snapshot {
        kind: K::KIND,
        id: region.id(),
        created_ns: region.created_ns(),
        file_bytes: region.shape().extents().file_bytes(),
        state,
        seats: *seats as u32,
        participants,
        garbage,
    }
}

/// Who has a handle on an object, or died with something of it: `owners` are in whose name something is, each as often as it
/// holds something. And what is wrong with them.
pub(crate) fn participants<K: Content>(
    region: &Region<Shape<K>>,
    owners: Vec<Incarnation>,
) -> (Vec<Participant>, Option<&'static str>) {
    let seats = region.views().seats;
    let mut garbage = None;
    let mut holds: BTreeMap<Incarnation, u32> = BTreeMap::new();
    for owner in owners {
        if owner.could_exist(seats.len() as u32) {
            *holds.entry(owner).or_default() += 1;
        } else {
            garbage = Some("the owner of something in it is nobody's number");
        }
    }
    let mut participants: Vec<_> = (0..)
        .zip(seats)
        .filter_map(|(number, seat)| {
            let who = seats::occupant(number, &seat.generation)?;
            let participant = participant(region, who, Some(seat), holds.remove(&who).unwrap_or(0));
            let Participant { is_alive, is_waiting, holds, .. } = participant;
            (is_alive || is_waiting || holds > 0).then_some(participant)
        })
        .collect();
    // Those whose seat has a successor.
    participants.extend(holds.into_iter().map(|(who, holds)| participant(region, who, None, holds)));
    participants.sort_by_key(|participant| participant.seat);
    (participants, garbage)
}

fn participant<K: Content>(
    region: &Region<Shape<K>>,
    who: Incarnation,
    seat: Option<&Seat>,
    holds: u32,
) -> Participant {
    let since = |seat: &Seat| seat.since.load(at!(E_HINTS_READ, Relaxed));
    let waits = |seat: &Seat| seat.waits.load(at!(E_HINTS_READ, Relaxed)) == who.generation;
    Participant {
        seat: who.number,
        pid: seat.map(|seat| seat.pid.load(at!(E_HINTS_READ, Relaxed)) as u32),
        since_ns: seat.map(since).filter(|since| *since != 0),
        is_alive: who.is_alive(region),
        is_waiting: seat.is_some_and(waits),
        holds,
    }
}

/// A snapshot, unless the region is of no use.
pub(crate) fn checked<F: Format, S>(
    region: &Region<F>,
    snapshot: impl FnOnce(&Region<F>) -> S,
) -> Result<S, Error> {
    if region.broken() {
        return Err(region.fault().into());
    }
    let snapshot = snapshot(region);
    region.or_memory_gone(Ok(snapshot))
}
