//! Sends orders to `orders_journal` and `orders_book`.
//!
//!     cargo run --example orders_send [PATH [COUNT]]
//!
//! Run `orders_journal` and `orders_book` in two other terminals, before or after.

use std::error::Error;
use std::thread;
use std::time::Duration;

use quoit::{Options, TypedProducer};

#[expect(dead_code, reason = "the journal is for the others")]
mod orders;

use orders::Order;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| orders::PATH.into());
    let count: u64 = args.next().map_or(Ok(300), |text| text.parse())?;

    let mut producer = TypedProducer::open_or_create(&path, &Options::new().capacity(64 << 10))?;
    for number in 0..count {
        let order = Order { account: number % 5, cents: (number * 37 % 201) as i64 - 100 };
        let sequence = producer.send(&order)?;
        println!("order {sequence}: {} cents to account {}", order.cents, order.account);
        thread::sleep(Duration::from_millis(50));
    }
    println!("closed; ring and journal stay: rm {path} {}", orders::JOURNAL);
    Ok(())
}
