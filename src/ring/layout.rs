//! The layout of a ring, version 1: what each byte means, and the initial state. `docs/format.md` describes it in
//! prose.
//!
//! | area    | written by | holds                                                  |
//! |---------|------------|--------------------------------------------------------|
//! | head    | producer   | identity page, producer lines, segment index           |
//! | control | everybody  | sleep words, consumer slots                            |
//! | data    | producer   | `capacity` bytes of records, as aligned 8-byte words   |

use crossbeam_utils::CachePadded;

use crate::atomics::{AtomicU64, FutexWord, Word, at};
use crate::error::{Error, Kind};
use crate::limits::{MAX_CAPACITY, MIN_CAPACITY};
use crate::memory::block::block;
#[cfg(loom)]
use crate::memory::block::{Zeroed, zeroed};
use crate::memory::extents::{Extents, HUGE_PAGE};
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::format::SHAPE_WORDS;
use crate::memory::identity::IDENTITY_WORDS;
#[cfg(not(loom))]
use crate::memory::map::{Bytes, Lay};
use crate::wait::mode::WaitMode;
use crate::wait::timestamp;

/// Bytes of a record's header word.
pub(crate) const HEADER_BYTES: u64 = 8;
/// Bytes of the publish time in front of a payload, on rings with times.
pub(crate) const TIME_BYTES: u32 = 8;
/// Payload bytes that the inline block holds.
pub(crate) const INLINE_BYTES: usize = 104;
/// Words of them that are on the cache line of `published`; the others are on the next.
pub(crate) const INLINE_BESIDE: usize = 5;
/// An inline stamp that matches no position, since positions are multiples of 8.
pub(crate) const STAMP_NONE: u64 = 1;
/// The top bit of a header's length: padding up to the end of the ring.
pub(crate) const PADDING_BIT: u32 = 1 << 31;

/// Bytes of the field for a consumer's name. The last one is always 0. The models explore each of its words.
pub(crate) const NAME_BYTES: usize = if cfg!(loom) { 16 } else { 64 };
/// Bytes of the longest name.
pub(crate) const NAME_MOST: usize = NAME_BYTES - 1;

/// The most consumer slots of one ring.
pub(crate) const MAX_SLOTS: u32 = 1024;

/// The ring's own words of the identity page.
#[cfg(not(loom))]
mod shape {
    pub(super) const CAPACITY: usize = 0;
    pub(super) const SEGMENTS: usize = 1;
    pub(super) const SLOTS: usize = 2;
    pub(super) const OPTIONS: usize = 3;
    pub(super) const HARD_LIMIT_NS: usize = 4;
    pub(super) const ORIGIN_POSITION: usize = 5;
    pub(super) const ORIGIN_SEQUENCE: usize = 6;
    /// What the records are: bytes of each in the high half, a tag in the low one; 0: records of any kind.
    pub(super) const SCHEMA: usize = 7;
}

/// Bits of `shape::OPTIONS`.
#[cfg(not(loom))]
pub(crate) mod option {
    /// Single sends keep a copy of the newest record in the inline block.
    pub(crate) const INLINE: u64 = 1;
    /// Consumers that can be overwritten are refused.
    pub(crate) const GATED_ONLY: u64 = 1 << 1;
    /// Two bits: the wait mode asked for at create.
    pub(crate) const WAIT_SHIFT: u32 = 2;
    pub(crate) const WAIT_MASK: u64 = 3 << WAIT_SHIFT;
    /// Records begin with their publish time.
    pub(crate) const TIMED: u64 = 1 << 4;
    pub(crate) const KNOWN: u64 = INLINE | GATED_ONLY | WAIT_MASK | TIMED;
}

block! {
    /// `published` and the inline copy. Written by the producer, read by every participant.
    pub(crate) struct Inline: 128 bytes, aligned to 128 {
        /// Byte position below which every record is committed.
        at 0: pub(crate) published: AtomicU64,
        /// End position of the record copied here; odd: none.
        at 8: pub(crate) stamp: AtomicU64,
        at 16: pub(crate) header: Word,
        at 24: pub(crate) payload: [Word; INLINE_BYTES / 8],
    }
}

