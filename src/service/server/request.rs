//! A request in the hands of the server.

use std::fmt;
use std::time::{Duration, Instant};

use super::Server;
use super::served::{Served, Taken};
use crate::atomics::copy;
use crate::error::ReplyError;
use crate::service::channel::{Message, footprint, room_for};
use crate::service::header::{self, Header, Part};
use crate::service::payload::Payload;
use crate::service::{ring_as, sleep};
use crate::wait::{clock, doorbell, timestamp};

mod claim;

pub use claim::ReplyClaim;

/// A request that the server has taken, and owes an answer.
///
/// [`reply`](Self::reply) or [`fail`](Self::fail) ends the call. A request that is dropped is answered as
/// [`Dropped`](crate::CallError::Dropped). Requests may be kept, and answered in any order, by the thread that uses the
/// server.
#[must_use = "a request that is dropped is answered as dropped"]
pub struct Request<'s> {
    server: &'s Server,
    number: usize,
    message: Message,
    is_again: bool,
    /// Whether the next reply is the first one.
    is_fresh: bool,
    is_open: bool,
}

impl<'s> Request<'s> {
    #[inline]
    pub(super) fn new(server: &'s Server, Taken { number, message, is_again }: Taken) -> Self {
        Self { server, number, message, is_again, is_fresh: true, is_open: true }
    }

