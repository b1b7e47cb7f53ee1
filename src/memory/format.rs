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
use crate::memory::identity::Identity;
#[cfg(not(loom))]
use crate::memory::identity::SHAPE_WORDS;
#[cfg(not(loom))]
use crate::memory::map::Bytes;

/// Bytes of a huge page, and the largest alignment.
pub(crate) const HUGE_PAGE: u64 = 2 << 20;

/// Bytes of the areas, each a multiple of `alignment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extents {
    pub(crate) head_bytes: u64,
    pub(crate) control_bytes: u64,
    pub(crate) data_bytes: u64,
    pub(crate) alignment: u64,
}

impl Extents {
    /// Bytes of the file.
    pub(crate) fn file_bytes(self) -> u64 {
        self.head_bytes + self.control_bytes + self.data_bytes
    }
}

/// The shape of one object of a kind. Copied out of the identity page once, checked, and private from then on: no length,
/// offset or mask is ever read from shared memory again.
pub(crate) trait Format: Clone + fmt::Debug + PartialEq {
    const KIND: Kind;

    /// Typed references into the areas.
    type Views<'a>: Copy;

    /// The views of these areas: head, control, data. `None`: an area is too small, which a checked shape excludes.
    #[cfg(not(loom))]
    fn views<'a>(&self, areas: [Bytes<'a>; 3]) -> Option<Self::Views<'a>>;

    /// The same views, for a shorter time.
    #[cfg(not(loom))]
    fn shorten<'a>(views: Self::Views<'static>) -> Self::Views<'a>;

    /// What the models have in place of areas: loom's objects cannot be laid over bytes.
    #[cfg(loom)]
    type Objects;

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects;

    #[cfg(loom)]
    fn views(objects: &Self::Objects) -> Self::Views<'_>;

    /// Checks every field against the others and against the limits of the format.
    fn check(&self) -> Result<(), Error>;

    fn extents(&self) -> Extents;

    /// Each area is to start at a multiple of this at least.
    #[cfg(not(loom))]
    fn align(&mut self, alignment: u64);

    /// The words of the identity page that are the kind's own.
    #[cfg(not(loom))]
    fn encode(&self) -> [u64; SHAPE_WORDS];

    /// The shape that such words tell, not yet checked; else what is wrong with them.
    #[cfg(not(loom))]
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str>;

    /// The largest size, in the unit in which the kind's size is asked for, of an object that is the same otherwise and
    /// has a file of `bytes` at most.
    #[cfg(not(loom))]
    fn largest_within(&self, bytes: u64) -> Option<u64>;

    /// Brings an object of zeroed memory into its first state. Nobody else can see it yet.
    fn initialise(identity: &Identity<Self>, views: Self::Views<'_>);

    /// The words of the identity page, which this floor writes itself.
    #[cfg(not(loom))]
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [crate::atomics::AtomicU64];
}
