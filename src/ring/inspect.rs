//! A read-only view of a ring's state, for people and tools.

#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::atomics::{AtomicU64, at};
use crate::error::{Corruption, Error};
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::attach::{self, until_found};
use crate::ring::blocker::{self, Blocker};
use crate::ring::geometry::Areas;
use crate::ring::holding::{Hold, hold, limit};
use crate::ring::layout::{Slot, SlotState};
use crate::ring::locks;
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::ring::protocol::index;
use crate::ring::protocol::record::LossAccount;
use crate::ring::protocol::stage;
use crate::ring::protocol::stalls::budget_ns;
use crate::ring::protocol::{Place, after, floor, times};
use crate::schema::Schema;
use crate::wait::clock;
use crate::wait::mode::WaitMode;
use crate::wait::timestamp::Timestamp;

/// Reads a ring's state through a read-only mapping. The participants do not notice it.
#[derive(Debug)]
pub struct Inspector {
    region: Region,
}

/// A ring's state at one moment. The fields are read one after another, so on a busy ring they may be slightly out of
/// step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Bytes of the data area.
    pub capacity: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Alignment of the parts of the file, in bytes: 2 MiB if it was made for huge pages.
    pub alignment: u64,
    /// Consumer slots.
    pub slots: u32,
    /// Segments of the index.
    pub segments: u64,
    /// The ring's own random number.
    pub ring_id: u128,
    /// When it was created, wall clock, ns since 1970.
    pub created_ns: u64,
    /// Whether single sends keep an inline copy.
    pub inline: bool,
    /// Whether its records carry publish times.
    pub times: bool,
    /// Whether it refuses consumers that can be overwritten.
    pub gated_only: bool,
    /// The type of its records, if it was made for one: [`Options::schema`](crate::Options::schema).
    pub schema: Option<Schema>,
    /// The longest budget of any consumer.
    pub hard_limit: Option<Duration>,
    /// The wait mode asked for when it was created.
    pub wait: WaitMode,
    /// The wait mode of the current or last producer.
    pub mode: WaitMode,
    /// Byte position below which everything is published.
    pub published: u64,
    /// Byte position up to which the producer may be writing.
    pub reserve: u64,
    /// Where the ring was found corrupt on the way to the newest record. `None`: nowhere. The other fields are filled
    /// in nevertheless, but `next_sequence`, `records`, `bytes` and the lags of consumers count only as far as the
    /// ring could be followed, and are 0 if it could not be followed at all.
    pub corruption: Option<Corruption>,
    /// Sequence of the next record to be published.
    pub next_sequence: u64,
    /// Sequence of the oldest record at which a new consumer can start.
    pub oldest_sequence: u64,
    /// Records published since it was created.
    pub records: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// When the producer last stored the time, wall clock, ns since 1970. It does so once in each 64th of the
    /// capacity, and first when the ring is made, so the newest record was published then or later. `None`: the value
    /// is garbage.
    pub noted_ns: Option<u64>,
    /// When the newest record was published. `None`: none was, it could not be found, or records carry no times.
    pub newest_time: Option<Timestamp>,
    /// How many producers have opened the ring.
    pub epoch: u64,
    /// Whether a producer lives.
    pub producer_alive: bool,
    /// Whether the last producer ended cleanly.
    pub closed: bool,
    /// Process id of the current or last producer, as it wrote it.
    pub producer_pid: u32,
    /// Claims that found no space at first.
    pub full: u64,
    /// Time that producers waited for space.
    pub stall: Duration,
    /// Publishes that made a system call to wake consumers.
    pub wakes: u64,
    /// Gates taken from living consumers: over their budget, or on request.
    pub evictions: u64,
    /// Gates taken from dead consumers.
    pub reclaims: u64,
    /// The consumer that holds the producer up, and for how long. Of several, the one furthest back. `None`: no
    /// consumer does, or no producer lives. The time is measured on the wall clock, from the refused claim.
    pub blocked: Option<Blocker>,
    /// Every slot that is in use or kept for a name.
    pub consumers: Vec<ConsumerInfo>,
}

