//! Skipping to the newest record beside a producer: [R8], [I1], [I2], [R1]. What is received behind a skip is whole, and
//! what was skipped and lost is counted exactly.
mod common;

use common::{Oracle, first_sequence, model, options, payload};
use quoit::{Attach, Consumer, Ring};

fn skip(consumer: &mut Consumer, oracle: &mut Oracle, words: usize) {
    let skipped = consumer.skip_to_newest(|event| oracle.feed(event)).unwrap();
    assert_eq!(skipped.bytes, 8 * words as u64 * skipped.records, "skipped bytes miscounted");
    oracle.next = oracle.next.wrapping_add(skipped.records);
    assert_eq!(consumer.next_sequence(), oracle.next, "skipped records miscounted");
}

/// A reader that skips and receives beside a producer, which has sent some `records` before and sends one meanwhile. In the
/// end the newest record comes next.
fn skipping(name: &'static str, attach: Attach, before_end: u64, records: u64, words: usize) {
    model(name, 2, move || {
        let ring = Ring::heap(&options(before_end).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&attach).unwrap();
        let first = first_sequence(before_end);
        let mut send = move |sent| {
            let sequence = first.wrapping_add(sent);
            assert_eq!(producer.try_send(&payload(sequence, words)), Ok(sequence));
        };
        (0..records).for_each(&mut send);
        let writer = common::spawn(move || {
            send(records);
            send
        });
        let mut oracle = Oracle::new(first, words);
        skip(&mut consumer, &mut oracle, words);
        if let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        let _send = writer.join().unwrap();
        let end = first.wrapping_add(records + 1);
        while oracle.next != end {
            skip(&mut consumer, &mut oracle, words);
            assert_eq!(oracle.next, end.wrapping_sub(1), "not the newest");
            oracle.feed(consumer.try_recv().unwrap().unwrap());
        }
        let account = consumer.account();
        assert_eq!(oracle.received + account.records + account.skipped.records, records + 1);
        assert_eq!((account.records, account.skipped), (oracle.lost, consumer.skipped()));
    });
}

#[test]
fn a_lossy_reader_skips() {
    skipping("skip_lossy", Attach::lossy(), 0, 2, 3);
}

#[test]
fn a_lossy_reader_skips_short_records() {
    skipping("skip_lossy_short", Attach::lossy(), 0, 4, 1);
}

#[test]
fn a_gated_reader_skips() {
    skipping("skip_gated", Attach::gated(), 0, 1, 3);
}

/// It walks there from its own place.
#[test]
fn a_reader_skips_nearby() {
    skipping("skip_nearby", Attach::gated(), 0, 0, 1);
}

#[test]
fn a_reader_skips_across_the_end() {
    skipping("skip_across_the_end", Attach::lossy(), 16, 1, 3);
}