block! {
    /// The words by which readers check what they have copied. Written by the producer once per segment.
    pub(crate) struct Reserve: 128 bytes, aligned to 128 {
        /// Byte position up to which the producer may already be writing. Bytes below `reserve - capacity` are
        /// overwritten.
        at 0: pub(crate) reserve: AtomicU64,
        /// Number of the producer: incremented by each one that opens the ring.
        at 8: pub(crate) epoch: AtomicU64,
        /// Position at which the epoch began, if its number is odd: see `began`.
        at 16: pub(crate) odd_began: AtomicU64,
        /// The `WaitMode` this producer uses.
        at 24: pub(crate) mode: AtomicU64,
        /// 1: the producer ended cleanly; nothing more is published until another opens the ring.
        at 32: pub(crate) closed: AtomicU64,
        /// Hints for people: process id of the producer and when it opened the ring (wall clock, ns).
        at 40: pub(crate) pid: AtomicU64,
        at 48: pub(crate) opened_ns: AtomicU64,
        /// Position at which the epoch began, if its number is even.
        at 56: pub(crate) even_began: AtomicU64,
    }
}

impl Reserve {
    /// Where an epoch began. Two words, used alternately: a successor that dies before it raises the epoch has not
    /// overwritten the start of the current one.
    pub(crate) fn began(&self, epoch: u64) -> &AtomicU64 {
        if epoch & 1 == 1 { &self.odd_began } else { &self.even_began }
    }
}

block! {
    /// Totals since creation, for people and tools. Nothing depends on them.
    pub(crate) struct Counters: 128 bytes, aligned to 128 {
        /// Claims that were refused because there was no space.
        at 0: pub(crate) full: AtomicU64,
        /// Time spent waiting for space, ns.
        at 8: pub(crate) stall_ns: AtomicU64,
        /// System calls made to wake consumers.
        at 16: pub(crate) wakes: AtomicU64,
        /// Living consumers whose gate was taken.
        at 24: pub(crate) evictions: AtomicU64,
        /// Slots taken back from dead consumers, and holds that ran out.
        at 32: pub(crate) reclaims: AtomicU64,
        /// The consumer that holds the producer up: its slot number plus one; 0: none.
        at 40: pub(crate) blocked: AtomicU64,
        /// Since when (wall clock, ns), and the position up to which the producer is waiting to write.
        at 48: pub(crate) blocked_ns: AtomicU64,
        at 56: pub(crate) blocked_end: AtomicU64,
    }
}

block! {
    /// The identity page and the producer's lines; the segment index follows directly.
    pub(crate) struct Head: (4096 + 3 * 128) bytes, aligned to 128 {
        at 0: pub(crate) identity: [AtomicU64; IDENTITY_WORDS],
        at 4096: pub(crate) inline: Inline,
        at (4096 + 128): pub(crate) reserve: Reserve,
        at (4096 + 256): pub(crate) counters: Counters,
    }
}

block! {
    /// The first record boundary of a segment. A small seqlock: an odd position is an entry being written.
    pub(crate) struct IndexEntry: 32 bytes, aligned to 32 {
        at 0: pub(crate) position: AtomicU64,
        /// Sequence of the record that starts, or will start, at `position`.
        at 8: pub(crate) sequence: AtomicU64,
        /// Payload bytes published before `position`.
        at 16: pub(crate) bytes: AtomicU64,
        /// Wall-clock time of the entry, ns since 1970.
        at 24: pub(crate) time_ns: AtomicU64,
    }
}

block! {
    /// On rings with times, beside each entry of the index and under the same seqlock: the publish clock when the entry was
    /// written.
    pub(crate) struct Clock: 8 bytes, aligned to 8 {
        /// The machine's monotonic clock, ns: not before any record below the entry's position was published.
        at 0: pub(crate) host_ns: AtomicU64,
    }
}

block! {
    /// The fixed part of the control area; the slots follow directly.
    pub(crate) struct Control: 256 bytes, aligned to 128 {
        /// Consumers sleep here until there is data. Bit 0: a sleeper is armed; the rest counts wakes.
        at 0: pub(crate) data: CachePadded<FutexWord>,
        /// The producer sleeps here until there is space. As above.
        at 128: pub(crate) space: CachePadded<FutexWord>,
    }
}

