//! The ends of the rings that are measured: who makes them, who attaches, and that nothing is left of their files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use quoit::{Attach, Consumer, Event, Options, Producer, Typed, TypedProducer, WaitMode};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, records};

const RINGS: [&str; 2] = ["there", "back"];

/// One side's end of a ring.
#[allow(clippy::large_enum_variant, reason = "a side has one")]
pub(crate) enum End<P> {
    Producer(P),
    Consumer(Consumer),
    Nobody,
}

/// A producer of some kind.
pub(crate) trait Create: Sized {
    /// Makes a ring at this path.
    fn create(path: &Path, options: &Options) -> Result<Self>;
}

impl Create for Producer {
    fn create(path: &Path, options: &Options) -> Result<Self> {
        Ok(Self::create(path, options)?)
    }
}

impl<T: Typed> Create for TypedProducer<T> {
    fn create(path: &Path, options: &Options) -> Result<Self> {
        Ok(Self::create(path, options)?)
    }
}

/// A ring for each direction, and this side's two ends of them. Nothing is left of their files.
pub(crate) fn both_ways(scene: &Scene, options: &Options) -> Result<(Producer, Consumer)> {
    let [mine, other] = if scene.side == Side::Left { RINGS } else { [RINGS[1], RINGS[0]] };
    let producer = Producer::create(scene.path(mine), options)?;
    scene.meet();
    let consumer = Consumer::open(scene.path(other), &Attach::gated())?;
    scene.meet();
    remove(scene, mine)?;
    Ok((producer, consumer))
}

/// What the left side sends, with nobody reading. `give` sends so many records; the first `lap` of them do not count.
pub(crate) fn unread<P: Create>(
    scene: &Scene,
    options: &Options,
    lap: u64,
    count: u64,
    mut give: impl FnMut(&mut P, u64) -> Result<()>,
) -> Result<Measured> {
    let mut end = one_way::<P>(scene, options, None)?;
    scene.meet();
    let measured = match &mut end {
        End::Producer(producer) => {
            give(producer, lap)?;
            records(scene, count, || give(producer, count))?
        }
        End::Nobody => partner(scene, || Ok(None))?,
        End::Consumer(_) => bail!("nobody is to read"),
    };
    scene.meet();
    Ok(measured)
}

/// One ring from left to right: this process's end of it.
pub(crate) fn one_way<P: Create>(
    scene: &Scene,
    options: &Options,
    attach: Option<&Attach>,
) -> Result<End<P>> {
    let path = ring(scene);
    let end = match (scene.side, attach) {
        (Side::Left, _) => {
            let producer = P::create(&path, options)?;
            scene.meet();
            End::Producer(producer)
        }
        (Side::Right, Some(attach)) => {
            scene.meet();
            End::Consumer(Consumer::open(path, attach)?)
        }
        (Side::Right, None) => {
            scene.meet();
            End::Nobody
        }
    };
    scene.meet();
    forget_ring(scene)?;
    Ok(end)
}

/// Where the ring from left to right is made.
pub(crate) fn ring(scene: &Scene) -> PathBuf {
    scene.path(RINGS[0])
}

/// Removes its file, once everybody is attached.
pub(crate) fn forget_ring(scene: &Scene) -> Result<()> {
    if scene.side == Side::Left { remove(scene, RINGS[0]) } else { Ok(()) }
}

fn remove(scene: &Scene, ring: &str) -> Result<()> {
    std::fs::remove_file(scene.path(ring)).context("could not remove a ring")
}

/// How the rings are made, but for their size.
pub(crate) fn options(capacity: usize, wait: WaitMode) -> Options {
    Options::new().capacity(capacity as u64).slots(4).wait(wait)
}

/// An event that is neither a record nor, to a lossy consumer, a loss: there are no others while the producer lives.
pub(crate) fn unexpected(event: &Event<'_>) -> anyhow::Error {
    anyhow::anyhow!("a consumer was told {event:?} in the middle of a measurement")
}
