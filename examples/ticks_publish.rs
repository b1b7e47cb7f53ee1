//! Publishes a tick every ten milliseconds.
//!
//!     cargo run --example ticks_publish [PATH [COUNT]]
//!
//! Run `ticks_follow` in another terminal. Kill this program, with Ctrl-C or `kill -9`, and start it again: the
//! sequences continue without a gap, and the follower stays attached.

use std::error::Error;
use std::thread;
use std::time::Duration;

use quoit::{Options, Producer};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/dev/shm/quoit-ticks".into());
    let count: u64 = args.next().map_or(Ok(1000), |text| text.parse())?;

    // Small, so that it is full within seconds of a follower being stopped.
    let mut producer = Producer::open_or_create(&path, &Options::new().capacity(8 << 10))?;
    println!("{path}: producer number {}, next sequence {}", producer.epoch(), producer.next_sequence());

    for _ in 0..count {
        let sequence = producer.next_sequence();
        let price = 10_000 + (sequence * 7919) % 200;
        // Waits while a gated follower has not released the space.
        producer.send(format!("EURUSD {price}").as_bytes())?;
        thread::sleep(Duration::from_millis(10));
    }

    println!("closed before sequence {}; the file stays: rm {path}", producer.next_sequence());
    Ok(())
}
