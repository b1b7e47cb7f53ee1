//! Publishes quotes as values of a type: one alone, then three in a batch.
//!
//!     cargo run --example typed_publish [PATH [COUNT]]
//!
//! Run `typed_follow` in another terminal. Its quotes come in fours: the first of each four as early as possible, the
//! others together, since a batch becomes visible by one store.

mod quote;

use std::error::Error;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quoit::{Options, TypedProducer};
use quote::Quote;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/dev/shm/quoit-quotes".into());
    let count: u32 = args.next().map_or(Ok(100), |text| text.parse())?;

    let mut producer = TypedProducer::<Quote>::open_or_create(&path, &Options::new().capacity(1 << 20))?;
    for round in 0..count {
        let time_ns = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        let mid = 1_084_000 + i64::from(round % 50);

        // A single record arrives as early as possible.
        producer.send(&Quote { time_ns, instrument: 0, size: 1000, bid: mid - 10, ask: mid + 10 })?;

        // The rest of the round becomes visible at once.
        let quotes = [1, 2, 3].map(|instrument| Quote {
            time_ns,
            instrument,
            size: 500,
            bid: mid - 20,
            ask: mid + 20,
        });
        producer.send_all(&quotes)?;
        thread::sleep(Duration::from_millis(50));
    }
    println!("closed before sequence {}; the file stays: rm {path}", producer.as_untyped().next_sequence());
    Ok(())
}
