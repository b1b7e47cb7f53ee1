//! Names: which slot is kept for which, and how whoever may have it gets it.
//!
//! A name's lock keeps all others of that name away. Its slot has a lock of its own, which guests take too: whoever
//! found the slot vacant locks it to look again, and lets go. So a slot that is found is locked and looked at once
//! more, and one that is locked by somebody else is found anew for a while.

use crate::error::Error;
use crate::ring::Region;
use crate::ring::layout::{Areas, NAME_BYTES, NAME_MOST};
use crate::ring::locks;
use crate::ring::protocol::gate;

/// How often a slot is looked for while somebody else locks it. A guest holds the lock for two system calls. The models
/// are to see what comes of each look.
const LOOKS: u32 = if cfg!(loom) { 1 } else { 60 };

/// Looks that only give the processor away. Each one after them sleeps a millisecond.
const BRIEF_LOOKS: u32 = 10;

/// A name as it stands in a slot: padded with zeros.
pub(crate) fn padded(name: &str) -> Result<[u8; NAME_BYTES], Error> {
    let mut bytes = [0; NAME_BYTES];
    if name.is_empty() || name.len() > NAME_MOST || name.contains('\0') {
        return Err(Error::BadName { name: name.to_owned() });
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}

/// A slot's name as text; garbage shows as replacement characters.
pub(crate) fn text(name: &[u8; NAME_BYTES]) -> String {
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
    String::from_utf8_lossy(&name[..len]).into_owned()
}

pub(crate) fn in_use(name: &[u8; NAME_BYTES]) -> Error {
    Error::NameInUse { name: text(name) }
}

/// The slot that is kept under a name.
pub(crate) fn find(areas: Areas<'_>, name: &[u8; NAME_BYTES]) -> Option<u32> {
    areas.slots.iter().position(|slot| gate::keeps(slot, name)).map(|number| number as u32)
}

/// Locks the slot that `find` says is kept under the name, for whoever holds the name's lock. `None`: there is none.
pub(crate) fn lock_kept(
    region: &Region,
    name: &[u8; NAME_BYTES],
    find: impl Fn() -> Option<u32>,
) -> Result<Option<u32>, Error> {
    for look in 0..LOOKS {
        let Some(number) = find() else { return Ok(None) };
        let lock = locks::slot(number);
        if region.lock(lock)? {
            // The name may have been forgotten between the two, and the slot be another's.
            if gate::keeps(&region.areas().slots[number as usize], name) {
                return Ok(Some(number));
            }
            region.unlock(lock);
        }
        pause(look);
    }
    let refused =
        find().map(|number| region.refusal(locks::slot(number), "the slot of the name", in_use(name)));
    Err(refused.unwrap_or_else(|| in_use(name)))
}

fn pause(look: u32) {
    if cfg!(loom) {
        crate::atomics::spin();
    } else if look < BRIEF_LOOKS {
        std::thread::yield_now();
    } else {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// How many slots names keep whose consumers are away. Of those that were killed it is noted when this was found.
pub(crate) fn count_away(region: &Region, now_ns: u64) -> Result<u32, Error> {
    let mut count = 0;
    for (number, slot) in (0..).zip(region.areas().slots) {
        if gate::is_vacant(region.areas(), slot) || region.is_alive(number) {
            continue;
        }
        count += 1;
        note_absence(region, number, now_ns)?;
    }
    Ok(count)
}

/// Notes that the consumer in the slot is gone, if nobody did yet.
pub(crate) fn note_absence(region: &Region, number: u32, now_ns: u64) -> Result<(), Error> {
    let slot = &region.areas().slots[number as usize];
    // Under the slot's lock: a consumer that has just come back is not to be taken for gone once it is killed.
    if gate::left_ns(slot).is_none() && region.lock(locks::slot(number))? {
        gate::note_absence(slot, now_ns);
        region.unlock(locks::slot(number));
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ring::options::Options;
    use crate::ring::protocol::Place;
    use crate::ring::protocol::gate::{Policy, Seat};

    fn ring() -> Region {
        Region::heap(Options::new().capacity(4096).slots(2).geometry().unwrap()).unwrap()
    }

    /// Leaves a slot to a name whose consumer is away.
    fn leave(region: &Region, number: u32, name: &[u8; NAME_BYTES]) {
        let policy = Policy { gated: false, budget_ns: 0, hold_ns: 0, name: *name, pid: 1, now_ns: 1 };
        let mut seat = Seat::take(region.areas(), number, &policy);
        seat.store_cursor(region.areas(), Place::default());
        seat.open(region.areas(), false);
        seat.leave(region.areas(), 1);
    }

    #[test]
    fn a_slot_that_changed_hands_is_not_taken() {
        let region = ring();
        let (mine, others) = (padded("n").unwrap(), padded("m").unwrap());
        leave(&region, 0, &mine);
        let looks = Cell::new(0);
        let found = lock_kept(&region, &mine, || {
            let number = find(region.areas(), &mine);
            looks.set(looks.get() + 1);
            if looks.get() == 1 {
                // Forgotten in between, and given to another name.
                gate::forget(&region.areas().slots[0]);
                leave(&region, 0, &others);
            }
            number
        });
        assert_eq!((found.unwrap(), looks.get()), (None, 2));
        assert!(!region.share().unwrap().locked(locks::slot(0)), "the lock of another's slot is kept");
    }

    #[test]
    fn a_guest_who_looks_again_is_waited_for() {
        let region = ring();
        let guest = region.share().unwrap();
        let mine = padded("n").unwrap();
        leave(&region, 1, &mine);
        assert!(guest.lock(locks::slot(1)).unwrap());
        let looks = Cell::new(0);
        let found = lock_kept(&region, &mine, || {
            looks.set(looks.get() + 1);
            if looks.get() == BRIEF_LOOKS + 3 {
                guest.unlock(locks::slot(1));
            }
            find(region.areas(), &mine)
        });
        assert_eq!((found.unwrap(), looks.get()), (Some(1), BRIEF_LOOKS + 3));
    }

    #[test]
    fn somebody_who_stays_has_the_name() {
        let region = ring();
        let other = region.share().unwrap();
        let mine = padded("n").unwrap();
        leave(&region, 1, &mine);
        assert!(other.lock(locks::slot(1)).unwrap());
        let found = lock_kept(&region, &mine, || find(region.areas(), &mine));
        assert!(matches!(found, Err(Error::NameInUse { name }) if name == "n"));
    }
}
