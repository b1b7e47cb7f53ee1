//! The floor of open loops: a record is due every so often, whether the one before was late or not, and its latency counts
//! from when it was due. So whoever stalls has to answer for everything that was due meanwhile.

use std::hint::black_box;

use anyhow::Result;
use rustix::time::ClockId;

use crate::bounce::{get, put};
use crate::figures::Measured;
use crate::ground::APART;
use crate::scene::{Scene, Side, nanos};
use crate::stream::clear;
use crate::windows::{clock_cost, latencies, partner};

const WORDS: usize = 8;
/// Pairs of cache lines, and how often the reader says how far it is.
const LINES: u64 = 1024;
const CADENCE: u64 = 256;
/// Between the beginning of a window and the first record, ns: both sides are at their places by then.
const LEAD: u64 = 5_000;

fn now() -> u64 {
    nanos(ClockId::Monotonic)
}

/// Sends each record as soon as it is due, with the time at which it was.
pub fn paced(count: u64, interval: u64, mut send: impl FnMut(u64) -> Result<()>) -> Result<()> {
    let first = now() + LEAD;
    for number in 0..count {
        let due = first + number * interval;
        while now() < due {}
        send(due)?;
    }
    Ok(())
}

/// How long ago it was due, ns.
pub fn since(due: u64) -> u32 {
    u32::try_from(now().saturating_sub(due)).unwrap_or(u32::MAX)
}

/// Records of 64 bytes, each in lines of its own behind a sequence, as the round trip's floor has it. The reader says only
/// now and then how far it is, so that the writer waits for it instead of overwriting.
pub fn lines(scene: &Scene, count: u64, interval: u64) -> Result<Measured> {
    let clock = clock_cost();
    let room = scene.ground.room(8 * APART * (1 + LINES as usize));
    clear(scene, room);
    let (told, lines) = room.split_at(APART);
    let told = &told[0];
    let line = |turn: u64| &lines[(turn % LINES) as usize * APART..][..=WORDS];
    let mut turn = 0;
    if scene.side == Side::Left {
        let (mut seen, mut payload) = (0, [0x5a5a_u64; WORDS]);
        return partner(scene, || {
            paced(count, interval, |due| {
                turn += 1;
                while turn - seen > LINES - CADENCE {
                    seen = told.acquire();
                }
                payload[0] = due;
                put(line(turn), turn, &payload);
                Ok(())
            })?;
            Ok(None)
        });
    }
    let mut payload = [0; WORDS];
    latencies(scene, clock, || {
        let mut samples = Vec::with_capacity(count as usize);
        for _ in 0..count {
            turn += 1;
            get(line(turn), turn, &mut payload);
            samples.push(since(black_box(&payload)[0]));
            if turn % CADENCE == 0 {
                told.release(turn);
            }
        }
        Ok(samples)
    })
}
