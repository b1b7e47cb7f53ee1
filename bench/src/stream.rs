//! One way, as fast as it goes, to a consumer that reads every byte.

use std::hint::black_box;
use std::iter::repeat_n;

use anyhow::{Result, bail};
use quoit::{Attach, Consumer, Event, Producer, WaitMode};
use quoit_floors::by_words;
use quoit_floors::figures::Measured;
use quoit_floors::ground::sum_of;
use quoit_floors::scene::Scene;
use quoit_floors::stream::{capacity, warm};
use quoit_floors::windows::{partner, records};

use crate::ends::{End, one_way, options, unexpected};

/// A payload of so many words: of the same length in every record, as the compiler knows. The floors have it so, too.
pub(crate) type Payload<const N: usize> = [[u8; 8]; N];

pub(crate) fn ring(
    scene: &Scene,
    bytes: usize,
    count: u64,
    batch: usize,
    wait: WaitMode,
) -> Result<Measured> {
    by_words!(bytes, ring_of(scene, count, batch, wait))
}

fn ring_of<const N: usize>(scene: &Scene, count: u64, batch: usize, wait: WaitMode) -> Result<Measured> {
    let bytes = N * 8;
    let mut end = one_way(scene, &options(capacity(bytes), wait), Some(&Attach::gated()))?;
    let warm = warm(bytes, batch);
    let count = count / batch as u64 * batch as u64;
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            let payload = [[0x5a; 8]; N];
            let mut give = |count| match batch {
                1 => singly(producer, &payload, count),
                _ => batched(producer, &payload, count, batch),
            };
            give(warm)?;
            partner(scene, || give(count).map(|()| None))?
        }
        End::Consumer(consumer) => {
            let mut take = |count| match batch {
                1 => take_singly::<N>(consumer, count),
                _ => take_many::<N>(consumer, count, batch),
            };
            take(warm)?;
            records(scene, count, || take(count))?
        }
        End::Nobody => bail!("a stream needs a reader"),
    };
    scene.meet();
    Ok(measured)
}

pub(crate) fn singly<const N: usize>(
    producer: &mut Producer,
    payload: &Payload<N>,
    count: u64,
) -> Result<()> {
    for _ in 0..count {
        producer.send(payload.as_flattened())?;
    }
    Ok(())
}

pub(crate) fn batched<const N: usize>(
    producer: &mut Producer,
    payload: &Payload<N>,
    count: u64,
    batch: usize,
) -> Result<()> {
    for _ in 0..count / batch as u64 {
        let mut records = producer.batch();
        records.send_all(repeat_n(payload, batch).map(|payload| payload.as_flattened()))?;
        records.publish();
    }
    Ok(())
}

fn take_singly<const N: usize>(consumer: &mut Consumer, count: u64) -> Result<()> {
    let (mut total, mut left) = (0_u64, count);
    while left > 0 {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                total = total.wrapping_add(sum_of::<N>(&record)?);
                left -= 1;
            }
            Some(event) => return Err(unexpected(&event)),
            None => {}
        }
    }
    black_box(total);
    Ok(())
}

/// Takes as many at a time as were sent at a time.
fn take_many<const N: usize>(consumer: &mut Consumer, count: u64, batch: usize) -> Result<()> {
    let (mut total, mut left, mut trouble) = (0_u64, count, None);
    while left > 0 {
        let received = consumer.drain(batch.min(left as usize), |event| match event {
            Event::Record(record) => match sum_of::<N>(&record) {
                Ok(sum) => total = total.wrapping_add(sum),
                Err(error) => trouble = Some(error),
            },
            event => trouble = Some(unexpected(&event)),
        })?;
        if let Some(error) = trouble {
            return Err(error);
        }
        left -= received as u64;
    }
    black_box(total);
    Ok(())
}
