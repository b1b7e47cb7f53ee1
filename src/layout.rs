//! The file format, version 1: what each byte means. No behaviour. `docs/format.md` is the same in prose.
//!
//! | area    | written by | holds                                                  |
//! |---------|------------|--------------------------------------------------------|
//! | head    | producer   | identity page, producer lines, segment index           |
//! | control | everybody  | sleep words, consumer slots                            |
//! | data    | producer   | `capacity` bytes of records, as aligned 8-byte words   |
//!
//! Each area starts at a multiple of the alignment and is mapped on its own with the least rights.

use crate::atomics::{AtomicU64, FutexWord, Word};
use crate::error::Error;
#[cfg(not(loom))]
pub(crate) use crate::limits::{MAJOR, MINOR};
pub(crate) use crate::limits::{MAX_CAPACITY, MIN_CAPACITY};
use crate::wait::mode::WaitMode;

/// `quoit\r\n` and a byte that no text file starts a line with; as a little-endian word.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"quoit\r\n\x1a");
/// Reads as this number only on a machine of the same byte order.
pub(crate) const ENDIAN_MARK: u64 = 0x0102_0304_0506_0708;

/// Bytes of the identity page.
pub(crate) const IDENTITY_BYTES: usize = 4096;
/// Words of the identity page. The models have no files, and no use for it.
pub(crate) const IDENTITY_WORDS: usize = if cfg!(loom) { 1 } else { IDENTITY_BYTES / 8 };

/// Bytes of a record's header word.
pub(crate) const HEADER_BYTES: u64 = 8;
/// Payload bytes that the inline block holds.
pub(crate) const INLINE_BYTES: usize = 104;
/// Words of them that are on the cache line of `published`; the others are on the next.
pub(crate) const INLINE_BESIDE: usize = 5;
/// The inline stamp that matches no position: positions are multiples of 8.
pub(crate) const STAMP_NONE: u64 = 1;
/// The top bit of a header's length: padding up to the end of the ring.
pub(crate) const PADDING_BIT: u32 = 1 << 31;

/// Bytes of the field that a consumer's name stands in. The last one is always 0. The models look at each of its words.
pub(crate) const NAME_BYTES: usize = if cfg!(loom) { 16 } else { 64 };
/// Bytes of the longest name.
pub(crate) const NAME_MOST: usize = NAME_BYTES - 1;

/// Bytes of a huge page, and the largest alignment.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;
/// Most consumer slots of one ring.
pub(crate) const MAX_SLOTS: u32 = 1024;

/// Word numbers in the identity page. All of it is written once, before anybody else sees the file.
pub(crate) mod identity {
    pub(crate) const MAGIC: usize = 0;
    /// `major << 32 | minor`.
    pub(crate) const VERSION: usize = 1;
    pub(crate) const ENDIAN_MARK: usize = 2;
    /// CRC-32C of the words from `GEOMETRY` to `END`, in the low half.
    pub(crate) const CHECKSUM: usize = 3;

    pub(crate) const GEOMETRY: usize = 4;
    pub(crate) const FILE_BYTES: usize = 4;
    pub(crate) const ALIGNMENT: usize = 5;
    pub(crate) const CAPACITY: usize = 6;
    pub(crate) const SEGMENTS: usize = 7;
    pub(crate) const SLOTS: usize = 8;
    pub(crate) const OPTIONS: usize = 9;
    pub(crate) const HARD_LIMIT_NS: usize = 10;
    pub(crate) const ORIGIN_POSITION: usize = 11;
    pub(crate) const ORIGIN_SEQUENCE: usize = 12;
    pub(crate) const RING_ID: usize = 13;
    pub(crate) const BOOT_ID: usize = 15;
    pub(crate) const CREATED_NS: usize = 17;
    /// Device, inode and time of birth of the file itself.
    pub(crate) const FILE: usize = 18;
    /// What the records are: bytes of each in the high half, a tag in the low one; 0: records of any kind.
    pub(crate) const SCHEMA: usize = 21;
    pub(crate) const END: usize = 22;

    /// On a sealed ring, behind the checked words: device and inode of the file with its control area.
    pub(crate) const CONTROL_FILE: usize = 32;
}

