//! A producer that never waits, against a copy of the same bytes into hot memory.

use std::hint::black_box;

use anyhow::Result;
use quoit::{Attach, Consumer, Event, WaitMode};

use super::figures::Report;
use super::ground::sum;
use super::scene::{End, Scene, Side, options};
use super::stream::{batched, singly};
use super::windows::{partner, records};

const BYTES: usize = 64;
const CAPACITY: usize = 1 << 20;
const LAP: u64 = (CAPACITY / (BYTES + 8)) as u64;

/// Floor: word by word, Relaxed, into 4 KiB that stay in the nearest cache.
pub(crate) fn copies(scene: &Scene, count: u64) -> Result<Report> {
    if scene.side == Side::Right {
        return partner(scene, || Ok(None));
    }
    let room = scene.ground.room(4096);
    let copy = |count: u64| {
        let payload = [0x5a5a_u64; BYTES / 8];
        for words in room.chunks_exact(BYTES / 8).cycle().take(count as usize) {
            for (word, value) in words.iter().zip(black_box(&payload)) {
                word.set(*value);
            }
        }
    };
    records(scene, count, || {
        copy(count);
        Ok(())
    })
}

pub(crate) fn flood(scene: &Scene, count: u64, reader: bool, batch: usize) -> Result<Report> {
    let attach = Attach::lossy();
    let mut end = scene.one_way(&options(CAPACITY, WaitMode::default()), reader.then_some(&attach))?;
    scene.meet();
    let figures = match &mut end {
        End::Producer(producer) => {
            let payload = [0x5a_u8; BYTES];
            let count = count / batch as u64 * batch as u64;
            let mut send = |count: u64| match batch {
                1 => singly(producer, &payload, count),
                _ => batched(producer, &payload, count, batch),
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
    Ok(figures)
}

/// Receives what it can of `count` records; returns how much that was.
fn follow(consumer: &mut Consumer, count: u64) -> Result<f64> {
    let (mut total, mut passed, mut received) = (0_u64, 0, 0_u64);
    while passed < count {
        match consumer.try_recv()? {
            Some(Event::Record(record)) => {
                total = total.wrapping_add(sum(&record.bytes()));
                received += 1;
                passed += 1;
            }
            Some(Event::Lost(loss)) => passed += loss.records,
            Some(_) | None => {}
        }
    }
    black_box(total);
    Ok(received as f64 / count as f64)
}
