//! An open loop: a record is due every so often, whether the one before was late or not, and its latency counts from
//! when it was due. So whoever stalls has to answer for everything that was due meanwhile.

use anyhow::{Result, bail};
use quoit::{Attach, Event, Producer, WaitMode};
use quoit_floors::bounce;
use quoit_floors::building::{Builder, Copied};
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::open::{paced, since};
use quoit_floors::scene::Scene;
use quoit_floors::stream::{capacity, warm};
use quoit_floors::windows::{clock_cost, latencies, partner};

use crate::ends::{End, one_way, options, unexpected};
use crate::stream::singly;

const BYTES: usize = 64;
const WORDS: usize = BYTES / 8;

/// Floor: half a round trip, as far as one way can be told without a clock on the other side.
pub(crate) fn half_bounce(scene: &Scene, count: u64) -> Result<Measured> {
    let measured = bounce::lines(scene, BYTES, count)?;
    let typical = measured.figures.typical / 2.0;
    // What a half of a slow round trip was, nobody knows.
    Ok(Figures { typical, tail: None, ..measured.figures }.into())
}

pub(crate) fn ring(scene: &Scene, count: u64, interval: u64) -> Result<Measured> {
    let clock = clock_cost();
    let options = options(capacity(BYTES), WaitMode::default());
    let mut end = one_way::<Producer>(scene, &options, Some(&Attach::gated()))?;
    let warm = warm(BYTES, 1);
    let mut payload = [0x5a_u8; BYTES];
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            singly(producer, &mut Copied::<WORDS>::new(), warm)?;
            partner(scene, || {
                paced(count, interval, |due| {
                    payload[..8].copy_from_slice(&due.to_le_bytes());
                    producer.send(&payload)?;
                    Ok(())
                })?;
                Ok(None)
            })?
        }
        End::Consumer(consumer) => {
            let mut take = |count: u64| -> Result<Vec<u32>> {
                let mut samples = Vec::with_capacity(count as usize);
                while samples.len() < count as usize {
                    match consumer.try_recv()? {
                        Some(Event::Record(record)) => {
                            record.copy_to(&mut payload);
                            let due = payload.first_chunk().copied().map_or(0, u64::from_le_bytes);
                            samples.push(since(due));
                        }
                        Some(event) => return Err(unexpected(&event)),
                        None => {}
                    }
                }
                Ok(samples)
            };
            take(warm)?;
            latencies(scene, clock, || take(count))?
        }
        End::Nobody => bail!("an open loop needs a reader"),
    };
    scene.meet();
    Ok(measured)
}