/// Bits of `identity::OPTIONS`.
pub(crate) mod option {
    /// Single sends keep a copy of the newest record in the inline block.
    pub(crate) const INLINE: u64 = 1;
    /// Consumers that can be overwritten are refused.
    pub(crate) const GATED_ONLY: u64 = 1 << 1;
    /// Two bits: the wait mode asked for at create.
    pub(crate) const WAIT_SHIFT: u32 = 2;
    pub(crate) const WAIT_MASK: u64 = 3 << WAIT_SHIFT;
    /// Records carry a publish time in a 16-byte header. Reserved: version 1.0 writes 0 and refuses 1.
    pub(crate) const TIMED: u64 = 1 << 4;
    pub(crate) const KNOWN: u64 = INLINE | GATED_ONLY | WAIT_MASK;
    const _: () = assert!(KNOWN & TIMED == 0);
}

/// `published` and the inline copy. Written by the producer, read by everybody.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Inline {
    /// Byte position below which every record is committed.
    pub(crate) published: AtomicU64,
    /// End position of the record copied here; odd: none.
    pub(crate) stamp: AtomicU64,
    pub(crate) header: Word,
    pub(crate) payload: [Word; INLINE_BYTES / 8],
}

/// What readers check themselves against. Written by the producer once per segment.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Reserve {
    /// Byte position up to which the producer may already be writing. Bytes below `reserve - capacity` are gone.
    pub(crate) reserve: AtomicU64,
    /// Number of the producer: raised by each one that opens the ring.
    pub(crate) epoch: AtomicU64,
    /// Position at which the epoch began, if its number is odd: see `began`.
    pub(crate) odd_began: AtomicU64,
    /// The `WaitMode` this producer really uses.
    pub(crate) mode: AtomicU64,
    /// 1: the producer ended cleanly, nothing more will come until another opens the ring.
    pub(crate) closed: AtomicU64,
    /// Hints for people: process id of the producer and when it opened the ring (wall clock, ns).
    pub(crate) pid: AtomicU64,
    pub(crate) opened_ns: AtomicU64,
    /// Position at which the epoch began, if its number is even.
    pub(crate) even_began: AtomicU64,
}

impl Reserve {
    /// Where an epoch began. Two words, used in turn: a successor that dies before its epoch counts has not touched
    /// where the one before it began.
    pub(crate) fn began(&self, epoch: u64) -> &AtomicU64 {
        if epoch & 1 == 1 { &self.odd_began } else { &self.even_began }
    }
}

/// Totals since creation, for people and tools. Nothing depends on them.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Counters {
    /// Claims that were refused for want of space.
    pub(crate) full: AtomicU64,
    /// Time spent waiting for space, ns.
    pub(crate) stall_ns: AtomicU64,
    /// System calls made to wake consumers.
    pub(crate) wakes: AtomicU64,
    /// Consumers that lost their gate by holding the producer up past a budget.
    pub(crate) evictions: AtomicU64,
    /// Slots taken back from dead consumers, and holds that ran out.
    pub(crate) reclaims: AtomicU64,
    /// Who holds the producer up: number of the slot, and one; 0: nobody.
    pub(crate) blocked: AtomicU64,
    /// Since when (wall clock, ns), and the position up to which the producer wants to write.
    pub(crate) blocked_ns: AtomicU64,
    pub(crate) blocked_end: AtomicU64,
}

/// The identity page and the producer's lines; the segment index follows directly.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) identity: [AtomicU64; IDENTITY_WORDS],
    pub(crate) inline: Inline,
    pub(crate) reserve: Reserve,
    pub(crate) counters: Counters,
}

/// The first record boundary of a segment. A small seqlock: an odd position is an entry being written.
#[repr(C, align(32))]
#[derive(Debug)]
pub(crate) struct IndexEntry {
    pub(crate) position: AtomicU64,
    /// Sequence of the record that starts, or will start, at `position`.
    pub(crate) sequence: AtomicU64,
    /// Payload bytes published before `position`.
    pub(crate) bytes: AtomicU64,
    /// Wall-clock time of the entry, ns since 1970.
    pub(crate) time_ns: AtomicU64,
}

/// A futex word alone on its lines. Bit 0: somebody is armed; the rest counts wakes.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Sleepers {
    pub(crate) word: FutexWord,
}

/// The fixed part of the control area; the slots follow directly.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Control {
    /// Consumers sleep here until there is data.
    pub(crate) data: Sleepers,
    /// The producer sleeps here until there is space.
    pub(crate) space: Sleepers,
}

