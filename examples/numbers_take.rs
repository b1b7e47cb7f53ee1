//! Takes numbers from `numbers_serve`, and checks that they go up.
//!
//!     cargo run --example numbers_take [WISHES [PATH]]
//!
//! Run it any number of times, before or after the server, and kill what you like. While there is no server, it waits.

mod numbers;

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use numbers::{PATH, Range, Wish};
use quoit::service::{CallOptions, TypedClient};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let wishes = args.next().map_or(Ok(u64::MAX), |text| text.parse())?;
    let path = args.next().unwrap_or_else(|| PATH.into());
    let patience = Instant::now() + Duration::from_secs(60);
    let mut client = TypedClient::<Wish, Range>::open_wait(&path, patience)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let me = (u64::from(std::process::id()) << 40) ^ now.as_nanos() as u64;
    let mut last = 0;
    for wish in 1..=wishes {
        let asked = Wish { client: me, wish, count: wish % 3 + 1 };
        // The server knows a wish that comes again, so a call may.
        let range = client.call(&asked, CallOptions::new().repeatable(true))?;
        if range.first <= last || range.count != asked.count {
            return Err(format!("{range:?} after {last}").into());
        }
        last = range.first + range.count - 1;
        println!("{} to {last}", range.first);
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
