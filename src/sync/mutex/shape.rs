//! The layout of a mutex: what each byte means. `docs/format.md` is the same in prose.

use crate::atomics::{AtomicU64, OwnedWord, Word};
use crate::error::{Error, Kind};
use crate::memory::block::block;
#[cfg(loom)]
use crate::memory::block::{Zeroed, zeroed};
use crate::memory::extents::Extents;
use crate::memory::format::Format;
#[cfg(not(loom))]
use crate::memory::format::SHAPE_WORDS;
use crate::memory::identity::IDENTITY_WORDS;
#[cfg(not(loom))]
use crate::memory::map::{Bytes, Lay};
use crate::schema::Schema;
use crate::sync::member::{Seat, Seated, check_seats};

/// Bytes of the largest value.
const MAX_BYTES: u64 = 1 << 30;
/// Copies of the value.
pub(super) const CELLS: u64 = 2;

block! {
    /// What is written once.
    pub(crate) struct Head: 4096 bytes, aligned to 128 {
        at 0: pub(crate) identity: [AtomicU64; IDENTITY_WORDS],
    }
}

block! {
    /// The lock itself.
    pub(crate) struct Line: 32 bytes, aligned to 32 {
        /// Who has the lock.
        at 0: pub(crate) owner: OwnedWord,
        /// Who of those that wait watches the owner.
        at 8: pub(crate) watch: AtomicU64,
        /// How many commits there were.
        at 16: pub(crate) version: AtomicU64,
        /// 1: an owner died or panicked, and nobody has said since that all is well.
        at 24: pub(crate) abandoned: AtomicU64,
    }
}

/// The parts of the areas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views<'a> {
    #[cfg(not(loom))]
    head: &'a Head,
    seats: &'a [Seat],
    pub(super) line: &'a Line,
    /// Both copies of the value, one after the other.
    pub(super) cells: &'a [Word],
}

/// What is fixed with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(super) schema: Schema,
    pub(super) seats: u64,
    pub(super) alignment: u64,
}

impl Shape {
    fn words(&self) -> u64 {
        CELLS * u64::from(self.schema.size).div_ceil(8)
    }
}

#[cfg(not(loom))]
impl Lay for Shape {
    type Views<'a> = Views<'a>;

    fn views<'a>(&self, [head, control, data]: [Bytes<'a>; 3]) -> Option<Views<'a>> {
        let (seats, words) = (usize::try_from(self.seats).ok()?, usize::try_from(self.words()).ok()?);
        Some(Views {
            head: head.view(0)?,
            seats: control.views(0, seats)?,
            line: data.view(0)?,
            cells: data.views(size_of::<Line>(), words)?,
        })
    }

    #[inline(always)]
    fn shorten<'a>(views: Views<'static>) -> Views<'a> {
        views
    }
}

impl Seated for Shape {
    fn seats(views: Self::Views<'_>) -> &[Seat] {
        views.seats
    }
}

impl Format for Shape {
    const KIND: Kind = Kind::Mutex;

    #[cfg(loom)]
    type Views<'a> = Views<'a>;

    #[cfg(loom)]
    type Objects = (Vec<Seat>, Line, Vec<Word>);

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects {
        (zeroed(self.seats), Line::zeroed(), zeroed(self.words()))
    }

    #[cfg(loom)]
    fn views((seats, line, cells): &Self::Objects) -> Views<'_> {
        Views { seats, line, cells }
    }

    fn check(&self) -> Result<(), Error> {
        if u64::from(self.schema.size) > MAX_BYTES {
            return Err(Error::BadOption { what: "the value of a mutex has 1 GiB at most" });
        }
        check_seats(self.seats)
    }

    fn extents(&self) -> Extents {
        let area = |bytes: u64| bytes.next_multiple_of(self.alignment);
        Extents {
            head_bytes: area(size_of::<Head>() as u64),
            control_bytes: area(self.seats * size_of::<Seat>() as u64),
            data_bytes: area(size_of::<Line>() as u64 + 8 * self.words()),
            alignment: self.alignment,
        }
    }

    #[cfg(not(loom))]
    fn align(&mut self, alignment: u64) {
        self.alignment = self.alignment.max(alignment);
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; SHAPE_WORDS] {
        let mut words = [0; SHAPE_WORDS];
        [words[0], words[1]] = [self.schema.to_word(), self.seats];
        words
    }

    #[cfg(not(loom))]
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str> {
        if words[2..].iter().any(|word| *word != 0) {
            return Err("a word that this version does not use");
        }
        Ok(Self { schema: Schema::of_word(words[0]), seats: words[1], alignment })
    }

    #[cfg(not(loom))]
    fn largest_within(&self, _: u64) -> Option<u64> {
        None
    }

    fn initialise(&self, _: u64, _: Views<'_>) {}

    #[cfg(not(loom))]
    fn identity_words<'a>(views: Self::Views<'a>) -> &'a [AtomicU64] {
        &views.head.identity
    }
}