/// What the producer's scan reads of a consumer.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Gate {
    /// `generation << 8 | SlotState`.
    pub(crate) state: AtomicU64,
    /// Position below which everything is released; bit 0 tells which account belongs to it.
    pub(crate) cursor: AtomicU64,
    /// How long it may hold the producer up, ns; 0: for ever.
    pub(crate) budget_ns: AtomicU64,
    /// How long its gate outlives it, ns; 0: not at all; `u64::MAX`: for ever.
    pub(crate) hold_ns: AtomicU64,
    /// The state word whose gate somebody asks the producer to take; any other value asks for nothing.
    pub(crate) evict: AtomicU64,
    /// For people: when the hold began that is running out (wall clock, ns); 0: none is. Written by the producer.
    pub(crate) held_ns: AtomicU64,
}

/// Who a consumer is: the name by which it resumes, and hints for people.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) name: [AtomicU64; NAME_BYTES / 8],
    pub(crate) pid: AtomicU64,
    /// When it was attached (wall clock, ns); 0: it is still on its way in, and may miss what is published now.
    pub(crate) attached_ns: AtomicU64,
    /// When the last consumer under the name was found to have left; 0: it has not, or nobody has looked.
    pub(crate) left_ns: AtomicU64,
}

/// Where a consumer is and what it lost. Two of them, written in turn; the cursor selects one.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) position: AtomicU64,
    pub(crate) sequence: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) lost_records: AtomicU64,
    pub(crate) lost_bytes: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) largest_gap: AtomicU64,
    pub(crate) first_lost: AtomicU64,
    pub(crate) last_lost: AtomicU64,
    /// Lost records by cause, in the order of `LossCause`.
    pub(crate) by_cause: [AtomicU64; 3],
}

/// One consumer.
#[repr(C, align(128))]
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) gate: Gate,
    pub(crate) who: Who,
    pub(crate) accounts: [Account; 2],
}

/// The low byte of `Gate::state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotState {
    Free,
    /// Being filled in by a consumer that attaches.
    Attaching,
    /// Never holds the producer back.
    Lossy,
    /// Holds the producer back; with a budget, for so long.
    Gated,
    /// Held the producer up past its budget; lossy for the rest of its attachment.
    Evicted,
    /// A name whose consumer is away: keeps its place, holds nobody back.
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
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Inline>() == 128);
    assert!(offset_of!(Inline, published) == 0);
    assert!(offset_of!(Inline, stamp) == 8);
    assert!(offset_of!(Inline, header) == 16);
    assert!(offset_of!(Inline, payload) == 24);
    assert!(offset_of!(Inline, payload) + 8 * INLINE_BESIDE == 64);
    assert!(size_of::<Reserve>() == 128);
    assert!(offset_of!(Reserve, reserve) == 0);
    assert!(offset_of!(Reserve, epoch) == 8);
    assert!(offset_of!(Reserve, odd_began) == 16);
    assert!(offset_of!(Reserve, mode) == 24);
    assert!(offset_of!(Reserve, closed) == 32);
    assert!(offset_of!(Reserve, pid) == 40);
    assert!(offset_of!(Reserve, opened_ns) == 48);
    assert!(offset_of!(Reserve, even_began) == 56);
    assert!(size_of::<Counters>() == 128);
    assert!(offset_of!(Counters, full) == 0);
    assert!(offset_of!(Counters, stall_ns) == 8);
    assert!(offset_of!(Counters, wakes) == 16);
    assert!(offset_of!(Counters, evictions) == 24);
    assert!(offset_of!(Counters, reclaims) == 32);
    assert!(offset_of!(Counters, blocked) == 40);
    assert!(offset_of!(Counters, blocked_ns) == 48);
    assert!(offset_of!(Counters, blocked_end) == 56);
    assert!(size_of::<Head>() == 4096 + 3 * 128);
    assert!(offset_of!(Head, identity) == 0);
    assert!(offset_of!(Head, inline) == 4096);
    assert!(offset_of!(Head, reserve) == 4096 + 128);
    assert!(offset_of!(Head, counters) == 4096 + 256);
    assert!(size_of::<IndexEntry>() == 32);
    assert!(offset_of!(IndexEntry, position) == 0);
    assert!(offset_of!(IndexEntry, sequence) == 8);
    assert!(offset_of!(IndexEntry, bytes) == 16);
    assert!(offset_of!(IndexEntry, time_ns) == 24);
    assert!(size_of::<Control>() == 256);
    assert!(offset_of!(Control, data) == 0);
    assert!(offset_of!(Control, space) == 128);
    assert!(size_of::<Slot>() == 512);
    assert!(offset_of!(Slot, gate) == 0);
    assert!(offset_of!(Slot, who) == 128);
    assert!(offset_of!(Slot, accounts) == 256);
    assert!(offset_of!(Gate, state) == 0);
    assert!(offset_of!(Gate, cursor) == 8);
    assert!(offset_of!(Gate, budget_ns) == 16);
    assert!(offset_of!(Gate, hold_ns) == 24);
    assert!(offset_of!(Gate, evict) == 32);
    assert!(offset_of!(Gate, held_ns) == 40);
    assert!(offset_of!(Who, name) == 0);
    assert!(offset_of!(Who, pid) == 64);
    assert!(offset_of!(Who, attached_ns) == 72);
    assert!(offset_of!(Who, left_ns) == 80);
    assert!(size_of::<Account>() == 128);
    assert!(offset_of!(Account, position) == 0);
    assert!(offset_of!(Account, sequence) == 8);
    assert!(offset_of!(Account, bytes) == 16);
    assert!(offset_of!(Account, lost_records) == 24);
    assert!(offset_of!(Account, lost_bytes) == 32);
    assert!(offset_of!(Account, gaps) == 40);
    assert!(offset_of!(Account, largest_gap) == 48);
    assert!(offset_of!(Account, first_lost) == 56);
    assert!(offset_of!(Account, last_lost) == 64);
    assert!(offset_of!(Account, by_cause) == 72);
};

