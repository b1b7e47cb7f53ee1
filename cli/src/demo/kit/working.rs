//! The feed and the workers that share its records.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use quoit::{Group, GroupError, GroupEvent, GroupMember, JobId, Producer, Start};

use super::ChildArgs;
use super::lines::{Figures, Line, Reporter, tell};
use super::notes::{self, Notes};
use crate::demo::wire::{Order, orders};
use crate::units;

pub(super) const RING: &str = "work.ring";

/// The feed publishes so many records, then pauses.
const BURST: u64 = 8;
const PAUSE: Duration = Duration::from_millis(4);
/// Records that a worker takes at a time.
const TAKEN: u32 = 8;
/// Its work on each.
const WORK: Duration = Duration::from_micros(500);
const SLICE: Duration = Duration::from_millis(20);

/// Publishes until it is asked to end, and closes the ring.
pub(super) fn feed(args: &ChildArgs, mut notes: Notes) -> Result<()> {
    let orders = orders();
    let mut producer = Producer::open(args.directory.join(RING))?;
    tell(&Line::Here)?;
    let (mut figures, mut reporter) = (Figures::default(), Reporter::new());
    while orders.try_recv().ok() != Some(Order::End) {
        for _ in 0..BURST {
            let sequence = producer.send(&figures.done.to_le_bytes())?;
            notes.add(notes::SENT, [sequence, 0, 0])?;
            figures.done += 1;
        }
        reporter.report(figures)?;
        thread::sleep(PAUSE);
    }
    drop(producer);
    tell(&Line::Progress(figures))?;
    Ok(tell(&Line::Done)?)
}

/// The group that all workers are members of. Without members it keeps its place.
fn crew() -> Group {
    Group::new("crew").start(Start::Oldest).hold_forever()
}

/// Works until the feed has closed the ring and everything is acknowledged.
pub(super) fn work(args: &ChildArgs, mut notes: Notes) -> Result<()> {
    // Ends this process with its parent.
    let _orders = orders();
    let mut member = GroupMember::join(args.directory.join(RING), &crew())?;
    tell(&Line::Here)?;
    let (mut figures, mut reporter) = (Figures::default(), Reporter::new());
    let mut again = 0;
    loop {
        let mut jobs: Vec<(JobId, u64, u32)> = Vec::new();
        let mut lost = 0;
        let received = member.recv_up_to_deadline(TAKEN, Instant::now() + SLICE, |event| match event {
            GroupEvent::Job(job) => jobs.push((job.id(), job.sequence(), job.deliveries())),
            GroupEvent::Lost(told) => lost += told.records,
            _ => {}
        });
        if lost > 0 {
            let what = format!("{} lost, though the group is held", units::counted(lost, "record"));
            tell(&Line::Broken { what })?;
        }
        for (_, sequence, deliveries) in &jobs {
            notes.add(notes::RECEIVED, [*sequence, (*deliveries).into(), 0])?;
            again += u64::from(*deliveries > 1);
        }
        for (id, sequence, _) in jobs {
            thread::sleep(WORK);
            notes.add(notes::ACKNOWLEDGES, [sequence, 0, 0])?;
            member.ack(id)?;
            notes.add(notes::ACKNOWLEDGED, [sequence, 0, 0])?;
            figures.done += 1;
        }
        if again > 0 {
            figures.other += again;
            let what = format!("it has {} of one that died", units::counted(again, "record"));
            tell(&Line::Told { what })?;
            again = 0;
        }
        reporter.report(figures)?;
        match received {
            Ok(_) | Err(GroupError::TimedOut) => {}
            Err(GroupError::Closed) => break,
            Err(error) => return Err(error.into()),
        }
    }
    tell(&Line::Progress(figures))?;
    Ok(tell(&Line::Done)?)
}
