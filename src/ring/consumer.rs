//! The consumer: a reading handle with a slot of its own.

use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
#[cfg(not(loom))]
use std::time::Instant;

use crate::atomics::at;
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::attach::{self, Attach, Start, until_found};
use crate::ring::geometry::Areas;
use crate::ring::locks::{self, name_hash};
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::ring::protocol::index;
use crate::ring::protocol::own_slot::{self, OwnSlot, Policy};
use crate::ring::protocol::reader::{Overwritable, Reader};
use crate::ring::protocol::record::{LossAccount, LossCause, Resumed};
use crate::ring::protocol::stage::Stage;
use crate::ring::protocol::{Place, after};
use crate::ring::receive::Receiver;
use crate::ring::stages;
use crate::seats;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// Reads every record once, in order, from its own place in the stream.
///
/// Each consumer takes one of the ring's slots and holds the slot's lock until it is dropped. One thread at a time
/// may use a handle; it may move between threads (`Send`, not `Sync`). After a `fork` only the parent may use it.
pub struct Consumer {
    pub(super) receiver: Receiver,
    /// The generation of its seat; together with the slot's number it identifies the lock it holds.
    generation: u64,
    name: Option<u64>,
    resumed: Option<Resumed>,
    /// `Send`, not `Sync`.
    _not_sync: std::marker::PhantomData<std::cell::Cell<()>>,
}

impl Consumer {
    /// Attaches to the ring at `path`. Receives what is published from here on, unless `attach` sets another
    /// [`start`](Attach::start).
    ///
    /// # Errors
    ///
    /// Any error of opening the file as a ring; [`Error::SlotsTaken`], [`Error::NameInUse`], [`Error::BadName`],
    /// [`Error::StartGone`], [`Error::GatedOnly`]; [`Error::NoStage`], [`Error::NotAStage`]; [`Error::BadOption`] for a
    /// hold without a name and a gate.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>, attach: &Attach) -> Result<Self, Error> {
        Self::attach(Region::open(path.as_ref(), Access::Participant)?, attach)
    }

    /// As [`open`](Self::open), for a ring that may not exist yet: waits until `deadline` for a process to create it.
    /// A deadline that has passed means a single try.
    ///
    /// Only [`Error::NotFound`] is waited for: no file at the path, or no directory for it; and [`Error::NoStage`]. A ring appears at its
    /// path only when it is complete, so every other error is returned at once. That includes a leftover of an
    /// earlier boot, which has to be removed first. The path is checked every millisecond at first, and every 20 ms
    /// after a while.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was no ring by the deadline, [`Error::NoStage`] if there was no
    /// stage.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, attach: &Attach, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path, attach))
    }

    pub(crate) fn attach(region: Region, attach: &Attach) -> Result<Self, Error> {
        let name = attach.check()?;
        if region.is_sealed() && attach.name.is_some() {
            return Err(Error::BadOption {
                what: "a sealed ring has no names: what it would keep under one, every consumer can write",
            });
        }
        let stage = attach.after.as_deref().map(|name| region.or_memory_gone(stages::find(&region, name)));
        let stage = stage.transpose()?;
        let budget_ns = attach.budget_ns(region.geometry().gated_only);
        let limited = budget_ns > 0 || region.geometry().hard_limit_ns > 0;
        // On a sealed ring every consumer can write this one's cursor, and so cause its records to be overwritten.
        let overwritten = !attach.gated || limited || region.is_sealed();
        if region.geometry().gated_only && overwritten {
            return Err(Error::GatedOnly);
        }
        let hash = attach.name.as_ref().map(|_| name_hash(&name));
        if let Some(hash) = hash
            && !region.lock(locks::name(hash))?
        {
            return Err(region.refusal(locks::name(hash), "the name", names::in_use(&name)));
        }
        let policy = Policy {
            gated: attach.gated,
            budget_ns,
            hold_ns: attach.hold_ns,
            name,
            group: None,
            after: stage.map_or(0, Stage::word),
            pid: std::process::id(),
            now_ns: clock::wall_ns(),
        };
        let Attached { own_slot, generation, resumes, place, opened } =
            region.or_memory_gone(attach_slot(&region, &policy, attach, stage))?;
        let epoch = region.areas().head.reserve.epoch.load(at!(R4_EPOCH, Relaxed));
        let mut reader = Reader::new(place, Overwritable::Always, epoch, region.geometry().capacity);
        if resumes {
            reader.recall_change(region.areas());
        }
        let mut receiver = Receiver::new(region, reader, Some(own_slot), attach.gated);
        if opened.gated {
            let cause = if resumes { LossCause::Away } else { LossCause::Attaching };
            receiver.gate_is_open((opened.published, opened.held), overwritten, cause);
        }
        if let Some(stage) = stage {
            receiver.follow(stage);
        }
        if attach.gated {
            receiver.tell_followers(true);
        }
        let resumed = match resumes {
            true => {
                let lost = match opened.held.filter(|_| opened.behind) {
                    Some(held) => Ok(receiver.resume_behind(held)),
                    None => receiver.resume(opened.published, overwritten),
                };
                let lost = match stage {
                    Some(stage) => lost.and_then(|lost| stages::skip_gap(&mut receiver, stage, lost)),
                    None => lost,
                };
                let lost = receiver.region().or_memory_gone(lost)?;
                Some(Resumed { sequence: receiver.next_sequence(), lost })
            }
            false => None,
        };
        Ok(Self { receiver, generation, name: hash, resumed, _not_sync: std::marker::PhantomData })
    }

    /// Releases everything received so far, at once. The producer may then overwrite it, and a consumer that resumes
    /// under this name does not receive it again.
    pub fn release(&mut self) {
        self.receiver.release();
    }

    /// With `true`, only [`release`](Self::release) releases records; receiving the next one does not. A named
    /// consumer that processes records in batches then loses none of them if it is killed in between. A gated
    /// consumer that keeps the whole ring holds the producer up until it releases.
    pub fn keep(&mut self, keep: bool) {
        self.receiver.set_keep(keep);
    }

    /// From here on receives everything published, also what the stage has not released that it
    /// [follows](crate::Attach::after). Does nothing if it follows none.
    pub fn unfollow(&mut self) {
        self.receiver.unfollow();
    }

    /// Where this consumer resumed, if it attached under a name that the ring kept.
    pub fn resumed(&self) -> Option<Resumed> {
        self.resumed
    }

    /// What this consumer has lost and skipped so far, including earlier attachments under its name.
    pub fn account(&self) -> LossAccount {
        self.receiver.own_slot().map(OwnSlot::account).unwrap_or_default()
    }

    /// Number of the slot that this consumer holds.
    pub fn slot(&self) -> u32 {
        self.receiver.own_slot().map_or(0, |own_slot| own_slot.number)
    }
}

