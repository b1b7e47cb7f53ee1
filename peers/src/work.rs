//! The workloads, over anything that has two ends.

use std::hint::black_box;

use anyhow::Result;
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, records, trips};

/// Bytes of every queue, whoever makes it.
pub(crate) const CAPACITY: usize = 1 << 20;
/// Records of a batch.
pub(crate) const BATCH: usize = 64;
/// Records that a receiver which takes several at once takes at most, so that room is given back in time.
pub(crate) const GULP: usize = 64;

/// What an end is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Nobody waits for the receiver, and it is to know that it lost something.
    pub(crate) lossy: bool,
    /// One record is under way at a time.
    pub(crate) alternating: bool,
}

impl Shape {
    /// Slots of a queue that has them, by the bytes of a record.
    pub(crate) fn slots(bytes: usize) -> usize {
        CAPACITY / bytes
    }
}

/// The end that sends records of `N` words.
pub(crate) trait Sender<const N: usize> {
    /// Sends one record by itself. Waits while there is no room, unless it overwrites.
    fn send(&mut self, record: &[u64; N]) -> Result<()>;

    /// Sends [`BATCH`] records the way that is meant for several at once.
    fn send_batch(&mut self, _record: &[u64; N]) -> Result<()> {
        anyhow::bail!("this one has nothing for batches")
    }
}

/// The end that receives them.
pub(crate) trait Receiver<const N: usize> {
    /// Hands on what is there, in order, and returns at once if nothing is. How many records that were.
    fn receive(&mut self, each: impl FnMut(&[u64; N])) -> Result<usize>;
}

/// Both sides busy: a record there and a copy of it back.
pub(crate) fn pingpong<const N: usize>(
    scene: &Scene,
    mut sender: impl Sender<N>,
    mut receiver: impl Receiver<N>,
    count: u64,
    warm: u64,
) -> Result<Measured> {
    let mut record = [0x5a5a_u64; N];
    scene.meet();
    let measured = if scene.side == Side::Left {
        let mut trip = || {
            sender.send(black_box(&record))?;
            one(&mut receiver, &mut record)
        };
        (0..warm).try_for_each(|_| trip())?;
        trips(scene, count, trip)?
    } else {
        let mut answer = || {
            one(&mut receiver, &mut record)?;
            sender.send(black_box(&record))
        };
        (0..warm).try_for_each(|_| answer())?;
        partner(scene, || (0..count).try_for_each(|_| answer()).map(|()| None))?
    };
    // Nobody leaves before the other is done: what leaving does to a queue is no part of this.
    scene.meet();
    Ok(measured)
}

#[inline(always)]
fn one<const N: usize>(receiver: &mut impl Receiver<N>, record: &mut [u64; N]) -> Result<()> {
    while receiver.receive(|received| *record = *received)? == 0 {}
    Ok(())
}

/// How a stream is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) batched: bool,
    /// The producer would overwrite: it waits until half the queue at most is not yet received. The receiver says in
    /// a word of its own how far it is.
    pub(crate) credits: bool,
    pub(crate) count: u64,
    pub(crate) warm: u64,
}

impl Stream {
    fn rounded(self, count: u64) -> u64 {
        if self.batched { count.next_multiple_of(BATCH as u64) } else { count }
    }
}

/// As fast as it goes, the sending side.
pub(crate) fn give<const N: usize>(
    scene: &Scene,
    mut sender: impl Sender<N>,
    stream: Stream,
) -> Result<Measured> {
    let record = [0x5a5a_u64; N];
    // A record has a header besides: a queue of bytes holds fewer.
    let window = (Shape::slots(N * 8 + 16) / 2) as u64;
    let (mut sent, mut received) = (0_u64, 0_u64);
    if stream.credits {
        scene.ground.credit().set(0);
    }
    let mut send = |count: u64| -> Result<()> {
        if stream.batched {
            return (0..count / BATCH as u64).try_for_each(|_| sender.send_batch(black_box(&record)));
        }
        for _ in 0..count {
            if stream.credits {
                sent += 1;
                while sent - received > window {
                    received = scene.ground.credit().acquire();
                }
            }
            sender.send(black_box(&record))?;
        }
        Ok(())
    };
    scene.meet();
    send(stream.rounded(stream.warm))?;
    let count = stream.rounded(stream.count);
    let measured = partner(scene, || send(count).map(|()| None))?;
    scene.meet();
    Ok(measured)
}

/// The receiving side: it adds up every word.
pub(crate) fn take<const N: usize>(
    scene: &Scene,
    mut receiver: impl Receiver<N>,
    stream: Stream,
) -> Result<Measured> {
    let mut received = 0;
    let mut receive = |count: u64| -> Result<()> {
        let (mut total, until) = (0_u64, received + count);
        while received < until {
            let some = receiver.receive(|record| total = total.wrapping_add(sum(record)))?;
            received += some as u64;
            if stream.credits && some > 0 {
                scene.ground.credit().release(received);
            }
        }
        black_box(total);
        Ok(())
    };
    scene.meet();
    receive(stream.rounded(stream.warm))?;
    let count = stream.rounded(stream.count);
    let measured = records(scene, count, || receive(count))?;
    scene.meet();
    Ok(measured)
}

/// A producer that never waits.
pub(crate) fn flood<const N: usize>(
    scene: &Scene,
    mut sender: impl Sender<N>,
    count: u64,
) -> Result<Measured> {
    let record = [0x5a5a_u64; N];
    let mut parts = 0;
    scene.ground.finished().set(0);
    scene.meet();
    let mut send = |count: u64| -> Result<()> {
        (0..count).try_for_each(|_| sender.send(black_box(&record)))?;
        parts += 1;
        scene.ground.finished().release(parts);
        Ok(())
    };
    send(count)?;
    let measured = records(scene, count, || send(count))?;
    scene.meet();
    Ok(measured)
}

/// Its receiver: busy, adds up every word it gets, and counts the records.
pub(crate) fn follow<const N: usize>(
    scene: &Scene,
    mut receiver: impl Receiver<N>,
    count: u64,
) -> Result<Measured> {
    let mut parts = 0;
    scene.meet();
    let mut receive = || -> Result<f64> {
        let (mut total, mut received) = (0_u64, 0);
        parts += 1;
        loop {
            let over = scene.ground.finished().acquire() >= parts;
            let some = receiver.receive(|record| total = total.wrapping_add(sum(record)))?;
            received += some;
            // Nothing was there after the last was sent.
            if over && some == 0 {
                break;
            }
        }
        black_box(total);
        Ok(received as f64 / count as f64)
    };
    receive()?;
    let measured = partner(scene, || receive().map(Some))?;
    scene.meet();
    Ok(measured)
}

#[inline(always)]
fn sum<const N: usize>(record: &[u64; N]) -> u64 {
    record.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}