/// The shape of one ring. Copied out of the identity page once, checked, and private from then on: no length,
/// offset or mask is ever read from the mapping again.
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
    pub(crate) wait: WaitMode,
    /// No consumer may hold the producer up for longer, ns; 0: no limit.
    pub(crate) hard_limit_ns: u64,
    /// Everybody who was handed the ring writes the control area, and is not trusted: see `sealed.rs`. Not in the
    /// identity page: who maps the ring knows it.
    pub(crate) sealed: bool,
    /// Where the stream began: a multiple of 8, and any sequence.
    pub(crate) origin_position: u64,
    pub(crate) origin_sequence: u64,
    /// What its records are, as `limits::Schema` has it; 0: records of any kind.
    pub(crate) schema: u64,
}

impl Geometry {
    /// Checks every field against the others and against the limits of the format.
    pub(crate) fn check(&self) -> Result<(), Error> {
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
    }

    pub(crate) fn option_bits(&self) -> u64 {
        let inline = if self.inline { option::INLINE } else { 0 };
        let gated_only = if self.gated_only { option::GATED_ONLY } else { 0 };
        inline | gated_only | (self.wait.to_bits() << option::WAIT_SHIFT)
    }

    /// Bytes of the head area.
    pub(crate) fn head_bytes(&self) -> u64 {
        let used = size_of::<Head>() as u64 + self.segments * size_of::<IndexEntry>() as u64;
        used.next_multiple_of(self.alignment)
    }

    /// Bytes of the control area.
    pub(crate) fn control_bytes(&self) -> u64 {
        let used = size_of::<Control>() as u64 + u64::from(self.slots) * size_of::<Slot>() as u64;
        used.next_multiple_of(self.alignment)
    }

    /// Offset of the data area in the file.
    pub(crate) fn data_offset(&self) -> u64 {
        self.head_bytes() + self.control_bytes()
    }

    /// Bytes of the data area.
    pub(crate) fn data_bytes(&self) -> u64 {
        self.capacity.next_multiple_of(self.alignment)
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.data_offset() + self.data_bytes()
    }

    /// The largest capacity, less than this one, of a ring that is the same otherwise and has a file of `bytes` at most.
    pub(crate) fn largest_within(&self, bytes: u64) -> Option<u64> {
        let mut smaller = self.clone();
        while smaller.capacity > MIN_CAPACITY {
            smaller.capacity /= 2;
            smaller.segments = Self::segments_for(smaller.capacity);
            if smaller.file_bytes() <= bytes {
                return Some(smaller.capacity);
            }
        }
        None
    }
}

/// The three areas, as typed references over memory that others write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Areas<'a> {
    pub(crate) geometry: &'a Geometry,
    pub(crate) head: &'a Head,
    pub(crate) index: &'a [IndexEntry],
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
