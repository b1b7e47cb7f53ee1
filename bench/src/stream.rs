//! One way, as fast as it goes, to a consumer that reads every byte.

use std::hint::black_box;

use anyhow::{Context, Result, bail};
use quoit::zerocopy::IntoBytes;
use quoit::{Attach, Consumer, Event, Producer, WaitMode};
use quoit_floors::building::{Builder, Building, Copied};
use quoit_floors::figures::Measured;
use quoit_floors::ground::sum_of;
use quoit_floors::scene::Scene;
use quoit_floors::stream::{capacity, warm};
use quoit_floors::windows::{partner, records};
use quoit_floors::{by_building, by_words};

use crate::ends::{End, one_way, options, unexpected};
use crate::follow::follow;
use crate::sending::Sending;

/// From so many bytes on, the records of a batch are sent one by one.
const LARGE: usize = 1024;

/// Single sends, built in this way. The length is the same in every record, as the compiler knows. The floors have it
/// so, too.
pub(crate) fn ring(
    scene: &Scene,
    bytes: usize,
    count: u64,
    wait: WaitMode,
    building: Building,
) -> Result<Measured> {
    by_building!(bytes, building, ring_of(scene, count, wait))
}

fn ring_of<const N: usize, B: Sending<N>>(scene: &Scene, count: u64, wait: WaitMode) -> Result<Measured> {
    let options = options(capacity(N * 8), wait);
    let end = one_way::<B::Producer>(scene, &options, Some(&Attach::gated()))?;
    let mut builder = B::new();
    let give = |producer: &mut B::Producer, count| singly(producer, &mut builder, count);
    one_side(scene, end, warm(N * 8, 1), count, give, take_singly::<N>)
}

/// Batches of records that an iterator builds.
pub(crate) fn batches(scene: &Scene, bytes: usize, count: u64, batch: usize) -> Result<Measured> {
    by_words!(bytes, batches_of(scene, count, batch))
}

fn batches_of<const N: usize>(scene: &Scene, count: u64, batch: usize) -> Result<Measured> {
    let end =
        one_way::<Producer>(scene, &options(capacity(N * 8), WaitMode::default()), Some(&Attach::gated()))?;
    let mut payloads = Copied::<N>::new();
    let give = |producer: &mut Producer, count| batched(producer, &mut payloads, count, batch);
    let take = |consumer: &mut Consumer, count| follow::<N>(consumer, count).map(drop);
    one_side(scene, end, warm(N * 8, batch), count / batch as u64 * batch as u64, give, take)
}

/// This process's side, which gives or takes so many records in a window.
fn one_side<P>(
    scene: &Scene,
    mut end: End<P>,
    warm: u64,
    count: u64,
    mut give: impl FnMut(&mut P, u64) -> Result<()>,
    mut take: impl FnMut(&mut Consumer, u64) -> Result<()>,
) -> Result<Measured> {
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            give(producer, warm)?;
            partner(scene, || give(producer, count).map(|()| None))?
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

pub(crate) fn singly<const N: usize, B: Sending<N>>(
    producer: &mut B::Producer,
    builder: &mut B,
    count: u64,
) -> Result<()> {
    (0..count).try_for_each(|_| builder.send(producer))
}

/// Records of some length by reference: `send_all` takes each by value, and so moves it once or twice more.
pub(crate) fn batched<const N: usize>(
    producer: &mut Producer,
    payloads: &mut Copied<N>,
    count: u64,
    batch: usize,
) -> Result<()> {
    for _ in 0..count / batch as u64 {
        let mut records = producer.batch();
        if N * 8 < LARGE {
            records.send_all(payloads.take(batch))?;
        } else {
            for _ in 0..batch {
                records.send(payloads.build().as_bytes())?;
            }
        }
        records.publish();
    }
    Ok(())
}

fn take_singly<const N: usize>(consumer: &mut Consumer, count: u64) -> Result<()> {
    let (mut total, mut left) = (0_u64, count);
    while left > 0 {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                total = total.wrapping_add(sum_of::<N>(&record).context("a record of another length")?);
                left -= 1;
            }
            Some(event) => return Err(unexpected(&event)),
            None => {}
        }
    }
    black_box(total);
    Ok(())
}
