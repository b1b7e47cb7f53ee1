//! What a reader's back-off does for it: as many records as it can receive of a producer that sends one by one, with and
//! without it.

use anyhow::Result;
use quoit::{Attach, Consumer, Observer, Producer, Start, WaitMode};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::by_words;
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, received};
use serde::{Deserialize, Serialize};

use crate::ends::{forget_ring, options, ring};
use crate::follow::{Follower, follow};
use crate::stream::singly;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reader {
    Gated,
    Lossy,
    Observer,
}

impl Reader {
    pub(crate) const ALL: [Self; 3] = [Self::Gated, Self::Lossy, Self::Observer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gated => "gated",
            Self::Lossy => "lossy",
            Self::Observer => "observer",
        }
    }
}

/// A ring, what is sent through it, and who reads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) capacity: usize,
    pub(crate) bytes: usize,
    /// Of a window.
    pub(crate) count: u64,
    pub(crate) reader: Reader,
    pub(crate) backs_off: bool,
}

pub(crate) fn case(scene: &Scene, case: Case) -> Result<Measured> {
    by_words!(case.bytes, case_of(scene, case))
}

fn case_of<const N: usize>(scene: &Scene, case: Case) -> Result<Measured> {
    let path = ring(scene);
    if scene.side == Side::Left {
        let producer = Producer::create(path, &options(case.capacity, WaitMode::default()))?;
        scene.meet();
        scene.meet();
        forget_ring(scene)?;
        return give::<N>(scene, producer, case);
    }
    scene.meet();
    match case.reader {
        Reader::Gated => take::<N>(scene, Consumer::open(path, &Attach::gated())?, case),
        Reader::Lossy => take::<N>(scene, Consumer::open(path, &Attach::lossy())?, case),
        Reader::Observer => take::<N>(scene, Observer::open(path, Start::Newest)?, case),
    }
}

/// A lap, and time for some experiments.
fn warm(case: Case) -> u64 {
    ((case.capacity / (case.bytes + 8)) as u64).max(2 * case.count)
}

fn give<const N: usize>(scene: &Scene, mut producer: Producer, case: Case) -> Result<Measured> {
    let mut builder = Copied::<N>::new();
    singly(&mut producer, &mut builder, warm(case))?;
    let measured = partner(scene, || singly(&mut producer, &mut builder, case.count).map(|()| None))?;
    scene.meet();
    Ok(measured)
}

fn take<const N: usize>(scene: &Scene, mut follower: impl Follower, case: Case) -> Result<Measured> {
    if !case.backs_off {
        follower.turn_backoff_off();
    }
    scene.meet();
    follow::<N>(&mut follower, warm(case))?;
    let measured = received(scene, || follow::<N>(&mut follower, case.count))?;
    scene.meet();
    Ok(measured)
}
