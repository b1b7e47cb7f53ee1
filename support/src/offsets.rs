//! Where things stand in a ring's file, in bytes: as in `docs/format.md`, for whoever looks into a ring past the library.
//! `tests/format.rs` has numbers of its own: it holds the library against the document.

/// In the identity page: the checksum, and the bytes that it covers.
pub const CHECKSUM: u64 = 24;
/// Where these begin.
pub const CHECKED: u64 = 32;
/// Behind the last of them.
pub const CHECKED_END: u64 = 256;
/// Alignment of the areas, bytes.
pub const ALIGNMENT: u64 = 48;
/// How many segments there are.
pub const SEGMENTS: u64 = 136;
/// The file that the ring is in: its device; inode and time of birth follow.
pub const FILE: u64 = 96;

/// In the head: the words that the producer writes.
pub const PUBLISHED: u64 = 4096;
/// Of the inline copy.
pub const STAMP: u64 = 4104;
/// The header of the record that is copied there.
pub const INLINE_HEADER: u64 = 4112;
/// Its payload.
pub const INLINE_PAYLOAD: u64 = 4120;
/// How far the producer may be writing.
pub const RESERVE: u64 = 4224;
/// Which producer it is.
pub const EPOCH: u64 = 4232;
/// Where the odd epoch began.
pub const ODD_BEGAN: u64 = 4240;
/// How waiting is done.
pub const MODE: u64 = 4248;
/// Closed by its producer.
pub const CLOSED: u64 = 4256;
/// Where the even epoch began.
pub const EVEN_BEGAN: u64 = 4280;
/// Counters.
pub const COUNTERS: u64 = 4352;
/// The first entry of the index.
pub const INDEX: u64 = 4480;
/// Bytes of an entry.
pub const ENTRY: u64 = 32;

/// In the control area, from its start: the word that consumers sleep on.
pub const DATA_WORD: u64 = 0;
/// The word that the producer sleeps on.
pub const SPACE_WORD: u64 = 128;
/// The first slot.
pub const SLOTS: u64 = 256;
/// Bytes of a slot.
pub const SLOT: u64 = 512;

/// In a slot, from its start: its state.
pub const STATE: u64 = 0;
/// How far its consumer has released.
pub const CURSOR: u64 = 8;
/// How long it may hold the producer up.
pub const BUDGET: u64 = 16;
/// How long its gate stays shut without it.
pub const HOLD: u64 = 24;
/// The gate that somebody wants taken.
pub const REQUEST: u64 = 32;
/// The word that its followers sleep on.
pub const RELEASED: u64 = 64;
/// Its name.
pub const NAME: u64 = 128;
/// When its consumer left.
pub const LEFT: u64 = 208;
/// The accounts of losses.
pub const ACCOUNTS: u64 = 256;

/// Where the control area begins.
pub const fn control(segments: u64, alignment: u64) -> u64 {
    (INDEX + ENTRY * segments).next_multiple_of(alignment)
}

/// The same of a ring with 64 segments and pages of 4 KiB, which a capacity of 4 KiB and many others have.
pub const CONTROL: u64 = control(64, 4096);

/// Where the data area begins.
pub const fn data(segments: u64, slots: u64, alignment: u64) -> u64 {
    control(segments, alignment) + slot(slots).next_multiple_of(alignment)
}

/// A slot, from the start of the control area.
pub const fn slot(number: u64) -> u64 {
    SLOTS + SLOT * number
}
