//! The consumers: receive, check, count, report.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use quoit::{Consumer, Event, Inspector, Observer, Receive, RecvError, Start};

use super::ChildArgs;
use super::cast::Role;
use super::clock::now_ns;
use super::ledger::{BATCH, Journal, Ledger};
use super::text::histogram;
use super::tick::MAX_LEN;
use super::wire::{Change, Line, Order, Reading, orders, tell};

const REPORT: Duration = Duration::from_millis(100);

/// Report this many wrong records one by one, and only count the rest.
const MOST_TOLD: u32 = 5;

/// A consumer with or without a slot.
fn open(role: Role, ring: &Path) -> Result<Box<dyn Receive>, quoit::Error> {
    Ok(match role.attach() {
        Some(attach) => Box::new(Consumer::open(ring, &attach.start(Start::Newest))?),
        None => Box::new(Observer::open(ring, Start::Newest)?),
    })
}

/// Limits a consumer to this many ticks per second. With 0 it stands still.
struct Throttle {
    per_second: u64,
    since_ns: u64,
    taken: u64,
}

impl Throttle {
    fn new(per_second: u64) -> Self {
        Self { per_second, since_ns: now_ns(), taken: 0 }
    }

    fn due(&self, now: u64) -> bool {
        let due = u128::from(now.saturating_sub(self.since_ns)) * u128::from(self.per_second) / 1_000_000_000;
        u128::from(self.taken) < due
    }
}

/// Reports the first few errors.
struct Complaints(u32);

impl Complaints {
    fn note<T>(&mut self, result: Result<T, String>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(what) => {
                self.0 += 1;
                if self.0 <= MOST_TOLD {
                    tell(&Line::Broken { what })?;
                }
                Ok(None)
            }
        }
    }
}

/// Runs a consumer until it is asked to end, and then until nothing is left to receive.
pub(crate) fn consume(role: Role, args: &ChildArgs) -> Result<()> {
    let orders = orders();
    let journal = args.journal.as_deref().map(Journal::create).transpose()?;
    let mut reader = open(role, &args.ring)?;
    let watch = Inspector::open(&args.ring)?;
    let mut ledger = Ledger::starting_at(reader.next_sequence());
    tell(&Line::Attached { next: ledger.first, resumed: reader.resumed().map(|resumed| resumed.sequence) })?;

    if journal.is_some() {
        // Only `release` releases records.
        reader.keep(true);
    }
    let pace = || role.pace(args.rate).map(Throttle::new);
    let mut throttle = pace();
    let mut ages = histogram();
    let mut complaints = Complaints(0);
    let mut buffer = [0; MAX_LEN];
    let (mut ending, mut evicted) = (false, false);
    // Records received and not yet in the journal.
    let mut pending = 0_u64;
    let mut now = now_ns();
    let (mut report_ns, mut until) = (now, Instant::now());
    loop {
        if now >= report_ns {
            for order in orders.try_iter() {
                match order {
                    Order::Stall => throttle = Some(Throttle::new(0)),
                    Order::GoOn => throttle = pace(),
                    Order::End => ending = true,
                    Order::FlatOut => {}
                }
            }
            if ending {
                throttle = None;
            }
            let lag = watch.snapshot()?.next_sequence.wrapping_sub(reader.next_sequence());
            tell(&Line::Reading(reading(lag, ledger, &mut ages, false)))?;
            report_ns = now + REPORT.as_nanos() as u64;
            until = Instant::now() + REPORT;
        }
        if throttle.as_ref().is_some_and(|throttle| !throttle.due(now)) {
            thread::sleep(Duration::from_millis(2));
            now = now_ns();
            continue;
        }
        if let Some(journal) = &journal
            && pending >= BATCH
        {
            journal.write(&ledger)?;
            reader.release();
            pending = 0;
        }
        let event = match pending {
            0 => reader.recv_deadline(until).map(Some),
            _ => reader.try_recv(),
        };
        let told_loss = match &event {
            Ok(Some(Event::Lost(loss))) => loss.records,
            _ => 0,
        };
        if evicted && !matches!(event, Ok(Some(Event::Evicted))) {
            tell(&Line::Evicted { lost: told_loss })?;
            evicted = false;
        }
        match event {
            Ok(Some(Event::Record(record))) => {
                let sequence = record.sequence();
                // A record that is too long is cut, and must not count as whole.
                let len = if record.len() > MAX_LEN { 0 } else { record.copy_to(&mut buffer) };
                now = now_ns();
                if let Some(tick) = complaints.note(ledger.record(sequence, &buffer[..len]))?
                    && !tick.flat_out
                {
                    ages.saturating_record(now.saturating_sub(tick.published_ns));
                }
                if let Some(throttle) = &mut throttle {
                    throttle.taken += 1;
                }
                pending += u64::from(journal.is_some());
            }
            Ok(Some(Event::Lost(loss))) => {
                complaints.note(ledger.loss(&loss))?;
            }
            Ok(Some(Event::Evicted)) => evicted = true,
            Ok(Some(Event::ProducerChanged { epoch })) => {
                tell(&Line::Changed(Change { epoch, from: ledger.from(), next: ledger.next }))?;
            }
            Ok(Some(other)) => bail!("{other}: not in this play"),
            Ok(None) | Err(RecvError::TimedOut) => {
                pending = if pending > 0 { BATCH } else { 0 };
                now = now_ns();
            }
            Err(RecvError::Closed | RecvError::ProducerGone) if ending => break,
            // No producer yet, or none any more: one will come.
            Err(RecvError::Closed | RecvError::ProducerGone) => {
                thread::sleep(Duration::from_millis(1));
                now = now_ns();
            }
            Err(error) => bail!(error),
        }
    }
    let account = reader.account().map(|account| (account.records, account.bytes));
    if let Some(account) = account
        && account != (ledger.lost, ledger.lost_bytes)
    {
        let what = format!("its slot tells of {account:?} lost records and bytes, and its own books do not");
        tell(&Line::Broken { what })?;
    }
    tell(&Line::Reading(reading(0, ledger, &mut ages, true)))?;
    Ok(())
}

fn reading(lag: u64, ledger: Ledger, ages: &mut Histogram<u64>, done: bool) -> Reading {
    let told = ages.iter_recorded().map(|at| (at.value_iterated_to(), at.count_at_value())).collect();
    ages.reset();
    Reading { at_ns: now_ns(), lag, ledger, ages: told, done }
}
