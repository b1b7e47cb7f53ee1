//! One thread that waits for several things: a wait set, a watch, a descriptor and a merge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quoit::sync::Event;
use quoit::{AnyReader, Attach, Consumer, Merge, Producer, RecvError, WaitFd, WaitSet, Waitable, Watch};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{begin, event};
use crate::syscalls::scenarios::before::closed;
use crate::syscalls::stage::{self, Cue, Ended, Found, Stage, check, publish, soon, wrong};

/// A ring with ten records, and an event.
pub(super) fn make(stage: &Stage) -> Ended {
    closed(stage)?;
    event::make(stage)
}

pub(super) fn afresh(stage: &Stage) -> Found {
    let (next, has_id) = stage::afresh(stage)?;
    let (was_set, _) = event::afresh(stage)?;
    Ok((next << 1 | was_set, has_id))
}

/// A consumer at the newest record, and the event.
fn open(stage: &Stage) -> Result<(Consumer, Event), stage::Problem> {
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    // The end of the stream is told before anything is waited for.
    match consumer.recv_timeout(Duration::ZERO) {
        Err(RecvError::Closed | RecvError::TimedOut) => {}
        Ok(quoit::Event::ProducerChanged { .. }) => {}
        other => wrong!("{other:?} before anything was sent"),
    }
    Ok((consumer, Event::open(stage.object())?))
}

/// Takes what is ready: whether that was the event.
fn take(consumer: &mut Consumer, event: &Event) -> Result<bool, stage::Problem> {
    if event.try_wait()? {
        return Ok(true);
    }
    match consumer.recv_timeout(Duration::ZERO) {
        Err(RecvError::Closed | RecvError::TimedOut) | Ok(quoit::Event::ProducerChanged { .. }) => Ok(false),
        other => wrong!("{other:?}, which nobody sent"),
    }
}

/// Sleeps for one ring.
pub(super) fn sleep_for_one(stage: &Stage) -> Ended {
    begin();
    let mut consumer = Consumer::open(stage.ring(), &Attach::gated())?;
    let mut set = WaitSet::new();
    set.set_spins(0);
    let next = consumer.next_sequence();
    loop {
        if set.wait_deadline(&mut [&mut consumer], soon()).is_empty() {
            wrong!("record {next} does not come");
        }
        match consumer.recv_timeout(Duration::ZERO) {
            Err(RecvError::Closed | RecvError::TimedOut) | Ok(quoit::Event::ProducerChanged { .. }) => {}
            other => return check(&other?, next),
        }
    }
}

/// Sleeps for a ring and an event.
pub(super) fn sleep_for_two(stage: &Stage) -> Ended {
    begin();
    let (mut consumer, mut event) = open(stage)?;
    let mut set = WaitSet::new();
    set.set_spins(0);
    loop {
        if set.wait_deadline(&mut [&mut consumer, &mut event], soon()).is_empty() {
            wrong!("the event is not set");
        }
        if take(&mut consumer, &event)? {
            return Ok(());
        }
    }
}

/// Nothing comes, for longer than the end of the stream is news.
pub(super) fn time_passes(stage: &Stage) -> Ended {
    begin();
    let (mut consumer, mut event) = open(stage)?;
    let mut set = WaitSet::new();
    set.set_spins(0);
    let end = Instant::now() + Duration::from_millis(3);
    while !set.wait_deadline(&mut [&mut consumer, &mut event], end).is_empty() {
        if take(&mut consumer, &event)? {
            wrong!("a signal that nobody gave");
        }
    }
    match Instant::now() < end {
        true => wrong!("back before the time is over"),
        false => Ok(()),
    }
}

/// A helper sleeps, and sets a flag.
pub(super) fn watch(stage: &Stage) -> Ended {
    let (mut consumer, mut event) = open(stage)?;
    begin();
    let rung = Arc::new(AtomicBool::new(false));
    let ring = Arc::clone(&rung);
    let mut watch = Watch::new(move || ring.store(true, Ordering::Release))?;
    let end = soon();
    loop {
        let is_ready = !watch.arm(&mut [&mut consumer as &mut dyn Waitable, &mut event])?.is_empty();
        if is_ready && take(&mut consumer, &event)? {
            return Ok(());
        }
        // Without a system call, so that all that are seen are the library's.
        while !is_ready && !rung.swap(false, Ordering::Acquire) {
            if Instant::now() >= end {
                wrong!("nobody rings");
            }
            std::hint::spin_loop();
        }
    }
}

/// A helper sleeps, and makes a descriptor readable.
pub(super) fn descriptor(stage: &Stage) -> Ended {
    let (mut consumer, mut event) = open(stage)?;
    begin();
    let mut descriptor = WaitFd::new()?;
    let end = soon();
    while Instant::now() < end {
        let is_ready = !descriptor.arm(&mut [&mut consumer, &mut event])?.is_empty();
        if is_ready && take(&mut consumer, &event)? {
            return Ok(());
        }
        if !is_ready {
            // Refused: the next turn arms again, and sees what is ready.
            let slice = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let _ = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&slice));
        }
    }
    wrong!("the descriptor does not become readable")
}

/// Sets the event once the ring's reader sleeps.
pub(super) fn set_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let event = Event::open(stage.object())?;
    cue.ready();
    cue.await_go();
    stage.until_reader_sleeps();
    event.set()?;
    cue.stay()
}

/// Two readers of the ring as one stream: a record comes twice.
pub(super) fn merge(stage: &Stage) -> Ended {
    begin();
    let mut merge = Merge::new();
    merge.set_spins(0);
    for _ in 0..2 {
        merge.push(Consumer::open(stage.ring(), &Attach::gated())?);
    }
    let Some(AnyReader::Consumer(first)) = merge.reader(0) else { wrong!("its reader is gone") };
    let next = first.next_sequence();
    let mut seen = 0;
    let end = soon();
    while seen < 2 {
        match merge.recv_deadline(end) {
            Ok(merged) => match merged.event {
                Err(RecvError::Closed) | Ok(quoit::Event::ProducerChanged { .. }) => {}
                event => {
                    check(&event?, next)?;
                    seen += 1;
                }
            },
            Err(RecvError::Closed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Sends once the victim's readers sleep.
pub(super) fn send_late(stage: &Stage, cue: &mut Cue) -> Ended {
    let mut producer = Producer::open(stage.ring())?;
    cue.ready();
    cue.await_go();
    stage.until_reader_sleeps();
    publish(&mut producer, 1)?;
    cue.stay()
}