/// One consumer of a [`Snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConsumerInfo {
    /// Number of its slot.
    pub slot: u32,
    /// The name it attached under.
    pub name: Option<String>,
    /// Whether it is a group: see [`GroupInspector`](crate::GroupInspector). Then its place is the group's gate, and it is alive while
    /// a member is.
    pub is_group: bool,
    /// The stage that it [follows](crate::Attach::after).
    pub after: Option<StageInfo>,
    /// Its last state.
    pub state: ConsumerState,
    /// Whether it holds its slot's lock. A stopped process does.
    pub alive: bool,
    /// Its process id, as it wrote it; 0 for a group, whose members are several.
    pub pid: u32,
    /// When it attached, wall clock, ns since 1970; 0: it is still attaching.
    pub attached_ns: u64,
    /// How long it may hold the producer up in a lap. `None`: without limit.
    pub budget: Option<Duration>,
    /// Whether its gate may be taken while it lives. Only a consumer that can be overwritten is evictable: see
    /// [`Attach::evictable`](crate::Attach::evictable).
    pub evictable: bool,
    /// How long its gate is kept after it is gone.
    pub hold: Option<Hold>,
    /// While it is away and its gate is held for a limited time: how much of the hold is left. The hold runs only
    /// while the gate blocks the producer, and starts again in full afterwards. Measured on the wall clock; the
    /// producer uses its monotonic clock.
    pub hold_left: Option<Duration>,
    /// Sequence of the first record that it had not released at its last cursor store.
    pub next_sequence: u64,
    /// Records published and not released.
    pub lag_records: u64,
    /// Bytes of the ring published and not released.
    pub lag_bytes: u64,
    /// When the first record was published that it had not released at its last cursor store. `None`: it has released
    /// everything, that record is overwritten, or records carry no times.
    pub next_time: Option<Timestamp>,
    /// Records of this lag that are already overwritten, and will be reported to it as lost.
    pub lost_already: u64,
    /// How long ago it left, by the wall clock. `None`: it lives; or it was killed, and no process has noticed that
    /// yet (see [`forget_away`](crate::forget_away)).
    pub away_for: Option<Duration>,
    /// Its loss account.
    pub lost: LossAccount,
}

/// The stage that a consumer follows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StageInfo {
    /// Number of its slot.
    pub slot: u32,
    /// Its name. `None`: it was forgotten.
    pub name: Option<String>,
    /// Whether it can still be followed: it has lost no records, and its gate is open.
    pub stands: bool,
}

/// The state of a consumer, as its slot shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerState {
    /// It is attaching.
    Attaching,
    /// Never holds the producer back.
    Lossy,
    /// Holds the producer back.
    Gated,
    /// The producer took its gate; it is lossy for the rest of its attachment.
    Evicted,
    /// A name without an attached consumer, and without a gate.
    Away,
}

