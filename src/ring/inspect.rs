//! Looking at a ring without touching it, for people and tools.

#[cfg(not(loom))]
use std::path::Path;
use std::time::Duration;

use crate::atomics::{AtomicU64, at};
use crate::error::{Corruption, Error};
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::region::Access;
use crate::ring::Region;
use crate::ring::attach::{self, until_found};
use crate::ring::blocker::Blocker;
use crate::ring::holding::{Hold, hold, limit};
use crate::ring::layout::{Areas, Slot, SlotState};
use crate::ring::locks;
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::ring::protocol::index;
use crate::ring::protocol::record::LossAccount;
use crate::ring::protocol::stalls::budget_ns;
use crate::ring::protocol::{Place, after, floor};
use crate::schema::Schema;
use crate::wait::clock;
use crate::wait::mode::WaitMode;

/// Reads a ring's state through a read-only mapping. Participants do not notice.
#[derive(Debug)]
pub struct Inspector {
    region: Region,
}

/// A ring at one moment. The parts are read one after another, so on a busy ring they may differ by a moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Bytes of the data area.
    pub capacity: u64,
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes at whose multiples the parts of the file begin: 2 MiB if it was made for huge pages.
    pub alignment: u64,
    /// Consumer slots.
    pub slots: u32,
    /// Segments of the index.
    pub segments: u64,
    /// The ring's own random number.
    pub ring_id: u128,
    /// When it was created, wall clock, ns since 1970.
    pub created_ns: u64,
    /// Do single sends keep an inline copy?
    pub inline: bool,
    /// Does it refuse consumers that can be overwritten?
    pub gated_only: bool,
    /// What its records are, if it was made for one type: [`Options::schema`](crate::Options::schema).
    pub schema: Option<Schema>,
    /// The longest any consumer may hold the producer up.
    pub hard_limit: Option<Duration>,
    /// The wait mode asked for when it was created.
    pub wait: WaitMode,
    /// The wait mode of the present or last producer.
    pub mode: WaitMode,
    /// Byte position below which everything is published.
    pub published: u64,
    /// Byte position up to which the producer may be writing.
    pub reserve: u64,
    /// Where the ring contradicts itself on the way to the newest record; `None`: nowhere. Everything else here is
    /// told all the same, but `next_sequence`, `records`, `bytes` and the lags of consumers count only as far as the
    /// ring could be followed, and say 0 if it could not be at all.
    pub corruption: Option<Corruption>,
    /// Sequence of the next record to be published.
    pub next_sequence: u64,
    /// Sequence of the oldest record that a newcomer can start at.
    pub oldest_sequence: u64,
    /// Records published since it was created.
    pub records: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// When the producer last noted the time, wall clock, ns since 1970, which it does once in each 64th of the capacity, the
    /// first time when the ring is made: the newest record was published then or later. `None`: garbage stands there.
    pub noted_ns: Option<u64>,
    /// How many producers have opened it.
    pub epoch: u64,
    /// Does a producer hold it?
    pub producer_alive: bool,
    /// Did the last producer end cleanly?
    pub closed: bool,
    /// Process id of the present or last producer, as it wrote it.
    pub producer_pid: u32,
    /// Claims that found no space at first.
    pub full: u64,
    /// Time that producers waited for space.
    pub stall: Duration,
    /// Publishes that had to wake somebody.
    pub wakes: u64,
    /// Gates taken from consumers over their budget.
    pub evictions: u64,
    /// Gates taken from dead consumers.
    pub reclaims: u64,
    /// Who holds the producer up, and for how long; `None`: nobody, or no producer lives. Of several consumers in its way
    /// it is the one furthest back. The time is told on the wall clock, from when it refused to let a claim pass.
    pub blocked: Option<Blocker>,
    /// Every slot in use, or kept by a name.
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
    /// What it last was.
    pub state: ConsumerState,
    /// Does it hold its slot's lock? A stopped process does.
    pub alive: bool,
    /// Its process id, as it wrote it.
    pub pid: u32,
    /// When it attached, wall clock, ns since 1970; 0: it is still on its way in.
    pub attached_ns: u64,
    /// How long it may hold the producer up in a lap; `None`: for ever.
    pub budget: Option<Duration>,
    /// May its gate be taken while it lives? Only where it can be overwritten: see
    /// [`Attach::evictable`](crate::Attach::evictable).
    pub evictable: bool,
    /// How long its gate outlives it.
    pub hold: Option<Hold>,
    /// While it is away and its gate held for a time: how much of that is left. It is all of it until the producer is
    /// held up by the gate, and again once it is not. Told on the wall clock; the producer goes by its own.
    pub hold_left: Option<Duration>,
    /// Sequence of the first record that it has not released, as of its last cursor store.
    pub next_sequence: u64,
    /// Records published and not released.
    pub lag_records: u64,
    /// Bytes of the ring published and not released.
    pub lag_bytes: u64,
    /// Records of this lag that are overwritten already: it will be told that they are lost.
    pub lost_already: u64,
    /// How long ago it left, by the wall clock. `None`: it lives; or it was killed, and nobody has noted that it is gone
    /// (see [`forget_away`](crate::forget_away)).
    pub away_for: Option<Duration>,
    /// What it has lost.
    pub lost: LossAccount,
}

