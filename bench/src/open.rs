//! An open loop: a record is due every so often, whether the one before was late or not, and its latency counts from
//! when it was due. So whoever stalls has to answer for everything that was due meanwhile.

use std::hint::black_box;

use anyhow::{Result, bail};
use quoit::{Attach, Event, WaitMode};
use quoit_floors::bounce::{self, get, put};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::ground::APART;
use quoit_floors::scene::{Scene, Side, nanos};
use quoit_floors::stream::{capacity, clear, warm};
use quoit_floors::windows::{clock_cost, latencies, partner};
use rustix::time::ClockId;

use crate::ends::{End, one_way, options, unexpected};
use crate::stream::singly;

const BYTES: usize = 64;
const WORDS: usize = BYTES / 8;
/// Floor: pairs of cache lines, and how often the reader says how far it is.
const LINES: u64 = 1024;
const CADENCE: u64 = 256;
/// Between the beginning of a window and the first record, ns: both sides are at their places by then.
const LEAD: u64 = 5_000;

fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Sends each as soon as it is due, with the time at which it was.
fn paced(count: u64, interval: u64, mut send: impl FnMut(u64) -> Result<()>) -> Result<Option<f64>> {
    let first = now() + LEAD;
    for number in 0..count {
        let due = first + number * interval;
        while now() < due {}
        send(due)?;
    }
    Ok(None)
}

fn since(due: u64) -> u32 {
    u32::try_from(now().saturating_sub(due)).unwrap_or(u32::MAX)
}

/// Floor: each record in lines of its own behind a sequence, as the round trip's floor has it. The reader says only
/// now and then how far it is, so that the writer waits for it rather than to overwrite.
pub(crate) fn lines(scene: &Scene, count: u64, interval: u64) -> Result<Measured> {
    let clock = clock_cost();
    let room = scene.ground.room(8 * APART * (1 + LINES as usize));
    clear(scene, room);
    let (told, lines) = room.split_at(APART);
    let told = &told[0];
    let line = |turn: u64| &lines[(turn % LINES) as usize * APART..][..=WORDS];
    let mut turn = 0;
    if scene.side == Side::Left {
        let (mut seen, mut payload) = (0, [0x5a5a_u64; WORDS]);
        return partner(scene, || {
            paced(count, interval, |due| {
                turn += 1;
                while turn - seen > LINES - CADENCE {
                    seen = told.acquire();
                }
                payload[0] = due;
                put(line(turn), turn, &payload);
                Ok(())
            })
        });
    }
    let mut payload = [0; WORDS];
    latencies(scene, clock, || {
        let mut samples = Vec::with_capacity(count as usize);
        for _ in 0..count {
            turn += 1;
            get(line(turn), turn, &mut payload);
            samples.push(since(black_box(&payload)[0]));
            if turn % CADENCE == 0 {
                told.release(turn);
            }
        }
        Ok(samples)
    })
}

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
    let mut end = one_way(scene, &options, Some(&Attach::gated()))?;
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
                })
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
