//! For the fuzz targets, only in the package `quoit-tampered`: a hostile writer to a ring on the heap, which can
//! write before any single access that the library makes to shared memory, and a count of these accesses.

use std::path::Path;

pub use crate::atomics::tamper::{accesses, leave_alone, tamper_with};
use crate::atomics::{peek, poke};
use crate::error::{Error, Kind};
use crate::memory::format::Format;
use crate::memory::identity::{IDENTITY_BYTES, Identity};
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::rings::Ring;

/// The bytes of a heap ring, as words, for use by another thread.
#[derive(Debug)]
pub struct RawRing {
    region: Region,
}

impl RawRing {
    /// Number of words.
    pub fn words(&self) -> usize {
        self.region.words()
    }

    /// The word with this number; 0 if there is none.
    pub fn peek(&self, number: usize) -> u64 {
        self.region.word(number).map_or(0, peek)
    }

    /// Writes a word; for the two sleep words, only the half that processes sleep on.
    pub fn poke(&self, number: usize, value: u64) {
        let areas = self.region.areas();
        let sleepers = areas.geometry.extents().head_bytes as usize / 8;
        if number == sleepers {
            areas.control.data.0.store(value as u32, crate::atomics::Ordering::Relaxed);
        } else if number == sleepers + 16 {
            areas.control.space.0.store(value as u32, crate::atomics::Ordering::Relaxed);
        } else if let Some(word) = self.region.word(number) {
            poke(word, value);
        }
    }
}

impl Ring {
    /// A heap ring with these bytes, checked as a file is.
    ///
    /// # Errors
    ///
    /// As for a file: [`Error::TooShort`], [`Error::WrongSize`] and the errors of the identity page.
    pub fn from_image(image: &[u8]) -> Result<Self, Error> {
        let path = Path::new("(image)");
        let bytes = image.len() as u64;
        let Some(page) = image.first_chunk::<IDENTITY_BYTES>() else {
            return Err(Error::TooShort { path: path.into(), bytes, wanted: Some(Kind::Ring) });
        };
        let identity = Identity::<crate::ring::geometry::Geometry>::decode(page, path)?;
        let expected = identity.shape.extents().file_bytes();
        if bytes != expected {
            return Err(Error::WrongSize { path: path.into(), bytes, expected });
        }
        Ok(Self::on(Region::image(identity, image)?))
    }

    /// Replaces all bytes, if the ring has no handle and the same size. False: nothing was changed.
    pub fn restore(&mut self, image: &[u8]) -> bool {
        self.sole_region().is_some_and(|region| region.restore(image))
    }

    /// A copy of the ring's bytes.
    ///
    /// # Errors
    ///
    /// None on the heap.
    pub fn memory(&self) -> Result<RawRing, Error> {
        Ok(RawRing { region: self.region(Access::Writer)? })
    }
}