/// A consumer with a slot and a place.
pub(crate) struct Attached {
    pub(crate) own_slot: OwnSlot,
    pub(crate) generation: u64,
    /// It resumes under a name that the ring kept.
    pub(crate) resumes: bool,
    pub(crate) place: Place,
    opened: Opened,
}

/// The position of a consumer once its slot takes part in the protocol.
struct Opened {
    /// Its gate is open.
    gated: bool,
    /// Nothing before `published` may be read.
    behind: bool,
    /// `published` at that moment. The producer may have been allowed past the gate below this position, never from
    /// it on.
    published: u64,
    /// A place from there on, if one is known.
    held: Option<Place>,
}

/// Takes a slot and its place. The caller holds the lock of the name, if there is one.
pub(crate) fn attach_slot(
    region: &Region,
    policy: &Policy,
    attach: &Attach,
    stage: Option<Stage>,
) -> Result<Attached, Error> {
    let areas = region.areas();
    let (mut own_slot, saved, generation) = take_slot(region, policy)?;
    let placed = match saved {
        Some(place) => resume_at(areas, &own_slot, attach, place),
        None => start_at(areas, &mut own_slot, attach, stage),
    };
    let (place, opened) = placed.inspect_err(|_| match saved {
        // Nothing was received: a name that existed before keeps its place, a new one leaves no trace.
        Some(_) => own_slot.leave(areas, policy.now_ns),
        None => {
            own_slot::forget(&areas.slots[own_slot.number as usize]);
            doorbell::notify(&areas.control.space, WaitMode::Fence);
        }
    })?;
    own_slot.say_attached(areas, policy);
    Ok(Attached { own_slot, generation, resumes: saved.is_some(), place, opened })
}

/// Where to resume under a name.
fn resume_at(
    areas: Areas<'_>,
    own_slot: &OwnSlot,
    attach: &Attach,
    place: Place,
) -> Result<(Place, Opened), Error> {
    let was_held = own_slot.gates(areas);
    // A producer that fills its claims in place may be writing there, so those records are not read, even if still
    // intact.
    let behind = areas.geometry.gated_only && !was_held;
    let (gated, published) = match behind {
        true => (true, own_slot.open(areas, true)),
        false => own_slot.open_at(areas, attach.gated, place),
    };
    if !gated {
        // The name's gate may have been open until now, and the producer may be waiting for it.
        doorbell::notify(&areas.control.space, WaitMode::Fence);
    }
    if after(place.position, published) {
        let what = "a saved cursor beyond everything published";
        return Err(crate::error::Corruption { position: place.position, what }.into());
    }
    let held = match (gated, behind) {
        // The producer passes an open gate a limited number of times, so the search ends.
        (true, true) => Some(until_found(areas.geometry.capacity, |effort| attach::end(areas, effort))?),
        (true, false) => attach::held_from(areas, place, published),
        (false, _) => None,
    };
    Ok((place, Opened { gated, behind, published, held }))
}

