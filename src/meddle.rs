//! For the fuzz targets, in the package `quoit-meddled` alone: somebody else's hands in a ring on the heap, who may
//! write before any single access that the library makes to shared memory, and a count of these accesses.
//!
//! [`at!`](crate::sync) is evaluated once for each access, so it is the place to let somebody in: what another
//! process might do between two loads happens there, at a moment that is the same in every run.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::error::Error;
use crate::identity::Identity;
use crate::layout::IDENTITY_BYTES;
use crate::local::Local;
use crate::region::Region;
use crate::sync::{peek, poke};

/// Called with the number of the access that comes next; returns the number at which to be called again.
type Meddler = Box<dyn FnMut(u64) -> u64>;

thread_local! {
    /// Accesses of this thread to shared memory so far.
    static ACCESSES: Cell<u64> = const { Cell::new(0) };
    /// Before which of them the meddler is called.
    static ALARM: Cell<u64> = const { Cell::new(u64::MAX) };
    static MEDDLER: RefCell<Option<Meddler>> = const { RefCell::new(None) };
}

/// Before every access to shared memory.
#[inline(always)]
pub(crate) fn before_access() {
    let number = ACCESSES.get();
    ACCESSES.set(number + 1);
    if number >= ALARM.get() {
        meddle(number);
    }
}

#[cold]
fn meddle(number: u64) {
    // The meddler's own accesses do not count, and call nobody.
    ALARM.set(u64::MAX);
    let next =
        MEDDLER.with_borrow_mut(|meddler| meddler.as_mut().map_or(u64::MAX, |meddler| meddler(number)));
    ALARM.set(next);
}

/// Accesses of this thread to shared memory so far.
pub fn accesses() -> u64 {
    ACCESSES.get()
}

/// From the access of number `first` on, `meddler` is called before it, with its number; it answers with the number
/// of the next one it wants to come before.
pub fn meddle_with(first: u64, meddler: impl FnMut(u64) -> u64 + 'static) {
    MEDDLER.with_borrow_mut(|place| *place = Some(Box::new(meddler)));
    ALARM.set(first);
}

/// Nobody meddles any more.
pub fn leave_alone() {
    ALARM.set(u64::MAX);
    MEDDLER.with_borrow_mut(|place| *place = None);
}

/// The bytes of a ring on the heap, as words, for a thread of its own.
#[derive(Debug)]
pub struct Memory {
    region: Region,
}

impl Memory {
    /// How many words there are.
    pub fn words(&self) -> usize {
        self.region.words()
    }

    /// The word of this number; 0 where there is none.
    pub fn peek(&self, number: usize) -> u64 {
        self.region.word(number).map_or(0, peek)
    }

    /// Writes a word; of the two that processes sleep on, the half that they sleep on.
    pub fn poke(&self, number: usize, value: u64) {
        let areas = self.region.areas();
        let sleepers = areas.geometry.head_bytes() as usize / 8;
        if number == sleepers {
            areas.control.data.word.0.store(value as u32, crate::sync::Ordering::Relaxed);
        } else if number == sleepers + 16 {
            areas.control.space.word.0.store(value as u32, crate::sync::Ordering::Relaxed);
        } else if let Some(word) = self.region.word(number) {
            poke(word, value);
        }
    }
}

impl Local {
    /// A ring of these bytes, checked as those of a file are.
    ///
    /// # Errors
    ///
    /// As those of a file: [`Error::TooShort`], [`Error::WrongSize`] and what is wrong with the identity page.
    pub fn from_image(image: &[u8]) -> Result<Self, Error> {
        let path = Path::new("(image)");
        let bytes = image.len() as u64;
        let Some(page) = image.first_chunk::<IDENTITY_BYTES>() else {
            return Err(Error::TooShort { path: path.into(), bytes });
        };
        let identity = Identity::decode(page, path)?;
        let expected = identity.geometry.file_bytes();
        if bytes != expected {
            return Err(Error::WrongSize { path: path.into(), bytes, expected });
        }
        let region = Region::image(identity, image)?;
        Ok(Self { region: Arc::new(Mutex::new(region)) })
    }

    /// Writes all bytes anew, if the ring has no handle and as many bytes. False: it was left as it was.
    pub fn restore(&mut self, image: &[u8]) -> bool {
        Arc::get_mut(&mut self.region)
            .and_then(|region| region.get_mut().ok())
            .is_some_and(|region| region.restore(image))
    }

    /// The ring's bytes.
    ///
    /// # Errors
    ///
    /// None, on the heap.
    pub fn memory(&self) -> Result<Memory, Error> {
        Ok(Memory { region: self.share()? })
    }
}
