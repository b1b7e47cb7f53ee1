//! The layout of objects with seats: what each byte means. `docs/format.md` is the same in prose.
//!
//! | area | holds |
//! |---|---|
//! | head | the identity page |
//! | control | the seats |
//! | data | a fixed part, any number of items, any number of words: what the kind is for |

use std::fmt;
use std::ops::Range;

use crate::atomics::{AtomicU64, Word};
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
        /// Its generation, while it reads what a lock guards.
        at 32: pub(crate) reads: AtomicU64,
    }
}

/// What distinguishes one kind of object with seats from another.
pub(crate) trait Content: Clone + fmt::Debug + PartialEq + 'static {
    const KIND: Kind;

    /// The fixed part of the data area.
    type Line: Block;

    /// What follows it, any number of times.
    type Item: Block;

    /// Checks every field against the limits of the format, and against the number of seats.
    fn check(&self, seats: u64) -> Result<(), Error>;

    fn items(&self) -> u64;

    /// Words that follow the items.
    fn words(&self) -> u64 {
        0
    }

    /// The seats that handles take unless they ask for others, of so many.
    fn usual_seats(&self, seats: usize) -> Range<usize> {
        0..seats
    }

    /// Whether a newcomer takes this free seat rather than others.
    fn is_preferred(_: Views<'_, Self>, _: usize) -> bool {
        true
    }

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
    pub(crate) words: &'a [Word],
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
        let counts = [self.seats, self.content.items(), self.content.words()];
        let [seats, items, words] = counts.map(|count| usize::try_from(count).ok());
        let (items, items_at) = (items?, size_of::<K::Line>());
        Some(Views {
            head: head.view(0)?,
            seats: control.views(0, seats?)?,
            line: data.view(0)?,
            items: data.views(items_at, items)?,
            words: data.views(items_at + items * size_of::<K::Item>(), words?)?,
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
    type Objects = (Vec<Seat>, K::Line, Vec<K::Item>, Vec<Word>);

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects {
        let (items, words) = (self.content.items(), self.content.words());
        (zeroed(self.seats), K::Line::zeroed(), zeroed(items), zeroed(words))
    }

    #[cfg(loom)]
    fn views((seats, line, items, words): &Self::Objects) -> Views<'_, K> {
        Views { seats, line, items, words }
    }

    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_SEATS).contains(&self.seats) {
            return Err(Error::BadOption { what: "an object has 1 to 4096 seats, one for each handle" });
        }
        self.content.check(self.seats)
    }

    fn extents(&self) -> Extents {
        let [head, line] = [size_of::<Head>(), size_of::<K::Line>()].map(|bytes| bytes as u64);
        let seats = self.seats * size_of::<Seat>() as u64;
        let items = self.content.items() * size_of::<K::Item>() as u64;
        let words = self.content.words() * size_of::<Word>() as u64;
        Extents::of([head, seats, line + items + words], self.alignment)
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
