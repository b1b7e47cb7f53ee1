//! The layout of a latest value: what each byte means. `docs/format.md` is the same in prose.

use crossbeam_utils::CachePadded;

use crate::atomics::{AtomicU64, FutexWord, Word};
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

/// Cells start at multiples of this, so that the writer of one does not disturb a reader of another.
const CELL_BYTES: u64 = if cfg!(loom) { 8 } else { 128 };
/// Bytes of the largest value.
const MAX_BYTES: u64 = 1 << 30;
/// Cells of one value.
const MAX_CELLS: u64 = 16;

block! {
    /// What the writer tells.
    pub(crate) struct Head: (4096 + 128) bytes, aligned to 128 {
        at 0: pub(crate) identity: [AtomicU64; IDENTITY_WORDS],
        at 4096: pub(crate) writer: Writer,
    }
}

block! {
    /// The line of the writer.
    pub(crate) struct Writer: 128 bytes, aligned to 128 {
        /// How many commits there were.
        at 0: pub(crate) version: AtomicU64,
        /// A hint for people: the process that writes.
        at 8: pub(crate) pid: AtomicU64,
    }
}

block! {
    /// What everybody writes.
    pub(crate) struct Control: 128 bytes, aligned to 128 {
        /// Readers sleep here until there is a change.
        at 0: pub(crate) change: CachePadded<FutexWord>,
    }
}

/// The parts of the areas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Views<'a> {
    pub(super) head: &'a Head,
    pub(super) control: &'a Control,
    pub(super) data: &'a [Word],
}

/// What is fixed with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(super) schema: Schema,
    pub(super) cells: u64,
    pub(super) alignment: u64,
}

/// Bytes of a cell for a value of `size` bytes.
#[inline(always)]
pub(super) const fn cell_bytes(size: u64) -> u64 {
    let size = if size == 0 { 1 } else { size };
    size.next_multiple_of(CELL_BYTES)
}

impl Shape {
    fn cell_bytes(&self) -> u64 {
        cell_bytes(self.schema.size.into())
    }

    pub(super) fn cell_words(&self) -> u64 {
        self.cell_bytes() / 8
    }

    fn words(&self) -> u64 {
        self.cells * self.cell_words()
    }
}

#[cfg(not(loom))]
impl Lay for Shape {
    type Views<'a> = Views<'a>;

    fn views<'a>(&self, [head, control, data]: [Bytes<'a>; 3]) -> Option<Views<'a>> {
        let words = usize::try_from(self.words()).ok()?;
        Some(Views { head: head.view(0)?, control: control.view(0)?, data: data.views(0, words)? })
    }

    #[inline(always)]
    fn shorten<'a>(views: Views<'static>) -> Views<'a> {
        views
    }
}

impl Format for Shape {
    const KIND: Kind = Kind::Latest;

    #[cfg(loom)]
    type Views<'a> = Views<'a>;

    #[cfg(loom)]
    type Objects = (Head, Control, Vec<Word>);

    #[cfg(loom)]
    fn objects(&self) -> Self::Objects {
        (Head::zeroed(), Control::zeroed(), zeroed(self.words()))
    }

    #[cfg(loom)]
    fn views((head, control, data): &Self::Objects) -> Views<'_> {
        Views { head, control, data }
    }

    fn check(&self) -> Result<(), Error> {
        if u64::from(self.schema.size) > MAX_BYTES {
            return Err(Error::BadOption { what: "a latest value has 1 GiB at most" });
        }
        if !(2..=MAX_CELLS).contains(&self.cells) {
            return Err(Error::BadOption { what: "a latest value has 2 to 16 cells" });
        }
        Ok(())
    }

    fn extents(&self) -> Extents {
        let [head, control] = [size_of::<Head>(), size_of::<Control>()].map(|bytes| bytes as u64);
        Extents::of([head, control, 8 * self.words()], self.alignment)
    }

    #[cfg(not(loom))]
    fn align(&mut self, alignment: u64) {
        self.alignment = self.alignment.max(alignment);
    }

    #[cfg(not(loom))]
    fn encode(&self) -> [u64; SHAPE_WORDS] {
        let mut words = [0; SHAPE_WORDS];
        [words[0], words[1]] = [self.schema.to_word(), self.cells];
        words
    }

    #[cfg(not(loom))]
    fn decode(words: &[u64; SHAPE_WORDS], alignment: u64) -> Result<Self, &'static str> {
        if words[2..].iter().any(|word| *word != 0) {
            return Err("a word that this version does not use");
        }
        Ok(Self { schema: Schema::of_word(words[0]), cells: words[1], alignment })
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