/// Where a consumer without a kept place starts.
fn start_at(
    areas: Areas<'_>,
    own_slot: &mut OwnSlot,
    attach: &Attach,
    stage: Option<Stage>,
) -> Result<(Place, Opened), Error> {
    let gated = attach.gated;
    let capacity = areas.geometry.capacity;
    if !matches!(attach.start, Start::Newest | Start::Last(0)) {
        let place = until_found(capacity, |effort| match stage {
            Some(stage) => attach::find_from(areas, attach.start, stage.began, effort),
            None => attach::find(areas, attach.start, effort),
        })?;
        own_slot.starts_at(areas, place.sequence);
        let published = own_slot.open_from(areas, gated, place);
        if areas.geometry.gated_only && place.position != published {
            // The producer may be overwriting records before that.
            return Err(Error::GatedOnly);
        }
        let held = if gated { attach::held_from(areas, place, published) } else { None };
        return Ok((place, Opened { gated, behind: false, published, held }));
    }
    until_found(capacity, |effort| {
        // The gate opens at a place not after `published`, so that the records in between can be walked.
        let Some(newest) = index::newest(areas) else { return Ok(None) };
        own_slot.starts_at(areas, newest.sequence);
        own_slot.store_cursor(areas, newest);
        let published = own_slot.open(areas, gated);
        let Some(place) = attach::walk_to(areas, newest, published, effort)? else { return Ok(None) };
        own_slot.starts_at(areas, place.sequence);
        own_slot.store_cursor(areas, place);
        Ok(Some((place, Opened { gated, behind: false, published, held: None })))
    })
}

/// Takes the slot kept under the name, or a vacant one. Returns the place to resume at, if there is one, and the
/// generation of the seat.
fn take_slot(region: &Region, policy: &Policy) -> Result<(OwnSlot, Option<Place>, u64), Error> {
    let areas = region.areas();
    // The name's lock keeps every other process from its slot, except those that search for a vacant slot, which
    // leave it alone. `forget_slot` and `forget_away` need that lock too.
    if policy.is_named()
        && let Some(vacancy) = names::lock_kept(region, &policy.name, || names::find(areas, &policy.name))?
    {
        let number = vacancy.number();
        if policy.group.is_none() && areas.slots[number as usize].who.group.load(at!(G_FIELDS, Relaxed)) != 0
        {
            vacancy.give_up(region);
            return Err(Error::NameOfGroup { name: names::text(&policy.name) });
        }
        let taken = vacancy.take(region, &areas.slots[number as usize].who.incarnation)?;
        let generation = taken.ok_or_else(|| match region.is_slot_read_locked(number) {
            true => Error::ReadLocked { what: "the slot of the name" },
            false => names::in_use(&policy.name),
        })?;
        let (own_slot, place) = OwnSlot::resume(areas, number, policy);
        return Ok((own_slot, place, generation));
    }
    for (number, slot) in (0..).zip(areas.slots) {
        if gate::is_vacant(areas, slot)
            && let Some(vacancy) = region.lock_slot(number)?
        {
            if !gate::is_vacant(areas, slot) {
                vacancy.give_up(region);
            } else if let Some(generation) = vacancy.take(region, &slot.who.incarnation)? {
                return Ok((OwnSlot::take(areas, number, policy), None, generation));
            }
        }
    }
    let saved = if region.is_sealed() { 0 } else { names::count_away(region, policy.now_ns)? };
    let taken = Error::SlotsTaken { slots: region.geometry().slots, saved };
    // A slot that is vacant but blocked by another process's read lock.
    let is_kept_away = |(number, slot)| gate::is_vacant(areas, slot) && region.is_slot_read_locked(number);
    let kept_away = (0..).zip(areas.slots).any(is_kept_away);
    Err(if kept_away { Error::ReadLocked { what: "the free slots" } } else { taken })
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if self.receiver.region().broken() {
            return;
        }
        let slot = self.slot();
        self.receiver.leave();
        seats::leave(self.receiver.region(), slot, self.generation);
        if let Some(hash) = self.name {
            self.receiver.region().unlock(locks::name(hash));
        }
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("slot", &self.slot())
            .field("next_sequence", &self.next_sequence())
            .finish_non_exhaustive()
    }
}
