//! The guard against SIGBUS, off by default: which addresses belong to a ring.
//!
//! Memory of a file can disappear while it is mapped: another process cuts the file short, or punches a hole into it
//! that a full file system cannot fill again. The next access raises SIGBUS. The handler in `handler.rs` looks up the
//! address here. If it is in a map of a guarded handle, the handler replaces the whole map with private zeros and
//! changes the handle's tripwire. The interrupted access continues, and its handle checks the tripwire before
//! anything that it read or wrote counts.

use std::os::raw::c_int;

use crate::atomics::{AtomicBool, AtomicU64, at, fence_at};
use crate::memory::fork::Chunk;

/// Maps of one handle.
const MAPS: usize = 3;

/// What the handler must know about one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// Address of its first byte.
    pub(crate) start: u64,
    pub(crate) bytes: u64,
    pub(crate) write: bool,
    /// Address of the handle's tripwire.
    pub(crate) tripwire: u64,
}

/// An entry of the table. Its version is odd while the range is valid: a small seqlock, since the handler reads the
/// table while other threads change it and add to it. The entries that it searches for do not change: they belong to
/// a handle that the interrupted thread is using.
#[derive(Debug)]
struct Entry {
    taken: AtomicBool,
    version: AtomicU64,
    start: AtomicU64,
    bytes: AtomicU64,
    write: AtomicBool,
    tripwire: AtomicU64,
}

const PLACES: usize = 256 * MAPS;

const fn no_entries() -> [Entry; PLACES] {
    [const {
        Entry {
            taken: AtomicBool::new(false),
            version: AtomicU64::new(0),
            start: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            write: AtomicBool::new(false),
            tripwire: AtomicU64::new(0),
        }
    }; PLACES]
}

static TABLE: Chunk<Entry, PLACES> = Chunk::new(no_entries());

static ON: AtomicBool = AtomicBool::new(false);

impl Entry {
    /// A snapshot, if it is valid and did not change meanwhile.
    fn range(&self) -> Option<Range> {
        let version = self.version.load(at!(BUS_VERSION, Acquire));
        if version & 1 == 0 {
            return None;
        }
        let range = Range {
            start: self.start.load(at!(BUS_FIELDS, Relaxed)),
            bytes: self.bytes.load(at!(BUS_FIELDS, Relaxed)),
            write: self.write.load(at!(BUS_FIELDS, Relaxed)),
            tripwire: self.tripwire.load(at!(BUS_FIELDS, Relaxed)),
        };
        fence_at!(BUS_FENCE, Acquire);
        (self.version.load(at!(BUS_AGAIN, Relaxed)) == version).then_some(range)
    }

    fn set(&self, range: Range) {
        self.start.store(range.start, at!(BUS_SET_FIELDS, Relaxed));
        self.bytes.store(range.bytes, at!(BUS_SET_FIELDS, Relaxed));
        self.write.store(range.write, at!(BUS_SET_FIELDS, Relaxed));
        self.tripwire.store(range.tripwire, at!(BUS_SET_FIELDS, Relaxed));
        self.version.fetch_add(1, at!(BUS_VALID, Release));
    }

    fn clear(&self) {
        self.version.fetch_add(1, at!(BUS_INVALID, Relaxed));
        // The next owner stores other fields after this: a reader that sees them sees the version, too.
        fence_at!(BUS_CLEAR_FENCE, Release);
        self.taken.store(false, at!(BUS_GIVE, Release));
    }
}

/// The maps of one handle. They stay in the table until this is dropped, before they are unmapped.
#[derive(Debug)]
pub(crate) struct Guarded([&'static Entry; MAPS]);

impl Guarded {
    /// Enters the maps of a handle.
    pub(crate) fn enter(ranges: [Range; MAPS]) -> Self {
        Self(ranges.map(|range| {
            let entry = take();
            entry.set(range);
            entry
        }))
    }
}

fn take() -> &'static Entry {
    let is_free = |entry: &&Entry| {
        let taken =
            entry.taken.compare_exchange(false, true, at!(BUS_TAKE, Acquire), at!(BUS_TAKEN, Relaxed));
        taken.is_ok()
    };
    loop {
        match TABLE.all().find(is_free) {
            Some(entry) => return entry,
            None => TABLE.grow(no_entries()),
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for entry in self.0 {
            entry.clear();
        }
    }
}

/// The guarded maps that contain `address`. More than one only in a child: then all but its own belong to its
/// parent's handles, as their tripwires show. Safe in a signal handler: it takes no lock and allocates nothing.
pub(crate) fn find(address: u64) -> impl Iterator<Item = Range> {
    TABLE
        .all()
        .filter_map(Entry::range)
        .filter(move |range| address.checked_sub(range.start).is_some_and(|offset| offset < range.bytes))
}

/// Are handles opened from now on guarded?
pub(crate) fn is_on() -> bool {
    ON.load(at!(BUS_IS_ON, Relaxed))
}

/// From now on, handles are guarded when they are opened.
pub(crate) fn turn_on() {
    ON.store(true, at!(BUS_ON, Relaxed));
}

/// The previous action for SIGBUS: the address of a function, or `SIG_DFL` or `SIG_IGN`, and its `SA_` flags.
static PREVIOUS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

pub(crate) fn previous() -> (u64, c_int) {
    let [handler, flags] = &PREVIOUS;
    (handler.load(at!(BUS_PREVIOUS, Relaxed)), flags.load(at!(BUS_PREVIOUS, Relaxed)) as c_int)
}

pub(crate) fn set_previous(handler: u64, flags: c_int) {
    PREVIOUS[0].store(handler, at!(BUS_SET_PREVIOUS, Relaxed));
    PREVIOUS[1].store(flags as u64, at!(BUS_SET_PREVIOUS, Relaxed));
}

#[cfg(test)]
mod tests {
    use super::{Guarded, Range, find};

    #[test]
    fn an_address_is_found_in_its_own_map_alone() {
        let range = |start| Range { start, bytes: 0x1000, write: false, tripwire: start + 1 };
        let [a, b, c] = [range(0x1000), range(0x5000), range(0x9000)];
        let first = Guarded::enter([a, b, c]);
        assert_eq!(find(0x0fff).count(), 0);
        assert_eq!(find(0x1000).collect::<Vec<_>>(), [a]);
        assert_eq!(find(0x1fff).collect::<Vec<_>>(), [a]);
        assert_eq!(find(0x2000).count(), 0);
        let second = Guarded::enter([a, b, c].map(|range| Range { start: range.start + 0x800, ..range }));
        assert_eq!(find(0x9900).count(), 2);
        drop(first);
        assert_eq!(find(0x9000).count(), 0);
        assert_eq!(find(0x9900).count(), 1);
        drop(second);
        assert_eq!(find(0x9900).count(), 0);
    }
}
