//! Time namespaces: a process in one sees the monotonic clock with an offset.

use std::fs;
use std::path::Path;

use crate::atomics::{AtomicU64, at};

/// The offset is not read yet.
const UNKNOWN: u64 = u64::MAX;

/// How far the monotonic clock of this process is ahead of the machine's, ns, wrapping.
static OFFSET: AtomicU64 = AtomicU64::new(UNKNOWN);

/// The first time namespace of a machine. Its number is fixed, and its offset is 0.
const FIRST: &str = "time:[4026531834]";

/// How far the monotonic clock of this process is ahead of the machine's, ns, wrapping. Read once; no process changes
/// its own namespace while it has threads.
#[inline]
pub(crate) fn offset_ns() -> u64 {
    let known = OFFSET.load(at!(TIME_OFFSET, Relaxed));
    if known != UNKNOWN { known } else { learn() }
}

/// In the child after a fork, which may be in another namespace.
pub(crate) fn forget() {
    OFFSET.store(UNKNOWN, at!(TIME_OFFSET_LEARNT, Relaxed));
}

#[cold]
fn learn() -> u64 {
    let offset = read().unwrap_or(0);
    OFFSET.store(offset, at!(TIME_OFFSET_LEARNT, Relaxed));
    offset
}

/// `None`: the kernel does not say.
fn read() -> Option<u64> {
    let own = fs::read_link("/proc/self/ns/time").ok()?;
    // The file of offsets is about the namespace of future children.
    if own == Path::new(FIRST) || own != fs::read_link("/proc/self/ns/time_for_children").ok()? {
        return None;
    }
    parse(&fs::read_to_string("/proc/self/timens_offsets").ok()?)
}

/// The line of the monotonic clock: its name, seconds, and nanoseconds to be added to them.
fn parse(offsets: &str) -> Option<u64> {
    let line = offsets.lines().map(str::split_whitespace).find_map(|mut words| {
        let is_it = words.next() == Some("monotonic");
        is_it.then_some(words)
    });
    let mut words = line?;
    let seconds: i64 = words.next()?.parse().ok()?;
    let ns: i64 = words.next()?.parse().ok()?;
    Some(seconds.wrapping_mul(1_000_000_000).wrapping_add(ns) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_the_kernel_writes_them() {
        let kernel = "monotonic      -86400         5\nboottime        604800         0\n";
        assert_eq!(parse(kernel), Some(5_u64.wrapping_sub(86_400_000_000_000)));
        assert_eq!(parse("boottime 1 0\n"), None);
        assert_eq!(parse("monotonic 1\n"), None);
        assert_eq!(parse("monotonic soon 0\n"), None);
    }
}
