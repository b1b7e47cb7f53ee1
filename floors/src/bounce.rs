//! The floor of round trips: the same bytes between two fixed areas of plain atomics.

use anyhow::Result;

use crate::figures::Measured;
use crate::ground::Word;
use crate::scene::{Scene, Side};
use crate::windows::{partner, trips};

/// Round trips before the first that is timed, at least.
pub const WARM: u64 = 1000;

/// Calls a function for so many bytes with the number of words as a constant: the compiler then unrolls its copies as far
/// as it likes.
#[macro_export]
macro_rules! by_words {
    ($bytes:expr, $function:ident($($argument:expr),*)) => {
        match $bytes {
            8 => $function::<1>($($argument),*),
            64 => $function::<8>($($argument),*),
            104 => $function::<13>($($argument),*),
            256 => $function::<32>($($argument),*),
            512 => $function::<64>($($argument),*),
            1024 => $function::<128>($($argument),*),
            4096 => $function::<512>($($argument),*),
            65_536 => $function::<8192>($($argument),*),
            bytes => Err(anyhow::anyhow!("nothing is measured with {bytes} bytes")),
        }
    };
}

/// Round trips of so many bytes, `count` to a window.
pub fn lines(scene: &Scene, bytes: usize, count: u64) -> Result<Measured> {
    by_words!(bytes, fixed(scene, count))
}

/// The sequence is stored with Release after the payload: the least that hands bytes over.
fn fixed<const N: usize>(scene: &Scene, count: u64) -> Result<Measured> {
    let (there, back) = (scene.ground.area(0), scene.ground.area(1));
    begin(scene);
    let (mut turn, mut payload) = (0, [0x5a5a_u64; N]);
    if scene.side == Side::Left {
        let mut trip = || {
            turn += 1;
            put(there, turn, &payload);
            get(back, turn, &mut payload);
            Ok(())
        };
        (0..WARM).try_for_each(|_| trip())?;
        return trips(scene, count, trip);
    }
    let mut answers = |count| {
        for _ in 0..count {
            turn += 1;
            get(there, turn, &mut payload);
            put(back, turn, &payload);
        }
    };
    answers(WARM);
    partner(scene, || {
        answers(count);
        Ok(None)
    })
}

/// Forgets the turns of an earlier measurement.
fn begin(scene: &Scene) {
    if scene.side == Side::Left {
        scene.ground.area(0)[0].set(0);
        scene.ground.area(1)[0].set(0);
    }
    scene.meet();
}

/// Fills an area, its sequence last.
#[inline(always)]
pub fn put<const N: usize>(area: &[Word], turn: u64, payload: &[u64; N]) {
    let Some((sequence, words)) = area.split_first() else { return };
    let Some(words) = words.first_chunk::<N>() else { return };
    for (word, value) in words.iter().zip(payload) {
        word.set(*value);
    }
    sequence.release(turn);
}

/// Waits for the sequence, and takes what the area holds.
#[inline(always)]
pub fn get<const N: usize>(area: &[Word], turn: u64, payload: &mut [u64; N]) {
    let Some((sequence, words)) = area.split_first() else { return };
    let Some(words) = words.first_chunk::<N>() else { return };
    while sequence.acquire() != turn {}
    for (word, value) in words.iter().zip(payload) {
        *value = word.get();
    }
}