    /// The request, lent from shared memory.
    #[inline]
    pub fn payload(&self) -> Payload<'_> {
        let len = self.message.len();
        if self.server.region.broken() {
            return Payload::copied(Vec::new());
        }
        Payload::lent(self.served().channels.requests.payload(self.message.position, len), len)
    }

    #[inline(always)]
    fn served(&self) -> Served<'s> {
        self.server.served(self.number)
    }

    /// The number of the client's seat: the same for all requests of one client while it lives.
    pub fn client(&self) -> u32 {
        self.number as u32
    }

    /// How long the client still waits, by its own account. `None`: without a limit.
    pub fn time_left(&self) -> Option<Duration> {
        if self.server.region.broken() {
            return None;
        }
        let until_ns = self.served().until_ns(self.message)?;
        Some(Duration::from_nanos(until_ns.saturating_sub(timestamp::now_ns())))
    }

    /// Whether the client does not wait for the call any more.
    pub fn is_cancelled(&self) -> bool {
        let requests = self.served().channels.requests;
        !self.server.region.broken() && header::look(requests.state(self.message)).is_cancelled()
    }

    /// Whether a server that died had taken the call before: it may have run already.
    pub fn is_again(&self) -> bool {
        self.is_again
    }

    /// Answers the call with its last reply. Never waits.
    ///
    /// # Errors
    ///
    /// [`ReplyError::TooLarge`] for more than the [largest reply](crate::service::ServiceOptions::largest_reply): the
    /// call ends as dropped. [`ReplyError::Server`].
    #[inline]
    pub fn reply(self, payload: &[u8]) -> Result<(), ReplyError> {
        self.finish(Part::Last, payload)
    }

    /// Answers the call with an error: text, or bytes that the client understands. Never waits.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    pub fn fail(self, error: &[u8]) -> Result<(), ReplyError> {
        self.finish(Part::Failed, error)
    }

    /// Room for the last reply, to be written in place. If another request of the same client is answered before it is
    /// sent, it is copied.
    ///
    /// # Errors
    ///
    /// As [`reply`](Self::reply).
    pub fn claim(self, len: usize) -> Result<ReplyClaim<'s>, ReplyError> {
        let max = self.server.largest_reply();
        if len > max {
            return Err(ReplyError::TooLarge { len, max });
        }
        let position = room(self.served(), len, 0)?;
        Ok(ReplyClaim::new(self, position, len))
    }

    /// Sends one of several replies; the last one follows. Does not wait for room.
    ///
    /// # Errors
    ///
    /// [`ReplyError::Full`]; [`ReplyError::TooLarge`] for more than [`Server::largest_more`]; [`ReplyError::ClientGone`] if the
    /// client has written garbage; [`ReplyError::Server`].
    pub fn try_more(&mut self, payload: &[u8]) -> Result<(), ReplyError> {
        let (len, max) = (payload.len(), self.server.largest_more());
        if max.is_none_or(|max| len > max) {
            return Err(ReplyError::TooLarge { len, max: max.unwrap_or(0) });
        }
        let served = self.served();
        let keep = room_for(served.lane.open.get(), self.server.largest_reply());
        let position = room(served, len, keep)?;
        copy::write(served.channels.replies.payload(position, len), payload);
        self.publish(served, position, len, Part::More);
        Ok(())
    }

    /// As [`try_more`](Self::try_more); waits for room until `deadline`, or until the client is gone or gives the call
    /// up.
    ///
    /// # Errors
    ///
    /// [`ReplyError::TimedOut`], [`ReplyError::ClientGone`]; as [`try_more`](Self::try_more), without
    /// [`ReplyError::Full`].
    pub fn more_deadline(&mut self, payload: &[u8], deadline: Instant) -> Result<(), ReplyError> {
        self.more_until(payload, clock::deadline_ns(deadline))
    }

    /// As [`more_deadline`](Self::more_deadline), without a deadline.
    ///
    /// # Errors
    ///
    /// As [`more_deadline`](Self::more_deadline), without [`ReplyError::TimedOut`].
    pub fn more(&mut self, payload: &[u8]) -> Result<(), ReplyError> {
        self.more_until(payload, u64::MAX)
    }

    fn more_until(&mut self, payload: &[u8], until_ns: u64) -> Result<(), ReplyError> {
        let mut began_ns = None;
        loop {
            match self.try_more(payload) {
                Err(ReplyError::Full) => {}
                sent => return sent,
            }
            let served = self.served();
            if self.is_cancelled() || served.is_client_gone(self.message) {
                return Err(ReplyError::ClientGone);
            }
            let now = clock::monotonic_ns();
            if until_ns != u64::MAX && now >= until_ns {
                return Err(ReplyError::TimedOut);
            }
            served.starve(true);
            let until_ns = now.saturating_add(doorbell::armed_ns(doorbell::SLICE_NS)).min(until_ns);
            let seen = served.lane.replies_released.get();
            let has_moved = || {
                let released = &served.seat.replies_released;
                served.channels.replies.released(released, served.lane.reply.get()) != Some(seen)
                    || served.server.region.memory_gone()
            };
            let waited_ns = now.saturating_sub(*began_ns.get_or_insert(now));
            sleep(&self.server.region.views().server.bell, until_ns, waited_ns, has_moved);
        }
    }

    /// Publishes the reply that was written there, and wakes the client.
    #[inline]
    fn publish(&mut self, served: Served<'_>, position: u64, len: usize, part: Part) {
        let header = Header::reply(part, position, len).repeatable(self.is_again && self.is_fresh);
        self.is_fresh = false;
        let Served { lane, channels, .. } = served;
        let end = channels.replies.publish(position, header, self.message.position);
        lane.reply.set(end);
        if part != Part::More {
            self.is_open = false;
            header::answer(channels.requests.state(self.message), self.message.header);
            lane.open.set(lane.open.get().saturating_sub(1));
            served.release_answered(self.message);
        }
        ring_as(self.server.mode, &served.seat.bell);
        channels.replies.prepare(end, len);
    }

    #[inline]
    fn finish(mut self, part: Part, payload: &[u8]) -> Result<(), ReplyError> {
        let (len, max) = (payload.len(), self.server.largest_reply());
        if len > max {
            return Err(ReplyError::TooLarge { len, max });
        }
        let served = self.served();
        let position = room(served, len, 0)?;
        copy::write(served.channels.replies.payload(position, len), payload);
        self.publish(served, position, len, part);
        Ok(self.server.region.or_memory_gone(Ok(()))?)
    }
}

impl Request<'_> {
    #[cold]
    #[inline(never)]
    fn finish_dropped(&mut self) {
        let served = self.served();
        if let Ok(position) = room(served, 0, 0) {
            self.publish(served, position, 0, Part::Dropped);
        }
    }
}

/// Where a reply of `len` bytes begins, if `keep` bytes stay free behind it.
#[inline]
fn room(served: Served<'_>, len: usize, keep: u64) -> Result<u64, ReplyError> {
    let (lane, replies) = (served.lane, served.channels.replies);
    served.server.check()?;
    lane.claims.make_room(replies);
    // Padding and the message take up less than two messages.
    served.has_free(footprint(len).saturating_mul(2).saturating_add(keep));
    let next = lane.reply.get();
    let position = replies.fit(next, lane.replies_released.get(), len, keep).ok_or_else(|| {
        // The client has written garbage, so room may never come.
        if lane.is_garbled.get() { ReplyError::ClientGone } else { ReplyError::Full }
    })?;
    replies.pad(next, position);
    lane.reply.set(position);
    Ok(position)
}

impl Drop for Request<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.is_open {
            self.finish_dropped();
        }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Request");
        shown.field("client", &self.number).field("len", &self.message.len()).finish_non_exhaustive()
    }
}
