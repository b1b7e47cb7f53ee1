//! How a member joins its group, which is made by the first, and how it leaves.
//!
//! The ring has a slot for the group, kept under the group's name. The lock of that name, held while a member joins, keeps
//! all others out. Each member holds a lock of its own on the ring's file, so to the producer the slot lives as long as
//! any of them. The group's file stands beside the ring: `RING.NAME.group`.
//!
//! ```text
//! 1  lock the name
//! 2  open the group's file; there is none, or it belongs to another ring or slot:
//!        take a slot under the name, as a consumer does; make the file
//! 3  lock the member's byte
//! 4  nobody else lives, and the gate is held: change the state word, so that the producer does not take the gate now
//! 5  unlock the name
//! 6  the gate is not open: open it, in a turn
//! ```

#[cfg(not(loom))]
use std::path::Path;

use crate::atomics::at;
use crate::error::Error;
use crate::group::layout::{Leased, Line};
use crate::group::leases::Leases;
use crate::group::member::GroupMember;
use crate::group::options::Group;
#[cfg(not(loom))]
use crate::memory::file::Owners;
use crate::memory::permissions::Access;
use crate::ring::Region;
use crate::ring::consumer::{Attached, attach_slot};
use crate::ring::layout::{NAME_BYTES, Slot, SlotState};
use crate::ring::locks::{self, name_hash};
use crate::ring::names;
use crate::ring::protocol::gate;
use crate::ring::protocol::own_slot::{self, Policy};
use crate::ring::rings::Ring;
use crate::seats;
use crate::sync::member::Member;
use crate::wait::clock;
use crate::wait::doorbell;
use crate::wait::mode::WaitMode;

/// The lock of the group's name, for as long as a member joins.
struct Naming<'a> {
    ring: &'a Region,
    name: [u8; NAME_BYTES],
}

impl<'a> Naming<'a> {
    fn lock(ring: &'a Region, name: [u8; NAME_BYTES]) -> Result<Self, Error> {
        let lock = locks::name(name_hash(&name));
        if names::retry(|| ring.lock(lock))? {
            return Ok(Self { ring, name });
        }
        Err(ring.refusal(lock, "the name", names::in_use(&name)))
    }
}

impl Drop for Naming<'_> {
    fn drop(&mut self) {
        self.ring.unlock(locks::name(name_hash(&self.name)));
    }
}

/// The slot of a group that exists. `None`: the slot is not the group's.
pub(super) fn slot_of<'a>(ring: &'a Region, line: &Line, name: &[u8; NAME_BYTES]) -> Option<(u32, &'a Slot)> {
    let number = u32::try_from(line.slot.load(at!(J_READ, Relaxed))).ok()?;
    let slot = ring.areas().slots.get(number as usize)?;
    let binding = line.binding.load(at!(J_READ, Relaxed));
    let is_same = binding != 0 && slot.who.group.load(at!(G_FIELDS, Relaxed)) == binding;
    let id = [ring.id() as u64, (ring.id() >> 64) as u64];
    let is_ring = [0, 1].map(|word: usize| line.ring[word].load(at!(J_READ, Relaxed))) == id;
    (is_same && is_ring && gate::keeps(slot, name)).then_some((number, slot))
}

fn generation(slot: &Slot) -> u64 {
    slot.who.incarnation.load(at!(E_GENERATION, Relaxed))
}

impl Group {
    fn policy(&self, name: [u8; NAME_BYTES], binding: u64) -> Policy {
        Policy {
            gated: self.attach.gated,
            budget_ns: self.attach.budget_ns,
            hold_ns: self.attach.hold_ns,
            name,
            group: Some(binding),
            after: 0,
            pid: std::process::id(),
            now_ns: clock::wall_ns(),
        }
    }

    /// Checks the options against each other and against the ring.
    fn check(&self, ring: &Region) -> Result<[u8; NAME_BYTES], Error> {
        let refused = |what| Err(Error::BadOption { what });
        let geometry = ring.geometry();
        if ring.is_sealed() {
            return refused(
                "a sealed ring has no groups: what it would keep for one, every consumer can write",
            );
        }
        if geometry.hard_limit_ns > 0 {
            return refused(
                "a ring with a hard limit has no groups: the producer would overwrite what a group still has to do",
            );
        }
        if geometry.gated_only {
            return refused(
                "a ring for gated consumers only has no groups: a group that was without members may be overwritten",
            );
        }
        if let Some(dead_letters) = &self.dead_letters {
            dead_letters.check(ring)?;
        }
        self.attach.check()
    }
}

