//! What a reader that can be overwritten has copied out of the ring: one record, or, where several short ones are there to be
//! read, as many as one look at `reserve` vouches for. A look costs as much as a short record, and a long copy
//! gets its cache lines all at once.

use crate::atomics::copy;
use crate::ring::layout::Areas;
use crate::ring::protocol::{Judged, Place};

/// Bytes of the ring copied at a time, at most: what a processor can have on its way, and little to have copied for
/// nothing if the producer overwrites the first of them meanwhile.
const MOST: u64 = if cfg!(loom) { 16 } else { 1024 };
/// After a record of more payload bytes than these the next is copied alone: it is likely to be as long.
pub(crate) const SHORT: u32 = if cfg!(loom) { 8 } else { 256 };

/// Copies, and the payload that was told last.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    bytes: Vec<u8>,
    /// Where that payload begins.
    payload: usize,
    /// The position of the stream that the bytes were at. `None`: they are one payload.
    position: Option<u64>,
}

impl Copies {
    /// Room for the payload of one record.
    #[inline(always)]
    pub(crate) fn one(&mut self) -> &mut Vec<u8> {
        self.payload = 0;
        self.position = None;
        self.bytes.clear();
        &mut self.bytes
    }

    /// The first `len` bytes of the payload that was told last.
    #[inline(always)]
    pub(crate) fn payload(&self, len: u32) -> &[u8] {
        self.bytes.get(self.payload..).and_then(|bytes| bytes.get(..len as usize)).unwrap_or_default()
    }

    /// Copies what is published from `position` on, no further than the end of the ring. Nothing of it is known to be
    /// whole before a look at `reserve`.
    #[inline]
    pub(crate) fn several(&mut self, areas: Areas<'_>, position: u64, published: u64) {
        let bytes = published.wrapping_sub(position).min(areas.geometry.room(position)).min(MOST) as usize;
        let word = areas.geometry.word(position);
        let copies = self.one();
        copy::read_vec(&areas.data[word..word + bytes / 8], bytes, copies, false);
        self.position = Some(position);
    }

    /// The position up to which copies reach. `None`: there are none but of one payload.
    #[inline(always)]
    pub(crate) fn end(&self) -> Option<u64> {
        Some(self.position?.wrapping_add(self.bytes.len() as u64))
    }

    /// The words between two positions, if all of them are here.
    #[inline(always)]
    pub(crate) fn between(&self, from: u64, to: u64) -> Option<&[[u8; 8]]> {
        let begin = usize::try_from(from.wrapping_sub(self.position?)).ok()?;
        let bytes = usize::try_from(to.wrapping_sub(from)).ok()?;
        Some(self.bytes.get(begin..begin.checked_add(bytes)?)?.as_chunks().0)
    }

    /// What stands at a position, if it is here, and is a record's header: then its payload follows.
    #[inline(always)]
    pub(crate) fn header(&mut self, position: u64) -> Option<u64> {
        let begin = usize::try_from(position.wrapping_sub(self.position?)).ok()?;
        let header = self.bytes.get(begin..)?.first_chunk()?;
        self.payload = begin + header.len();
        Some(u64::from_le_bytes(*header))
    }

    /// The record at this place, if all of it is here: its payload bytes. `None` too for whatever is no record.
    #[inline(always)]
    pub(crate) fn record(&mut self, areas: Areas<'_>, place: &Place) -> Option<u32> {
        let (header, end) = (self.header(place.position)?, self.end()?);
        let Judged::Record(len) = place.judge(areas, header, end) else { return None };
        Some(len)
    }
}
