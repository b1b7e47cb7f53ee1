//! Reading a latest value, by a bare seqlock: while nothing changes, after each change, and while it changes all the time.

use std::hint::black_box;
use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use anyhow::Result;
use quoit::sync::{Latest, LatestOptions, LatestReader};
use quoit_floors::figures::Measured;
use quoit_floors::ground::{APART, Word};
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{clock_cost, latencies, partner, records};
use serde::{Deserialize, Serialize};

use super::Take;
use super::locks::Value;

/// How a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kept {
    /// Two counts, or one that is odd meanwhile, around words: no file, no type, no writer that may die.
    Seqlock,
    /// With so many cells.
    Latest { cells: u32 },
}

/// What the writer does while the reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Writing {
    /// Nothing.
    Never,
    /// A change before each read.
    Between,
    /// One change after the other.
    Always,
}

/// The writing side.
trait Writes {
    fn write(&mut self, value: &Value) -> Result<()>;
}

/// The reading side.
trait Reads {
    /// Has the value looked at where it was copied to, as a program does: a value that is passed on in another enum is
    /// copied once more. False: it changed too often meanwhile.
    fn read(&mut self, within: impl FnOnce(&Value)) -> Result<bool>;
}

impl Writes for Latest<Value> {
    #[inline(always)]
    fn write(&mut self, value: &Value) -> Result<()> {
        self.set(value)?;
        Ok(())
    }
}

impl Reads for LatestReader<Value> {
    #[inline(always)]
    fn read(&mut self, within: impl FnOnce(&Value)) -> Result<bool> {
        // The error moves out of the result, as with `?`. If it were matched where it is, the result would have to be in
        // memory, and the value be stored twice.
        let value = match self.get() {
            Ok(value) => value,
            Err(error) => {
                return if matches!(error, quoit::Error::Busy) { Ok(false) } else { Err(error.into()) };
            }
        };
        within(&value);
        Ok(true)
    }
}

/// Sequence and value, side by side.
struct Seqlock<'a> {
    sequence: &'a Word,
    value: &'a [Word],
}

impl<'a> Seqlock<'a> {
    fn new(scene: &'a Scene) -> Option<Self> {
        let (sequence, rest) = scene.ground.area(0).split_first()?;
        Some(Self { sequence, value: rest.first_chunk::<{ size_of::<Value>() / 8 }>()? })
    }
}

impl Writes for Seqlock<'_> {
    #[inline(always)]
    fn write(&mut self, value: &Value) -> Result<()> {
        let sequence = self.sequence.get();
        self.sequence.set(sequence + 1);
        fence(Ordering::Release);
        self.value.iter().zip(value).for_each(|(word, value)| word.set(*value));
        self.sequence.release(sequence + 2);
        Ok(())
    }
}

impl Reads for Seqlock<'_> {
    #[inline(always)]
    fn read(&mut self, within: impl FnOnce(&Value)) -> Result<bool> {
        let before = self.sequence.acquire();
        let value = std::array::from_fn(|word| self.value[word].get());
        fence(Ordering::Acquire);
        let is_whole = before & 1 == 0 && self.sequence.get() == before;
        if is_whole {
            within(&value);
        }
        Ok(is_whole)
    }
}

pub(super) fn read(scene: &Scene, kept: Kept, writing: Writing, count: u64) -> Result<Measured> {
    let seqlock = || Seqlock::new(scene).ok_or_else(|| anyhow::anyhow!("the ground has no such area"));
    // The right side writes: it is the one that makes the value.
    let path = scene.path("latest");
    let measured = match (kept, scene.side) {
        (Kept::Seqlock, Side::Left) => {
            scene.meet();
            scene.meet();
            reading(scene, seqlock()?, writing, count)?
        }
        (Kept::Seqlock, Side::Right) => {
            let mut writer = seqlock()?;
            writer.sequence.set(0);
            writer.write(&Value::default())?;
            scene.meet();
            scene.meet();
            changing(scene, writer, writing, count)?
        }
        (Kept::Latest { .. }, Side::Left) => {
            scene.meet();
            let reader = LatestReader::<Value>::open(&path)?;
            scene.meet();
            reading(scene, reader, writing, count)?
        }
        (Kept::Latest { cells }, Side::Right) => {
            let options = LatestOptions::new().cells(cells);
            let writer = Latest::create(&path, &options, &Value::default())?;
            scene.meet();
            scene.meet();
            std::fs::remove_file(&path)?;
            changing(scene, writer, writing, count)?
        }
    };
    scene.meet();
    Ok(measured)
}

/// Where the sides take turns.
fn turns(scene: &Scene) -> (&Word, &Word) {
    let area = scene.ground.area(1);
    (&area[0], &area[2 * APART])
}

fn reading(scene: &Scene, mut value: impl Reads, writing: Writing, count: u64) -> Result<Measured> {
    let take = Take::new(scene);
    let (asked, done) = turns(scene);
    asked.set(0);
    done.set(0);
    scene.meet();
    let mut read = || -> Result<()> {
        while !value.read(|value| {
            black_box(value);
        })? {}
        Ok(())
    };
    if writing != Writing::Between {
        return records(scene, count, || {
            (0..count).try_for_each(|_| read())?;
            take.finish();
            Ok(())
        });
    }
    let (clock, mut turn) = (clock_cost(), 0);
    latencies(scene, clock, || {
        let mut samples = Vec::with_capacity(count as usize);
        for _ in 0..count {
            turn += 1;
            asked.release(turn);
            while done.acquire() != turn {
                std::hint::spin_loop();
            }
            let before = Instant::now();
            read()?;
            samples.push(u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX));
        }
        Ok(samples)
    })
}

fn changing(scene: &Scene, mut value: impl Writes, writing: Writing, count: u64) -> Result<Measured> {
    let take = Take::new(scene);
    let (asked, done) = turns(scene);
    scene.meet();
    let (mut turn, mut last) = (0, Value::default());
    let mut change = || {
        last.iter_mut().for_each(|word| *word += 1);
        value.write(&last)
    };
    partner(scene, || {
        match writing {
            Writing::Never => {}
            Writing::Between => {
                for _ in 0..count {
                    turn += 1;
                    while asked.acquire() != turn {
                        std::hint::spin_loop();
                    }
                    change()?;
                    done.release(turn);
                }
            }
            Writing::Always => {
                while !take.is_over() {
                    change()?;
                }
            }
        }
        take.next();
        Ok(None)
    })
}
