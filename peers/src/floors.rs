//! What the hardware does with plain atomics and nothing of a queue's duties: the measure of everything else. The
//! same four as those of `quoit bench`.

use std::hint::black_box;

use anyhow::Result;

use crate::figures::Figures;
use crate::ground::{APART, ROOM_BYTES, Word};
use crate::scene::{Scene, Side};
use crate::windows::{partner, records, trips};

/// Round trips before the first that is timed.
const WARM: u64 = 1000;

/// Bytes between two fixed areas: the sequence is stored with Release after the payload.
pub(crate) fn bounce<const N: usize>(scene: &Scene, count: u64) -> Result<Figures> {
    let (there, back) = (scene.ground.area(0), scene.ground.area(1));
    if scene.side == Side::Left {
        there[0].set(0);
        back[0].set(0);
    }
    scene.meet();
    let (mut turn, mut payload) = (0, [0x5a5a_u64; N]);
    if scene.side == Side::Left {
        let mut trip = || {
            turn += 1;
            put_at(there, turn, &payload);
            get_at(back, turn, &mut payload);
            Ok(())
        };
        (0..WARM).try_for_each(|_| trip())?;
        return trips(scene, count, trip);
    }
    let mut answers = |count| {
        for _ in 0..count {
            turn += 1;
            get_at(there, turn, &mut payload);
            put_at(back, turn, &payload);
        }
    };
    answers(WARM);
    partner(scene, || {
        answers(count);
        Ok(None)
    })
}

/// FastForward's way: a sequence beside every payload, 0 for an empty slot. Both sides know their own place only.
pub(crate) fn slots<const N: usize>(scene: &Scene, count: u64) -> Result<Figures> {
    let room = clear(scene);
    let mut slots = room.chunks_exact(N + 1).cycle();
    let warm = (ROOM_BYTES / 8 / (N + 1)) as u64;
    if scene.side == Side::Left {
        let (mut sequence, payload) = (0, [0x5a5a_u64; N]);
        let mut give = |count: u64| {
            for slot in slots.by_ref().take(count as usize) {
                let Some((stamp, words)) = slot.split_first() else { break };
                while stamp.acquire() != 0 {}
                sequence += 1;
                put(words, black_box(&payload));
                stamp.release(sequence);
            }
        };
        give(warm);
        return partner(scene, || {
            give(count);
            Ok(None)
        });
    }
    let mut take = |count: u64| {
        let mut total = 0;
        for slot in slots.by_ref().take(count as usize) {
            let Some((stamp, words)) = slot.split_first() else { break };
            while stamp.acquire() == 0 {}
            total = sum::<N>(words, total);
            stamp.release(0);
        }
        black_box(total);
    };
    take(warm);
    records(scene, count, || {
        take(count);
        Ok(())
    })
}

/// Lamport's way: payloads and nothing else in the ring, and each side's cursor in a line of its own, stored once per
/// batch. Each side looks at the other's cursor only when the one it remembers does not do.
pub(crate) fn cursors<const N: usize>(scene: &Scene, count: u64, batch: usize) -> Result<Figures> {
    let room = clear(scene);
    let (written, read, ring) = (&room[0], &room[APART], &room[2 * APART..]);
    let places = ring.len() / N / batch * batch;
    let batches = |count: u64| count / batch as u64;
    let warm = places as u64;
    let (mut end, mut seen) = (0, 0);
    let mut all = ring[..places * N].chunks_exact(N * batch).cycle();
    if scene.side == Side::Left {
        let payload = [0x5a5a_u64; N];
        let mut give = |count: u64| {
            for chunk in all.by_ref().take(batches(count) as usize) {
                end += batch as u64;
                while end - seen > places as u64 {
                    seen = read.acquire();
                }
                for words in chunk.chunks_exact(N) {
                    put(words, black_box(&payload));
                }
                written.release(end);
            }
        };
        give(warm);
        return partner(scene, || {
            give(count);
            Ok(None)
        });
    }
    let mut take = |count: u64| {
        let mut total = 0;
        for chunk in all.by_ref().take(batches(count) as usize) {
            end += batch as u64;
            while seen < end {
                seen = written.acquire();
            }
            for words in chunk.chunks_exact(N) {
                total = sum::<N>(words, total);
            }
            read.release(end);
        }
        black_box(total);
    };
    take(warm);
    records(scene, batches(count) * batch as u64, || {
        take(count);
        Ok(())
    })
}

/// A copy, word by word, into 4 KiB that stay in the nearest cache.
pub(crate) fn copies<const N: usize>(scene: &Scene, count: u64) -> Result<Figures> {
    if scene.side == Side::Right {
        return partner(scene, || Ok(None));
    }
    let room = &scene.ground.room()[..512];
    records(scene, count, || {
        let payload = [0x5a5a_u64; N];
        for words in room.chunks_exact(N).cycle().take(count as usize) {
            put(words, black_box(&payload));
        }
        Ok(())
    })
}

/// The room of a textbook ring, with zeros in it.
fn clear(scene: &Scene) -> &[Word] {
    let room = scene.ground.room();
    if scene.side == Side::Left {
        room.iter().for_each(|word| word.set(0));
    }
    scene.meet();
    room
}

#[inline(always)]
fn put_at<const N: usize>(area: &[Word], turn: u64, payload: &[u64; N]) {
    let Some((sequence, words)) = area.split_first() else { return };
    put(words, payload);
    sequence.release(turn);
}

#[inline(always)]
fn get_at<const N: usize>(area: &[Word], turn: u64, payload: &mut [u64; N]) {
    let Some((sequence, words)) = area.split_first() else { return };
    let Some(words) = words.first_chunk::<N>() else { return };
    while sequence.acquire() != turn {}
    for (word, value) in words.iter().zip(payload) {
        *value = word.get();
    }
}

#[inline(always)]
fn put<const N: usize>(words: &[Word], payload: &[u64; N]) {
    let Some(words) = words.first_chunk::<N>() else { return };
    for (word, value) in words.iter().zip(payload) {
        word.set(*value);
    }
}

#[inline(always)]
fn sum<const N: usize>(words: &[Word], total: u64) -> u64 {
    let Some(words) = words.first_chunk::<N>() else { return total };
    words.iter().fold(total, |sum, word| sum.wrapping_add(word.get()))
}
