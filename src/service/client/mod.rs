//! A client: makes calls, and collects their replies.

use std::collections::VecDeque;
use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::{at, copy};
use crate::error::{CallError, Error};
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
#[cfg(not(loom))]
use crate::schema::Schema;
use crate::seats::{self, Incarnation};
use crate::service::channel::{Channel, Found, Message, largest};
#[cfg(not(loom))]
use crate::service::check_types;
use crate::service::header::{Header, Part};
use crate::service::options::CallOptions;
use crate::service::payload::Payload;
use crate::service::shape::{Channels, Place, Seat, ServerWords};
use crate::service::{Region, ring, ring_as, server_lives};
use crate::wait::mode::WaitMode;
use crate::wait::{clock, doorbell, timestamp};

mod answer;
mod calls;
mod claim;
mod source;
mod waiting;

pub use answer::{Answer, Outcome};
use answer::{Event, Reply};
pub use calls::CallId;
use calls::{Calls, End, withdraw};
pub use claim::RequestClaim;

/// The error if what a server has written makes no sense. A function, so that it is built only where it is returned: an error is large.
#[cold]
fn garbage() -> Error {
    Error::Garbage { what: "a channel of a service holds what no server or client writes" }
}

/// A client of a service: see the [module](crate::service).
///
/// Each client has a seat in the file. One thread at a time may use a client; it may move between threads (`Send`, not
/// `Sync`). Other threads get clients of their own, from [`try_clone`](Self::try_clone). After a `fork` only the parent
/// may use it. Dropping a client withdraws the calls that no server has taken, and tells the server that nobody waits for
/// the others.
pub struct Client {
    region: Region,
    me: Incarnation,
    /// Where its channels are.
    place: Place,
    /// Where the next request begins.
    next: u64,
    /// Up to where the server had released requests when the client looked last.
    released: u64,
    /// Where the next reply begins; all before it are released with the next call of a method.
    replies: u64,
    /// Up to where replies are released.
    replies_released: u64,
    calls: Calls,
    /// Calls that have ended without a reply, to be told.
    ended: VecDeque<(CallId, End)>,
    /// Replies that came while the client waited for something else.
    kept: VecDeque<Answer<'static>>,
    /// `ready` as it was seen last.
    ready: u64,
    /// The generation of a server that was found dead; 0: none. Whether its calls were told already, and whether there
    /// may be calls to tell.
    dead: u64,
    is_told: bool,
    is_suspicious: bool,
    /// When the client last asked whether the server lives.
    probed_ns: u64,
    /// How it wakes the server.
    mode: WaitMode,
}

