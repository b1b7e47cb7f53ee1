//! Forgetting names, which frees their slots.

#[cfg(not(loom))]
use std::path::Path;
use std::time::Duration;

use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::layout::NAME_BYTES;
use crate::ring::locks::{self, name_hash};
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::ring::protocol::own_slot;
use crate::ring::stages;
use crate::wait::clock;
use crate::wait::mode::WaitMode;

/// A name that [`forget_away`] forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// Number of the slot that it was kept in.
    pub slot: u32,
    /// The name. Invalid UTF-8 shows as replacement characters.
    pub name: String,
    /// How long its consumer had been away. `None`: it was killed, and no process had noticed that before.
    pub away_for: Option<Duration>,
}

/// Frees the slot that the ring at `path` keeps for a name. Its place and loss account are lost, and a producer that
/// waits for it continues.
///
/// # Errors
///
/// [`Error::NameInUse`] while a consumer is attached under it, [`Error::NameFollowed`] while living consumers wait for it
/// as their stage, [`Error::NameUnknown`], [`Error::BadName`], and any error of opening the file as a ring.
#[cfg(not(loom))]
pub fn forget(path: impl AsRef<Path>, name: &str) -> Result<(), Error> {
    forget_name(&Region::open(path.as_ref(), Access::Participant)?, name)
}

/// As [`forget`], for the name kept in a slot. This also removes a name that is not valid text, which only garbage
/// written into the ring leaves behind.
///
/// # Errors
///
/// [`Error::NameInUse`] while a consumer lives in the slot, [`Error::NameFollowed`], [`Error::SlotUnknown`] if it keeps no
/// name, and any error of opening the file as a ring.
#[cfg(not(loom))]
pub fn forget_slot(path: impl AsRef<Path>, slot: u32) -> Result<(), Error> {
    forget_number(&Region::open(path.as_ref(), Access::Participant)?, slot)
}

/// Forgets every name of the ring at `path` whose consumer has been away for `away_for` or longer, by the wall clock,
/// and returns them. Zero: every name without a living consumer. Held names are forgotten too: a producer that waits
/// for one continues.
///
/// A consumer that leaves records the time. For one that was killed, the time counts from when a process first found
/// it gone: a call of this function, or a consumer that attached and found every slot taken. So the name of a killed
/// consumer is forgotten by the first call that comes `away_for` after that.
///
/// # Errors
///
/// Any error of opening the file as a ring. A consumer that comes back meanwhile keeps its name, and so does a stage that
/// living consumers wait for.
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
        // Checked again under the name's lock: the consumer may have come back and left again.
        let is_due = || {
            let now_away = gate::left_ns(slot).map_or(0, |left| now_ns.saturating_sub(left));
            gate::keeps(slot, &name) && now_away >= least_ns
        };
        match forget_kept(region, &name, || is_due().then_some(number)) {
            Ok(None) | Err(Error::NameInUse { .. } | Error::NameFollowed { .. }) => {}
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

/// Frees the slot that `find` returns under the name's lock, and returns its number. `None`: `find` returns none.
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
    let forgotten = found.and_then(|found| {
        let Some(vacancy) = found else { return Ok(None) };
        let number = vacancy.number();
        let areas = region.areas();
        let follower = stages::living_follower(region, number);
        if follower.is_none() {
            own_slot::forget(&areas.slots[number as usize]);
            crate::wait::doorbell::notify(&areas.control.space, WaitMode::Fence);
        }
        vacancy.give_up(region);
        match follower {
            None => Ok(Some(number)),
            Some(slot) => Err(Error::NameFollowed { name: names::text(name), slot }),
        }
    });
    region.unlock(lock);
    forgotten
}
