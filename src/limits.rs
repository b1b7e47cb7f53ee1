//! Numbers of the format that errors mention.

/// Readers refuse another major version, and a minor version newer than theirs.
pub(crate) const MAJOR: u32 = 1;
pub(crate) const MINOR: u32 = 0;
/// Smallest capacity in bytes. The models need rings of a few words.
pub(crate) const MIN_CAPACITY: u64 = if cfg!(loom) { 64 } else { 4096 };
/// Largest capacity in bytes (1 TiB).
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;
