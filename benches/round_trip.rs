//! A call of a service against two hops over bare rings, with the same bytes: one thread asks, another answers with what
//! was asked. Awake: both poll. Asleep: both sleep whenever a message comes.
//!
//! ```sh
//! cargo bench --bench round_trip
//! ```
//!
//! The two take turns, so that a change of the machine meets both. The figures are medians over the rounds.

use std::error::Error;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

use quoit::service::{CallOptions, Server, ServiceOptions};
use quoit::{Attach, Consumer, Options, Producer};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SIZES: [usize; 4] = [8, 32, 64, 1024];

/// How much is measured: rounds, calls in each while polling, and while sleeping.
#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    awake: u32,
    asleep: u32,
}

fn main() -> Outcome<()> {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let plan = if is_measured {
        Plan { rounds: 21, awake: 20_000, asleep: 60 }
    } else {
        Plan { rounds: 1, awake: 100, asleep: 2 }
    };
    let directory = tempfile::Builder::new().prefix("quoit-bench").tempdir_in("/dev/shm")?;
    let file = |name: &str| directory.path().join(name);
    println!("{:>6} {:>7} {:>12} {:>12} {:>6}", "bytes", "", "two hops", "a call", "ratio");
    for size in SIZES {
        let ring = |name: &str| -> Outcome<(Producer, Consumer)> {
            let producer = Producer::create(file(name), &Options::new().capacity(1 << 16))?;
            Ok((producer, Consumer::open(file(name), &Attach::gated())?))
        };
        let ((ask, asked), (answer, answered)) = (ring("asks")?, ring("answers")?);
        let server = Server::create(file("service"), &ServiceOptions::new().largest_reply(size as u64))?;
        let client = server.client()?;
        let mut sides = Sides { ask, answered, client };
        let rings = thread::spawn(move || echo(asked, answer));
        let service = thread::spawn(move || serve(&server));
        for (name, count, pause) in [("awake", plan.awake, None), ("asleep", plan.asleep, Some(PAUSE))] {
            let (mut hops, mut calls, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..plan.rounds {
                let hop = sides.hops(size, count, pause)?;
                let call = sides.calls(size, count, pause)?;
                hops.push(hop);
                calls.push(call);
                ratios.push(call / hop);
            }
            let [hop, call, ratio] = [hops, calls, ratios].map(median);
            println!("{size:>6} {name:>7} {hop:>9.0} ns {call:>9.0} ns {ratio:>6.2}");
        }
        sides.ask.send(&[])?;
        sides.client.start(&[], CallOptions::new())?;
        rings.join().map_err(|_| "a thread panicked")??;
        service.join().map_err(|_| "a thread panicked")??;
        for name in ["asks", "answers", "service"] {
            std::fs::remove_file(file(name))?;
        }
    }
    Ok(())
}

/// After this long without a message everybody sleeps.
const PAUSE: Duration = Duration::from_micros(500);

/// Whoever polls goes to sleep after this many looks in a row that found nothing.
const LOOKS: u32 = 2_000;

struct Sides {
    ask: Producer,
    answered: Consumer,
    client: quoit::service::Client,
}

impl Sides {
    /// Nanoseconds of a round trip over two rings.
    fn hops(&mut self, size: usize, count: u32, pause: Option<Duration>) -> Outcome<f64> {
        let payload = vec![7; size];
        timed(count, pause, || {
            self.ask.send(&payload)?;
            if pause.is_some() {
                self.answered.recv_record(|_| {})?;
                return Ok(());
            }
            while self.answered.try_recv_record(|_| {})?.is_none() {
                spin_loop();
            }
            Ok(())
        })
    }

    /// Nanoseconds of a call.
    fn calls(&mut self, size: usize, count: u32, pause: Option<Duration>) -> Outcome<f64> {
        let payload = vec![7; size];
        timed(count, pause, || {
            self.client.call(&payload, CallOptions::new())?;
            Ok(())
        })
    }
}

fn timed(count: u32, pause: Option<Duration>, mut trip: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let Some(pause) = pause else {
        // The other side may have gone to sleep.
        (0..count / 10).try_for_each(|_| trip())?;
        let start = Instant::now();
        (0..count).try_for_each(|_| trip())?;
        return Ok(start.elapsed().as_nanos() as f64 / f64::from(count));
    };
    let mut times = Vec::new();
    for _ in 0..count {
        thread::sleep(pause);
        let start = Instant::now();
        trip()?;
        times.push(start.elapsed().as_nanos() as f64);
    }
    Ok(median(times))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Answers with what was asked, until that is nothing.
fn echo(mut asked: Consumer, mut answer: Producer) -> Outcome<()> {
    let mut bytes = Vec::new();
    loop {
        let mut looks = 0;
        bytes.clear();
        loop {
            let record =
                if looks < LOOKS { asked.try_recv_record(|_| {})? } else { Some(asked.recv_record(|_| {})?) };
            if let Some(record) = record {
                record.append_to(&mut bytes);
                break;
            }
            looks += 1;
            spin_loop();
        }
        if bytes.is_empty() {
            return Ok(());
        }
        answer.send(&bytes)?;
    }
}

fn serve(server: &Server) -> Outcome<()> {
    loop {
        let mut looks = 0;
        let request = loop {
            let request = if looks < LOOKS { server.try_recv()? } else { Some(server.recv()?) };
            if let Some(request) = request {
                break request;
            }
            looks += 1;
            spin_loop();
        };
        let bytes = request.payload().to_vec();
        if bytes.is_empty() {
            return Ok(request.reply(&[])?);
        }
        request.reply(&bytes)?;
    }
}
