//! Keeps the accounts that `orders_send` moves money between. Acts on an order only once `orders_journal` has it on a disk.
//!
//!     cargo run --example orders_book [PATH [JOURNAL]]
//!
//! It follows the journal: it receives what that has released. So an order that it has acted on is never gone, whatever is
//! killed. To show that, it looks each one up in the journal. When it is started again, it has its accounts from there.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::{Duration, Instant};

use quoit::{Attach, EventOf, RecvError, Start, TypedConsumer};

mod orders;

use orders::Order;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| orders::PATH.into());
    let file = args.next().unwrap_or_else(|| orders::JOURNAL.into());

    let attach = Attach::gated().name("book").after("journal").start(Start::Oldest).hold_forever();
    let soon = Instant::now() + Duration::from_secs(60);
    // Waits for the ring, and for the journal.
    let mut consumer = TypedConsumer::<Order>::open_wait(&path, &attach, soon)?;
    let next = consumer.as_untyped().next_sequence();

    let mut accounts = BTreeMap::<u64, i64>::new();
    let mut written = orders::entries(&file)?;
    for entry in written.iter().filter(|entry| entry.sequence < next) {
        *accounts.entry(entry.order.account).or_default() += entry.order.cents;
    }
    println!("begins at order {next}: {accounts:?}");
    loop {
        match consumer.recv() {
            Ok(EventOf::Record { sequence, payload: order, .. }) => {
                if written.last().is_none_or(|entry| entry.sequence < sequence) {
                    written = orders::entries(&file)?;
                }
                if !written.iter().rev().any(|entry| (entry.sequence, entry.order) == (sequence, order)) {
                    return Err(format!("order {sequence} is not in the journal").into());
                }
                let balance = accounts.entry(order.account).or_default();
                *balance += order.cents;
                println!("order {sequence}: account {} has {balance} cents", order.account);
            }
            Ok(other) => println!("{other}"),
            Err(RecvError::Closed) => break,
            // The next one may come.
            Err(RecvError::ProducerGone) => {}
            Err(error) => return Err(error.into()),
        }
    }
    println!("{accounts:?}");
    Ok(())
}