impl Inspector {
    /// Opens the ring at `path` read-only.
    ///
    /// # Errors
    ///
    /// Any error of opening the file as a ring.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::attach(Region::open(path.as_ref(), Access::Reader)?))
    }

    pub(crate) fn attach(region: Region) -> Self {
        Self { region }
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the
    /// path now does not get this ring. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    /// The time of day at a publish time: as [`Consumer::wall_time`](crate::Consumer::wall_time).
    pub fn wall_time(&self, time: Timestamp) -> Option<SystemTime> {
        self.region.wall_time(time)
    }

    /// Reads everything once. Walks over at most one batch and a 64th of the ring, and makes a system call for every
    /// slot in use. Garbage in the ring is not an error here: see [`Snapshot::corruption`].
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        if self.region.broken() {
            return Err(self.region.fault().into());
        }
        self.region.or_memory_gone(self.read())
    }

    fn read(&self) -> Result<Snapshot, Error> {
        let areas = self.region.areas();
        let geometry = self.region.geometry();
        let origin = Place { sequence: geometry.origin_sequence, ..Place::default() };
        let (newest, corruption) = match follow(areas) {
            Ok(newest) => (newest, None),
            Err((reached, corruption)) => (reached.unwrap_or(origin), Some(corruption)),
        };
        let oldest = until_found(geometry.capacity, |_| Ok(index::oldest(areas, 0))).unwrap_or(newest);
        let shown = areas.head.inline.published.load(at!(C_INSPECT, Relaxed));
        let published = if corruption.is_some() { shown } else { newest.position };
        let producer_alive = self.region.locked(locks::PRODUCER);
        let reserve = &areas.head.reserve;
        let counters = &areas.head.counters;
        let read = |word: &AtomicU64| word.load(at!(C_INSPECT, Relaxed));
        Ok(Snapshot {
            capacity: geometry.capacity,
            file_bytes: geometry.extents().file_bytes(),
            alignment: geometry.alignment,
            slots: geometry.slots,
            segments: geometry.segments,
            ring_id: self.region.id(),
            created_ns: self.region.created_ns(),
            inline: geometry.inline,
            times: geometry.timed,
            gated_only: geometry.gated_only,
            schema: Schema::from_word(geometry.schema),
            hard_limit: limit(geometry.hard_limit_ns),
            wait: geometry.wait,
            mode: WaitMode::from_bits(read(&reserve.mode)).unwrap_or(geometry.wait),
            published,
            corruption,
            reserve: read(&reserve.reserve),
            next_sequence: newest.sequence,
            oldest_sequence: oldest.sequence,
            records: newest.sequence.wrapping_sub(geometry.origin_sequence),
            bytes: geometry
                .payload_bytes(newest.bytes, newest.sequence.wrapping_sub(geometry.origin_sequence)),
            noted_ns: index::noted_ns(areas),
            newest_time: if corruption.is_none() { newest_time(areas, oldest, newest) } else { None },
            epoch: read(&reserve.epoch),
            producer_alive,
            blocked: self.blocked(areas, producer_alive),
            closed: read(&reserve.closed) == 1,
            producer_pid: read(&reserve.pid) as u32,
            full: read(&counters.full),
            stall: Duration::from_nanos(read(&counters.stall_ns)),
            wakes: read(&counters.wakes),
            evictions: read(&counters.evictions),
            reclaims: read(&counters.reclaims),
            consumers: (0..)
                .zip(areas.slots)
                .filter_map(|(number, slot)| self.consumer(areas, number, slot, newest))
                .collect(),
        })
    }

    /// The consumer that holds the producer up, if the producer lives and that consumer still blocks it.
    fn blocked(&self, areas: Areas<'_>, producer_alive: bool) -> Option<Blocker> {
        let counters = &areas.head.counters;
        let read = |word: &AtomicU64| word.load(at!(C_INSPECT, Relaxed));
        let number = u32::try_from(read(&counters.blocked).checked_sub(1)?).ok()?;
        let slot = areas.slots.get(number as usize)?;
        let cursor = read(&slot.gate.cursor) & !7;
        let is_gated = gate::state(slot) == Some(SlotState::Gated);
        let in_the_way = after(read(&counters.blocked_end), cursor.wrapping_add(areas.geometry.capacity));
        let blocks = producer_alive && is_gated && in_the_way;
        blocks.then(|| Blocker::new(&self.region, number, since(read(&counters.blocked_ns)))).flatten()
    }

    fn consumer(&self, areas: Areas<'_>, number: u32, slot: &Slot, newest: Place) -> Option<ConsumerInfo> {
        let alive = self.region.is_alive(number);
        let state = match gate::state(slot) {
            Some(SlotState::Free) => return None,
            Some(SlotState::Attaching) => ConsumerState::Attaching,
            Some(SlotState::Lossy) => ConsumerState::Lossy,
            Some(SlotState::Gated) => ConsumerState::Gated,
            Some(SlotState::Evicted) => ConsumerState::Evicted,
            Some(SlotState::Saved) => ConsumerState::Away,
            // Garbage, which does not gate. But a name may be kept there, and must be shown so that it can be
            // forgotten.
            None if alive => ConsumerState::Lossy,
            None => ConsumerState::Away,
        };
        let name = gate::name(slot);
        // A sealed ring has no names, whatever its consumers write there.
        let named = gate::has_name(areas, slot) && !gate::is_nobodys(slot);
        if !alive && !named && state != ConsumerState::Gated {
            // The last consumer of the slot left nothing behind.
            return None;
        }
        let read = |word: &AtomicU64| word.load(at!(C_INSPECT, Relaxed));
        let hold = hold(read(&slot.gate.hold_ns));
        let budget = budget_ns(areas, slot);
        // A busy consumer may store its cursor repeatedly while it is read; a few tries are enough.
        let (place, lost) =
            (0..100).find_map(|_| gate::saved(slot)).unwrap_or((newest, LossAccount::default()));
        let ahead = after(place.position, newest.position);
        let lag = |newest: u64, own: u64| if ahead { 0 } else { newest.wrapping_sub(own) };
        let lag_records = lag(newest.sequence, place.sequence);
        let left_ns = gate::left_ns(slot).filter(|_| named && !alive);
        Some(ConsumerInfo {
            slot: number,
            name: named.then(|| names::text(&name)),
            is_group: blocker::is_group(areas, slot),
            after: if areas.geometry.sealed { None } else { stage_of(areas, slot) },
            state,
            alive,
            pid: blocker::pid_of(areas, slot),
            attached_ns: read(&slot.who.attached_ns),
            budget: budget.and_then(limit),
            evictable: budget.is_some() || areas.geometry.sealed,
            hold,
            hold_left: match hold {
                Some(Hold::For(time)) if named && !alive && state == ConsumerState::Gated => {
                    Some(time.saturating_sub(since(read(&slot.gate.held_ns))))
                }
                _ => None,
            },
            next_sequence: place.sequence,
            lag_records,
            lag_bytes: lag(newest.position, place.position),
            next_time: if lag_records > 0 { time_from(areas, place) } else { None },
            lost_already: lost_already(areas, place).min(lag_records),
            away_for: left_ns.map(|left| Duration::from_nanos(clock::wall_ns().saturating_sub(left))),
            lost,
        })
    }
}

