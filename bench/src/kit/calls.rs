//! Calls of a service, by two hops over bare rings with the same bytes, and by what the kernel has.

use std::hint::black_box;
use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use quoit::service::{CallOptions, Client, Server, ServiceOptions};
use quoit::{Attach, Consumer, Producer, WaitMode};
use quoit_floors::bounce::WARM;
use quoit_floors::figures::Measured;
use quoit_floors::ground::sum;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, records, trips};
use serde::{Deserialize, Serialize};

use crate::ends::options;
use crate::large;

/// What calls go through.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Route {
    Service,
    /// A ring there and a ring back for each client.
    Rings,
}

/// Bytes of request and reply, but where others are told.
pub(crate) const BYTES: usize = 64;
/// Bytes of each ring, and for the requests and the replies of each client.
const CAPACITY: usize = 64 << 10;
pub(super) const SERVICE: &str = "service";

pub(super) fn service(clients: usize, bytes: usize) -> ServiceOptions {
    let room = (CAPACITY as u64).max(16 * bytes as u64);
    let options = ServiceOptions::new().clients(clients as u32).request_bytes(room).reply_bytes(room);
    options.largest_reply(bytes as u64)
}

/// One client's end.
trait Asks {
    fn ask(&mut self, request: &[u8]) -> Result<()>;
    /// A reply, if there is one.
    fn answered(&mut self, reply: &mut [u8]) -> Result<bool>;
}

impl Asks for Client {
    #[inline(always)]
    fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.start(request, CallOptions::new())?;
        Ok(())
    }

    #[inline(always)]
    fn answered(&mut self, reply: &mut [u8]) -> Result<bool> {
        let Some(answer) = self.try_recv()? else { return Ok(false) };
        let read = answer.into_result()?.read_at(0, reply);
        ensure!(read == reply.len(), "a reply of {read} bytes");
        Ok(true)
    }
}

/// The client's ends of two rings.
struct Hops {
    there: Producer,
    back: Consumer,
}

impl Asks for Hops {
    #[inline(always)]
    fn ask(&mut self, request: &[u8]) -> Result<()> {
        self.there.send(request)?;
        Ok(())
    }

    #[inline(always)]
    fn answered(&mut self, reply: &mut [u8]) -> Result<bool> {
        let Some(record) = self.back.try_recv_record(|_| {})? else { return Ok(false) };
        record.copy_to(reply);
        Ok(true)
    }
}

/// The server's end of all clients.
trait Serves {
    /// Looks at all of them once, and answers what was asked with the same bytes. Returns how many these were.
    fn serve(&mut self, room: &mut [u8]) -> Result<u64>;
}

impl Serves for Server {
    #[inline(always)]
    fn serve(&mut self, room: &mut [u8]) -> Result<u64> {
        let Some(request) = self.try_recv()? else { return Ok(0) };
        let read = request.payload().read_at(0, room);
        ensure!(read == room.len(), "a request of {read} bytes");
        request.reply(room)?;
        Ok(1)
    }
}

/// The server's ends of the rings of all clients.
struct Echoes(Vec<(Consumer, Producer)>);

impl Serves for Echoes {
    #[inline(always)]
    fn serve(&mut self, room: &mut [u8]) -> Result<u64> {
        let mut served = 0;
        for (asked, answer) in &mut self.0 {
            if let Some(record) = asked.try_recv_record(|_| {})? {
                record.copy_to(room);
                answer.send(room)?;
                served += 1;
            }
        }
        Ok(served)
    }
}

/// Something that is measured with clients or with the server, whichever this process has.
trait Measures {
    fn clients(self, clients: Vec<impl Asks>) -> Result<Measured>;
    fn server(self, server: impl Serves) -> Result<Measured>;
}

/// Who has which clients.
#[derive(Clone, Copy)]
struct Cast {
    clients: usize,
    bytes: usize,
    /// Whether each client is a process, on the right; otherwise the left side has all of them, and the right side serves.
    apart: bool,
}