block! {
    /// The words of a consumer that the producer's scan reads.
    pub(crate) struct Gate: 128 bytes, aligned to 128 {
        /// `generation << 8 | SlotState`.
        at 0: pub(crate) state: AtomicU64,
        /// Position below which everything is released; bit 0 selects the account that belongs to it.
        at 8: pub(crate) cursor: AtomicU64,
        /// Budget: how long it may hold the producer up in a lap, ns; 0: without limit.
        at 16: pub(crate) budget_ns: AtomicU64,
        /// Hold: how long its gate is kept after it is gone, ns; 0: not at all; `u64::MAX`: without limit.
        at 24: pub(crate) hold_ns: AtomicU64,
        /// Eviction request: the state word whose gate the producer is to take. Any other value requests nothing.
        at 32: pub(crate) evict: AtomicU64,
        /// For people: when the running hold began (wall clock, ns); 0: none is running. Written by the producer.
        at 40: pub(crate) held_ns: AtomicU64,
        /// Number of the stretch: raised when the slot is taken, when its consumer loses records, and when it comes back
        /// to follow another stage. What the cursor passes within one stretch was received without a gap.
        at 48: pub(crate) stretch: AtomicU64,
        /// Sequence of the first record of the stretch.
        at 56: pub(crate) began: AtomicU64,
        /// Followers of this consumer sleep here until it releases something. Bit 0: a sleeper is armed.
        at 64: pub(crate) released: FutexWord,
        /// How many times a follower came or left, and the number at which this consumer last looked for followers.
        at 72: pub(crate) followers: AtomicU64,
        at 80: pub(crate) heard: AtomicU64,
    }
}

block! {
    /// Identity of a consumer: the name by which it resumes, and hints for people.
    pub(crate) struct Who: 128 bytes, aligned to 128 {
        at 0: pub(crate) name: [AtomicU64; NAME_BYTES / 8],
        at 64: pub(crate) pid: AtomicU64,
        /// When it attached (wall clock, ns); 0: it is still attaching, and may miss what is published now.
        at 72: pub(crate) attached_ns: AtomicU64,
        /// When the last consumer under the name left, or was found to be gone; 0: it has not left, or no process has
        /// noticed.
        at 80: pub(crate) left_ns: AtomicU64,
        /// The generation of the current or last consumer of the slot: see `seats.rs`.
        at 88: pub(crate) incarnation: AtomicU64,
        /// Not 0: the slot is a group's, which lives while any of its members holds its lock. The generation that the
        /// slot had when the group was made, which tells the group from others.
        at 96: pub(crate) group: AtomicU64,
        /// The stage that the consumer follows: see `protocol/stage.rs`; 0: none.
        at 104: pub(crate) after: AtomicU64,
    }
}

block! {
    /// A consumer's place and its losses. Two copies, written alternately; the cursor selects the valid one.
    pub(crate) struct Account: 128 bytes, aligned to 128 {
        at 0: pub(crate) position: AtomicU64,
        at 8: pub(crate) sequence: AtomicU64,
        at 16: pub(crate) bytes: AtomicU64,
        at 24: pub(crate) lost_records: AtomicU64,
        at 32: pub(crate) lost_bytes: AtomicU64,
        at 40: pub(crate) gaps: AtomicU64,
        at 48: pub(crate) largest_gap: AtomicU64,
        at 56: pub(crate) first_lost: AtomicU64,
        at 64: pub(crate) last_lost: AtomicU64,
        /// Lost records by cause, in the order of `LossCause`.
        at 72: pub(crate) by_cause: [AtomicU64; 3],
        /// Records and payload bytes skipped on request, which are not lost.
        at 96: pub(crate) skipped_records: AtomicU64,
        at 104: pub(crate) skipped_bytes: AtomicU64,
    }
}

block! {
    /// One consumer.
    pub(crate) struct Slot: 512 bytes, aligned to 128 {
        at 0: pub(crate) gate: Gate,
        at 128: pub(crate) who: Who,
        at 256: pub(crate) accounts: [Account; 2],
    }
}

