//! Round trips between two rings, both sides busy.

use anyhow::Result;
use quoit::{Consumer, Event, WaitMode};
use quoit_floors::bounce::WARM;
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, trips};

use crate::ends::{both_ways, options, unexpected};

/// The rings' size.
pub(crate) const CAPACITY: usize = 1 << 20;

pub(crate) fn rings(scene: &Scene, bytes: usize, count: u64) -> Result<Measured> {
    let (mut producer, mut consumer) = both_ways(scene, &options(CAPACITY, WaitMode::default()))?;
    let mut payload = vec![0x5a_u8; bytes];
    let warm = WARM.max((CAPACITY / bytes) as u64);
    scene.meet();
    let measured = if scene.side == Side::Left {
        let mut trip = || {
            producer.send(&payload)?;
            receive(&mut consumer, &mut payload)
        };
        (0..warm).try_for_each(|_| trip())?;
        trips(scene, count, trip)?
    } else {
        let mut answer = || {
            receive(&mut consumer, &mut payload)?;
            producer.send(&payload)?;
            Ok(None)
        };
        (0..warm).try_for_each(|_| answer().map(drop))?;
        partner(scene, || (0..count).try_fold(None, |_, _| answer()))?
    };
    // Nobody leaves before the other is done: what leaving does to a ring is no part of this.
    scene.meet();
    Ok(measured)
}

#[inline]
pub(crate) fn receive(consumer: &mut Consumer, payload: &mut [u8]) -> Result<()> {
    loop {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                record.copy_to(payload);
                return Ok(());
            }
            Some(event) => return Err(unexpected(&event)),
            None => {}
        }
    }
}
