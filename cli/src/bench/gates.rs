//! What attached gated slots cost the one who publishes. One process holds all the consumers and drains each of them
//! between two bursts, so that every cursor is in that process's cache, and has moved, whenever the producer looks
//! at the gates.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use quoit::{Attach, Consumer, Producer, WaitMode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::figures::{Figures, Report};
use super::scene::{Scene, Side, options};
use super::stream::singly;

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
const TIME: Duration = Duration::from_millis(2500);
/// Descriptors of a measuring process besides those of its consumers.
const DESCRIPTORS: u64 = 64;

pub(crate) fn gates(scene: &Scene, laps: u64, slots: usize) -> Result<Report> {
    if scene.side == Side::Left {
        let options = options(CAPACITY, WaitMode::default()).slots(1024);
        let producer = Producer::create(scene.ring(), &options)?;
        scene.meet();
        scene.meet();
        scene.forget_ring()?;
        return publish(scene, producer, laps * BURSTS);
    }
    allow_descriptors(slots as u64 + DESCRIPTORS)?;
    scene.meet();
    let consumers = (0..slots).map(|_| Consumer::open(scene.ring(), &Attach::gated()));
    let mut consumers = consumers.collect::<Result<Vec<_>, _>>()?;
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
            return Ok(Report::default());
        }
        drain(LAP / BURSTS)?;
    }
}

/// The mean over calm bursts of at least a lap, so that the looks at the gates have their share in it.
fn publish(scene: &Scene, mut producer: Producer, wanted: u64) -> Result<Report> {
    singly(&mut producer, &vec![0x5a; LARGE], FIRST)?;
    scene.meet();
    let payload = [0x5a_u8; BYTES];
    let (mut kept, mut nanos, mut left_out) = (0, 0.0, 0);
    let began = Instant::now();
    loop {
        scene.meet();
        let preemptions = scene.preemptions();
        let before = Instant::now();
        singly(&mut producer, &payload, LAP / BURSTS)?;
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

/// How many gated consumers one process may hold here.
pub(crate) fn most_slots() -> usize {
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    most.saturating_sub(DESCRIPTORS) as usize
}
