//! One way, as fast as it goes, to a consumer that reads every byte.

use std::hint::black_box;

use anyhow::{Result, bail};
use quoit::{Attach, Consumer, Event, Producer, WaitMode};
use quoit_floors::figures::Measured;
use quoit_floors::ground::sum_in_place;
use quoit_floors::scene::Scene;
use quoit_floors::stream::{capacity, warm};
use quoit_floors::windows::{partner, records};

use super::ends::{End, one_way, options, unexpected};

pub(crate) fn ring(
    scene: &Scene,
    bytes: usize,
    count: u64,
    batch: usize,
    wait: WaitMode,
) -> Result<Measured> {
    let mut end = one_way(scene, &options(capacity(bytes), wait), Some(&Attach::gated()))?;
    let warm = warm(bytes, batch);
    let count = count / batch as u64 * batch as u64;
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            let payload = vec![0x5a_u8; bytes];
            let mut give = |count| match batch {
                1 => singly(producer, &payload, count),
                _ => batched(producer, &payload, count, batch),
            };
            give(warm)?;
            partner(scene, || give(count).map(|()| None))?
        }
        End::Consumer(consumer) => {
            take(consumer, warm)?;
            records(scene, count, || take(consumer, count))?
        }
        End::Nobody => bail!("a stream needs a reader"),
    };
    scene.meet();
    Ok(measured)
}

pub(crate) fn singly(producer: &mut Producer, payload: &[u8], count: u64) -> Result<()> {
    for _ in 0..count {
        producer.send(payload)?;
    }
    Ok(())
}

pub(crate) fn batched(producer: &mut Producer, payload: &[u8], count: u64, batch: usize) -> Result<()> {
    for _ in 0..count / batch as u64 {
        let mut records = producer.batch();
        for _ in 0..batch {
            records.send(payload)?;
        }
        records.publish();
    }
    Ok(())
}

fn take(consumer: &mut Consumer, count: u64) -> Result<()> {
    let (mut total, mut left) = (0_u64, count);
    while left > 0 {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                total = total.wrapping_add(sum_in_place(&record));
                left -= 1;
            }
            Some(event) => return Err(unexpected(&event)),
            None => {}
        }
    }
    black_box(total);
    Ok(())
}
