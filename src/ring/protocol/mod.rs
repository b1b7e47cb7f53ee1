//! The protocol: how the producer publishes (`writer.rs`) and how readers read (`reader.rs`). This file has what both
//! share: places in the stream, the meaning of a header, and the position below which records are overwritten. The
//! protocol sees typed words, never an address or the operating system, so the same code runs over a file, a heap
//! block and loom.
//!
//! For every record the producer writes only the record itself and `published` (and, for a short one, its inline
//! copy).
//!
//! ```text
//! producer, record of footprint f at position p, e = p + f         reader at position c
//!
//! 1  e past the limit: rescan the gates (gate.rs)                  1  t = published          [R4] fence
//! 2  e past reserve:   reserve = round_up(e, segment)  [W1] fence      t not after c: nothing
//! 3  header and payload into the ring                 [W2]         2  t - c one short record, and the inline
//! 4  stamp = e [W3] fence, header and payload into                    copy's stamp is t:     [R3] fence
//!    the inline block, if the record fits                            take the copy
//!    and there is no rush (pace.rs)
//! 5  published = e                                    [W4]         3  else the record at c, checked against t
//! 6  index entry, if a segment was entered (index.rs)                 and the private geometry
//! 7  wake check (doorbell.rs)                                      4  a reader that can be overwritten:
//!                                                                     c below reserve - capacity [R1]: lapped;
//!                                                                     of short records it copies several before
//!                                                                     that check (lookahead.rs)
//! ```
//!
//! Edges (each release names its acquire; `docs/ordering.md` has the model that fails without it):
//!
//! | edge | from | to | without it |
//! |---|---|---|---|
//! | W1 → R1 | `reserve` before any word written below it | word before the load of `reserve` | a torn record is taken for whole |
//! | W3 → R3 | `stamp` before the inline words | inline words before the load of `stamp` | a torn inline copy is taken |
//! | W4 → R4 | record before `published` | `published` before the record | an unwritten record is read |
//! | R5 → W5 | reads before the cursor (gate.rs) | cursor before the next lap's writes | a gated record is overwritten while it is read |
//!
//! A record never wraps. If it does not fit before the end of the ring, the rest is padding, which is published
//! separately before the record (inside a batch: with it). So no publish spans more than half the ring.

pub(crate) mod backoff;
pub(crate) mod gate;
pub(crate) mod index;
pub(crate) mod lookahead;
pub(crate) mod own_slot;
pub(crate) mod pace;
pub(crate) mod reader;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod stage;
pub(crate) mod stalls;
pub(crate) mod times;
pub(crate) mod transfer;
pub(crate) mod writer;

use crate::atomics::{at, fence_at};
use crate::ring::geometry::Areas;
use crate::ring::layout::{PADDING_BIT, footprint, unpack};

/// A record boundary, in the three measures of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Byte position in the stream.
    pub(crate) position: u64,
    /// Sequence of the record that starts there.
    pub(crate) sequence: u64,
    /// Payload bytes published before it.
    pub(crate) bytes: u64,
}

/// Whether `a` is after `b`. Positions and sequences wrap, so they are compared by their signed distance.
#[inline(always)]
pub(crate) fn after(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}

/// Byte position below which everything may be overwritten.
#[inline(always)]
pub(crate) fn floor(areas: Areas<'_>) -> u64 {
    // [R1] Acquire. Pairs with [W1] in `writer.rs`.
    // Orders: the words just read before the load of `reserve`.
    // Without it: a reader may copy the next lap's words and still find them below `reserve`.
    fence_at!(R1_FENCE, Acquire);
    areas.head.reserve.reserve.load(at!(R1_RESERVE, Relaxed)).wrapping_sub(areas.geometry.capacity)
}

/// The meaning of the header at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// A record with this many payload bytes.
    Record(u32),
    /// Padding of this many bytes, up to the end of the ring.
    Padding(u64),
    /// A header that no honest producer writes.
    Bad(&'static str),
}

impl Place {
    /// Interprets the header word found here, given that everything below `published` is committed. Depends only on
    /// the word and on private geometry, so a hostile word can at worst be `Bad`.
    #[inline(always)]
    pub(crate) fn judge(&self, areas: Areas<'_>, header: u64, published: u64) -> Judged {
        let (len, sequence) = unpack(header);
        let room = areas.geometry.room(self.position);
        let available = published.wrapping_sub(self.position).min(room);
        if len & PADDING_BIT == 0 {
            let size = footprint(len as usize);
            if size > available {
                Judged::Bad("a record that runs past what is published")
            } else if size > areas.geometry.capacity / 2 {
                Judged::Bad("a record larger than half the ring")
            } else if sequence != self.sequence as u32 {
                Judged::Bad("a record out of sequence")
            } else {
                Judged::Record(len)
            }
        } else if available < room || room > areas.geometry.capacity / 2 {
            Judged::Bad("padding where none can be")
        } else {
            Judged::Padding(room)
        }
    }

    /// The place behind a record of `len` payload bytes.
    #[inline(always)]
    pub(crate) fn past_record(&self, len: u32) -> Self {
        Self {
            position: self.position.wrapping_add(footprint(len as usize)),
            sequence: self.sequence.wrapping_add(1),
            bytes: self.bytes.wrapping_add(u64::from(len)),
        }
    }

    /// The place before a record of `len` payload bytes that ends here.
    pub(crate) fn before_record(&self, len: u32) -> Self {
        Self {
            position: self.position.wrapping_sub(footprint(len as usize)),
            sequence: self.sequence.wrapping_sub(1),
            bytes: self.bytes.wrapping_sub(u64::from(len)),
        }
    }

    /// The place behind `size` bytes of padding.
    #[inline(always)]
    pub(crate) fn past_padding(&self, size: u64) -> Self {
        Self { position: self.position.wrapping_add(size), ..*self }
    }
}
