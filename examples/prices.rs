//! The example of the README, to be run: `prices publish /dev/shm/prices` in one terminal and
//! `prices follow /dev/shm/prices` in another, in either order.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Options, Producer, RecvError, Start};

/// One process: `publish("/dev/shm/prices")`.
pub fn publish(path: &str) -> Result<(), Box<dyn Error>> {
    let mut producer = Producer::open_or_create(path, &Options::new())?;
    producer.send(b"EURUSD 10842")?;
    Ok(())
}

/// Any other, started before it or after.
pub fn follow(path: &str) -> Result<(), Box<dyn Error>> {
    let soon = Instant::now() + Duration::from_secs(10);
    // Without a start: only what is published from here on.
    let attach = Attach::gated().start(Start::Oldest);
    let mut consumer = Consumer::open_wait(path, &attach, soon)?;
    loop {
        match consumer.recv() {
            Ok(Event::Record(record)) => {
                println!("{}: {}", record.sequence(), String::from_utf8_lossy(&record.bytes()));
            }
            Ok(other) => println!("{other:?}"),
            // The producer ended, or was killed. Calling again waits for the next one.
            Err(RecvError::Closed | RecvError::ProducerGone) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    match &args[..] {
        [_, half, path] if half == "publish" => publish(path),
        [_, half, path] if half == "follow" => follow(path),
        _ => Err("usage: prices publish PATH, or prices follow PATH".into()),
    }
}