impl GroupMember {
    /// Joins the group on the ring at `path`, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// Any error of opening the ring, or the group's file beside it; [`Error::NameInUse`] for the name of a living consumer,
    /// or of a group whose file is gone while it has members; [`Error::SeatsTaken`] if the group has as many members as it
    /// may have; [`Error::SlotsTaken`], [`Error::StartGone`]; [`Error::BadOption`], also for rings that cannot have a
    /// group.
    #[cfg(not(loom))]
    pub fn join(path: impl AsRef<Path>, group: &Group) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::join_in_file(Region::open(path, Access::Participant)?, path, group)
    }

    /// Joins a group on this ring, and makes it if there is none. On a ring on the heap the group is on the heap, too, and
    /// this call makes it: [`try_clone`](Self::try_clone) makes the other members.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn on(ring: &Ring, group: &Group) -> Result<Self, Error> {
        let region = ring.region(Access::Participant)?;
        #[cfg(not(loom))]
        if let Some(path) = ring.path() {
            return Self::join_in_file(region, path, group);
        }
        Self::make_on_heap(region, group)
    }

    /// The next member of a group on the heap, whose last member is this one and is killed first.
    #[cfg(loom)]
    pub(crate) fn join_after_death(self) -> Result<Self, Error> {
        // It takes its seat before, and is to the producer no member until it has its lock.
        let (ring, group) = (self.ring.reopen(Access::Participant)?, self.group.try_clone()?);
        let (slot, dead_letters) = (self.slot, self.dead_letters.clone());
        crate::atomics::crash_after(0, move || drop(self));
        lock_member(&ring, slot, &group)?;
        revive(&ring, slot);
        let mut member = Self::new(ring, group, slot, dead_letters.as_ref())?;
        member.settle(u64::MAX)?;
        member.look_at_the_gate();
        Ok(member)
    }

    /// Another member of the same group, for another thread. For a ring in a file this takes `/proc` and the permission
    /// to open ring and group; their names need not be there any more.
    ///
    /// # Errors
    ///
    /// [`Error::SeatsTaken`]; [`Error::Forked`], [`Error::Truncated`]; any other error of opening the files.
    pub fn try_clone(&self) -> Result<Self, Error> {
        self.check()?;
        let (ring, group) = (self.ring.reopen(Access::Participant)?, self.group.try_clone()?);
        // This member lives meanwhile, so the slot stays as it is.
        lock_member(&ring, self.slot, &group)?;
        Self::new(ring, group, self.slot, self.dead_letters.as_ref())
    }

    #[cfg(not(loom))]
    fn join_in_file(ring: Region, path: &Path, options: &Group) -> Result<Self, Error> {
        let (shape, name) = (options.shape()?, options.check(&ring)?);
        let file = Group::file(path, &options.name);
        let naming = Naming::lock(&ring, name)?;
        let found = match Member::<Leased>::open(&file, Owners::Trusted, |_| Ok(())) {
            Ok(group) => slot_of(&ring, group.views().line, &name).map(|(slot, _)| (group, slot)),
            Err(Error::NotFound { .. } | Error::EarlierBoot { .. }) => None,
            Err(error) => return Err(error),
        };
        let (group, slot) = match found {
            Some(found) => found,
            None => {
                // Of another ring that was here before, or of a group that was forgotten.
                match std::fs::remove_file(&file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::Io {
                            path: file,
                            action: "remove what is left of a group",
                            source: error,
                        });
                    }
                    _ => {}
                }
                let create = |begin: &dyn Fn(&Member<Leased>)| {
                    Member::create(&file, &shape, options.file_mode(), |group| begin(group))
                };
                let undo = || {
                    let _ = std::fs::remove_file(&file);
                };
                make(&ring, options, name, create, undo)?
            }
        };
        lock_member(&ring, slot, &group)?;
        revive(&ring, slot);
        drop(naming);
        let mut member = Self::new(ring, group, slot, options.dead_letters.as_ref())?;
        member.settle(u64::MAX)?;
        member.look_at_the_gate();
        Ok(member)
    }

    fn make_on_heap(ring: Region, options: &Group) -> Result<Self, Error> {
        let (shape, name) = (options.shape()?, options.check(&ring)?);
        let naming = Naming::lock(&ring, name)?;
        let (group, slot) =
            make(&ring, options, name, |begin| Member::local(shape, |group| begin(group)), || {})?;
        drop(naming);
        Self::new(ring, group, slot, options.dead_letters.as_ref())
    }
}

