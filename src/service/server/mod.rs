//! A server: takes requests, and answers them.

use std::cell::Cell;
use std::fmt;
#[cfg(not(loom))]
use std::path::Path;
use std::time::{Duration, Instant};

use crate::atomics::{at, spin};
use crate::error::Error;
#[cfg(not(loom))]
use crate::memory::arrival;
#[cfg(not(loom))]
use crate::memory::file::Owners;
#[cfg(not(loom))]
use crate::memory::permissions::Access;
#[cfg(not(loom))]
use crate::schema::Schema;
use crate::seats;
use crate::service::channel::{largest_beside, room_for};
#[cfg(not(loom))]
use crate::service::check_types;
use crate::service::options::ServiceOptions;
use crate::service::shape::Seat;
use crate::service::{Region, SPINS, ring, server_seat, sleep};
use crate::wait::mode::WaitMode;
use crate::wait::{clock, doorbell};

mod claims;
mod lane;
mod request;
mod served;
mod source;

use lane::Lane;
pub use request::{ReplyClaim, Request};
use served::Taken;

/// Requests of one client that end untaken, in one look: a client cannot keep the server from the others.
const PASSED_OVER: u32 = 1000;

/// The server of a service: see the [module](crate::service).
///
/// There is one at a time. If it dies or is dropped, the next one goes on: with the calls that nobody has taken yet, and
/// with the repeatable ones that a dead server had taken. Clients stay. Dropping a server ends no call.
///
/// One thread at a time may use a server; it may move between threads (`Send`, not `Sync`) while none of its requests is
/// lent. After a `fork` only the parent may use it.
pub struct Server {
    region: Region,
    generation: u64,
    /// What the server knows of each seat.
    lanes: Box<[Lane]>,
    /// Seats that were ever taken are below this.
    used: Cell<usize>,
    /// `arrivals` as it was seen last.
    arrivals: Cell<u64>,
    /// Where the next look begins.
    turn: Cell<usize>,
    /// How it wakes clients.
    mode: WaitMode,
}

impl Server {
    /// Creates a service at `path`, and becomes its server. No process ever sees the file incomplete.
    ///
    /// # Errors
    ///
    /// As [`Options::create`](crate::Options::create), which has the same path rules.
    #[cfg(not(loom))]
    pub fn create(path: impl AsRef<Path>, options: &ServiceOptions) -> Result<Self, Error> {
        let (region, draft) = Region::create(path.as_ref(), &options.shape()?, options.file_mode())?;
        let server = Self::take_over(region)?;
        server.region.publish(draft)?;
        Ok(server)
    }

