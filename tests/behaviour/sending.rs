//! Sends and claims.

use std::time::{Duration, Instant, SystemTime};

use quoit::{Attach, OutOfClaim, SendError, Start};

use crate::common::{Oracle, payload};
use crate::{Scene, Setup};

crate::behaviours! {
    sends_arrive_in_order,
    every_length_arrives,
    one_byte_too_many_is_refused,
    the_largest_record_fits_at_every_offset,
    inline_makes_no_difference,
    claims_are_filled_piece_by_piece,
    a_claim_takes_no_write_past_its_end,
    a_dropped_claim_leaves_no_trace,
    a_claim_dropped_at_the_end_of_the_ring_leaves_no_trace,
    what_a_dropped_claim_wrote_is_never_seen,
    claims_of_every_length_arrive,
    the_producer_tells_about_itself,
    the_time_is_noted_once_in_a_segment,
}

fn sends_arrive_in_order(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for len in (0..300).map(|n| n * 37 % 211) {
        assert_eq!(producer.next_sequence(), sent.next());
        sent.send(&mut producer, len);
        oracle.keep_up(&sent, &mut consumer);
        assert_eq!(consumer.next_sequence(), sent.next());
    }
    assert!(consumer.try_recv().unwrap().is_none());
    oracle.is_done(&sent, setup.first);
}

fn every_length_arrives(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut gated, mut lossy, mut observed) = (setup.oracle(), setup.oracle(), setup.oracle());
    let mut producer = ring.producer();
    let mut gated_consumer = ring.consumer(&Attach::gated());
    let mut lossy_consumer = ring.consumer(&Attach::lossy());
    let mut observer = ring.observer(Start::Newest);
    assert_eq!(producer.max_len(), 2040, "half of 4096, without the header");
    for len in 0..=producer.max_len() {
        sent.send(&mut producer, len);
        gated.keep_up(&sent, &mut gated_consumer);
        lossy.keep_up(&sent, &mut lossy_consumer);
        observed.keep_up(&sent, &mut observer);
    }
    for oracle in [gated, lossy, observed] {
        oracle.is_done(&sent, setup.first);
        assert_eq!(oracle.lost(), 0);
    }
}

fn one_byte_too_many_is_refused(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let max = producer.max_len();
    sent.send(&mut producer, max);
    for len in [max + 1, max + 8, 4096, 1 << 20] {
        let bytes = vec![7; len];
        let refused = Err(SendError::TooLarge { len, max });
        assert_eq!(producer.send(&bytes), refused);
        assert_eq!(producer.try_send(&bytes), refused);
        assert_eq!(producer.send_deadline(&bytes, Instant::now()), refused);
        assert_eq!(producer.batch().send(&bytes), refused);
    }
    for len in [max + 1, u32::MAX as usize, (1 << 32) + 1, usize::MAX] {
        let refused = Some(SendError::TooLarge { len, max });
        assert_eq!(producer.claim(len).err(), refused);
        assert_eq!(producer.try_claim(len).err(), refused);
        assert_eq!(producer.claim_deadline(len, Instant::now()).err(), refused);
        assert_eq!(producer.batch().try_claim(len).err(), refused);
    }
    assert_eq!(producer.next_sequence(), sent.next());
    oracle.catch_up(&sent, &mut consumer);
    oracle.is_done(&sent, setup.first);
}

/// Bytes from `position` to the end of a ring of 4096.
fn room(position: u64) -> u64 {
    4096 - position % 4096
}

fn the_largest_record_fits_at_every_offset(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    let (mut gated, mut lossy) = (setup.oracle(), setup.oracle());
    let mut producer = ring.producer();
    let mut gated_consumer = ring.consumer(&Attach::gated());
    let mut lossy_consumer = ring.consumer(&Attach::lossy());
    let inspector = ring.inspector();
    let mut position = setup.position;
    for offset in (0..4096).step_by(8) {
        // Fillers up to the offset, then a record that does or does not fit before the end of the ring.
        let mut gaps = Vec::new();
        if position % 4096 > offset {
            gaps.push(room(position));
            gaps.push(offset);
        } else {
            gaps.push(offset - position % 4096);
        }
        for mut gap in gaps {
            while gap > 0 {
                let filler = gap.min(2048);
                sent.send(&mut producer, filler as usize - 8);
                gap -= filler;
                position = position.wrapping_add(filler);
                gated.keep_up(&sent, &mut gated_consumer);
                lossy.keep_up(&sent, &mut lossy_consumer);
            }
        }
        assert_eq!(position % 4096, offset);
        let len = [2040, 1016, 100][offset as usize / 8 % 3];
        let size = 8 + (len as u64).next_multiple_of(8);
        sent.send(&mut producer, len);
        let padding = if size > room(position) { room(position) } else { 0 };
        position = position.wrapping_add(padding + size);
        gated.keep_up(&sent, &mut gated_consumer);
        lossy.keep_up(&sent, &mut lossy_consumer);
        assert_eq!(inspector.snapshot().unwrap().published, position, "from offset {offset}");
    }
    gated.is_done(&sent, setup.first);
    lossy.is_done(&sent, setup.first);
    assert_eq!(lossy.lost(), 0);
}