/// The low byte of `Gate::state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    Free,
    /// A consumer is attaching and fills the slot in.
    Attaching,
    /// Never holds the producer back.
    Lossy,
    /// Holds the producer back, up to its budget if it has one.
    Gated,
    /// The producer took its gate; lossy for the rest of its attachment.
    Evicted,
    /// A name whose consumer is away: keeps its place, has no gate.
    Saved,
}

impl SlotState {
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        match word & 0xff {
            0 => Some(Self::Free),
            1 => Some(Self::Attaching),
            2 => Some(Self::Lossy),
            3 => Some(Self::Gated),
            4 => Some(Self::Evicted),
            5 => Some(Self::Saved),
            _ => None,
        }
    }

    /// The state word that follows `word`: this state, one generation on.
    pub(crate) fn after(self, word: u64) -> u64 {
        ((word >> 8).wrapping_add(1) << 8) | self as u64
    }
}

#[cfg(not(loom))]
const _: () = assert!(core::mem::offset_of!(Inline, payload) + 8 * INLINE_BESIDE == 64);

/// The shape of one ring. It is copied out of the identity page once, checked, and private from then on: no length,
/// offset or mask is read from the mapping again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Bytes of the data area, a power of two.
    pub(crate) capacity: u64,
    /// Segments of the index, a power of two.
    pub(crate) segments: u64,
    /// Consumer slots.
    pub(crate) slots: u32,
    /// Each area starts at a multiple of this, bytes.
    pub(crate) alignment: u64,
    pub(crate) inline: bool,
    pub(crate) gated_only: bool,
    /// Records carry the time at which they were published, in the first 8 bytes of what their header counts.
    pub(crate) timed: bool,
    pub(crate) wait: WaitMode,
    /// The longest budget of any consumer, ns; 0: no limit.
    pub(crate) hard_limit_ns: u64,
    /// A sealed ring: every process that has its descriptors can write the control area, and is not trusted. See
    /// `sealed.rs`. Not in the identity page, since a process that maps the ring knows it.
    pub(crate) sealed: bool,
    /// Where the stream began: a multiple of 8, and any sequence.
    pub(crate) origin_position: u64,
    pub(crate) origin_sequence: u64,
    /// The type of its records, encoded by `schema::Schema`; 0: records of any kind.
    pub(crate) schema: u64,
}

impl Geometry {
    fn check_fields(&self) -> Result<(), Error> {
        let capacity_fits =
            self.capacity.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&self.capacity);
        if !capacity_fits {
            return Err(Error::Capacity { asked: self.capacity });
        }
        if self.segments != Self::segments_for(self.capacity) {
            return Err(Error::BadOption { what: "the number of segments does not go with the capacity" });
        }
        if self.slots == 0 || self.slots > MAX_SLOTS {
            return Err(Error::BadOption { what: "a ring has 1 to 1024 consumer slots" });
        }
        if !self.alignment.is_power_of_two() || !(4096..=HUGE_PAGE).contains(&self.alignment) {
            return Err(Error::BadOption { what: "the alignment is a power of two from 4 KiB to 2 MiB" });
        }
        if self.gated_only && self.hard_limit_ns > 0 {
            return Err(Error::BadOption {
                what: "a ring for gated consumers only has no hard limit: it would refuse them all",
            });
        }
        if !self.origin_position.is_multiple_of(8) {
            return Err(Error::BadOption { what: "the origin is a multiple of 8" });
        }
        Ok(())
    }

    /// Segments of the index: 64, or four in the rings of a few words that the models explore.
    pub(crate) fn segments_for(capacity: u64) -> u64 {
        if capacity < 4096 { 4 } else { 64 }
    }

    /// Bytes of one segment: how far `reserve` is raised at a time.
    #[inline(always)]
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.capacity / self.segments
    }

    /// Word number of `position` in the data area.
    #[inline(always)]
    pub(crate) fn word(&self, position: u64) -> usize {
        word_of(position, self.capacity)
    }

    /// Bytes from `position` to the end of the ring.
    #[inline(always)]
    pub(crate) fn room(&self, position: u64) -> u64 {
        self.capacity - (position & (self.capacity - 1))
    }

    /// Number of `position`'s segment in the index.
    #[inline(always)]
    pub(crate) fn segment(&self, position: u64) -> usize {
        ((position & (self.capacity - 1)) / self.segment_bytes()) as usize
    }

    /// Largest payload in bytes: its footprint is half the capacity, and its length leaves the padding bit free.
    #[inline(always)]
    pub(crate) fn max_len(&self) -> usize {
        (self.capacity / 2 - HEADER_BYTES).min(u64::from(PADDING_BIT) - 8) as usize
            - self.time_bytes() as usize
    }

    /// Bytes of each record's publish time.
    #[inline(always)]
    pub(crate) fn time_bytes(&self) -> u32 {
        if self.timed { TIME_BYTES } else { 0 }
    }

    /// Payload bytes of so many records, of whose lengths `bytes` is the sum: the publish times are no payload.
    pub(crate) fn payload_bytes(&self, bytes: u64, records: u64) -> u64 {
        bytes.wrapping_sub(records.wrapping_mul(self.time_bytes().into()))
    }

    /// Publish clocks beside the index.
    fn clocks(&self) -> u64 {
        if self.timed { self.segments } else { 0 }
    }

    #[cfg(not(loom))]
    fn option_bits(&self) -> u64 {
        let inline = if self.inline { option::INLINE } else { 0 };
        let gated_only = if self.gated_only { option::GATED_ONLY } else { 0 };
        let timed = if self.timed { option::TIMED } else { 0 };
        inline | gated_only | timed | (self.wait.to_bits() << option::WAIT_SHIFT)
    }
}

