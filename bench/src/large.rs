//! Records of 1 MiB: copied into shared memory and read where they are, by bare hands and through a ring.

use std::hint::black_box;

use anyhow::{Result, bail};
use quoit::{Attach, Event, Producer, WaitMode};
use quoit_floors::figures::Measured;
use quoit_floors::ground::{APART, copy_in, fill_in_place, sum, sum_in_place, sum_words};
use quoit_floors::scene::{Scene, Side};
use quoit_floors::stream::clear;
use quoit_floors::windows::{partner, records};
use serde::{Deserialize, Serialize};

use crate::ends::{End, one_way, options, unexpected};

pub(crate) const BYTES: usize = 1 << 20;
/// Bytes of both rings.
const CAPACITY: usize = 8 << 20;
const PLACES: usize = CAPACITY / BYTES;

/// How a large record gets into the ring and out of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// Written into a slice of the claim, read in a slice of the record.
    InPlace,
    /// Written by `Claim::write_at`, copied out by `Record::copy_to`.
    Copied,
}

/// Floor: places of 1 MiB, one after the other, and a word for each that says whether it is full.
pub(crate) fn copies(scene: &Scene, count: u64) -> Result<Measured> {
    let room = scene.ground.room(CAPACITY + 8 * PLACES * APART);
    clear(scene, room);
    let (full, places) = room.split_at(PLACES * APART);
    let mut places = full.chunks_exact(APART).zip(places.chunks_exact(BYTES / 8)).cycle();
    if scene.side == Side::Left {
        let source = vec![0x5a_u8; BYTES];
        let mut give = |count: u64| {
            for (full, place) in places.by_ref().take(count as usize) {
                while full[0].acquire() != 0 {}
                copy_in(place, black_box(&source));
                full[0].release(1);
            }
        };
        give(PLACES as u64);
        return partner(scene, || {
            give(count);
            Ok(None)
        });
    }
    let mut take = |count: u64| {
        for (full, place) in places.by_ref().take(count as usize) {
            while full[0].acquire() == 0 {}
            black_box(sum_words(place));
            full[0].release(0);
        }
    };
    take(PLACES as u64);
    records(scene, count, || {
        take(count);
        Ok(())
    })
}

pub(crate) fn ring(scene: &Scene, count: u64, way: Way) -> Result<Measured> {
    let options = options(CAPACITY, WaitMode::default()).gated_only(true);
    let mut end = one_way::<Producer>(scene, &options, Some(&Attach::gated()))?;
    let warm = PLACES as u64;
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            let source = vec![0x5a_u8; BYTES];
            let mut give = |count: u64| -> Result<()> {
                for _ in 0..count {
                    let mut claim = producer.claim(BYTES)?;
                    match way {
                        Way::InPlace => fill_in_place(&mut claim, black_box(&source))?,
                        Way::Copied => claim.write_at(0, black_box(&source))?,
                    }
                    claim.publish();
                }
                Ok(())
            };
            give(warm)?;
            partner(scene, || give(count).map(|()| None))?
        }
        End::Consumer(consumer) => {
            let mut buffer = vec![0_u8; BYTES];
            let mut take = |count: u64| -> Result<()> {
                let mut left = count;
                while left > 0 {
                    match consumer.try_recv()? {
                        Some(Event::Record(record)) => {
                            left -= 1;
                            black_box(match way {
                                Way::InPlace => sum_in_place(&record),
                                Way::Copied => {
                                    record.copy_to(&mut buffer);
                                    sum(&buffer)
                                }
                            });
                        }
                        Some(event) => return Err(unexpected(&event)),
                        None => {}
                    }
                }
                // The last one's room is the producer's again, as the floor's is.
                consumer.release();
                Ok(())
            };
            take(warm)?;
            records(scene, count, || take(count))?
        }
        End::Nobody => bail!("a stream needs a reader"),
    };
    scene.meet();
    Ok(measured)
}
