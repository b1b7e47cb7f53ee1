//! The shape of a ring: its sizes and options, how they stand in the identity page, and where each part of the file is.

use crate::atomics::{AtomicU64, Word, at};
use crate::error::{Error, Kind};
use crate::limits::{MAX_CAPACITY, MIN_CAPACITY};
#[cfg(loom)]
use crate::memory::block::{Zeroed, zeroed};
use crate::memory::extents::{Extents, HUGE_PAGE};
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::format::SHAPE_WORDS;
#[cfg(not(loom))]
use crate::memory::map::{Bytes, Lay};
use crate::ring::layout::{
    Clock, Control, HEADER_BYTES, Head, IndexEntry, MAX_SLOTS, PADDING_BIT, STAMP_NONE, Slot, TIME_BYTES,
    word_of,
};
use crate::wait::mode::WaitMode;
use crate::wait::timestamp;

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