#[cfg(not(loom))]
impl Lay for Geometry {
    type Views<'a> = Views<'a>;

    fn views<'a>(&self, [head, control, data]: [Bytes<'a>; 3]) -> Option<Views<'a>> {
        let index_end = size_of::<Head>() + self.segments as usize * size_of::<IndexEntry>();
        Some(Views {
            head: head.view(0)?,
            index: head.views(size_of::<Head>(), self.segments as usize)?,
            clocks: head.views(index_end, self.clocks() as usize)?,
            control: control.view(0)?,
            slots: control.views(size_of::<Control>(), self.slots as usize)?,
            data: data.views(0, (self.capacity / 8) as usize)?,
        })
    }

    #[inline(always)]
    fn shorten<'a>(views: Views<'static>) -> Views<'a> {
        views
    }
}

impl Format for Geometry {
    const KIND: Kind = Kind::Ring;

    #[cfg(loom)]
    type Views<'a> = Views<'a>;

    #[cfg(loom)]
    type Objects = (Head, Vec<IndexEntry>, Vec<Clock>, Control, Vec<Slot>, Vec<Word>);

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects {
        (
            Head::zeroed(),
            zeroed(self.segments),
            zeroed(self.clocks()),
            Control::zeroed(),
            zeroed(u64::from(self.slots)),
            zeroed(self.capacity / 8),
        )
    }

