//! A member of a group, for async code.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use quoit::{Error, GroupError, GroupEvent, GroupMember, JobId, Lost};

use crate::waiting::Waiting;

/// A [`GroupMember`], for async code.
///
/// [`next`](Self::next) returns owned payloads. To have records lent, wait with [`ready`](Self::ready), and receive from
/// [`get_mut`](Self::get_mut).
///
/// ```
/// use quoit::{Group, GroupMember, Options, Ring};
/// use quoit_async::AsyncGroupMember;
///
/// # smol::block_on(async {
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut member = AsyncGroupMember::new(GroupMember::on(&ring, &Group::new("workers"))?)?;
/// ring.producer()?.send(b"x")?;
///
/// let job = member.next_job(|_| {}).await?;
/// assert_eq!(job.payload, b"x");
/// member.ack(job.id)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct AsyncGroupMember {
    member: GroupMember,
    waiting: Waiting,
}

/// A record that the member has until it acknowledges it or gives it back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the record is not acknowledged yet"]
pub struct AsyncJob {
    /// Stands for the record in [`AsyncGroupMember::ack`] and [`nack`](AsyncGroupMember::nack); has its sequence.
    pub id: JobId,
    /// How often it has been handed out, this time included.
    pub deliveries: u32,
    /// A copy of its payload.
    pub payload: Vec<u8>,
}

/// What a member receives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AsyncGroupEvent {
    /// A record that is this member's now.
    Job(AsyncJob),
    /// Records that no member gets any more.
    Lost(Lost),
}

impl AsyncGroupMember {
    /// A member of this handle.
    ///
    /// # Errors
    ///
    /// As [`quoit::Watch::new`].
    pub fn new(member: GroupMember) -> Result<Self, Error> {
        Ok(Self { member, waiting: Waiting::new()? })
    }

    /// The next event. Cancel-safe: a future that is dropped has taken nothing.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::recv`].
    pub async fn next(&mut self) -> Result<AsyncGroupEvent, GroupError> {
        poll_fn(|context| {
            ready!(self.waiting.poll_turn(context));
            loop {
                match self.member.recv_timeout(Duration::ZERO) {
                    Ok(event) => {
                        if let Some(event) = owned(event) {
                            return Poll::Ready(Ok(event));
                        }
                    }
                    Err(GroupError::TimedOut) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
                ready!(self.waiting.poll_ready(context, &mut [&mut self.member]));
                ready!(self.waiting.poll_turn(context));
            }
        })
        .await
    }

    /// The next record; `other` gets what else comes. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::recv`].
    pub async fn next_job(&mut self, mut other: impl FnMut(Lost)) -> Result<AsyncJob, GroupError> {
        loop {
            match self.next().await? {
                AsyncGroupEvent::Job(job) => return Ok(job),
                AsyncGroupEvent::Lost(lost) => other(lost),
            }
        }
    }

    /// Waits until a receive may return something, an error included. Cancel-safe. While the member has as many records as
    /// it may have, nothing is ready.
    pub async fn ready(&mut self) {
        poll_fn(|context| self.waiting.poll_ready(context, &mut [&mut self.member])).await;
    }

    /// The record is done: as [`GroupMember::ack`]. Blocks for other members' turns at most.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::ack`].
    pub fn ack(&self, id: JobId) -> Result<(), GroupError> {
        self.member.ack(id)
    }

    /// Everything that the member has received is done: as [`GroupMember::ack_all`]. Blocks as [`ack`](Self::ack) does.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::ack_all`].
    pub fn ack_all(&self) -> Result<u32, GroupError> {
        self.member.ack_all()
    }

    /// Gives the record back: as [`GroupMember::nack`]. Blocks as [`ack`](Self::ack) does.
    ///
    /// # Errors
    ///
    /// As [`GroupMember::nack`].
    pub fn nack(&self, id: JobId) -> Result<(), GroupError> {
        self.member.nack(id)
    }

    /// The handle. Do not block in async code: use its `try_recv`, or `recv_timeout` with a time-out of 0, which reports
    /// the end as well.
    pub fn get_mut(&mut self) -> &mut GroupMember {
        &mut self.member
    }

    /// The handle.
    pub fn get_ref(&self) -> &GroupMember {
        &self.member
    }

    /// The handle, for other than async code.
    pub fn into_inner(self) -> GroupMember {
        self.member
    }
}

/// `None`: an event that this package does not know.
fn owned(event: GroupEvent<'_>) -> Option<AsyncGroupEvent> {
    match event {
        GroupEvent::Lost(lost) => Some(AsyncGroupEvent::Lost(lost)),
        GroupEvent::Job(job) => Some(AsyncGroupEvent::Job(AsyncJob {
            id: job.id(),
            deliveries: job.deliveries(),
            payload: job.record().to_vec(),
        })),
        _ => None,
    }
}
