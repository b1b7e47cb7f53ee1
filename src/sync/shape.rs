//! The layout of objects with seats: what each byte means. `docs/format.md` is the same in prose.
//!
//! | area | holds |
//! |---|---|
//! | head | the identity page |
//! | control | the seats |
//! | data | a fixed part, and any number of items: what the kind is for |

use std::fmt;

use crate::atomics::AtomicU64;
use crate::error::{Error, Kind};
use crate::memory::block::block;
#[cfg(loom)]
use crate::memory::block::{Zeroed as Block, zeroed};
use crate::memory::extents::Extents;
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::format::SHAPE_WORDS;
use crate::memory::identity::IDENTITY_WORDS;
#[cfg(not(loom))]
use crate::memory::map::{Block, Bytes, Lay};

/// Most seats of an object.
const MAX_SEATS: u64 = 4096;

block! {
    /// What is written once.
    pub(crate) struct Head: 4096 bytes, aligned to 128 {
        at 0: pub(crate) identity: [AtomicU64; IDENTITY_WORDS],
    }
}

block! {
    /// A participant's place in an object.
    pub(crate) struct Seat: 64 bytes, aligned to 64 {
        /// The generation of the participant that had it last; 0: none yet.
        at 0: pub(crate) generation: AtomicU64,
        /// A hint for people: its process.
        at 8: pub(crate) pid: AtomicU64,
        /// A hint for people: when it came, wall, ns.
        at 16: pub(crate) since: AtomicU64,
        /// A hint for people: its generation, while it waits.
        at 24: pub(crate) waits: AtomicU64,
    }
}

/// What distinguishes one kind of object with seats from another.
pub(crate) trait Content: Clone + fmt::Debug + PartialEq + 'static {
    const KIND: Kind;

    /// The fixed part of the data area.
    type Line: Block;

    /// What follows it, any number of times.
    type Item: Block;

    fn check(&self) -> Result<(), Error>;

    fn items(&self) -> u64;

    /// The kind's own words in the identity page.
    #[cfg(not(loom))]
    fn encode(&self) -> [u64; 2];

    /// `None`: a word is not 0 that this version does not use.
    #[cfg(not(loom))]
    fn decode(words: [u64; 2]) -> Option<Self>;
}

/// What is fixed with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape<K> {
    pub(crate) seats: u64,
    pub(crate) alignment: u64,
    pub(crate) content: K,
}

/// The parts of the areas.
pub(crate) struct Views<'a, K: Content> {
    #[cfg(not(loom))]
    head: &'a Head,
    pub(crate) seats: &'a [Seat],
    pub(crate) line: &'a K::Line,
    pub(crate) items: &'a [K::Item],
}

impl<K: Content> Clone for Views<'_, K> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Content> Copy for Views<'_, K> {}

#[cfg(not(loom))]
impl<K: Content> Lay for Shape<K> {
    type Views<'a> = Views<'a, K>;

    fn views<'a>(&self, [head, control, data]: [Bytes<'a>; 3]) -> Option<Views<'a, K>> {
        let (seats, items) = (usize::try_from(self.seats).ok()?, usize::try_from(self.content.items()).ok()?);
        Some(Views {
            head: head.view(0)?,
            seats: control.views(0, seats)?,
            line: data.view(0)?,
            items: data.views(size_of::<K::Line>(), items)?,
        })
    }

    #[inline(always)]
    fn shorten<'a>(views: Views<'static, K>) -> Views<'a, K> {
        views
    }
}

impl<K: Content> Format for Shape<K> {
    const KIND: Kind = K::KIND;

    #[cfg(loom)]
    type Views<'a> = Views<'a, K>;

    #[cfg(loom)]
    type Objects = (Vec<Seat>, K::Line, Vec<K::Item>);

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects {
        (zeroed(self.seats), K::Line::zeroed(), zeroed(self.content.items()))
    }

    #[cfg(loom)]
    fn views((seats, line, items): &Self::Objects) -> Views<'_, K> {
        Views { seats, line, items }
    }

    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_SEATS).contains(&self.seats) {
            return Err(Error::BadOption { what: "an object has 1 to 4096 seats, one for each handle" });
        }
        self.content.check()
    }

    fn extents(&self) -> Extents {
        let [head, line] = [size_of::<Head>(), size_of::<K::Line>()].map(|bytes| bytes as u64);
        let seats = self.seats * size_of::<Seat>() as u64;
        let items = self.content.items() * size_of::<K::Item>() as u64;
        Extents::of([head, seats, line + items], self.alignment)
    }

    #[cfg(not(loom))]
    fn align(&mut self, alignment: u64) {
        self.alignment = self.alignment.max(alignment);
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; SHAPE_WORDS] {
        let mut words = [0; SHAPE_WORDS];
        words[0] = self.seats;
        words[1..3].copy_from_slice(&self.content.encode());
        words
    }

    #[cfg(not(loom))]
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str> {
        let content = K::decode([words[1], words[2]]);
        let content = content.filter(|_| words[3..].iter().all(|word| *word == 0));
        let content = content.ok_or("a word that this version does not use")?;
        Ok(Self { seats: words[0], alignment, content })
    }

    #[cfg(not(loom))]
    fn largest_within(&self, _: u64) -> Option<u64> {
        None
    }

    fn initialise(&self, _: u64, _: Views<'_, K>) {}

    #[cfg(not(loom))]
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [AtomicU64] {
        &views.head.identity
    }
}
