//! Follows the quotes of `typed_publish` under a name, as values of a type.
//!
//!     cargo run --example typed_follow [PATH [NAME]]
//!
//! Run `typed_publish` in another terminal. End this program and start it again: it resumes at the sequence where it
//! was, since the ring keeps the place of a name.

mod quote;

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, EventOf, RecvError, Start, TypedConsumer};
use quote::Quote;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/dev/shm/quoit-quotes".into());
    let name = args.next().unwrap_or_else(|| "follower".into());

    // While this consumer is away the producer waits for it, for up to a minute.
    let attach = Attach::gated().start(Start::Oldest).name(&name).hold(Duration::from_secs(60));
    let soon = Instant::now() + Duration::from_secs(60);
    let mut quotes = TypedConsumer::<Quote>::open_wait(&path, &attach, soon)?;
    if let Some(resumed) = quotes.as_untyped().resumed() {
        println!("here again, at sequence {}", resumed.sequence);
    }

    loop {
        match quotes.recv() {
            Ok(EventOf::Record { sequence, payload, .. }) => {
                let Quote { instrument, size, bid, ask, .. } = payload;
                println!("{sequence:6}  instrument {instrument}  {size} at {bid} / {ask}");
            }
            Ok(other) => println!("{other}"),
            Err(RecvError::Closed) => break println!("the producer is done"),
            Err(error) => return Err(error.into()),
        }
    }
    println!("lost so far: {} records", quotes.as_untyped().account().records);
    println!("the ring keeps the name until: quoit forget {path} {name}");
    Ok(())
}
