//! What publish times cost who sends, nobody reading. The floor sends on a ring without them, and looks at the clock by itself
//! as often: once for each record, or for each batch.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use quoit::{Producer, WaitMode};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::by_words;
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;

use crate::ends::{options, unread};

const CAPACITY: usize = 1 << 20;

/// Sends in batches of so many, or singly if that is 1.
pub(crate) fn sends(scene: &Scene, bytes: usize, count: u64, batch: usize, timed: bool) -> Result<Measured> {
    by_words!(bytes, sends_of(scene, count, batch, timed))
}

fn sends_of<const N: usize>(scene: &Scene, count: u64, batch: usize, timed: bool) -> Result<Measured> {
    let options = options(CAPACITY, WaitMode::default()).times(timed);
    let mut payloads = Copied::<N>::new();
    let count = count / batch as u64 * batch as u64;
    unread(scene, &options, (CAPACITY / (N * 8 + 8)) as u64, count, |producer: &mut Producer, count| {
        if timed {
            send(producer, &mut payloads, count, batch, || ())
        } else {
            send(producer, &mut payloads, count, batch, || {
                black_box(Instant::now());
            })
        }
    })
}

/// `look`: what is done beside each publish.
#[inline(always)]
fn send<const N: usize>(
    producer: &mut Producer,
    payloads: &mut Copied<N>,
    count: u64,
    batch: usize,
    look: impl Fn(),
) -> Result<()> {
    if batch == 1 {
        for _ in 0..count {
            look();
            producer.send(quoit::zerocopy::IntoBytes::as_bytes(payloads.build()))?;
        }
        return Ok(());
    }
    for _ in 0..count / batch as u64 {
        let mut records = producer.batch();
        records.send_all(payloads.take(batch))?;
        look();
        records.publish();
    }
    Ok(())
}
