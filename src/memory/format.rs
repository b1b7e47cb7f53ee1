//! `Format`: the description of a kind of object, for the code that creates, opens and maps its file. This layer
//! knows no ring and no other kind.
//!
//! Every object has three areas, in this order. Each starts at a multiple of the alignment and is mapped separately
//! with the least rights:
//!
//! | area | written by | holds |
//! |---|---|---|
//! | head | the writer; if there is none, the creator | the identity page, and what the writer publishes about its state |
//! | control | every handle but read-only ones | words to sleep on, and what participants publish about themselves |
//! | data | the writer; if there is none, every handle but read-only ones | the contents |

use std::fmt;

use crate::error::{Error, Kind};
use crate::memory::extents::Extents;
#[cfg(not(loom))]
use crate::memory::map::Lay;

/// Words of the identity page that belong to the kind.
#[cfg(not(loom))]
pub(crate) const SHAPE_WORDS: usize = 16;

/// The shape of one object of a kind. Copied out of the identity page once, checked, and private from then on: no
/// length, offset or mask is ever read from shared memory again.
#[cfg(not(loom))]
pub(crate) trait Format: Lay + Clone + fmt::Debug + PartialEq {
    const KIND: Kind;

    /// Checks every field against the others and against the limits of the format.
    fn check(&self) -> Result<(), Error>;

    fn extents(&self) -> Extents;

    /// Each area starts at a multiple of this at least.
    fn align(&mut self, alignment: u64);

    /// The words of the identity page that belong to the kind.
    fn encode(&self) -> [u64; SHAPE_WORDS];

    /// Decodes the shape from such words, unchecked, or says what is wrong with them.
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str>;

    /// The largest size, in the unit of the kind's size option, of an object with otherwise the same options and a
    /// file of at most `bytes`.
    fn largest_within(&self, bytes: u64) -> Option<u64>;

    /// Initialises an object of zeroed memory. No other process can see it yet.
    fn initialise(&self, created_ns: u64, views: Self::Views<'_>);

    /// The words of the identity page that this layer writes itself.
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [crate::atomics::AtomicU64];
}

/// The same for the models, which have no files, and use loom's objects instead of bytes.
#[cfg(loom)]
pub(crate) trait Format: Clone + fmt::Debug + PartialEq {
    const KIND: Kind;

    type Views<'a>: Copy;

    type Objects;

    fn objects(&self) -> Self::Objects;

    fn views(objects: &Self::Objects) -> Self::Views<'_>;

    fn check(&self) -> Result<(), Error>;

    fn extents(&self) -> Extents;

    fn initialise(&self, created_ns: u64, views: Self::Views<'_>);
}
