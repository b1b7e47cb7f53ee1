//! Stages by name: finding the one to follow, and those that follow one.

use crate::atomics::at;
use crate::error::Error;
use crate::ring::Region;
use crate::ring::attach::{self, Start, until_found};
use crate::ring::layout::SlotState;
use crate::ring::names;
use crate::ring::protocol::after;
use crate::ring::protocol::gate;
use crate::ring::protocol::record::Loss;
use crate::ring::protocol::stage::{self, Stage};
use crate::ring::receive::Receiver;

/// The stage with this name.
pub(crate) fn find(region: &Region, name: &str) -> Result<Stage, Error> {
    if region.is_sealed() {
        return Err(Error::BadOption {
            what: "a sealed ring has no names, and so no stages: every consumer could write what another has released",
        });
    }
    let areas = region.areas();
    let missing = || Error::NoStage { name: name.to_owned() };
    let other = |what| Error::NotAStage { name: name.to_owned(), what };
    let number = names::find(areas, &names::padded(name)?).ok_or_else(missing)?;
    let slot = &areas.slots[number as usize];
    if slot.who.group.load(at!(G_FIELDS, Relaxed)) != 0 {
        return Err(other("it is a group, whose members release in any order"));
    }
    let found = Stage::in_slot(areas, number).ok_or_else(missing)?;
    if !found.stands(areas) {
        let is_lossy = matches!(gate::state(slot), Some(SlotState::Lossy | SlotState::Evicted));
        return Err(if is_lossy && region.is_alive(number) { other("it is not gated") } else { missing() });
    }
    // A gate that nobody keeps stands until the producer takes it.
    if !found.is_held(areas) && !region.is_alive(number) {
        return Err(missing());
    }
    Ok(found)
}

/// A follower that comes back to a place before the stretch of its stage: what the stage has lost, it loses too. Returns
/// what it has lost in all.
pub(crate) fn skip_gap(
    receiver: &mut Receiver,
    stage: Stage,
    lost: Option<Loss>,
) -> Result<Option<Loss>, Error> {
    if !after(stage.began, receiver.next_sequence()) {
        return Ok(lost);
    }
    let areas = receiver.region().areas();
    let start = Start::Sequence(stage.began);
    match until_found(areas.geometry.capacity, |effort| attach::find(areas, start, effort)) {
        Ok(began) => Ok(receiver.resume_past_gap(began)),
        // It is overwritten by now, and so is all before it.
        Err(Error::StartGone { .. }) => Ok(lost),
        Err(error) => Err(error),
    }
}

/// A living consumer that follows the one in a slot, if that one's gate stands.
pub(crate) fn living_follower(region: &Region, number: u32) -> Option<u32> {
    let areas = region.areas();
    let slot = areas.slots.get(number as usize)?;
    let is_stage = gate::state(slot) == Some(SlotState::Gated);
    is_stage.then(|| stage::follower_of(areas, number, |other| region.is_alive(other))).flatten()
}