    /// Opens the service at `path` as its next server.
    ///
    /// # Errors
    ///
    /// [`Error::ServerAlive`] while another server lives, running or stopped; [`Error::OtherKind`]; any other error of
    /// opening the file.
    #[cfg(not(loom))]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_as(path.as_ref(), Owners::Any, None)
    }

    /// Opens the service at `path`, or creates it if there is none. A file of another unprivileged user is refused: in a
    /// directory that everybody may write to, anybody can be there first. A leftover of an earlier boot is replaced. The
    /// options of a service that is there stay as they are, but for its types, which must be those of `options`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open) and [`create`](Self::create), without [`Error::Exists`]; [`Error::ForeignOwner`].
    #[cfg(not(loom))]
    pub fn open_or_create(path: impl AsRef<Path>, options: &ServiceOptions) -> Result<Self, Error> {
        let path = path.as_ref();
        let open = || Self::open_as(path, Owners::Trusted, options.types_asked());
        let create = || Self::create(path, options);
        arrival::open_or_create::<super::Shape, _>(path, Owners::Trusted, open, create)
    }

    #[cfg(not(loom))]
    pub(super) fn open_as(
        path: &Path,
        owners: Owners,
        types: Option<(Schema, Schema)>,
    ) -> Result<Self, Error> {
        let region = Region::open_of(path, Access::Peer, owners)?;
        check_types(region.shape(), types)?;
        Self::take_over(region)
    }

    /// Creates a service in this process's own memory, for its threads: [`client`](Self::client) creates their clients.
    ///
    /// # Errors
    ///
    /// [`Error::BadOption`], [`Error::Io`] if there is no memory.
    pub fn local(options: &ServiceOptions) -> Result<Self, Error> {
        Self::take_over(Region::heap(options.shape()?)?)
    }

    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    pub(super) fn take_over(region: Region) -> Result<Self, Error> {
        let words = region.views().server;
        let number = server_seat(&region, 0).number;
        let seat = std::iter::once((number, &words.generation));
        let Some(me) = seats::take_any(&region, seat, |_| true)? else {
            if seats::is_read_locked(&region, number, &words.generation) {
                return Err(Error::ReadLocked { what: "the server's place" });
            }
            return Err(Error::ServerAlive { pid: words.pid.load(at!(Q_HINTS_READ, Relaxed)) as u32 });
        };
        words.pid.store(std::process::id().into(), at!(Q_HINTS, Relaxed));
        words.since.store(clock::wall_ns(), at!(Q_HINTS, Relaxed));
        let (lanes, has_lost): (Vec<_>, Vec<_>) =
            (0..region.views().seats.len()).map(|number| Lane::resume(&region, number)).unzip();
        let server = Self {
            region,
            generation: me.generation,
            lanes: lanes.into(),
            used: Cell::new(0),
            arrivals: Cell::new(0),
            turn: Cell::new(0),
            mode: doorbell::waker_mode(),
        };
        let words = server.region.views().server;
        // [Q4] Release. Pairs with the load in `Client::poll`.
        // Orders: the look at all calls, and the last one's replies, before the number that tells of it.
        // Without it: see there.
        words.ready.store(server.generation, at!(Q4_READY, Release));
        server.count_seats();
        for (seat, _) in server.region.views().seats.iter().zip(has_lost).filter(|(_, has_lost)| *has_lost) {
            ring(&seat.bell);
        }
        server.region.or_memory_gone(Ok(()))?;
        Ok(server)
    }

    #[inline]
    fn check(&self) -> Result<(), Error> {
        if self.region.broken() { Err(self.region.fault().into()) } else { Ok(()) }
    }

    /// Payload bytes of the largest last reply.
    #[inline]
    pub fn largest_reply(&self) -> usize {
        self.region.shape().largest_reply as usize
    }

    /// Payload bytes of the largest reply before the last one: what fits beside one largest last reply. `None`: nothing
    /// does.
    pub fn largest_more(&self) -> Option<usize> {
        let bytes = self.region.shape().reply_bytes;
        largest_beside(bytes, room_for(1, self.largest_reply()))
    }

    /// How many calls the server has taken and not answered.
    pub fn open_requests(&self) -> usize {
        self.lanes.iter().map(|lane| lane.open.get() as usize).sum()
    }

    /// How many clients' requests make no sense: another process has written garbage there. They get no answers.
    pub fn garbled_clients(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.is_garbled.get()).count()
    }

    /// Whether the file was removed, renamed, replaced, overwritten or cut short. If so, a process that opens the path
    /// now does not get this service. Takes three system calls.
    #[cfg(not(loom))]
    pub fn is_stale(&self) -> bool {
        self.region.is_stale()
    }

    /// Takes the next request, and waits for one without a limit.
    ///
    /// # Errors
    ///
    /// [`Error::Forked`], [`Error::Truncated`].
    pub fn recv(&self) -> Result<Request<'_>, Error> {
        loop {
            if let Some(request) = self.wait(u64::MAX)? {
                return Ok(request);
            }
        }
    }

    /// As [`recv`](Self::recv), without waiting. `None`: there is none.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    #[inline]
    pub fn try_recv(&self) -> Result<Option<Request<'_>>, Error> {
        self.check()?;
        let found = self.find();
        self.region.or_memory_gone(Ok(()))?;
        Ok(found.map(|taken| Request::new(self, taken)))
    }

    /// As [`recv`](Self::recv), until `deadline`. `None`: it has passed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<Option<Request<'_>>, Error> {
        self.wait(clock::deadline_ns(deadline))
    }

    /// As [`recv`](Self::recv), for at most `timeout`. `None`: it has passed.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Request<'_>>, Error> {
        self.wait(clock::after_ns(timeout))
    }

    fn wait(&self, until_ns: u64) -> Result<Option<Request<'_>>, Error> {
        let (mut spins, mut began_ns) = (SPINS, None);
        loop {
            if let Some(request) = self.try_recv()? {
                return Ok(Some(request));
            }
            if spins > 0 {
                spins -= 1;
                spin();
                continue;
            }
            let now = clock::monotonic_ns();
            if until_ns != u64::MAX && now >= until_ns {
                return Ok(None);
            }
            // A client that died between publishing and ringing costs a slice.
            let until_ns = now.saturating_add(doorbell::armed_ns(doorbell::SLICE_NS)).min(until_ns);
            let waited_ns = now.saturating_sub(*began_ns.get_or_insert(now));
            sleep(&self.region.views().server.bell, until_ns, waited_ns, || {
                self.may_find() || self.region.memory_gone()
            });
        }
    }

    /// Seats are taken from the first on, so that those in use are the first ones.
    #[cold]
    fn count_seats(&self) {
        let seats = self.region.views().seats;
        let is_used = |seat: &Seat| seat.generation.load(at!(Q_GENERATION, Relaxed)) != 0;
        self.used.set(seats.iter().rposition(is_used).map_or(0, |last| last + 1));
    }

    #[inline]
    fn note_arrivals(&self) {
        // [Q5] Acquire. Pairs with the addition in `Client::sit`.
        // Orders: the number of arrivals before the look at the seats.
        // Without it: see there.
        let arrivals = self.region.views().server.arrivals.load(at!(Q5_ARRIVED, Acquire));
        if arrivals != self.arrivals.get() {
            self.arrivals.set(arrivals);
            self.count_seats();
        }
    }

    /// Takes a request of the next client that has one.
    #[inline]
    fn find(&self) -> Option<Taken> {
        self.note_arrivals();
        let used = self.used.get();
        for _ in 0..used {
            let number = self.turn.get();
            self.turn.set(if number + 1 < used { number + 1 } else { 0 });
            if let Some(taken) = self.served(number).take() {
                return Some(taken);
            }
        }
        None
    }

    /// Whether a look may find something. Without an effect, but that it orders the room it looks at.
    fn may_find(&self) -> bool {
        let arrivals = self.region.views().server.arrivals.load(at!(Q_PEEK, Relaxed));
        arrivals != self.arrivals.get() || (0..self.used.get()).any(|number| self.served(number).may_take())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.region.broken() {
            seats::leave(&self.region, server_seat(&self.region, 0).number, self.generation);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Server");
        shown.field("region", &self.region).field("open_requests", &self.open_requests());
        shown.finish_non_exhaustive()
    }
}