/// Locks the member's byte in the ring's file. The seat is the member's alone, and so is the byte; but the kernel closes
/// the two files of a process that dies one after the other, so the one who had the seat before may have it for a moment.
fn lock_member(ring: &Region, slot: u32, group: &Member<Leased>) -> Result<(), Error> {
    let Some(found) = ring.areas().slots.get(slot as usize) else {
        return Err(Error::Garbage { what: "the slot of the group" });
    };
    let lock = locks::member(slot, generation(found), group.me().number);
    if names::retry(|| ring.lock(lock))? {
        return Ok(());
    }
    let taken = Error::Garbage { what: "a seat of the group that another member has" };
    Err(ring.refusal(lock, "a member's place", taken))
}

/// Makes a group: its slot in the ring, and what `create` makes, which `undo` removes if there is no member after all. The
/// caller has locked the name.
fn make(
    ring: &Region,
    options: &Group,
    name: [u8; NAME_BYTES],
    create: impl FnOnce(&dyn Fn(&Member<Leased>)) -> Result<Member<Leased>, Error>,
    undo: impl FnOnce(),
) -> Result<(Member<Leased>, u32), Error> {
    let policy = options.policy(name, 0);
    let attached = ring.or_memory_gone(attach_slot(ring, &policy, &options.attach, None))?;
    let Attached { own_slot, generation, resumes, place, .. } = attached;
    let slot = own_slot.number;
    let begin = |group: &Member<Leased>| {
        let views = group.views();
        let write = |word: &crate::atomics::AtomicU64, value| word.store(value, at!(J_WRITE, Relaxed));
        write(&views.line.slot, slot.into());
        write(&views.line.binding, generation);
        write(&views.line.ring[0], ring.id() as u64);
        write(&views.line.ring[1], (ring.id() >> 64) as u64);
        write(&views.line.lease_ns, options.lease_ns);
        write(&views.line.limit, options.limit.into());
        let most = options.dead_letters.as_ref().map_or(0, |dead_letters| dead_letters.most);
        write(&views.line.max_deliveries, most.into());
        write(&views.line.budget_ns, options.budget_ns());
        Leases::new(views.line, views.items).begin(place);
        // Now the slot is this group's. Before, it is that of a name whose consumer is away.
        if let Some(own) = ring.areas().slots.get(slot as usize) {
            write(&own.who.group, generation);
        }
    };
    let areas = ring.areas();
    let made = create(&begin).and_then(|group| {
        lock_member(ring, slot, &group).inspect_err(|_| undo())?;
        Ok((group, slot))
    });
    if made.is_err() {
        // Nothing was received: a name that existed before keeps its place, a new one leaves no trace.
        let entry = &areas.slots[slot as usize];
        if resumes {
            entry.who.group.store(0, at!(G_FIELDS_WRITE, Relaxed));
            own_slot.leave(areas, policy.now_ns);
        } else {
            own_slot::forget(entry);
        }
        doorbell::notify(&areas.control.space, WaitMode::Fence);
    }
    // The member's lock stands for the slot from here on.
    seats::leave(ring, slot, generation);
    made
}

/// The slot of a group that exists has a living member again. The caller has locked the name, and its own byte.
fn revive(ring: &Region, number: u32) {
    let Some(slot) = ring.areas().slots.get(number as usize) else { return };
    let write = |word: &crate::atomics::AtomicU64, value| word.store(value, at!(G_FIELDS_WRITE, Relaxed));
    write(&slot.who.pid, std::process::id().into());
    write(&slot.who.left_ns, 0);
    let state = slot.gate.state.load(at!(G_STATE, Relaxed));
    if SlotState::from_word(state) == Some(SlotState::Gated) && !ring.has_members(number) {
        // The producer may have found that nobody lives, and be about to take the gate: then it finds another state. If
        // it was faster, `settle` opens the gate again.
        gate::take_gate(slot, state, SlotState::Gated);
    }
}
