//! Writes every order of `orders_send` to a disk, before `orders_book` acts on it.
//!
//!     cargo run --example orders_journal [PATH [JOURNAL]]
//!
//! Kill this program while the others run, with `kill -9` too: `orders_book` stands still, since it follows this one. Start it
//! again, and both go on. Nothing is acted on that is not on the disk, and nothing is lost.
//!
//! An order is released only once it is on the disk. Of those that come while one is written, all are written together.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use quoit::zerocopy::IntoBytes;
use quoit::{Attach, EventOf, RecvError, Start, TypedConsumer};

mod orders;

use orders::{Entry, Order};

struct Journal {
    file: File,
    /// The sequence of the next order that it does not have. `None`: it has none yet.
    next: Option<u64>,
}

impl Journal {
    fn open(path: &str) -> io::Result<Self> {
        let entries = orders::entries(path)?;
        let file = File::options().append(true).create(true).open(path)?;
        file.set_len((entries.len() * size_of::<Entry>()) as u64)?;
        Ok(Self { file, next: entries.last().map(|entry| entry.sequence + 1) })
    }

    /// Adds the orders, and returns once they are on the disk. Skips those that it has: whoever was here before was killed
    /// between writing and releasing them.
    fn add(&mut self, entries: &[Entry]) -> io::Result<usize> {
        let missing = |entry: &&Entry| self.next.is_none_or(|next| entry.sequence >= next);
        let added: Vec<Entry> = entries.iter().filter(missing).copied().collect();
        self.file.write_all(added.as_bytes())?;
        self.file.sync_data()?;
        self.next = added.last().map(|entry| entry.sequence + 1).or(self.next);
        Ok(added.len())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_else(|| orders::PATH.into());
    let file = args.next().unwrap_or_else(|| orders::JOURNAL.into());

    // Held: while this is away, the sender and those that follow wait for it.
    let attach = Attach::gated().name("journal").start(Start::Oldest).hold_forever();
    let soon = Instant::now() + Duration::from_secs(60);
    let mut consumer = TypedConsumer::<Order>::open_wait(&path, &attach, soon)?;
    consumer.as_untyped().keep(true);
    let mut journal = Journal::open(&file)?;
    if consumer.as_untyped().resumed().is_none() && journal.next.is_some() {
        return Err(format!("{file} is the journal of another ring: remove it, or keep it elsewhere").into());
    }
    let mut batch = Vec::new();
    loop {
        let mut received = match consumer.recv() {
            Ok(event) => Some(event),
            Err(RecvError::Closed) => break,
            // The next one may come.
            Err(RecvError::ProducerGone) => continue,
            Err(error) => return Err(error.into()),
        };
        while let Some(event) = received {
            match event {
                EventOf::Record { sequence, payload, .. } => batch.push(Entry { sequence, order: payload }),
                other => println!("{other}"),
            }
            received = consumer.try_recv()?;
        }
        let added = journal.add(&batch)?;
        consumer.as_untyped().release();
        if let Some(last) = batch.last() {
            println!("on the disk up to order {}: {added} written together", last.sequence);
        }
        batch.clear();
    }
    println!("everything is on the disk, and the sender has closed the ring");
    Ok(())
}
