//! The floor of a producer that never waits: the same records, copied into hot memory.

use anyhow::Result;

use crate::building::{Builder, Copied};
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
    let mut builder = Copied::<N>::new();
    let mut copy = |count: u64| {
        for words in room.as_chunks::<N>().0.iter().cycle().take(count as usize) {
            builder.fill(|place, word| words[place].set(word));
        }
    };
    records(scene, count, || {
        copy(count);
        Ok(())
    })
}
