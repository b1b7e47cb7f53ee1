//! Numbers of the format that errors tell.

use core::fmt;

/// Readers refuse another major version, and a minor version newer than theirs.
pub(crate) const MAJOR: u32 = 1;
pub(crate) const MINOR: u32 = 0;
/// Smallest capacity in bytes. The models need rings of a few words.
pub(crate) const MIN_CAPACITY: u64 = if cfg!(loom) { 64 } else { 4096 };
/// Largest capacity in bytes (1 TiB).
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;

/// What the records of a ring are: how many bytes each has, and a number that tells types of one size apart. It stands in
/// the ring's file and is compared when a typed handle is opened: [`Typed`](crate::Typed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Schema {
    /// Payload bytes of every record.
    pub size: u32,
    /// The number that was chosen for the type.
    pub tag: u32,
}

impl Schema {
    /// As it stands in the identity page.
    pub(crate) fn to_word(self) -> u64 {
        u64::from(self.size) << 32 | u64::from(self.tag)
    }

    /// `None`: the ring is for records of any kind.
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        (word != 0).then_some(Self { size: (word >> 32) as u32, tag: word as u32 })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes with the tag {}", self.size, self.tag)
    }
}