impl Cast {
    fn serves(self, scene: &Scene) -> bool {
        (scene.side == Side::Left) == self.apart
    }

    /// The clients that this process has.
    fn mine(self, scene: &Scene) -> std::ops::Range<usize> {
        if self.apart { scene.number() - 1..scene.number() } else { 0..self.clients }
    }

    fn play(self, scene: &Scene, route: Route, what: impl Measures) -> Result<Measured> {
        let measured = match route {
            Route::Service => self.over_service(scene, what),
            Route::Rings => self.over_rings(scene, what),
        };
        // Nobody leaves before the others are done.
        scene.meet();
        measured
    }

    fn over_service(self, scene: &Scene, what: impl Measures) -> Result<Measured> {
        let path = scene.path(SERVICE);
        if self.serves(scene) {
            let server = Server::create(&path, &service(self.clients, self.bytes))?;
            scene.meet();
            scene.meet();
            std::fs::remove_file(&path)?;
            return what.server(server);
        }
        scene.meet();
        let clients: Result<Vec<_>, _> = self.mine(scene).map(|_| Client::open(&path)).collect();
        scene.meet();
        what.clients(clients?)
    }

    fn over_rings(self, scene: &Scene, what: impl Measures) -> Result<Measured> {
        let (there, back) = (
            |number: usize| scene.path(&format!("there{number}")),
            |number: usize| scene.path(&format!("back{number}")),
        );
        let make = |path: &Path| Producer::create(path, &options(CAPACITY, WaitMode::default()));
        let open = |path: &Path| -> Result<Consumer> {
            let consumer = Consumer::open(path, &Attach::gated())?;
            std::fs::remove_file(path)?;
            Ok(consumer)
        };
        if self.serves(scene) {
            let answers: Vec<_> =
                (0..self.clients).map(|number| make(&back(number))).collect::<Result<_, _>>()?;
            scene.meet();
            let asked = (0..self.clients).map(|number| open(&there(number))).collect::<Result<Vec<_>>>()?;
            scene.meet();
            return what.server(Echoes(asked.into_iter().zip(answers).collect()));
        }
        let asks: Vec<_> = self.mine(scene).map(|number| make(&there(number))).collect::<Result<_, _>>()?;
        scene.meet();
        let answered = self.mine(scene).map(|number| open(&back(number))).collect::<Result<Vec<_>>>()?;
        scene.meet();
        what.clients(asks.into_iter().zip(answered).map(|(there, back)| Hops { there, back }).collect())
    }
}

/// Each client of one process in turn, one call at a time.
struct InTurn<'a> {
    scene: &'a Scene,
    bytes: usize,
    count: u64,
}

pub(super) fn in_turn(
    scene: &Scene,
    route: Route,
    clients: usize,
    bytes: usize,
    count: u64,
) -> Result<Measured> {
    Cast { clients, bytes, apart: false }.play(scene, route, InTurn { scene, bytes, count })
}

impl Measures for InTurn<'_> {
    fn clients(self, mut clients: Vec<impl Asks>) -> Result<Measured> {
        let (request, mut reply) = (vec![0x5a; self.bytes], vec![0; self.bytes]);
        let all = clients.len();
        let mut next = 0;
        let mut trip = || -> Result<()> {
            let client = &mut clients[next];
            next = if next + 1 == all { 0 } else { next + 1 };
            client.ask(&request)?;
            while !client.answered(&mut reply)? {}
            Ok(())
        };
        self.scene.meet();
        (0..WARM).try_for_each(|_| trip())?;
        trips(self.scene, self.count, trip)
    }

    fn server(self, mut server: impl Serves) -> Result<Measured> {
        let mut room = vec![0; self.bytes];
        let mut serve = |count| serve(&mut server, &mut room, count);
        self.scene.meet();
        serve(WARM)?;
        partner(self.scene, || serve(self.count).map(|()| None))
    }
}

/// Serves so many, and no more: whoever asks them waits for the answers before it asks again.
fn serve(server: &mut impl Serves, room: &mut [u8], count: u64) -> Result<()> {
    let mut served = 0;
    while served < count {
        served += server.serve(room)?;
    }
    Ok(())
}

