//! Follows the quotes of `typed_publish` under a name, as values of a type.
//!
//!     cargo run --features zerocopy --example typed_follow [PATH [NAME]]
//!
//! Run `typed_publish` in another terminal. Look at the first line after this was ended and started again: it resumes at
//! the sequence where it was, since the ring keeps the place of a name.

mod quote;

use std::error::Error;
use std::thread;
use std::time::Duration;

use quoit::{Attach, Consumer, Event, RecvError, Start};
use quote::Quote;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/dev/shm/quoit-quotes".into());
    let name = args.next().unwrap_or_else(|| "follower".into());

    // While this consumer is away the producer waits for it, for up to a minute.
    let attach = Attach::gated().start(Start::Oldest).name(&name).hold(Duration::from_secs(60));
    let mut consumer = loop {
        match Consumer::open(&path, &attach) {
            Err(quoit::Error::NotFound { .. }) => thread::sleep(Duration::from_millis(100)),
            result => break result?,
        }
    };
    if let Some(resumed) = consumer.resumed() {
        println!("here again, at sequence {}", resumed.sequence);
    }

    loop {
        match consumer.recv() {
            Ok(Event::Record(record)) => {
                let sequence = record.sequence();
                // Copied out of the ring; `None` for a record of any other length.
                let quote: Quote = record.read().ok_or("a record that is no quote")?;
                let Quote { instrument, size, bid, ask, .. } = quote;
                println!("{sequence:6}  instrument {instrument}  {size} at {bid} / {ask}");
            }
            Ok(Event::Lost(loss)) => println!("lost {} quotes ({:?})", loss.records, loss.cause),
            Ok(Event::Evicted) => println!("no longer gated"),
            Ok(Event::ProducerChanged { epoch }) => println!("from here on by producer number {epoch}"),
            Err(RecvError::Closed) => break println!("the producer is done"),
            Err(error) => return Err(error.into()),
        }
    }
    println!("lost so far: {} records", consumer.account().records);
    println!("the ring keeps the name until: quoit forget {path} {name}");
    Ok(())
}
