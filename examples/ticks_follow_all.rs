//! Follows several rings of `ticks_publish` with one thread, and reports once a second how many records came from each.
//!
//!     cargo run --example ticks_follow_all [PATH...]
//!
//! Run `cargo run --example ticks_publish PATH` in other terminals, before or after, each with a path of its own; without
//! paths this program follows /dev/shm/quoit-ticks. Kill a publisher, and start it again: the others go on. The program
//! ends when all publishers have ended cleanly.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, RecvError, Start, Ticker, WaitSet, Waitable};

struct Followed {
    path: String,
    consumer: Consumer,
    records: u64,
    closed: bool,
}

impl Followed {
    /// Receives all there is.
    fn take(&mut self) -> Result<(), RecvError> {
        loop {
            match self.consumer.recv_timeout(Duration::ZERO) {
                Ok(Event::Record(_)) => self.records += 1,
                Ok(Event::ProducerChanged { epoch }) => {
                    self.closed = false;
                    println!("{}: from here on by producer number {epoch}", self.path);
                }
                Ok(other) => println!("{}: {other}", self.path),
                Err(RecvError::TimedOut) => return Ok(()),
                Err(RecvError::ProducerGone) => {
                    println!("{}: the producer died; waiting for the next one", self.path);
                    return Ok(());
                }
                Err(RecvError::Closed) => {
                    self.closed = true;
                    println!("{}: the producer is done", self.path);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.is_empty() {
        paths.push("/dev/shm/quoit-ticks".into());
    }
    let attach = Attach::lossy().start(Start::Oldest);
    let mut rings = Vec::new();
    for path in paths {
        let consumer = Consumer::open_wait(&path, &attach, Instant::now() + Duration::from_secs(60))?;
        rings.push(Followed { path, consumer, records: 0, closed: false });
    }

    let mut set = WaitSet::new();
    let mut second = Ticker::every(Duration::from_secs(1));
    while !rings.iter().all(|ring| ring.closed) {
        let mut things: Vec<&mut dyn Waitable> = vec![&mut second];
        things.extend(rings.iter_mut().map(|ring| &mut ring.consumer as &mut dyn Waitable));
        // Token 0 is the ticker, and the rings follow.
        for token in set.wait(&mut things) {
            match token.checked_sub(1) {
                Some(ring) => rings[ring].take()?,
                None => {
                    second.skip();
                    let counts = rings.iter().map(|ring| format!("{} {}", ring.path, ring.records));
                    println!("{}", counts.collect::<Vec<_>>().join(", "));
                }
            }
        }
    }
    Ok(())
}
