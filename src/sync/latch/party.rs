//! A party of a latch.

use std::fmt;

use super::Parties;
use crate::error::Error;
use crate::sync::bell;
use crate::sync::member::Member;
use crate::sync::rounds::{self, End};

/// A party of a [`Latch`](super::Latch), which arrives once. Dropping it before that breaks the latch, as does the death of
/// its process.
#[must_use = "dropping a party before it arrives breaks the latch"]
pub struct LatchParty {
    member: Member<Parties>,
}

impl LatchParty {
    pub(super) fn new(member: Member<Parties>) -> Self {
        Self { member }
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this latch. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.member.is_stale()
    }

    /// Arrives. Returns whether this opened the latch; `false` also if the latch was open already, or if one that waits was
    /// the first to see that all have arrived.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`]; [`Error::Forked`], [`Error::Truncated`].
    pub fn arrive(self) -> Result<bool, Error> {
        self.member.check()?;
        let begun = self.member.views().line.look();
        if begun.is_broken() {
            return Err(Error::Broken);
        }
        if begun.is_passed() {
            return Ok(false);
        }
        rounds::arrive(&self.member, begun);
        let end = rounds::look_on(&self.member, begun, &mut 0, false);
        self.member.check_memory()?;
        match end {
            None => Ok(false),
            Some(End::Passed { is_leader }) => Ok(is_leader),
            Some(End::Broken) => Err(Error::Broken),
        }
    }
}

impl Drop for LatchParty {
    fn drop(&mut self) {
        if self.member.check().is_ok() {
            self.member.leave();
            bell::ring(&self.member.views().line.bell);
        }
    }
}

impl fmt::Debug for LatchParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LatchParty").field("member", &self.member).finish_non_exhaustive()
    }
}
