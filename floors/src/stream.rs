//! The floors of streams to a consumer that reads every byte: the textbook's rings.

use std::hint::black_box;

use anyhow::Result;

use crate::building::{Builder, Building, Copied, Payload};
use crate::figures::Measured;
use crate::ground::{APART, Word};
use crate::scene::{Scene, Side};
use crate::windows::{partner, records};
use crate::{by_building, by_words};

/// Bytes of a stream's ring, textbook or not, by the bytes of a record.
pub fn capacity(bytes: usize) -> usize {
    if bytes >= 4096 { 4 << 20 } else { 1 << 20 }
}

/// One lap before the first record that is timed.
pub fn warm(bytes: usize, batch: usize) -> u64 {
    ((capacity(bytes) / (bytes + 8)) as u64).next_multiple_of(batch as u64)
}

/// A ring with a sequence in every slot.
pub fn slots(scene: &Scene, bytes: usize, count: u64) -> Result<Measured> {
    slots_built(scene, bytes, count, Building::Copied)
}

/// The same with records that are built in this way.
pub fn slots_built(scene: &Scene, bytes: usize, count: u64, building: Building) -> Result<Measured> {
    by_building!(bytes, building, slots_of(scene, bytes, count))
}

/// FastForward's way: a sequence beside every payload, 0 for an empty slot. Both sides know their own place only.
fn slots_of<const N: usize, B: Builder<N>>(scene: &Scene, bytes: usize, count: u64) -> Result<Measured> {
    let room = scene.ground.room(capacity(bytes));
    let slots = || room.chunks_exact(N + 1).cycle();
    clear(scene, room);
    let warm = warm(bytes, 1);
    let mut slots = slots();
    if scene.side == Side::Left {
        let (mut sequence, mut builder) = (0, B::new());
        let mut give = |count: u64| {
            for slot in slots.by_ref().take(count as usize) {
                let Some((stamp, words)) = slot.split_first() else { break };
                while stamp.acquire() != 0 {}
                sequence += 1;
                build::<N>(words, &mut builder);
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
            total = sum_words::<N>(words, total);
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

/// A ring with two cursors, stored once per batch. The records come from an iterator.
pub fn cursors(scene: &Scene, bytes: usize, count: u64, batch: usize) -> Result<Measured> {
    by_words!(bytes, cursors_of(scene, bytes, count, batch))
}

/// Lamport's way: payloads and nothing else in the ring, and each side's cursor in a line of its own, stored once per
/// batch. Each side looks at the other's cursor only when the one it remembers does not do.
fn cursors_of<const N: usize>(scene: &Scene, bytes: usize, count: u64, batch: usize) -> Result<Measured> {
    let room = scene.ground.room(capacity(bytes));
    clear(scene, room);
    let (written, ring) = (&room[0], &room[2 * APART..]);
    let read = &room[APART];
    let places = ring.len() / N / batch * batch;
    let batches = |count: u64| count / batch as u64;
    let warm = warm(bytes, batch);
    let (mut end, mut seen) = (0, 0);
    let mut all = ring[..places * N].chunks_exact(N * batch).cycle();
    if scene.side == Side::Left {
        let mut payloads = Copied::<N>::new();
        let mut give = |count: u64| {
            for _ in 0..batches(count) {
                let Some(chunk) = all.next() else { break };
                end += batch as u64;
                while end - seen > places as u64 {
                    seen = read.acquire();
                }
                for (words, payload) in chunk.chunks_exact(N).zip(payloads.by_ref()) {
                    put::<N>(words, &payload);
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
        for _ in 0..batches(count) {
            let Some(chunk) = all.next() else { break };
            end += batch as u64;
            while seen < end {
                seen = written.acquire();
            }
            for words in chunk.chunks_exact(N) {
                total = sum_words::<N>(words, total);
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

/// Makes a textbook ring's room new again.
pub fn clear(scene: &Scene, room: &[Word]) {
    if scene.side == Side::Left {
        room.iter().for_each(|word| word.set(0));
    }
    scene.meet();
}

/// The next record, built in this slot or copied into it.
#[inline(always)]
fn build<const N: usize>(words: &[Word], builder: &mut impl Builder<N>) {
    let Some(words) = words.first_chunk::<N>() else { return };
    builder.fill(|place, word| words[place].set(word));
}

#[inline(always)]
fn put<const N: usize>(words: &[Word], payload: &Payload<N>) {
    let Some(words) = words.first_chunk::<N>() else { return };
    for (word, value) in words.iter().zip(&payload.0) {
        word.set(*value);
    }
}

#[inline(always)]
fn sum_words<const N: usize>(words: &[Word], total: u64) -> u64 {
    let Some(words) = words.first_chunk::<N>() else { return total };
    words.iter().fold(total, |sum, word| sum.wrapping_add(word.get()))
}