    #[cfg(loom)]
    fn views((head, index, clocks, control, slots, data): &Self::Objects) -> Views<'_> {
        Views { head, index, clocks, control, slots, data }
    }

    fn check(&self) -> Result<(), Error> {
        self.check_fields()
    }

    fn extents(&self) -> Extents {
        let index = self.segments * size_of::<IndexEntry>() as u64;
        let head = size_of::<Head>() as u64 + index + self.clocks() * size_of::<Clock>() as u64;
        let control = size_of::<Control>() as u64 + u64::from(self.slots) * size_of::<Slot>() as u64;
        Extents::of([head, control, self.capacity], self.alignment)
    }

    #[cfg(not(loom))]
    fn align(&mut self, alignment: u64) {
        self.alignment = self.alignment.max(alignment);
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; SHAPE_WORDS] {
        let mut words = [0; SHAPE_WORDS];
        words[shape::CAPACITY] = self.capacity;
        words[shape::SEGMENTS] = self.segments;
        words[shape::SLOTS] = u64::from(self.slots);
        words[shape::OPTIONS] = self.option_bits();
        words[shape::HARD_LIMIT_NS] = self.hard_limit_ns;
        words[shape::ORIGIN_POSITION] = self.origin_position;
        words[shape::ORIGIN_SEQUENCE] = self.origin_sequence;
        words[shape::SCHEMA] = self.schema;
        words
    }

    #[cfg(not(loom))]
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str> {
        if words[shape::SCHEMA + 1..].iter().any(|word| *word != 0) {
            return Err("a word that this version does not use");
        }
        let options = words[shape::OPTIONS];
        if options & !option::KNOWN != 0 {
            return Err("unknown options");
        }
        let wait = WaitMode::from_bits((options & option::WAIT_MASK) >> option::WAIT_SHIFT);
        Ok(Self {
            capacity: words[shape::CAPACITY],
            segments: words[shape::SEGMENTS],
            slots: u32::try_from(words[shape::SLOTS]).map_err(|_| "number of slots")?,
            alignment,
            inline: options & option::INLINE != 0,
            gated_only: options & option::GATED_ONLY != 0,
            timed: options & option::TIMED != 0,
            wait: wait.ok_or("wait mode")?,
            hard_limit_ns: words[shape::HARD_LIMIT_NS],
            sealed: false,
            origin_position: words[shape::ORIGIN_POSITION],
            origin_sequence: words[shape::ORIGIN_SEQUENCE],
            schema: words[shape::SCHEMA],
        })
    }

    #[cfg(not(loom))]
    /// The largest smaller capacity with which this ring's file takes at most `bytes`.
    fn largest_within(&self, bytes: u64) -> Option<u64> {
        let mut smaller = self.clone();
        while smaller.capacity > MIN_CAPACITY {
            smaller.capacity /= 2;
            smaller.segments = Self::segments_for(smaller.capacity);
            if smaller.extents().file_bytes() <= bytes {
                return Some(smaller.capacity);
            }
        }
        None
    }

    fn initialise(&self, created_ns: u64, views: Views<'_>) {
        let Self { origin_position, origin_sequence, wait, .. } = *self;
        let Views { head, index, clocks, .. } = views;
        set(&head.inline.published, origin_position);
        set(&head.inline.stamp, STAMP_NONE);
        set(&head.reserve.reserve, origin_position);
        set(&head.reserve.odd_began, origin_position);
        set(&head.reserve.mode, wait.to_bits());
        for entry in index {
            // Odd: no record starts in this segment yet.
            set(&entry.position, 1);
        }
        if let Some(clock) = clocks.get(self.segment(origin_position)) {
            set(&clock.host_ns, timestamp::now_ns());
        }
        let first = &index[self.segment(origin_position)];
        set(&first.sequence, origin_sequence);
        set(&first.time_ns, created_ns);
        set(&first.position, origin_position);
    }

    #[cfg(not(loom))]
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [AtomicU64] {
        &views.head.identity
    }
}

fn set(word: &AtomicU64, value: u64) {
    word.store(value, at!(INIT_WORD, Relaxed));
}

/// The parts of the three areas, as typed references over memory that other processes write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views<'a> {
    pub(crate) head: &'a Head,
    pub(crate) index: &'a [IndexEntry],
    /// Empty on a ring without times.
    pub(crate) clocks: &'a [Clock],
    pub(crate) control: &'a Control,
    pub(crate) slots: &'a [Slot],
    pub(crate) data: &'a [Word],
}

/// The same parts, with this process's private copy of the shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Areas<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) head: &'a Head,
    pub(crate) index: &'a [IndexEntry],
    /// Empty on a ring without times.
    pub(crate) clocks: &'a [Clock],
    pub(crate) control: &'a Control,
    pub(crate) slots: &'a [Slot],
    pub(crate) data: &'a [Word],
}

/// Word number of `position` in a data area of `capacity` bytes.
#[inline(always)]
pub(crate) fn word_of(position: u64, capacity: u64) -> usize {
    ((position & (capacity - 1)) / 8) as usize
}

/// Bytes a record of `len` payload bytes takes up in the ring: header word and payload, rounded up to 8.
#[inline(always)]
pub(crate) fn footprint(len: usize) -> u64 {
    (len as u64).wrapping_add(HEADER_BYTES + 7) & !7
}

/// A record's header word.
#[inline(always)]
pub(crate) fn header(len: u32, sequence: u64) -> u64 {
    u64::from(len) | (sequence << 32)
}

/// A header word taken apart: length with its padding bit, low 32 bits of the sequence.
#[inline(always)]
pub(crate) fn unpack(header: u64) -> (u32, u32) {
    (header as u32, (header >> 32) as u32)
}
