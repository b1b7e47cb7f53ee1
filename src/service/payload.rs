//! The bytes of a request or reply, where they are.

use std::fmt;

use zerocopy::{FromBytes, IntoBytes};

use crate::atomics::{Word, copy};

/// The payload of a request or reply, lent from shared memory without a copy.
///
/// The other side has promised not to write it meanwhile. If it does, the bytes that are read are wrong, and nothing else
/// is.
pub struct Payload<'a> {
    source: Source<'a>,
    len: usize,
}

enum Source<'a> {
    Lent(&'a [Word]),
    /// A reply that came while the client waited for something else.
    Copied(Vec<u8>),
}

impl<'a> Payload<'a> {
    #[inline]
    pub(super) fn lent(words: &'a [Word], len: usize) -> Self {
        Self { source: Source::Lent(words), len: len.min(words.len() * 8) }
    }

    pub(super) fn copied(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), source: Source::Copied(bytes) }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the bytes from `offset` on into `buffer`, as many as there are and fit. Returns how many.
    #[inline]
    pub fn read_at(&self, offset: usize, buffer: &mut [u8]) -> usize {
        match &self.source {
            Source::Lent(words) if offset == 0 => {
                let count = self.len.min(buffer.len());
                copy::read(words, &mut buffer[..count], true);
                count
            }
            _ => self.read_within(offset, buffer),
        }
    }

    /// As `read_at`, from anywhere.
    #[inline(never)]
    fn read_within(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let count = self.len.saturating_sub(offset).min(buffer.len());
        let Some(wanted) = buffer.get_mut(..count) else { return 0 };
        match &self.source {
            Source::Copied(bytes) => {
                let from = bytes.get(offset..).unwrap_or_default();
                wanted.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
            }
            Source::Lent(words) => {
                let words = words.get(offset / 8..).unwrap_or_default();
                let inside = offset % 8;
                if inside == 0 {
                    copy::read(words, wanted, true);
                    return count;
                }
                let mut first = [0; 8];
                copy::read(words, &mut first, true);
                let (begin, rest) = wanted.split_at_mut(count.min(8 - inside));
                begin.iter_mut().zip(&first[inside..]).for_each(|(to, from)| *to = *from);
                copy::read(words.get(1..).unwrap_or_default(), rest, true);
            }
        }
        count
    }

    /// A copy of all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        match &self.source {
            Source::Copied(bytes) => bytes.clone(),
            Source::Lent(words) => {
                let mut bytes = Vec::new();
                copy::read_vec(words, self.len, &mut bytes, true);
                bytes
            }
        }
    }

    /// The value that the bytes are. `None`: another number of bytes.
    pub fn read<T: FromBytes + IntoBytes>(&self) -> Option<T> {
        if self.len != size_of::<T>() {
            return None;
        }
        let mut value = T::new_zeroed();
        self.read_at(0, value.as_mut_bytes());
        Some(value)
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Whether so many bytes at an offset fit into a payload of that length.
pub(super) fn fits(len: usize, offset: usize, bytes: usize) -> bool {
    offset.checked_add(bytes).is_some_and(|end| end <= len)
}
