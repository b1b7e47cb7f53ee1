//! The short way of a record that one comparison lets through. In the smallest ring each record begins or ends a
//! segment, and all go the long way. Here a segment has room for four, and the second and third go the short way.
mod common;

use common::{Oracle, drain, look, model, options, payload};
use quoit::{Attach, Consumer, Producer, Ring, WaitMode};

/// The first record, which went the long way, has been received.
fn begun(inline: bool, attach: &Attach) -> (Ring, Producer, Consumer) {
    let options = options(0).capacity(256).inline(inline).wait(WaitMode::Fence);
    let ring = Ring::heap(&options).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(attach).unwrap();
    producer.try_send(&payload(0, 1)).unwrap();
    let mut first = Oracle::new(0, 1);
    first.feed(consumer.try_recv().unwrap().unwrap());
    (ring, producer, consumer)
}

/// A reader looks while `work` sends the second and the third record, and finds whatever it has not seen by then.
fn two(name: &'static str, inline: bool, work: impl Fn(&mut Producer) + Clone + Send + Sync + 'static) {
    model(name, 3, move || {
        let (_ring, mut producer, mut consumer) = begun(inline, &Attach::gated());
        let work = work.clone();
        let writer = common::spawn(move || {
            work(&mut producer);
            producer
        });
        let mut oracle = Oracle::new(1, 1);
        look(&mut consumer, &mut oracle, 2);
        let _producer = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.received, oracle.lost), (2, 0));
    });
}

fn send(producer: &mut Producer) {
    for sequence in 1..3 {
        assert_eq!(producer.try_send(&payload(sequence, 1)), Ok(sequence));
    }
}

fn claim(producer: &mut Producer) {
    drop(producer.try_claim(0).unwrap());
    for sequence in 1..3 {
        let mut claim = producer.try_claim(8).unwrap();
        claim.write_at(0, &payload(sequence, 1)).unwrap();
        assert_eq!(claim.publish(), sequence);
    }
}

#[test]
fn sent() {
    two("short_sent", false, send);
}

#[test]
fn sent_with_an_inline_copy() {
    two("short_sent_inline", true, send);
}

#[test]
fn claimed() {
    two("short_claimed", false, claim);
}

#[test]
fn claimed_with_an_inline_copy() {
    two("short_claimed_inline", true, claim);
}

/// The consumer sleeps for each record. Sleeps in the models have no end.
fn asleep(name: &'static str, work: fn(&mut Producer)) {
    model(name, 3, move || {
        let (_ring, mut producer, mut consumer) = begun(true, &Attach::gated());
        let writer = common::spawn(move || {
            work(&mut producer);
            producer
        });
        let mut oracle = Oracle::new(1, 1);
        while oracle.received < 2 {
            oracle.feed(consumer.recv().unwrap());
        }
        let _producer = writer.join().unwrap();
    });
}

#[test]
fn a_sleeper_is_woken_by_a_send() {
    asleep("short_asleep_sent", send);
}

#[test]
fn a_sleeper_is_woken_by_a_claim() {
    asleep("short_asleep_claimed", claim);
}

/// Both are seen, or neither.
#[test]
fn added_to_a_batch() {
    model("short_added", 3, || {
        let (_ring, mut producer, mut consumer) = begun(false, &Attach::gated());
        let writer = common::spawn(move || {
            let mut batch = producer.batch();
            for sequence in 1..3 {
                assert_eq!(batch.try_send(&payload(sequence, 1)), Ok(sequence));
            }
            assert_eq!(batch.publish(), Some(2));
            producer
        });
        let mut oracle = Oracle::new(1, 1);
        for _ in 0..2 {
            consumer.drain(4, |event| oracle.feed(event)).unwrap();
            assert!([0, 2].contains(&oracle.received), "a part of a batch");
        }
        let _producer = writer.join().unwrap();
        consumer.drain(4, |event| oracle.feed(event)).unwrap();
        assert_eq!((oracle.received, oracle.lost), (2, 0));
    });
}

/// A full ring, whose second record a reader is about to read. The first send goes the long way and says what will be
/// overwritten; the second overwrites that record.
#[test]
fn over_a_reader() {
    model("short_over_a_reader", 2, || {
        let (_ring, mut producer, mut consumer) = begun(false, &Attach::lossy());
        for sequence in 1..16 {
            producer.try_send(&payload(sequence, 1)).unwrap();
        }
        let writer = common::spawn(move || {
            for sequence in 16..18 {
                assert_eq!(producer.try_send(&payload(sequence, 1)), Ok(sequence));
            }
            producer
        });
        let mut oracle = Oracle::new(1, 1);
        look(&mut consumer, &mut oracle, 2);
        let _producer = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!(oracle.received + oracle.lost, 17, "records unaccounted for");
    });
}

/// Only the first record of a full ring is released; then a reader takes three more and releases them together. What it
/// has not released is never overwritten.
#[test]
fn up_to_a_gate() {
    model("short_up_to_a_gate", 2, || {
        let (_ring, mut producer, mut consumer) = begun(false, &Attach::gated());
        consumer.release();
        for sequence in 1..16 {
            producer.try_send(&payload(sequence, 1)).unwrap();
        }
        let writer = common::spawn(move || {
            let mut next = 16;
            for _ in 0..4 {
                if producer.try_send(&payload(next, 1)).is_ok() {
                    next += 1;
                }
            }
            (producer, next)
        });
        let mut oracle = Oracle::new(1, 1);
        for _ in 0..3 {
            oracle.feed(consumer.try_recv().unwrap().unwrap());
        }
        consumer.release();
        let (_producer, next) = writer.join().unwrap();
        assert!((17..=20).contains(&next), "sent up to {next}");
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.next, oracle.lost), (next, 0));
    });
}
