//! A record that a member has, and what it does with it.

use std::fmt;

use crate::group::error::GroupError;
use crate::group::member::GroupMember;
use crate::ring::protocol::record::Record;

/// A record that this member has, borrowed until the next receive. It stays this member's until it is
/// [acknowledged](Self::ack) or [given back](Self::nack), even if this is dropped.
#[must_use = "the record is not acknowledged yet"]
pub struct Job<'a> {
    member: &'a GroupMember,
    record: Record<'a>,
    /// Which of the records of the member's current lease it is. The rest is looked up there, and cannot change while this
    /// borrows the member. A job of more than a few words costs each record a nanosecond.
    index: u32,
}

/// A record that a member has, to be acknowledged later: [`GroupMember::ack`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId {
    /// The lease that it is part of, and which of its records it is.
    pub(in crate::group) lease: (u64, u32),
    pub(in crate::group) index: u32,
    pub(in crate::group) sequence: u64,
}

impl JobId {
    /// Sequence of the record.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl<'a> Job<'a> {
    #[inline(always)]
    pub(super) fn new(member: &'a GroupMember, record: Record<'a>, index: u32) -> Self {
        Self { member, record, index }
    }

    /// The record.
    #[inline]
    pub fn record(&self) -> &Record<'a> {
        &self.record
    }

    /// The record's number in the stream.
    #[inline]
    pub fn sequence(&self) -> u64 {
        self.record.sequence()
    }

    /// How often the record has been handed out, this time included. 1: no member had it before. A member that was
    /// killed just while it took the record counts, too.
    #[inline]
    pub fn deliveries(&self) -> u32 {
        self.member.current.lease.deliveries
    }

    /// Stands for this record in [`GroupMember::ack`].
    #[inline]
    pub fn id(&self) -> JobId {
        let lease = &self.member.current.lease;
        JobId { lease: (lease.number, lease.tag), index: self.index, sequence: self.sequence() }
    }

    /// The record is done, and no member gets it again.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::ack`].
    #[inline(always)]
    pub fn ack(self) -> Result<(), GroupError> {
        self.member.ack(self.id())
    }

    /// Gives the record back, to be handed out again.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::nack`].
    pub fn nack(self) -> Result<(), GroupError> {
        self.member.nack(self.id())
    }
}

impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("record", &self.record)
            .field("deliveries", &self.deliveries())
            .finish_non_exhaustive()
    }
}
