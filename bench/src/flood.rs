//! A producer that never waits.

use anyhow::Result;
use quoit::{Attach, Producer, WaitMode};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;
use quoit_floors::windows::{partner, records};

use crate::ends::{End, one_way, options};
use crate::follow::follow;
use crate::stream::{batched, singly};

const BYTES: usize = 64;
const WORDS: usize = BYTES / 8;
const CAPACITY: usize = 1 << 20;
const LAP: u64 = (CAPACITY / (BYTES + 8)) as u64;

pub(crate) fn flood(scene: &Scene, count: u64, reader: bool, batch: usize) -> Result<Measured> {
    let attach = Attach::lossy();
    let mut end =
        one_way::<Producer>(scene, &options(CAPACITY, WaitMode::default()), reader.then_some(&attach))?;
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            let mut builder = Copied::<WORDS>::new();
            let count = count / batch as u64 * batch as u64;
            let mut send = |count: u64| match batch {
                1 => singly(producer, &mut builder, count),
                _ => batched(producer, &mut builder, count, batch),
            };
            send(LAP)?;
            records(scene, count, || send(count))?
        }
        End::Consumer(consumer) => {
            follow::<WORDS>(consumer, LAP)?;
            partner(scene, || Ok(Some(follow::<WORDS>(consumer, count)? as f64 / count as f64)))?
        }
        End::Nobody => partner(scene, || Ok(None))?,
    };
    scene.meet();
    Ok(measured)
}
