//! The floor of a producer that never waits: a copy of the same bytes into hot memory.

use std::hint::black_box;

use anyhow::Result;

use crate::figures::Measured;
use crate::scene::{Scene, Side};
use crate::windows::{partner, records};

/// Bytes of the memory: they stay in the nearest cache.
const HOT: usize = 4096;

/// Copies of `N` words, `count` to a window: word by word, Relaxed.
pub fn copies<const N: usize>(scene: &Scene, count: u64) -> Result<Measured> {
    if scene.side == Side::Right {
        return partner(scene, || Ok(None));
    }
    let room = scene.ground.room(HOT);
    let copy = |count: u64| {
        let payload = [0x5a5a_u64; N];
        for words in room.chunks_exact(N).cycle().take(count as usize) {
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
