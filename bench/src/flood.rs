//! A producer that never waits.

use std::hint::black_box;

use anyhow::Result;
use quoit::{Attach, Consumer, Event, WaitMode};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::figures::Measured;
use quoit_floors::ground::sum_of;
use quoit_floors::scene::Scene;
use quoit_floors::windows::{partner, records};

use crate::ends::{End, one_way, options};
use crate::stream::{batched, singly};

const BYTES: usize = 64;
const CAPACITY: usize = 1 << 20;
/// Records that the consumer takes at a time, at most.
const GULP: usize = 64;
const LAP: u64 = (CAPACITY / (BYTES + 8)) as u64;

pub(crate) fn flood(scene: &Scene, count: u64, reader: bool, batch: usize) -> Result<Measured> {
    let attach = Attach::lossy();
    let mut end = one_way(scene, &options(CAPACITY, WaitMode::default()), reader.then_some(&attach))?;
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            let mut builder = Copied::<{ BYTES / 8 }>::new();
            let count = count / batch as u64 * batch as u64;
            let mut send = |count: u64| match batch {
                1 => singly(producer, &mut builder, count),
                _ => batched(producer, &mut builder, count, batch),
            };
            send(LAP)?;
            records(scene, count, || send(count))?
        }
        End::Consumer(consumer) => {
            follow(consumer, LAP)?;
            partner(scene, || follow(consumer, count).map(Some))?
        }
        End::Nobody => partner(scene, || Ok(None))?,
    };
    scene.meet();
    Ok(measured)
}

/// Receives what it can of `count` records; returns how much that was.
fn follow(consumer: &mut Consumer, count: u64) -> Result<f64> {
    let (mut total, mut passed, mut received, mut trouble) = (0_u64, 0, 0_u64, None);
    while passed < count {
        consumer.drain(GULP, |event| match event {
            Event::Record(record) => match sum_of::<{ BYTES / 8 }>(&record) {
                Ok(sum) => {
                    total = total.wrapping_add(sum);
                    received += 1;
                    passed += 1;
                }
                Err(error) => trouble = Some(error),
            },
            Event::Lost(loss) => passed += loss.records,
            _ => {}
        })?;
        if let Some(error) = trouble {
            return Err(error);
        }
    }
    black_box(total);
    Ok(received as f64 / count as f64)
}