fn inline_makes_no_difference(setup: Setup) {
    for inline in [true, false] {
        let ring = setup.backing.ring(&setup.options().inline(inline));
        assert_eq!(ring.snapshot().inline, inline);
        let mut sent = setup.sent();
        let (mut close, mut lagging) = (setup.oracle(), setup.oracle());
        let mut producer = ring.producer();
        let mut close_consumer = ring.consumer(&Attach::lossy());
        let mut lagging_consumer = ring.consumer(&Attach::gated());
        for round in 0..5 {
            for len in 0..=120 {
                sent.send(&mut producer, len);
                close.keep_up(&sent, &mut close_consumer);
                if (len + round) % 7 == 0 {
                    lagging.catch_up(&sent, &mut lagging_consumer);
                }
            }
            lagging.catch_up(&sent, &mut lagging_consumer);
        }
        close.is_done(&sent, setup.first);
        lagging.is_done(&sent, setup.first);
        assert_eq!(close.lost() + lagging.lost(), 0);
    }
}

fn claims_are_filled_piece_by_piece(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for len in [0, 1, 7, 8, 9, 96, 103, 104, 105, 500, 2040] {
        let bytes = payload(sent.next(), len);
        let mut claim = producer.try_claim(len).unwrap();
        assert_eq!(claim.len(), len);
        assert_eq!(claim.is_empty(), len == 0);
        assert_eq!(claim.sequence(), sent.next());
        // From the back, in pieces of 5 that overlap by 2.
        let mut end = len;
        while end > 0 {
            let start = end.saturating_sub(5);
            claim.write_at(start, &bytes[start..end]).unwrap();
            end = if start == 0 { 0 } else { start + 2 };
        }
        claim.write_at(len, &[]).unwrap();
        assert_eq!(claim.publish(), sent.next());
        sent.lens.push(len);
        oracle.keep_up(&sent, &mut consumer);
    }
}

fn a_claim_takes_no_write_past_its_end(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    let bytes = payload(sent.next(), 20);
    let mut claim = producer.claim(20).unwrap();
    claim.write_at(0, &bytes).unwrap();
    for (offset, count) in [(0, 21), (20, 1), (13, 8), (21, 0), (usize::MAX, 1), (usize::MAX - 3, 8)] {
        let refused: OutOfClaim = claim.write_at(offset, &vec![0xee; count]).unwrap_err();
        assert_eq!((refused.offset, refused.bytes, refused.len), (offset, count, 20));
    }
    claim.publish();
    sent.lens.push(20);
    oracle.keep_up(&sent, &mut consumer);
}

fn a_dropped_claim_leaves_no_trace(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for len in [0, 8, 100, 104, 600, 2040, 3, 2040, 2040] {
        let mut claim = producer.claim(len).unwrap();
        claim.write_at(0, &vec![0xdd; len]).unwrap();
        drop(claim);
        assert_eq!(producer.next_sequence(), sent.next());
        assert!(consumer.try_recv().unwrap().is_none());
        sent.send(&mut producer, len / 2);
        oracle.keep_up(&sent, &mut consumer);
        assert!(consumer.try_recv().unwrap().is_none());
    }
}

fn a_claim_dropped_at_the_end_of_the_ring_leaves_no_trace(setup: Setup) {
    for before_end in [8, 16, 64, 1016, 2040] {
        let origin = setup.position.wrapping_add(room(setup.position)).wrapping_sub(before_end);
        let ring = setup.backing.ring(&setup.options().origin(origin, setup.first));
        let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
        let mut producer = ring.producer();
        let mut consumer = ring.consumer(&Attach::gated());
        let mut observer = ring.observer(Start::Oldest);
        // Does not fit before the end: the rest of the ring is skipped, and then nothing follows.
        drop(producer.claim(2040).unwrap());
        assert!(consumer.try_recv().unwrap().is_none());
        assert!(observer.try_recv().unwrap().is_none());
        assert_eq!(ring.snapshot().records, 0);
        let mut late = ring.consumer(&Attach::lossy());
        for len in [16, 1000, 0, 1000] {
            sent.send(&mut producer, len);
            oracle.keep_up(&sent, &mut consumer);
        }
        let (mut observed, mut lossy) = (setup.oracle(), setup.oracle());
        observed.catch_up(&sent, &mut observer);
        lossy.catch_up(&sent, &mut late);
        for oracle in [oracle, observed, lossy] {
            oracle.is_done(&sent, setup.first);
        }
    }
}

