//! Copies that a reader which can be overwritten has made from the ring: one record, or several short ones that one
//! check of `reserve` covers. The check costs as much as a short record, and one long copy fetches its cache lines in
//! parallel.

use crate::atomics::{Word, copy};
use crate::ring::geometry::Areas;
use crate::ring::layout::{INLINE_BESIDE, INLINE_BYTES};
use crate::ring::protocol::{Judged, Place};

/// The most bytes copied at a time: about what a processor can fetch in parallel, and little work lost if the
/// producer overwrites the first of them meanwhile.
const MOST: u64 = if cfg!(loom) { 16 } else { 1024 };
/// After a record with more payload bytes than this, the next is copied alone, since it is likely to be as long.
pub(crate) const SHORT: u32 = if cfg!(loom) { 8 } else { 256 };

/// Copies, and the payload of the last record received.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    bytes: Vec<u8>,
    /// Where that payload begins.
    payload: usize,
    /// The stream position of the bytes. `None`: they are a single payload.
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

    /// Room for the payload of one record, of at most `N` words. Never made shorter, so that it is rarely made longer.
    #[inline(always)]
    fn front<const N: usize>(&mut self) -> Option<&mut [[u8; 8]; N]> {
        self.payload = 0;
        self.position = None;
        if self.bytes.len() < 8 * N {
            self.lengthen(8 * N);
        }
        self.bytes.as_chunks_mut().0.first_chunk_mut()
    }

    #[cold]
    #[inline(never)]
    fn lengthen(&mut self, bytes: usize) {
        self.bytes.resize(bytes, 0);
    }

    /// Copies the payload of one record, which may be overwritten meanwhile.
    #[inline(always)]
    pub(crate) fn copy(&mut self, words: &[Word], len: u32) {
        copy::read_vec(words, len as usize, self.one(), false);
    }

    /// Copies at least `len` bytes of an inline copy: one word, the words on the line of `published`, or all. Three
    /// lengths make little code, and a record that fits the first line does not wait for the second.
    #[inline(always)]
    pub(crate) fn copy_inline(&mut self, words: &[Word; INLINE_BYTES / 8], len: usize) {
        if len <= 8 {
            self.copy_first::<1>(words);
        } else if len <= 8 * INLINE_BESIDE {
            self.copy_first::<INLINE_BESIDE>(words);
        } else {
            self.copy_first::<{ INLINE_BYTES / 8 }>(words);
        }
    }

    #[inline(always)]
    fn copy_first<const N: usize>(&mut self, words: &[Word]) {
        if let (Some(words), Some(out)) = (words.first_chunk::<N>(), self.front()) {
            copy::read_words(words, out);
        }
    }

    /// The first `len` bytes of the payload of the last record received.
    #[inline(always)]
    pub(crate) fn payload(&self, len: u32) -> &[u8] {
        self.bytes.get(self.payload..).and_then(|bytes| bytes.get(..len as usize)).unwrap_or_default()
    }

    /// Copies what is published from `position` on, up to the end of the ring at most. The copy may be torn until
    /// `reserve` is checked.
    #[inline]
    pub(crate) fn several(&mut self, areas: Areas<'_>, position: u64, published: u64) {
        let bytes = published.wrapping_sub(position).min(areas.geometry.room(position)).min(MOST) as usize;
        let word = areas.geometry.word(position);
        let copies = self.one();
        copy::read_vec(&areas.data[word..word + bytes / 8], bytes, copies, false);
        self.position = Some(position);
    }

    /// The position where the copies end. `None`: there is at most a single payload.
    #[inline(always)]
    pub(crate) fn end(&self) -> Option<u64> {
        Some(self.position?.wrapping_add(self.bytes.len() as u64))
    }

    /// The words between two positions, if all of them are copied.
    #[inline(always)]
    pub(crate) fn between(&self, from: u64, to: u64) -> Option<&[[u8; 8]]> {
        let begin = usize::try_from(from.wrapping_sub(self.position?)).ok()?;
        let bytes = usize::try_from(to.wrapping_sub(from)).ok()?;
        Some(self.bytes.get(begin..begin.checked_add(bytes)?)?.as_chunks().0)
    }

    /// The header at a position, if it is copied. Sets where its payload begins.
    #[inline(always)]
    pub(crate) fn header(&mut self, position: u64) -> Option<u64> {
        let begin = usize::try_from(position.wrapping_sub(self.position?)).ok()?;
        let header = self.bytes.get(begin..)?.first_chunk()?;
        self.payload = begin + header.len();
        Some(u64::from_le_bytes(*header))
    }

    /// The payload bytes of the record at this place, if all of it is copied. `None` also if it is not a record.
    #[inline(always)]
    pub(crate) fn record(&mut self, areas: Areas<'_>, place: &Place) -> Option<u32> {
        let (header, end) = (self.header(place.position)?, self.end()?);
        let Judged::Record(len) = place.judge(areas, header, end) else { return None };
        Some(len)
    }
}
