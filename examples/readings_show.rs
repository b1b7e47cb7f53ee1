//! Shows the newest reading of each sensor of `readings_send`, twice a second, however many there were.
//!
//!     cargo run --example readings_show [PATH]
//!
//! It says how many older readings each one replaced, and how old it is. Stop it for a while (Ctrl-Z, then `fg`): it goes on
//! with the newest.

use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, Conflate, Consumer, Record, RecvError, Start, Ticker};

/// Which sensor a reading is of.
fn sensor(reading: &Record<'_>) -> String {
    String::from_utf8_lossy(&reading.bytes()).split(' ').next().unwrap_or_default().to_owned()
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/dev/shm/quoit-readings".into());
    let attach = Attach::lossy().start(Start::Oldest);
    let consumer = Consumer::open_wait(&path, &attach, Instant::now() + Duration::from_secs(60))?;
    // Memory for a hundred sensors, however many readings pile up.
    let mut readings = Conflate::new(consumer, 100, sensor);
    let mut look = Ticker::every(Duration::from_millis(500));
    loop {
        look.wait();
        match readings.recv(|event| println!("{event}")) {
            Ok(newest) => {
                for reading in newest {
                    let text = String::from_utf8_lossy(&reading.payload);
                    let age = reading.time.map(|time| time.elapsed());
                    println!(
                        "{text}  ({} older ones replaced, {:?} old)",
                        reading.replaced,
                        age.unwrap_or_default()
                    );
                }
            }
            Err(RecvError::Closed) => {
                println!("the sender is done");
                return Ok(());
            }
            Err(RecvError::ProducerGone) => println!("the sender died; waiting for the next one"),
            Err(error) => return Err(error.into()),
        }
    }
}
