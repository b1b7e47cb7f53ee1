//! One stream to several consumers, a process each. The producer has the first CPU to itself, the consumers share the
//! second: what grows is their number, not what they run on.

use std::hint::black_box;

use anyhow::{Context, Result, bail};
use quoit::{Attach, Consumer, Event, Producer, WaitMode};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::figures::Measured;
use quoit_floors::ground::sum_of;
use quoit_floors::scene::Scene;
use quoit_floors::stream::{capacity, warm};
use quoit_floors::windows::{partner, records};

use crate::ends::{End, one_way, options, unexpected};
use crate::stream::singly;

const BYTES: usize = 64;

pub(crate) fn fan(scene: &Scene, count: u64, readers: usize) -> Result<Measured> {
    let options = options(capacity(BYTES), WaitMode::default()).slots(readers as u32);
    let mut end = one_way::<Producer>(scene, &options, Some(&Attach::gated()))?;
    let warm = warm(BYTES, 1);
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            let mut builder = Copied::<{ BYTES / 8 }>::new();
            singly(producer, &mut builder, warm)?;
            // The last consumer's last record ends the window.
            records(scene, count, || {
                singly(producer, &mut builder, count)?;
                scene.meet();
                Ok(())
            })?
        }
        End::Consumer(consumer) => {
            take(scene, consumer, warm)?;
            partner(scene, || {
                take(scene, consumer, count)?;
                scene.meet();
                Ok(None)
            })?
        }
        End::Nobody => bail!("a stream needs a reader"),
    };
    scene.meet();
    Ok(measured)
}

/// Reads every byte of so many records. In a crowd it lets the others run as soon as it has drained the ring.
fn take(scene: &Scene, consumer: &mut Consumer, count: u64) -> Result<()> {
    let (mut total, mut left) = (0_u64, count);
    while left > 0 {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                total = total
                    .wrapping_add(sum_of::<{ BYTES / 8 }>(&record).context("a record of another length")?);
                left -= 1;
            }
            Some(event) => return Err(unexpected(&event)),
            None if scene.is_crowded() => scene.pass(),
            None => {}
        }
    }
    black_box(total);
    Ok(())
}
