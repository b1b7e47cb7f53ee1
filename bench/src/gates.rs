//! What attached gated slots cost the one who publishes. One process holds all the consumers and drains each of them
//! between two bursts. Then it walks over memory of its own, so that its caches hold as little of the ring however
//! many consumers have read it, and drains one more record of each: every cursor has moved, and is in its cache,
//! whenever the producer looks at the gates.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quoit::{Attach, Consumer, Producer, WaitMode};
use quoit_floors::building::{Builder, Copied};
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::scene::{Scene, Side};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::ends::{forget_ring, options, ring};
use crate::stream::singly;

const BYTES: usize = 64;
/// As of a ring whose maker did not say. The gates are looked at about once per lap.
const CAPACITY: usize = 16 << 20;
const LAP: u64 = (CAPACITY / (BYTES + 8)) as u64;
/// Bursts of a lap.
const BURSTS: u64 = 16;
/// Records of the first lap, which touches memory that nobody has touched yet: large ones, as they are quickly read.
const FIRST: u64 = 15;
const LARGE: usize = CAPACITY / BURSTS as usize - 8;
/// How long to look for calm bursts.
const TIME: Duration = Duration::from_secs(3);
/// Slots of the ring.
const SLOTS: usize = 1024;
/// Bytes to be walked over: more than a last-level cache.
const WALK: usize = 48 << 20;
/// Descriptors of a measuring process besides those of its consumers.
const DESCRIPTORS: u64 = 64;

pub(crate) fn gates(scene: &Scene, laps: u64, slots: usize) -> Result<Measured> {
    if scene.side == Side::Left {
        let options = options(CAPACITY, WaitMode::default()).slots(SLOTS as u32);
        let producer = Producer::create(ring(scene), &options)?;
        scene.meet();
        scene.meet();
        forget_ring(scene)?;
        return publish(scene, producer, laps * BURSTS);
    }
    allow_descriptors(slots as u64 + DESCRIPTORS)?;
    scene.meet();
    let consumers = (0..slots).map(|_| Consumer::open(ring(scene), &Attach::gated()));
    let mut consumers = consumers.collect::<Result<Vec<_>, _>>()?;
    let memory = vec![1_u8; WALK];
    scene.meet();
    let mut drain = |burst: u64| {
        for consumer in &mut consumers {
            let received = consumer.drain(usize::MAX, |_| ())? as u64;
            ensure!(received == burst, "a consumer received {received} of {burst}");
        }
        Ok(())
    };
    scene.meet();
    drain(FIRST)?;
    loop {
        scene.meet();
        // The producer publishes a burst.
        let [over, ..] = scene.tell(0);
        if over == 1 {
            return Ok(Measured::default());
        }
        drain(LAP / BURSTS)?;
        black_box(memory.iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>());
        scene.meet();
        scene.meet();
        drain(1)?;
    }
}

/// The mean over calm bursts of at least a lap, so that the looks at the gates have their share in it.
fn publish(scene: &Scene, mut producer: Producer, wanted: u64) -> Result<Measured> {
    let large = vec![0x5a; LARGE];
    (0..FIRST).try_for_each(|_| producer.send(&large).map(drop))?;
    scene.meet();
    let mut builder = Copied::<{ BYTES / 8 }>::new();
    let (mut kept, mut nanos, mut left_out) = (0, 0.0, 0);
    let began = Instant::now();
    loop {
        scene.meet();
        let preemptions = scene.preemptions();
        let before = Instant::now();
        singly(&mut producer, &mut builder, LAP / BURSTS)?;
        let took = before.elapsed().as_nanos() as f64;
        if scene.preemptions() == preemptions {
            kept += 1;
            nanos += took;
        } else {
            left_out += 1;
        }
        let over = kept == wanted || began.elapsed() > TIME;
        scene.tell(u64::from(over));
        if over {
            break;
        }
        scene.meet();
        singly(&mut producer, &mut builder, 1)?;
        scene.meet();
    }
    let figures = Figures {
        typical: nanos / (kept.max(1) * (LAP / BURSTS)) as f64,
        disturbed: kept < BURSTS,
        windows_left_out: left_out,
        ..Figures::default()
    };
    Ok(figures.into())
}

fn allow_descriptors(wanted: u64) -> Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
            .with_context(|| format!("this process may not have {wanted} files open; raise `ulimit -n`"))?;
    }
    Ok(())
}

/// Whether one process may hold so many consumers here.
pub(crate) fn is_allowed() -> bool {
    getrlimit(Resource::Nofile).maximum.is_none_or(|most| most >= SLOTS as u64 + DESCRIPTORS)
}
