//! Names: finding and locking the slot that is kept for a name.
//!
//! The lock of a name excludes every other consumer of that name. A slot is locked while it is taken, and also for a
//! moment by processes that seek a vacant slot: they lock it to check it again, and unlock it. So a slot that was
//! found is locked and checked once more; if another process has locked it, the search is repeated for a while.

use crate::error::Error;
use crate::ring::Region;
use crate::ring::geometry::Areas;
use crate::ring::layout::{NAME_BYTES, NAME_MOST};
use crate::ring::protocol::gate;
use crate::seats::Vacancy;

/// Attempts to lock a slot that another process has locked. A process that seeks a vacant slot holds the lock for two
/// system calls. The models explore the outcome of each attempt.
const LOOKS: u32 = if cfg!(loom) { 1 } else { 60 };

/// Attempts after which the thread only yields. After each further one it sleeps a millisecond.
const BRIEF_LOOKS: u32 = 10;

/// A name as stored in a slot: padded with zeros.
pub(crate) fn padded(name: &str) -> Result<[u8; NAME_BYTES], Error> {
    let mut bytes = [0; NAME_BYTES];
    if name.is_empty() || name.len() > NAME_MOST || name.contains('\0') {
        return Err(Error::BadName { name: name.to_owned() });
    }
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    Ok(bytes)
}

/// A slot's name as text. Invalid UTF-8 shows as replacement characters.
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

/// Locks the slot that `find` returns for the name. The caller holds the name's lock. `None`: there is no such slot.
pub(crate) fn lock_kept(
    region: &Region,
    name: &[u8; NAME_BYTES],
    find: impl Fn() -> Option<u32>,
) -> Result<Option<Vacancy>, Error> {
    for look in 0..LOOKS {
        let Some(number) = find() else { return Ok(None) };
        if let Some(vacancy) = region.lock_slot(number)? {
            // Before the slot was locked, the name may have been forgotten and the slot reused.
            if gate::keeps(&region.areas().slots[number as usize], name) {
                return Ok(Some(vacancy));
            }
            vacancy.give_up(region);
        }
        pause(look);
    }
    if find().is_some_and(|number| region.is_slot_read_locked(number)) {
        return Err(Error::ReadLocked { what: "the slot of the name" });
    }
    Err(in_use(name))
}

/// How often a lock is tried that others hold for a moment only: about a second in all.
const TRIES: u32 = if cfg!(loom) { 1 } else { 1000 };

/// Tries to take something that others have for a moment only, until it succeeds. False: somebody keeps it.
pub(crate) fn retry(mut attempt: impl FnMut() -> Result<bool, Error>) -> Result<bool, Error> {
    for turn in 0..TRIES {
        if attempt()? {
            return Ok(true);
        }
        pause(turn);
    }
    Ok(false)
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

/// Counts the slots kept for names whose consumers are away. Notes the time for those that were killed.
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

/// Notes when the consumer in the slot was found to be gone, if that is not noted yet.
pub(crate) fn note_absence(region: &Region, number: u32, now_ns: u64) -> Result<(), Error> {
    let slot = &region.areas().slots[number as usize];
    // Under the slot's lock: otherwise the note could apply to a consumer that has just come back, and make it seem
    // long gone once it is killed.
    if gate::left_ns(slot).is_none()
        && let Some(vacancy) = region.lock_slot(number)?
    {
        gate::note_absence(slot, now_ns);
        vacancy.give_up(region);
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ring::options::Options;
    use crate::ring::protocol::Place;
    use crate::ring::protocol::own_slot::{self, OwnSlot, Policy};
    use crate::seats::taking;

    fn ring() -> Region {
        Region::heap(Options::new().capacity(4096).slots(2).geometry().unwrap()).unwrap()
    }

    /// Leaves a slot kept for a name whose consumer is away.
    fn leave(region: &Region, number: u32, name: &[u8; NAME_BYTES]) {
        let policy = Policy {
            gated: false,
            budget_ns: 0,
            hold_ns: 0,
            name: *name,
            group: None,
            after: 0,
            pid: 1,
            now_ns: 1,
        };
        let mut own_slot = OwnSlot::take(region.areas(), number, &policy);
        own_slot.store_cursor(region.areas(), Place::default());
        own_slot.open(region.areas(), false);
        own_slot.leave(region.areas(), 1);
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
                // Forgotten meanwhile, and reused for another name.
                own_slot::forget(&region.areas().slots[0]);
                leave(&region, 0, &others);
            }
            number
        });
        assert_eq!((found.unwrap().map(|vacancy| vacancy.number()), looks.get()), (None, 2));
        assert!(!region.share().unwrap().locked(taking(0)), "the lock of another's slot is kept");
    }

    #[test]
    fn a_guest_who_looks_again_is_waited_for() {
        let region = ring();
        let guest = region.share().unwrap();
        let mine = padded("n").unwrap();
        leave(&region, 1, &mine);
        assert!(guest.lock(taking(1)).unwrap());
        let looks = Cell::new(0);
        let found = lock_kept(&region, &mine, || {
            looks.set(looks.get() + 1);
            if looks.get() == BRIEF_LOOKS + 3 {
                guest.unlock(taking(1));
            }
            find(region.areas(), &mine)
        });
        assert_eq!((found.unwrap().map(|vacancy| vacancy.number()), looks.get()), (Some(1), BRIEF_LOOKS + 3));
    }

    #[test]
    fn somebody_who_stays_has_the_name() {
        let region = ring();
        let other = region.share().unwrap();
        let mine = padded("n").unwrap();
        leave(&region, 1, &mine);
        assert!(other.lock(taking(1)).unwrap());
        let found = lock_kept(&region, &mine, || find(region.areas(), &mine));
        assert!(matches!(found, Err(Error::NameInUse { name }) if name == "n"));
    }
}