fn what_a_dropped_claim_wrote_is_never_seen(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for len in (0..600).map(|n| n * 13 % 300) {
        // Headers that would be good ones, where the next record boundaries may come to be.
        let lookalike = (sent.next().wrapping_add(1) << 32 | 8).to_le_bytes().repeat(32);
        let mut claim = producer.claim(256).unwrap();
        claim.write_at(0, &lookalike).unwrap();
        drop(claim);
        sent.send(&mut producer, len);
        oracle.keep_up(&sent, &mut consumer);
        assert!(consumer.try_recv().unwrap().is_none());
    }
    let mut oldest = Oracle::new(ring.snapshot().oldest_sequence);
    oldest.catch_up(&sent, &mut ring.observer(Start::Oldest));
    assert!(oldest.received > 0);
    assert_eq!((oldest.next, oldest.lost()), (sent.next(), 0));
}

fn claims_of_every_length_arrive(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut lagging) = (setup.sent(), setup.oracle());
    let mut close = setup.oracle();
    let mut producer = ring.producer();
    let mut close_consumer = ring.consumer(&Attach::lossy());
    let mut lagging_consumer = ring.consumer(&Attach::gated());
    for len in 0..=300 {
        let bytes = payload(sent.next(), len);
        let mut claim = producer.claim(len).unwrap();
        claim.write_at(0, &bytes).unwrap();
        assert_eq!(claim.publish(), sent.next());
        sent.lens.push(len);
        close.keep_up(&sent, &mut close_consumer);
        if len % 5 == 0 {
            lagging.catch_up(&sent, &mut lagging_consumer);
        }
    }
    lagging.is_done(&sent, setup.first);
    close.is_done(&sent, setup.first);
    assert_eq!(close.lost(), 0);
}

fn the_producer_tells_about_itself(setup: Setup) {
    let ring = setup.ring();
    let before = ring.snapshot();
    assert_eq!((before.epoch, before.producer_alive, before.records), (0, false, 0));
    assert_eq!((before.published, before.next_sequence), (setup.position, setup.first));
    let mut sent = setup.sent();
    let mut producer = ring.producer();
    assert_eq!((producer.epoch(), producer.capacity(), producer.max_len()), (1, 4096, 2040));
    sent.send_many(&mut producer, [1, 20, 0]);
    let now = ring.snapshot();
    assert_eq!((now.capacity, now.slots, now.segments, now.epoch), (4096, 4, 64, 1));
    assert_eq!((now.records, now.bytes, now.next_sequence), (3, 21, sent.next()));
    assert_eq!(now.published, setup.position.wrapping_add(16 + 32 + 8));
    assert_eq!(now.oldest_sequence, setup.first);
    assert_eq!(now.mode, producer.wait_mode());
    assert_eq!(now.producer_pid, std::process::id());
    assert!(now.producer_alive && !now.closed);
    assert!(now.reserve.wrapping_sub(now.published) <= 64, "reserve is ahead by a segment at most");
    drop(producer);
    let after = ring.snapshot();
    assert!(!after.producer_alive && after.closed);
}

fn the_time_is_noted_once_in_a_segment(setup: Setup) {
    let ring = setup.ring();
    let now = || SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let noted = || ring.snapshot().noted_ns;
    assert!(noted().unwrap() <= now());
    let mut producer = ring.producer();
    let mut before = now();
    for _ in 0..3 {
        // Seventy-two segments of 64 bytes.
        for _ in 0..72 {
            producer.send(&[7; 56]).unwrap();
        }
        let after = now();
        let last = noted().unwrap();
        assert!((before..=after).contains(&last), "{last} is not from {before} to {after}");
        std::thread::sleep(Duration::from_millis(2));
        before = now();
        assert_eq!(noted(), Some(last), "noted without a publish");
        drop(producer);
        producer = ring.producer();
        assert_eq!(noted(), Some(last), "noted by a producer that has published nothing");
    }
}
