//! The producer: ticks at a steady rate, or without pacing.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use quoit::{Producer, SendError};

use super::ChildArgs;
use super::clock::now_ns;
use super::tick::{MAX_LEN, Market};
use super::wire::{Line, Order, Writing, orders, tell};

const REPORT: Duration = Duration::from_millis(100);

/// Pause between two bursts. Spinning would take a whole core, which a small machine cannot spare.
const BURST: Duration = Duration::from_micros(500);

/// Unpaced ticks between two polls of the clock and the orders.
const FLAT_OUT_BURST: u64 = 1000;

/// Maximum delay before the pace starts again from now instead of catching up.
const LATE: Duration = Duration::from_millis(50);

struct Feed {
    producer: Producer,
    market: Market,
    /// The feed's own count of ticks; it must equal the ring's.
    number: u64,
    first_ns: u64,
    longest_wait: Duration,
    buffer: [u8; MAX_LEN],
}

/// Runs the producer until it is asked to end.
pub(crate) fn produce(args: &ChildArgs) -> Result<()> {
    let orders = orders();
    let mut feed = Feed::open(&args.ring)?;
    let mut flat_out = false;
    let mut report_ns = now_ns();
    let (mut since_ns, mut sent) = (report_ns, 0);
    loop {
        for order in orders.try_iter() {
            match order {
                Order::FlatOut => flat_out = true,
                Order::End => return feed.end(),
                Order::Stall | Order::GoOn => {}
            }
        }
        let now = now_ns();
        if now >= report_ns {
            feed.report(false)?;
            report_ns = now + REPORT.as_nanos() as u64;
        }
        let burst =
            if flat_out { FLAT_OUT_BURST } else { due(now - since_ns, args.rate).saturating_sub(sent) };
        if !flat_out && burst > due(LATE.as_nanos() as u64, args.rate).max(1) {
            (since_ns, sent) = (now, 0);
            continue;
        }
        for _ in 0..burst {
            feed.send(flat_out)?;
        }
        sent += burst;
        if !flat_out {
            thread::sleep(BURST);
        }
    }
}

fn due(nanos: u64, rate: u64) -> u64 {
    (u128::from(nanos) * u128::from(rate) / 1_000_000_000) as u64
}

impl Feed {
    fn open(ring: &Path) -> Result<Self> {
        let producer = Producer::open(ring)?;
        let number = producer.next_sequence();
        tell(&Line::Opened { next: number, epoch: producer.epoch() })?;
        Ok(Self {
            market: Market::new(now_ns()),
            producer,
            number,
            first_ns: 0,
            longest_wait: Duration::ZERO,
            buffer: [0; MAX_LEN],
        })
    }

    fn send(&mut self, flat_out: bool) -> Result<()> {
        let mut tick = self.market.quote(self.number, self.producer.epoch() as u32, flat_out);
        tick.published_ns = now_ns();
        let len = tick.encode(&mut self.buffer);
        let sequence = match self.producer.try_send(&self.buffer[..len]) {
            Err(SendError::Full { .. }) => {
                let began = Instant::now();
                let sequence = loop {
                    // Stamped again on each attempt: age counts from the publish, not from the wait for room.
                    tick.published_ns = now_ns();
                    tick.encode(&mut self.buffer);
                    let until = Instant::now() + Duration::from_millis(1);
                    match self.producer.send_deadline(&self.buffer[..len], until) {
                        Err(SendError::TimedOut { .. }) => {}
                        other => break other?,
                    }
                };
                self.longest_wait = self.longest_wait.max(began.elapsed());
                sequence
            }
            other => other?,
        };
        if sequence != self.number {
            tell(&Line::Broken { what: format!("tick {} got sequence {sequence}", self.number) })?;
        }
        if self.first_ns == 0 {
            self.first_ns = now_ns();
            self.report(false)?;
        }
        self.number += 1;
        Ok(())
    }

    fn report(&self, done: bool) -> Result<()> {
        tell(&Line::Writing(Writing {
            at_ns: now_ns(),
            next: self.number,
            first_ns: self.first_ns,
            longest_wait_ns: self.longest_wait.as_nanos() as u64,
            done,
        }))?;
        Ok(())
    }

    /// Closes the ring first: what is reported as done must be done.
    fn end(self) -> Result<()> {
        let Self { producer, number, first_ns, longest_wait, .. } = self;
        drop(producer);
        tell(&Line::Writing(Writing {
            at_ns: now_ns(),
            next: number,
            first_ns,
            longest_wait_ns: longest_wait.as_nanos() as u64,
            done: true,
        }))?;
        Ok(())
    }
}
