//! One client, as the server serves it.

use super::lane::Lane;
use super::{PASSED_OVER, Server};
use crate::atomics::at;
use crate::seats;
use crate::service::channel::{Channel, Found, Message, room_for};
use crate::service::header::{self, State};
use crate::service::ring;
use crate::service::shape::{Channels, Seat};
use crate::wait::timestamp;

/// A client's seat and channels, and what the server knows of them: looked up once for each request and once for each
/// reply, and passed on in registers.
#[derive(Clone, Copy)]
pub(super) struct Served<'s> {
    pub(super) server: &'s Server,
    pub(super) number: usize,
    pub(super) lane: &'s Lane,
    pub(super) seat: &'s Seat,
    pub(super) channels: Channels<'s>,
}

/// A call that the server has taken, of the client in a seat.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) number: usize,
    pub(super) message: Message,
    /// Another server had taken it before.
    pub(super) is_again: bool,
}

impl Server {
    #[inline(always)]
    pub(super) fn served(&self, number: usize) -> Served<'_> {
        let (views, lane) = (self.region.views(), &self.lanes[number]);
        let channels = views.channels_at(lane.place);
        Served { server: self, number, lane, seat: &views.seats[number], channels }
    }

    /// As `has_free`, after a look at what the client has released. Its arguments fit registers, and so do those of `release`:
    /// otherwise the compiler builds a `Served` in memory on every look, in case it has to pass one.
    #[inline(never)]
    fn has_free_by_now(&self, number: usize, bytes: u64) -> bool {
        let Served { lane, seat, channels, .. } = self.served(number);
        let replies = channels.replies;
        match replies.released(&seat.replies_released, lane.reply.get()) {
            Some(released) => {
                lane.replies_released.set(released);
                replies.free(lane.reply.get(), released) >= bytes
            }
            None => {
                lane.is_garbled.set(true);
                false
            }
        }
    }

    /// Releases the requests whose calls have ended, up to the first that has not. Whether there was one.
    #[inline(never)]
    fn release(&self, number: usize) -> bool {
        let Served { lane, seat, channels, .. } = self.served(number);
        let requests = channels.requests;
        let (mut position, next) = (lane.released.get(), lane.next.get());
        while (next.wrapping_sub(position) as i64) > 0 {
            match requests.look(position) {
                Found::Message(message) if message.header.is_over() => position = message.end(),
                Found::Nothing { position: end } => {
                    position = end;
                    break;
                }
                Found::Message(_) | Found::Garbage => break,
            }
        }
        let has_moved = lane.released.replace(position) != position;
        if has_moved {
            Channel::release(&seat.requests_released, position);
        }
        has_moved
    }
}

impl Served<'_> {
    /// Whether `take` may find something. Orders nothing, but the room that it looks at.
    pub(super) fn may_take(self) -> bool {
        let lane = self.lane;
        if lane.is_garbled.get() {
            return false;
        }
        self.channels.requests.has_some(lane.next.get()) && (!lane.is_starved.get() || self.has_room())
    }

    /// Whether there is room for the largest reply to one more call. With that the calls that were taken can be answered,
    /// whatever happens.
    #[inline(always)]
    fn has_room(self) -> bool {
        let (open, largest_reply) = (self.lane.open.get(), self.server.largest_reply());
        self.has_free(room_for(open + 1, largest_reply))
    }

    #[inline(always)]
    pub(super) fn has_free(self, bytes: u64) -> bool {
        let lane = self.lane;
        let free = self.channels.replies.free(lane.reply.get(), lane.replies_released.get());
        free >= bytes || self.server.has_free_by_now(self.number, bytes)
    }

    /// Takes the next request, if there is one.
    #[inline(always)]
    pub(super) fn take(self) -> Option<Taken> {
        let (lane, requests) = (self.lane, self.channels.requests);
        if lane.is_garbled.get() {
            return None;
        }
        for _ in 0..PASSED_OVER {
            requests.expect(lane.next.get());
            let message = match requests.look(lane.next.get()) {
                Found::Message(message) => message,
                Found::Nothing { position } => {
                    lane.next.set(position);
                    return None;
                }
                Found::Garbage => {
                    lane.is_garbled.set(true);
                    return None;
                }
            };
            match message.header.state() {
                Some(State::Queued | State::Again) if self.is_void(message) => {
                    // If the client was faster, so much the better.
                    header::end(requests.state(message), message.header);
                }
                Some(State::Queued | State::Again) if !self.has_room() => {
                    self.starve(true);
                    return None;
                }
                // Asked of the kernel, so of these alone: one that kills its servers would go on doing so for nobody.
                Some(State::Again) if self.is_client_gone(message) => {
                    header::end(requests.state(message), message.header);
                }
                Some(seen @ (State::Queued | State::Again)) => {
                    requests.fetch(message);
                    if let Some(taken) = header::take(requests.state(message), message.header) {
                        self.starve(false);
                        lane.next.set(message.end());
                        lane.open.set(lane.open.get() + 1);
                        let message = Message { header: taken, ..message };
                        return Some(Taken { number: self.number, message, is_again: seen == State::Again });
                    }
                }
                Some(State::Withdrawn | State::Answered | State::Lost) => {
                    lane.next.set(message.end());
                    if self.server.release(self.number) {
                        ring(&self.seat.bell);
                    }
                }
                // Only this server takes calls.
                Some(State::Taken) | None => {
                    lane.is_garbled.set(true);
                    return None;
                }
            }
        }
        None
    }

    /// Whether nobody waits for a call any more: its deadline has passed, or its client is not the present one.
    #[inline(always)]
    fn is_void(self, message: Message) -> bool {
        let is_past = self.until_ns(message).is_some_and(|until_ns| timestamp::now_ns() >= until_ns);
        is_past || self.is_of_another(message)
    }

    /// Until when the client waits for a call, on the machine's clock. `None`: without a limit.
    #[inline(always)]
    pub(super) fn until_ns(self, message: Message) -> Option<u64> {
        let until_ns = self.channels.requests.note(message);
        (!matches!(until_ns, 0 | u64::MAX)).then_some(until_ns)
    }

    /// Whether the client of a request has left its seat to another one.
    #[inline(always)]
    fn is_of_another(self, message: Message) -> bool {
        let origin = self.seat.origin.load(at!(Q_ORIGIN_READ, Relaxed));
        (message.position.wrapping_sub(origin) as i64) < 0
    }

    /// Whether the client of a request is gone.
    pub(super) fn is_client_gone(self, message: Message) -> bool {
        self.is_of_another(message)
            || !seats::is_alive(&self.server.region, self.number as u32, &self.seat.generation)
    }

    /// Tells the client that the server waits for room for replies, or does not any more.
    #[inline(always)]
    pub(super) fn starve(self, is_starved: bool) {
        if self.lane.is_starved.replace(is_starved) != is_starved {
            self.seat.starved.store(is_starved.into(), at!(Q_STARVED, Relaxed));
        }
    }

    /// As `release`, after the answer to a call: nearly always the first that was taken, and the only one.
    #[inline(always)]
    pub(super) fn release_answered(self, message: Message) {
        let (lane, end) = (self.lane, message.end());
        if lane.released.get() == message.position && lane.next.get() == end {
            lane.released.set(end);
            Channel::release(&self.seat.requests_released, end);
            return;
        }
        self.server.release(self.number);
    }
}
