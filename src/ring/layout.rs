//! The layout of a ring, version 1: what each byte means. `docs/format.md` describes it in prose; `geometry.rs` has the sizes
//! of one ring, and its initial state.
//!
//! | area    | written by | holds                                                  |
//! |---------|------------|--------------------------------------------------------|
//! | head    | producer   | identity page, producer lines, segment index           |
//! | control | everybody  | sleep words, consumer slots                            |
//! | data    | producer   | `capacity` bytes of records, as aligned 8-byte words   |

use crossbeam_utils::CachePadded;

use crate::atomics::{AtomicU64, FutexWord, Word};
use crate::memory::block::block;
use crate::memory::identity::IDENTITY_WORDS;

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