/// The stage that the consumer in a slot follows.
fn stage_of(areas: Areas<'_>, follower: &Slot) -> Option<StageInfo> {
    let word = follower.who.after.load(at!(F_AFTER, Relaxed));
    let number = stage::slot_in(word);
    let slot = areas.slots.get(number as usize).filter(|_| word != 0)?;
    // The number of another stretch: the stage is gone.
    let lasts = word == stage::word_of(number, slot.gate.stretch.load(at!(F_STRETCH, Relaxed)));
    Some(StageInfo {
        slot: number,
        name: (lasts && gate::has_name(areas, slot)).then(|| names::text(&gate::name(slot))),
        stands: lasts && gate::state(slot) == Some(SlotState::Gated),
    })
}

/// The place behind the newest record; or how far the ring can be followed towards it, and why no further.
fn follow(areas: Areas<'_>) -> Result<Place, (Option<Place>, Corruption)> {
    let mut reached = None;
    let found = until_found(areas.geometry.capacity, |effort| {
        attach::end_through(areas, effort, |place| reached = Some(place))
    });
    found.map_err(|error| match error {
        Error::Corrupt(corruption) => (reached, corruption),
        _ => (reached, Corruption { position: 0, what: "no way to the newest record" }),
    })
}

/// When the newest record was published.
fn newest_time(areas: Areas<'_>, oldest: Place, end: Place) -> Option<Timestamp> {
    if !areas.geometry.timed || oldest.sequence == end.sequence {
        return None;
    }
    let capacity = areas.geometry.capacity;
    let newest = until_found(capacity, |effort| {
        attach::before_newest(areas, oldest, attach::published(areas), effort)
    })
    .ok()?;
    time_from(areas, newest)
}

/// When the record was published that begins at a place, or behind the padding there. `None`: it is overwritten, or has no
/// time.
fn time_from(areas: Areas<'_>, place: Place) -> Option<Timestamp> {
    if !areas.geometry.timed {
        return None;
    }
    let behind = place.past_padding(areas.geometry.room(place.position));
    let time_ns = times::of_record(areas, &place).or_else(|| times::of_record(areas, &behind));
    // Only now is it known whether that was the record.
    let is_intact = !after(floor(areas), place.position);
    time_ns.filter(|_| is_intact).map(Timestamp::from_nanos)
}

/// Records from `place` on that are already overwritten.
fn lost_already(areas: Areas<'_>, place: Place) -> u64 {
    if !after(floor(areas), place.position) {
        return 0;
    }
    let oldest = index::oldest(areas, 0).filter(|oldest| after(oldest.sequence, place.sequence));
    oldest.map_or(0, |oldest| oldest.sequence.wrapping_sub(place.sequence))
}

/// The wall-clock time since then. `None`: it is 0 or in the future.
fn since(wall_ns: u64) -> Duration {
    let ago = if wall_ns == 0 { 0 } else { clock::wall_ns().saturating_sub(wall_ns) };
    Duration::from_nanos(ago)
}
