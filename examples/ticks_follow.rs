//! Follows the ticks of `ticks_publish`, and reports everything else that happens on the ring.
//!
//!     cargo run --example ticks_follow [PATH [gated|lossy]]
//!
//! Run `ticks_publish` in another terminal, before or after. Stop this program with Ctrl-Z and continue it with `fg`.
//! If gated, it loses nothing, and the producer waits once the ring is full, after some seconds. If lossy, the
//! producer continues, and this program reports how many records and bytes it lost.

use std::error::Error;
use std::thread;
use std::time::Duration;

use quoit::{Attach, Consumer, Event, RecvError, Start};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| "/dev/shm/quoit-ticks".into());
    let attach = match args.next().as_deref() {
        None | Some("gated") => Attach::gated(),
        Some("lossy") => Attach::lossy(),
        Some(other) => return Err(format!("{other} is no policy: gated or lossy").into()),
    };

    let mut consumer = loop {
        match Consumer::open(&path, &attach.clone().start(Start::Oldest)) {
            Err(quoit::Error::NotFound { .. }) => thread::sleep(Duration::from_millis(100)),
            result => break result?,
        }
    };
    println!("{path}: slot {}, from sequence {}", consumer.slot(), consumer.next_sequence());

    let mut orphaned = false;
    loop {
        match consumer.recv() {
            Ok(Event::Record(tick)) => {
                println!("{:6}  {}", tick.sequence(), String::from_utf8_lossy(&tick.bytes()));
            }
            Ok(Event::ProducerChanged { epoch }) => {
                orphaned = false;
                println!("from here on by producer number {epoch}");
            }
            // A loss, or the end of this consumer's gate.
            Ok(other) => println!("{other}"),
            Err(RecvError::ProducerGone) if !orphaned => {
                orphaned = true;
                println!("the producer died; waiting for the next one");
            }
            Err(RecvError::ProducerGone) => {}
            Err(RecvError::Closed) => break println!("the producer is done"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