/// Many clients at once, a process each, with so many calls in flight.
struct Crowd<'a> {
    scene: &'a Scene,
    clients: usize,
    flight: usize,
    count: u64,
}

pub(super) fn crowd(
    scene: &Scene,
    route: Route,
    clients: usize,
    flight: usize,
    count: u64,
) -> Result<Measured> {
    let cast = Cast { clients, bytes: BYTES, apart: true };
    cast.play(scene, route, Crowd { scene, clients, flight, count })
}

impl Measures for Crowd<'_> {
    fn clients(self, clients: Vec<impl Asks>) -> Result<Measured> {
        let mut client = clients.into_iter().next().ok_or_else(|| anyhow!("a process without a client"))?;
        let (request, mut reply) = ([0x5a; BYTES], [0; BYTES]);
        let flight = self.count.min(self.flight as u64);
        let mut calls = || -> Result<()> {
            (0..flight).try_for_each(|_| client.ask(&request))?;
            for call in 0..self.count {
                while !client.answered(&mut reply)? {
                    self.scene.pass();
                }
                if call + flight < self.count {
                    client.ask(&request)?;
                }
            }
            self.scene.meet();
            Ok(())
        };
        self.scene.meet();
        calls()?;
        partner(self.scene, || calls().map(|()| None))
    }

    fn server(self, mut server: impl Serves) -> Result<Measured> {
        let (mut room, all) = ([0; BYTES], self.count * self.clients as u64);
        let mut serve = || -> Result<()> {
            serve(&mut server, &mut room, all)?;
            // The last client's last reply ends the window.
            self.scene.meet();
            Ok(())
        };
        self.scene.meet();
        serve()?;
        records(self.scene, all, serve)
    }
}

/// Requests of 1 MiB, so many in flight that both sides have one to work on.
const FLIGHT: usize = 4;
/// Bytes that are copied out of a request at a time: they stay in the nearest cache.
const PIECE: usize = 4096;

/// Requests of 1 MiB, written where they go, read piece by piece and answered with their sum.
pub(super) fn large(scene: &Scene, count: u64) -> Result<Measured> {
    let path = scene.path(SERVICE);
    let options = ServiceOptions::new().clients(1).request_bytes(8 << 20).largest_reply(8);
    let measured = if scene.side == Side::Left {
        scene.meet();
        let mut client = Client::open(&path)?;
        scene.meet();
        std::fs::remove_file(&path)?;
        let source = vec![0x5a_u8; large::BYTES];
        let mut calls = |count: u64| -> Result<()> {
            let (mut made, mut ended) = (0, 0);
            while ended < count {
                if made < count && made - ended < FLIGHT as u64 {
                    let mut claim = client.claim(large::BYTES, CallOptions::new())?;
                    ensure!(claim.write_at(0, black_box(&source)), "a claim is too short");
                    claim.start();
                    made += 1;
                } else if let Some(answer) = client.try_recv()? {
                    answer.into_result()?;
                    ended += 1;
                }
            }
            Ok(())
        };
        calls(8)?;
        records(scene, count, || calls(count))
    } else {
        let server = Server::create(&path, &options)?;
        scene.meet();
        scene.meet();
        let mut piece = vec![0; PIECE];
        let mut answers = |count: u64| -> Result<()> {
            let mut answered = 0;
            while answered < count {
                let Some(request) = server.try_recv()? else { continue };
                let (payload, mut total) = (request.payload(), 0_u64);
                for offset in (0..payload.len()).step_by(PIECE) {
                    let read = payload.read_at(offset, &mut piece);
                    total = total.wrapping_add(sum(&piece[..read]));
                }
                request.reply(&total.to_le_bytes())?;
                answered += 1;
            }
            Ok(())
        };
        answers(8)?;
        partner(scene, || answers(count).map(|()| None))
    }?;
    scene.meet();
    Ok(measured)
}
