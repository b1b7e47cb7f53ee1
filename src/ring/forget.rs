//! Forgetting names: their slots are free again.

#[cfg(not(loom))]
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::region::Access;
use crate::ring::Region;
use crate::ring::layout::NAME_BYTES;
use crate::ring::locks::{self, name_hash};
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::wait::clock;
use crate::wait::mode::WaitMode;

/// A name that [`forget_away`] forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Number of the slot that it was kept in.
    pub slot: u32,
    /// The name; garbage shows as replacement characters.
    pub name: String,
    /// For how long its consumer had been away. `None`: it was killed, and this is the first to find it gone.
    pub away_for: Option<Duration>,
}

/// Frees the slot that the ring at `path` keeps for a name: its place and loss account go, and a producer that
/// waits for it is freed.
///
/// # Errors
///
/// [`Error::NameInUse`] while a consumer lives under it, [`Error::NameUnknown`], [`Error::BadName`], and whatever
/// keeps the file from being opened as a ring.
#[cfg(not(loom))]
pub fn forget(path: impl AsRef<Path>, name: &str) -> Result<(), Error> {
    forget_name(&Region::open(path.as_ref(), Access::Participant)?, name)
}

/// As [`forget`], whatever name the slot of this number is kept for: also one that is no text, which only garbage
/// written into the ring leaves behind.
///
/// # Errors
///
/// [`Error::NameInUse`] while a consumer lives in the slot, [`Error::SlotUnknown`] if it keeps no name, and whatever
/// keeps the file from being opened as a ring.
#[cfg(not(loom))]
pub fn forget_slot(path: impl AsRef<Path>, slot: u32) -> Result<(), Error> {
    forget_number(&Region::open(path.as_ref(), Access::Participant)?, slot)
}

/// Forgets every name of the ring at `path` whose consumer has been away for `away_for` or longer, by the wall clock,
/// and says which they were. Zero: every name that nobody lives under. Whether a name is held makes no difference: a
/// producer that waits for it is freed.
///
/// A consumer that leaves writes when it did. One that was killed did not: for it the time runs from when somebody
/// first found it gone, which is this call, or a newcomer's that found every slot taken. So what was killed before the
/// first of those is forgotten by the first call that comes `away_for` later.
///
/// # Errors
///
/// Whatever keeps the file from being opened as a ring. A consumer that comes back meanwhile keeps its name.
#[cfg(not(loom))]
pub fn forget_away(path: impl AsRef<Path>, away_for: Duration) -> Result<Vec<Forgotten>, Error> {
    forget_absent(&Region::open(path.as_ref(), Access::Participant)?, away_for)
}

pub(crate) fn forget_name(region: &Region, name: &str) -> Result<(), Error> {
    let bytes = names::padded(name)?;
    let found = forget_kept(region, &bytes, || names::find(region.areas(), &bytes))?;
    found.map(drop).ok_or_else(|| Error::NameUnknown { name: name.to_owned() })
}

pub(crate) fn forget_number(region: &Region, number: u32) -> Result<(), Error> {
    let unknown = || Error::SlotUnknown { slot: number };
    let slot = region.areas().slots.get(number as usize).ok_or_else(unknown)?;
    let bytes = gate::name(slot);
    if !gate::keeps(slot, &bytes) {
        return Err(unknown());
    }
    let found = forget_kept(region, &bytes, || gate::keeps(slot, &bytes).then_some(number))?;
    found.map(drop).ok_or_else(unknown)
}

pub(crate) fn forget_absent(region: &Region, away_for: Duration) -> Result<Vec<Forgotten>, Error> {
    let least_ns = clock::duration_ns(away_for);
    let mut forgotten = Vec::new();
    for (number, slot) in (0..).zip(region.areas().slots) {
        let name = gate::name(slot);
        if !gate::keeps(slot, &name) || region.is_alive(number) {
            continue;
        }
        let now_ns = clock::wall_ns();
        let away = gate::left_ns(slot).map(|left| now_ns.saturating_sub(left));
        names::note_absence(region, number, now_ns)?;
        if away.unwrap_or(0) < least_ns {
            continue;
        }
        // Under the name's lock: it may have come back, and left again, since.
        let is_due = || {
            let now_away = gate::left_ns(slot).map_or(0, |left| now_ns.saturating_sub(left));
            gate::keeps(slot, &name) && now_away >= least_ns
        };
        match forget_kept(region, &name, || is_due().then_some(number)) {
            Ok(None) | Err(Error::NameInUse { .. }) => {}
            Ok(Some(_)) => forgotten.push(Forgotten {
                slot: number,
                name: names::text(&name),
                away_for: away.map(Duration::from_nanos),
            }),
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

/// Frees the slot that `find` finds under the name's lock, and returns its number. `None`: it finds none.
fn forget_kept(
    region: &Region,
    name: &[u8; NAME_BYTES],
    find: impl Fn() -> Option<u32>,
) -> Result<Option<u32>, Error> {
    let lock = locks::name(name_hash(name));
    if !region.lock(lock)? {
        return Err(region.refusal(lock, "the name", names::in_use(name)));
    }
    let found = names::lock_kept(region, name, find);
    if let Ok(Some(number)) = found {
        let areas = region.areas();
        gate::forget(&areas.slots[number as usize]);
        crate::wait::doorbell::notify(&areas.control.space.word, WaitMode::Fence);
        region.unlock(locks::slot(number));
    }
    region.unlock(lock);
    found
}
