//! The example of the README, as one program with two roles.
//!
//!     cargo run --example prices publish /dev/shm/prices
//!     cargo run --example prices follow /dev/shm/prices
//!
//! Run each in its own terminal, in either order. `follow` prints `0: EURUSD 1.0842`, whichever was started first.
//! Run `publish` again and the ring holds a second record; `follow` still prints the oldest.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Options, Producer, Start};

/// In one process.
pub fn publish(path: &str) -> Result<(), Box<dyn Error>> {
    let mut producer = Producer::open_or_create(path, &Options::new())?;
    producer.send(b"EURUSD 1.0842")?;
    Ok(())
}

/// In another process, started before or after: waits for the ring, then prints its first record.
pub fn follow(path: &str) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let attach = Attach::gated().start(Start::Oldest);
    let mut consumer = Consumer::open_wait(path, &attach, deadline)?;
    let record = consumer.recv_record(|event| println!("{event:?}"))?;
    println!("{}: {}", record.sequence(), String::from_utf8_lossy(&record.bytes()));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    match &args[..] {
        [_, half, path] if half == "publish" => publish(path),
        [_, half, path] if half == "follow" => follow(path),
        _ => Err("usage: prices publish PATH, or prices follow PATH".into()),
    }
}
