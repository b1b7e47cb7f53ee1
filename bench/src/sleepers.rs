//! Round trips with both sides asleep whenever they wait: two futex words, and two rings.

use std::sync::atomic::Ordering;

use anyhow::Result;
use quoit::{Consumer, Event, WaitMode};
use quoit_floors::asleep::{sleep, wake};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, trips};

use crate::bounce::CAPACITY;
use crate::ends::{both_ways, options, unexpected};

pub(crate) fn futexes(scene: &Scene, count: u64) -> Result<Measured> {
    let (there, back) = scene.ground.futexes();
    // Both words carry on from the measurement before; they only ever count up, by one per trip.
    let (mut sent, mut heard) = (there.load(Ordering::Acquire), back.load(Ordering::Acquire));
    scene.meet();
    if scene.side == Side::Left {
        return trips(scene, count, || {
            sent = sent.wrapping_add(1);
            wake(there, sent)?;
            sleep(back, &mut heard)
        });
    }
    partner(scene, || {
        for _ in 0..count {
            sleep(there, &mut sent)?;
            heard = heard.wrapping_add(1);
            wake(back, heard)?;
        }
        Ok(None)
    })
}

pub(crate) fn rings(scene: &Scene, count: u64) -> Result<Measured> {
    let (mut producer, mut consumer) = both_ways(scene, &options(CAPACITY, WaitMode::default()))?;
    consumer.set_spins(0);
    let mut payload = [0x5a_u8; 64];
    scene.meet();
    let measured = if scene.side == Side::Left {
        trips(scene, count, || {
            producer.send(&payload)?;
            receive(&mut consumer, &mut payload)
        })?
    } else {
        partner(scene, || {
            for _ in 0..count {
                receive(&mut consumer, &mut payload)?;
                producer.send(&payload)?;
            }
            Ok(None)
        })?
    };
    scene.meet();
    Ok(measured)
}

fn receive(consumer: &mut Consumer, payload: &mut [u8]) -> Result<()> {
    match consumer.recv()? {
        Event::Record(record) => {
            record.copy_to(payload);
            Ok(())
        }
        event => Err(unexpected(&event)),
    }
}