/// What a slot says of its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConsumerState {
    /// On its way in.
    Attaching,
    /// Never holds the producer back.
    Lossy,
    /// Holds the producer back.
    Gated,
    /// Lost its gate by holding the producer up for too long.
    Evicted,
    /// A name that nobody is attached under; holds nobody back.
    Away,
}

impl Inspector {
    /// Opens the ring at `path` read-only.
    ///
    /// # Errors
    ///
    /// Whatever keeps the file from being opened as a ring.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::attach(Region::open(path.as_ref(), Access::Reader)?))
    }

    pub(crate) fn attach(region: Region) -> Self {
        Self { region }
    }

    /// Was the file removed, renamed, replaced, overwritten or cut short? Then newcomers at its path do not come to this
    /// ring. Three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    /// Reads everything once. Walks at most a batch and a 64th of the ring, and asks the kernel about every slot in
    /// use. Garbage in the ring is no error here: see [`Snapshot::corruption`].
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
            bytes: newest.bytes,
            noted_ns: index::noted_ns(areas),
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

    /// Who holds the producer up, if it lives and that one is still in its way.
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
            // Garbage, which holds nobody back; but a name may be kept there, and has to be found to be forgotten.
            None if alive => ConsumerState::Lossy,
            None => ConsumerState::Away,
        };
        let name = gate::name(slot);
        // Nobody has a name on a sealed ring, whatever its consumers write there.
        let named = gate::has_name(areas, slot) && !gate::is_nobodys(slot);
        if !alive && !named && state != ConsumerState::Gated {
            // Whoever it was left nothing behind that concerns anybody.
            return None;
        }
        let read = |word: &AtomicU64| word.load(at!(C_INSPECT, Relaxed));
        let hold = hold(read(&slot.gate.hold_ns));
        let budget = budget_ns(areas, slot);
        // A busy consumer may store its cursor again and again while it is read; a few tries are enough.
        let (place, lost) =
            (0..100).find_map(|_| gate::saved(slot)).unwrap_or((newest, LossAccount::default()));
        let ahead = after(place.position, newest.position);
        let lag = |newest: u64, own: u64| if ahead { 0 } else { newest.wrapping_sub(own) };
        let lag_records = lag(newest.sequence, place.sequence);
        let left_ns = gate::left_ns(slot).filter(|_| named && !alive);
        Some(ConsumerInfo {
            slot: number,
            name: named.then(|| names::text(&name)),
            state,
            alive,
            pid: read(&slot.who.pid) as u32,
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
            lost_already: lost_already(areas, place).min(lag_records),
            away_for: left_ns.map(|left| Duration::from_nanos(clock::wall_ns().saturating_sub(left))),
            lost,
        })
    }
}

/// The place behind the newest record; or how far the way there can be followed, and why no further.
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

/// Records from `place` on that nobody can read any more.
fn lost_already(areas: Areas<'_>, place: Place) -> u64 {
    if !after(floor(areas), place.position) {
        return 0;
    }
    let oldest = index::oldest(areas, 0).filter(|oldest| after(oldest.sequence, place.sequence));
    oldest.map_or(0, |oldest| oldest.sequence.wrapping_sub(place.sequence))
}

/// The time since then on the wall clock; none, if that is 0 or still to come.
fn since(wall_ns: u64) -> Duration {
    let ago = if wall_ns == 0 { 0 } else { clock::wall_ns().saturating_sub(wall_ns) };
    Duration::from_nanos(ago)
}
