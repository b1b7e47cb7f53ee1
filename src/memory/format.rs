//! What a kind of object is, to the code that makes, opens and maps its file: a description. This floor knows no ring and
//! no other kind.
//!
//! Every object has three areas, in this order, each at a multiple of the alignment and mapped on its own with the least
//! rights:
//!
//! | area | written by | holds |
//! |---|---|---|
//! | head | the writer | the identity page, and what the writer tells |
//! | control | everybody but read-only handles | words to sleep on, and what participants tell of themselves |
//! | data | the writer | what it is all about |

use std::fmt;

use crate::error::{Error, Kind};
use crate::memory::extents::Extents;
#[cfg(not(loom))]
use crate::memory::map::Lay;

/// Words of the identity page that are the kind's own.
#[cfg(not(loom))]
pub(crate) const SHAPE_WORDS: usize = 16;

/// The shape of one object of a kind. Copied out of the identity page once, checked, and private from then on: no length,
/// offset or mask is ever read from shared memory again.
#[cfg(not(loom))]
pub(crate) trait Format: Lay + Clone + fmt::Debug + PartialEq {
    const KIND: Kind;

    /// Checks every field against the others and against the limits of the format.
    fn check(&self) -> Result<(), Error>;

    fn extents(&self) -> Extents;

    /// Each area is to start at a multiple of this at least.
    fn align(&mut self, alignment: u64);

    /// The words of the identity page that are the kind's own.
    fn encode(&self) -> [u64; SHAPE_WORDS];

    /// The shape that such words tell, not yet checked; else what is wrong with them.
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str>;

    /// The largest size, in the unit in which the kind's size is asked for, of an object that is the same otherwise and
    /// has a file of `bytes` at most.
    fn largest_within(&self, bytes: u64) -> Option<u64>;

    /// Brings an object of zeroed memory into its first state. Nobody else can see it yet.
    fn initialise(&self, created_ns: u64, views: Self::Views<'_>);

    /// The words of the identity page, which this floor writes itself.
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [crate::atomics::AtomicU64];
}

/// The same for the models, which have no files, and loom's objects in place of bytes.
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
