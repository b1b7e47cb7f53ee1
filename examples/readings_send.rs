//! Sends readings of four sensors, a hundred a second, to a ring that stores when each was published.
//!
//!     cargo run --example readings_send [PATH [COUNT]]
//!
//! Run `readings_show` in another terminal, or `readings_merge`, before or after.

use std::error::Error;
use std::time::Duration;

use quoit::{Options, Producer, Ticker};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/dev/shm/quoit-readings".into());
    let count: u64 = args.next().map_or(Ok(6000), |text| text.parse())?;

    let mut producer = Producer::open_or_create(&path, &Options::new().times(true))?;
    let mut ticker = Ticker::every(Duration::from_millis(10));
    for _ in 0..count {
        ticker.wait();
        let sequence = producer.next_sequence();
        let value = 200 + sequence * 7919 % 50;
        // The time is stored with the record, and is no part of what is sent.
        producer.send(format!("sensor{} {value}", sequence % 4).as_bytes())?;
    }
    println!("closed before sequence {}; the file stays: rm {path}", producer.next_sequence());
    Ok(())
}