impl Client {
    /// Opens the service at `path`. There need not be a server yet.
    ///
    /// # Errors
    ///
    /// [`Error::OtherKind`]; [`Error::SeatsTaken`] if there are as many clients as there can be; any other error of
    /// opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_as(path.as_ref(), None)
    }

    /// As [`open`](Self::open), for a service that may not exist yet: waits until `deadline` for it to be created. With a
    /// deadline that has passed it tries once.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::NotFound`] if there was none by the deadline.
    #[cfg(not(loom))]
    pub fn open_wait(path: impl AsRef<Path>, deadline: Instant) -> Result<Self, Error> {
        let path = path.as_ref();
        arrival::when_there(deadline, || Self::open(path))
    }

    #[cfg(not(loom))]
    pub(super) fn open_as(path: &Path, types: Option<(Schema, Schema)>) -> Result<Self, Error> {
        let region = Region::open_of(path, Access::Peer, Owners::Any)?;
        check_types(region.shape(), types)?;
        Self::sit(region)
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    /// Takes a free seat.
    pub(super) fn sit(region: Region) -> Result<Self, Error> {
        let seats = region.views().seats;
        let numbered = || (0..).zip(seats);
        let words = numbered().map(|(number, seat)| (number, &seat.generation));
        let Some(me) = seats::take_any(&region, words, |_| true)? else {
            let pid = |seat: &Seat| seat.pid.load(at!(Q_HINTS_READ, Relaxed)) as u32;
            let taken = numbered().map(|(number, seat)| (number, &seat.generation, pid(seat)));
            return Err(seats::none_free(&region, taken));
        };
        let seat = &seats[me.number as usize];
        let channels = region.views().channels(region.shape(), me.number as usize);
        // The words of the one before are in order: its lock is free, and this one has taken it.
        let released = seat.requests_released.load(at!(Q_RESUME, Relaxed));
        let replies = seat.replies_released.load(at!(Q_RESUME, Relaxed));
        let next = channels.requests.end(released).ok_or_else(garbage);
        let next = region.or_memory_gone(next)?;
        seat.pid.store(std::process::id().into(), at!(Q_HINTS, Relaxed));
        seat.since.store(clock::wall_ns(), at!(Q_HINTS, Relaxed));
        seat.origin.store(next, at!(Q_ORIGIN, Relaxed));
        let server = region.views().server;
        // [Q5] Release. Pairs with the load in `Server::note_arrivals`.
        // Orders: the seat that was taken before the number of arrivals.
        // Without it: the server sees that a client has come, and not where, and never looks there.
        server.arrivals.fetch_add(1, at!(Q5_ARRIVE, Release));
        ring(&server.bell);
        let ready = server.ready.load(at!(Q4_IS_READY, Acquire));
        region.or_memory_gone(Ok(()))?;
        let place = Place::of(region.shape(), me.number as usize);
        Ok(Self {
            region,
            me,
            place,
            next,
            released,
            replies,
            replies_released: replies,
            calls: Calls::default(),
            ended: VecDeque::new(),
            kept: VecDeque::new(),
            ready,
            dead: 0,
            is_told: false,
            is_suspicious: false,
            probed_ns: 0,
            mode: doorbell::waker_mode(),
        })
    }

    #[inline]
    fn server(&self) -> &ServerWords {
        self.region.views().server
    }

    #[inline]
    fn seat(&self) -> &Seat {
        &self.region.views().seats[self.me.number as usize]
    }

    #[inline]
    fn channels(&self) -> Channels<'_> {
        self.region.views().channels_at(self.place)
    }

    #[inline]
    fn check(&self) -> Result<(), Error> {
        if self.region.broken() { Err(self.region.fault().into()) } else { Ok(()) }
    }

    /// Payload bytes of the largest request.
    #[inline]
    pub fn largest_request(&self) -> usize {
        largest(self.region.shape().request_bytes)
    }

    /// Payload bytes of the largest last reply.
    pub fn largest_reply(&self) -> usize {
        self.region.shape().largest_reply as usize
    }

    /// How many calls are in flight: made, and not ended yet.
    pub fn in_flight(&self) -> usize {
        self.calls.len()
    }

    /// Is there a server, running or stopped? One system call.
    pub fn has_server(&self) -> bool {
        !self.region.broken() && {
            let generation = self.server().generation.load(at!(Q_GENERATION, Relaxed));
            server_lives(&self.region, generation)
        }
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this service. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    /// Makes a call, and waits for its last reply. Earlier replies to it are passed over; those to other calls are kept
    /// for [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// [`CallError`]: [`is_certain`](CallError::is_certain) says whether the call has certainly not run.
    pub fn call(&mut self, request: &[u8], how: CallOptions) -> Result<Payload<'_>, CallError> {
        let call = self.start(request, how)?;
        self.wait(call)
    }

    /// Waits for the last reply to a call in flight. Earlier replies to it are passed over; those to other calls are kept.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call); [`CallError::NotInFlight`] if it has ended, or is another client's.
    pub fn wait(&mut self, call: CallId) -> Result<Payload<'_>, CallError> {
        if !self.calls.is_open(call.0) && !self.is_to_be_told(call) {
            return Err(CallError::NotInFlight);
        }
        let event = self.wait_for(call)?;
        self.lend(event).into_result()
    }

    /// Whether the end of a call is here, and not told yet.
    fn is_to_be_told(&self, call: CallId) -> bool {
        self.ended.iter().any(|(other, _)| *other == call)
            || self.kept.iter().any(|answer| answer.call() == call && answer.is_last())
    }

    /// Starts a call: publishes its request. Waits, until the call's deadline, while there is no room for it, and keeps
    /// the replies that come meanwhile. [`recv`](Self::recv) returns the replies, and exactly one end of each call.
    ///
    /// # Errors
    ///
    /// [`CallError::TooLarge`], [`CallError::NotExecuted`] if the deadline passes before there is room,
    /// [`CallError::Client`].
    #[inline]
    pub fn start(&mut self, request: &[u8], how: CallOptions) -> Result<CallId, CallError> {
        let len = request.len();
        let position = match self.fit(len) {
            Some(position) => position,
            None => self.fit_later(len, how)?,
        };
        copy::write(self.channels().requests.payload(position, len), request);
        Ok(self.publish(position, len, how))
    }

    /// As [`start`](Self::start), without waiting for room.
    ///
    /// # Errors
    ///
    /// [`CallError::Full`]; as [`start`](Self::start).
    pub fn try_start(&mut self, request: &[u8], how: CallOptions) -> Result<CallId, CallError> {
        let claim = self.try_claim(request.len(), how)?;
        copy::write(claim.words(), request);
        Ok(claim.start())
    }

    /// Room for a request of `len` bytes, to be written in place. Waits for it as [`start`](Self::start) does.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    #[inline]
    pub fn claim(&mut self, len: usize, how: CallOptions) -> Result<RequestClaim<'_>, CallError> {
        let position = match self.fit(len) {
            Some(position) => position,
            None => self.fit_later(len, how)?,
        };
        Ok(RequestClaim { client: self, position, len, how })
    }

    /// As [`claim`](Self::claim), without waiting.
    ///
    /// # Errors
    ///
    /// As [`try_start`](Self::try_start).
    pub fn try_claim(&mut self, len: usize, how: CallOptions) -> Result<RequestClaim<'_>, CallError> {
        let Some(position) = self.room(len)? else { return Err(CallError::Full) };
        Ok(RequestClaim { client: self, position, len, how })
    }

    /// Where a request of `len` bytes can begin, if the room that was seen last is enough. `None`: ask `room`. A position fits
    /// a register, which the result of `room` does not.
    #[inline]
    fn fit(&mut self, len: usize) -> Option<u64> {
        if self.region.broken() || len > self.largest_request() {
            return None;
        }
        let requests = self.channels().requests;
        let position = requests.fit(self.next, self.released, len, 0)?;
        requests.pad(self.next, position);
        self.next = position;
        Some(position)
    }

    /// As `fit`, once there is room.
    #[inline(never)]
    fn fit_later(&mut self, len: usize, how: CallOptions) -> Result<u64, CallError> {
        let until_ns = if how.until_ns == 0 { u64::MAX } else { how.until_ns };
        match self.room(len)? {
            Some(position) => Ok(position),
            None => self.wait_for_room(len, until_ns),
        }
    }

    /// Where a request of `len` bytes can begin now.
    fn room(&mut self, len: usize) -> Result<Option<u64>, CallError> {
        self.check()?;
        let max = self.largest_request();
        if len > max {
            return Err(CallError::TooLarge { len, max });
        }
        if let Some(position) = self.fit(len) {
            return Ok(Some(position));
        }
        let released = self.channels().requests.released(&self.seat().requests_released, self.next);
        self.released = self.region.or_memory_gone(released.ok_or_else(garbage))?;
        Ok(self.fit(len))
    }

    #[inline]
    fn publish(&mut self, position: u64, len: usize, how: CallOptions) -> CallId {
        if self.region.broken() {
            return CallId(position);
        }
        let header = Header::request(position, len).repeatable(how.is_repeatable);
        let until_ns = if how.until_ns == 0 { u64::MAX } else { how.until_ns };
        let requests = self.channels().requests;
        // The server may be in another time namespace. 0 is no deadline.
        let note = if how.until_ns == 0 { 0 } else { timestamp::of_machine(how.until_ns).max(1) };
        let end = requests.publish(position, header, note);
        requests.prepare(end, len);
        self.next = end;
        self.calls.push(Message { position, header }, until_ns);
        ring_as(self.mode, &self.server().bell);
        CallId(position)
    }

    /// Waits for the next reply to any call, or the end of one, without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Garbage`], [`Error::Forked`], [`Error::Truncated`].
    pub fn recv(&mut self) -> Result<Answer<'_>, Error> {
        let event = loop {
            if let Some(event) = self.next_event(u64::MAX)? {
                break event;
            }
        };
        Ok(self.lend(event))
    }

    /// As [`recv`](Self::recv), without waiting. `None`: there is nothing.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Answer<'_>>, Error> {
        if let Some(reply) = self.take_reply() {
            return Ok(Some(self.lend_reply(reply)));
        }
        self.try_recv_fully()
    }

    /// As `try_recv`, for what `take_reply` leaves.
    #[inline(never)]
    fn try_recv_fully(&mut self) -> Result<Option<Answer<'_>>, Error> {
        let event = self.next_event(0)?;
        Ok(event.map(|event| self.lend(event)))
    }

    /// The next event if it is a reply, and nothing else has to be looked at first: nearly always. `None`: ask `poll`. What
    /// it returns fits registers, and is put together where it is used.
    #[inline]
    fn take_reply(&mut self) -> Option<Reply> {
        if self.region.broken() || !self.kept.is_empty() {
            return None;
        }
        self.release();
        // [Q4] As in `poll`.
        if self.server().ready.load(at!(Q4_IS_READY, Acquire)) != self.ready {
            return None;
        }
        let replies = self.channels().replies;
        let Found::Message(message) = replies.look(self.replies) else { return None };
        let call = replies.note(message);
        let part = message.header.part()?;
        if part == Part::More || !self.calls.end(call) {
            return None;
        }
        self.replies = message.end();
        // If the memory is gone, the next look says so.
        (!self.region.memory_gone()).then_some(Reply { call: CallId(call), part, message })
    }

    /// As [`recv`](Self::recv), until `deadline`. `None`: it has passed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<Option<Answer<'_>>, Error> {
        let event = self.next_event(clock::deadline_ns(deadline))?;
        Ok(event.map(|event| self.lend(event)))
    }

    /// As [`recv`](Self::recv), for at most `timeout`. `None`: it has passed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Answer<'_>>, Error> {
        let event = self.next_event(clock::after_ns(timeout))?;
        Ok(event.map(|event| self.lend(event)))
    }

    /// Cancels a call. `true`: it has not run and never will, and has ended with that. `false`: a server has taken it, or it
    /// has ended. A server that still runs it is told, and the call goes on to its end. If that server dies, the call ends
    /// with [`ServerGone`](CallError::ServerGone): it does not run again, even if it is repeatable.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn cancel(&mut self, call: CallId) -> Result<bool, Error> {
        self.check()?;
        let Some(request) = self.calls.request(call.0) else { return Ok(false) };
        let is_withdrawn = withdraw(self.channels().requests, request);
        if is_withdrawn {
            self.calls.end(call.0);
        } else {
            // It may be lost by that.
            self.is_suspicious = true;
        }
        self.region.or_memory_gone(Ok(is_withdrawn))
    }

    /// One look for the next event, without the clock and without system calls.
    #[inline]
    fn poll(&mut self) -> Result<Option<Event>, Error> {
        self.check()?;
        self.release();
        if let Some(answer) = self.kept.pop_front() {
            return Ok(Some(Event::Kept(answer)));
        }
        // [Q4] Acquire. Pairs with the store in `Server::take_over`.
        // Orders: the new server's look at all calls before the client's look at replies and states.
        // Without it: the client does not see that its call was lost, or the last reply of the dead server.
        let ready = self.server().ready.load(at!(Q4_IS_READY, Acquire));
        if ready != self.ready {
            self.ready = ready;
            self.is_suspicious = true;
        }
        let found = self.next_reply();
        let found = self.region.or_memory_gone(found)?;
        if found.is_none() && self.is_suspicious {
            self.is_suspicious = false;
            self.judge();
        }
        Ok(match found {
            None => self.ended.pop_front().map(|(call, end)| Event::End(call, end)),
            found => found,
        })
    }

    fn next_reply(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let replies = self.channels().replies;
            let message = match replies.look(self.replies) {
                Found::Message(message) => message,
                Found::Garbage => return Err(garbage()),
                Found::Nothing { position } => {
                    self.replies = position;
                    return Ok(None);
                }
            };
            let call = replies.note(message);
            let part = message.header.part().ok_or_else(garbage)?;
            self.replies = message.end();
            let is_open = match part {
                Part::More => self.calls.is_open(call),
                Part::Last | Part::Failed | Part::Dropped => self.calls.end(call),
            };
            if is_open {
                return Ok(Some(Event::Reply(Reply { call: CallId(call), part, message })));
            }
            // Of a client before this one, or of a call that has ended.
            self.release();
        }
    }

    /// The server's words were looked at, and all replies taken: which calls get none?
    fn judge(&mut self) {
        let channels = self.region.views().channels(self.region.shape(), self.me.number as usize);
        let (server, dead) = (self.region.views().server, self.dead);
        let is_of_the_dead = || dead != 0 && server.generation.load(at!(Q_GENERATION, Relaxed)) == dead;
        self.calls.judge(channels.requests, is_of_the_dead, &mut self.ended);
        self.is_told = true;
    }

    /// Releases the replies that were taken.
    #[inline]
    fn release(&mut self) {
        if self.replies != self.replies_released {
            self.replies_released = self.replies;
            Channel::release(&self.seat().replies_released, self.replies);
            // A server that has just begun to wait for room is missed here, and seen by the next look or before a sleep.
            self.feed();
        }
    }

    /// Rings if the server waits for room.
    fn feed(&self) {
        if self.seat().starved.load(at!(Q_STARVED_LOOK, Relaxed)) != 0 {
            ring(&self.server().bell);
        }
    }

    /// Lends what an event is about, until the next call of a method.
    fn lend(&self, event: Event) -> Answer<'_> {
        match event {
            Event::Kept(answer) => answer,
            Event::End(call, end) => Answer::end(call, end),
            Event::Reply(reply) => self.lend_reply(reply),
        }
    }

    #[inline]
    fn lend_reply(&self, Reply { call, part, message }: Reply) -> Answer<'_> {
        let words = self.channels().replies.payload(message.position, message.len());
        Answer::reply(call, part, message.header, Payload::lent(words, message.len()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.region.broken() {
            return;
        }
        let requests = self.channels().requests;
        for request in self.calls.requests() {
            withdraw(requests, request);
        }
        seats::leave(&self.region, self.me.number, self.me.generation);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Client");
        shown.field("region", &self.region).field("me", &self.me).field("in_flight", &self.calls.len());
        shown.finish_non_exhaustive()
    }
}
