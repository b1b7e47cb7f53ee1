//! The ring: its layout, its protocol, and its handles.

pub(crate) mod any;
pub(crate) mod attach;
pub(crate) mod blocker;
pub(crate) mod claim;
pub(crate) mod conflate;
pub(crate) mod consumer;
pub(crate) mod evict;
pub(crate) mod forget;
pub(crate) mod geometry;
pub(crate) mod holding;
pub(crate) mod inspect;
pub(crate) mod layout;
pub(crate) mod locks;
pub(crate) mod names;
pub(crate) mod observer;
pub(crate) mod options;
pub(crate) mod parse;
pub(crate) mod producer;
pub(crate) mod protocol;
pub(crate) mod reading;
pub(crate) mod receive;
pub(crate) mod rfc3339;
pub(crate) mod rings;
#[cfg(not(loom))]
pub(crate) mod sealed;
pub(crate) mod send;
pub(crate) mod space;
pub(crate) mod stages;
pub(crate) mod stream;
pub(crate) mod takeover;
#[cfg(tampered)]
pub mod tamper;
pub(crate) mod text;
#[cfg(not(loom))]
pub(crate) mod trusted;
pub(crate) mod typed;
mod waitable;
pub(crate) mod writing;

use std::time::{Duration, SystemTime};

use geometry::{Areas, Geometry, Views};
use protocol::times;

use crate::atomics::at;
use crate::error::Error;
use crate::seats::{self, Vacancy};
use crate::wait::timestamp::Timestamp;

/// A handle's view of a ring's memory and locks.
pub(crate) type Region = crate::memory::region::Region<Geometry>;

impl Region {
    #[inline(always)]
    pub(crate) fn geometry(&self) -> &Geometry {
        self.shape()
    }

    /// The ring's memory.
    #[inline(always)]
    pub(crate) fn areas(&self) -> Areas<'_> {
        let Views { head, index, clocks, control, slots, data } = self.views();
        Areas { geometry: self.shape(), head, index, clocks, control, slots, data }
    }

    /// The time of day at a publish time. `None`: the records carry none, or the handle is broken.
    pub(crate) fn wall_time(&self, time: Timestamp) -> Option<SystemTime> {
        if self.broken() || !self.geometry().timed {
            return None;
        }
        let wall_ns = times::wall_ns(self.areas(), time.as_nanos());
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(wall_ns))
    }

    /// Whether the current or last consumer of a slot lives, or a member of its group. One system call, two for a
    /// group.
    pub(crate) fn is_alive(&self, number: u32) -> bool {
        let slot = self.areas().slots.get(number as usize);
        slot.is_some_and(|slot| {
            seats::is_alive(self, number, &slot.who.incarnation) || self.has_members(number)
        })
    }

    /// Whether a slot is a group's that has a living member, besides one of this handle.
    pub(crate) fn has_members(&self, number: u32) -> bool {
        let slot = self.areas().slots.get(number as usize);
        slot.is_some_and(|slot| {
            let generation = slot.who.incarnation.load(at!(E_GENERATION, Relaxed));
            // A sealed ring has no groups: any consumer could have written the word.
            let is_group = !self.is_sealed() && slot.who.group.load(at!(G_FIELDS, Relaxed)) != 0;
            is_group && self.any_locked(locks::members(number, generation))
        })
    }

    /// Locks a slot without a living consumer. `None`: a consumer lives there, or is attaching.
    pub(crate) fn lock_slot(&self, number: u32) -> Result<Option<Vacancy>, Error> {
        let Some(slot) = self.areas().slots.get(number as usize) else { return Ok(None) };
        let Some(vacancy) = seats::lock(self, number, &slot.who.incarnation)? else { return Ok(None) };
        if self.has_members(number) {
            vacancy.give_up(self);
            return Ok(None);
        }
        Ok(Some(vacancy))
    }

    /// Whether a slot is free except for another process's read lock.
    pub(crate) fn is_slot_read_locked(&self, number: u32) -> bool {
        let slot = self.areas().slots.get(number as usize);
        slot.is_some_and(|slot| seats::is_read_locked(self, number, &slot.who.incarnation))
    }
}
