//! Readers that can be overwritten: never torn, and every loss counted exactly: [W1] with [R1], [I1], [I2].
mod common;

use common::{Oracle, first_sequence, model, options, payload};
use quoit::{Attach, Ring, Start};

/// A producer that never waits, and a reader that looks now and then.
fn lapped(name: &'static str, inline: bool, before_end: u64, records: u64, words: usize, looks: usize) {
    model(name, 2, move || {
        let ring = Ring::heap(&options(before_end).inline(inline)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::lossy()).unwrap();
        let first = first_sequence(before_end);
        let writer = common::spawn(move || {
            for sent in 0..records {
                let sequence = first.wrapping_add(sent);
                assert_eq!(producer.try_send(&payload(sequence, words)), Ok(sequence));
            }
            producer
        });
        let mut oracle = Oracle::new(first, words);
        for _ in 0..looks {
            if let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let _producer = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.received + oracle.lost, records, "records unaccounted for");
        assert_eq!(consumer.account().records, oracle.lost);
        assert_eq!(consumer.account().overrun, oracle.lost);
    });
}

#[test]
fn small_records() {
    lapped("lapped_small", false, 0, 5, 1, 2);
}

#[test]
fn inline_copies() {
    lapped("lapped_inline", true, 0, 3, 1, 2);
}

#[test]
fn large_records() {
    lapped("lapped_large", false, 0, 3, 3, 2);
}

#[test]
fn across_the_end() {
    lapped("lapped_across_the_end", false, 16, 3, 3, 2);
}

/// Padding goes over the header of a record that was whole until then: `reserve` has to say so first, as for any word.
#[test]
fn padding_over_a_record() {
    model("padding_over_a_record", 2, || {
        let words = |sequence| if sequence < 7 { 1 } else { 2 };
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::lossy()).unwrap();
        let mut oracle = Oracle::of_lengths(0, words);
        for sequence in 0..4 {
            producer.try_send(&payload(sequence, 1)).unwrap();
        }
        for _ in 0..3 {
            oracle.feed(consumer.try_recv().unwrap().unwrap());
        }
        // The consumer is at the last 16 bytes of the ring, and the producer right before them, a lap on.
        for sequence in 4..7 {
            producer.try_send(&payload(sequence, 1)).unwrap();
        }
        let writer = common::spawn(move || {
            producer.try_send(&payload(7, 2)).unwrap();
            producer
        });
        for _ in 0..2 {
            if let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let _producer = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.next, 8);
    });
}

#[test]
fn a_batch_overruns() {
    model("lapped_batch", 2, || {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut observer = ring.observer(Start::Newest).unwrap();
        let writer = common::spawn(move || {
            for first in [0, 2] {
                let mut batch = producer.batch();
                batch.try_send(&payload(first, 1)).unwrap();
                batch.try_send(&payload(first + 1, 1)).unwrap();
                assert_eq!(batch.publish(), Some(first + 1));
            }
            producer.try_send(&payload(4, 1)).unwrap();
            producer
        });
        let mut oracle = Oracle::new(0, 1);
        for _ in 0..2 {
            if let Some(event) = observer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let _producer = writer.join().unwrap();
        while let Some(event) = observer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.received + oracle.lost, 5);
    });
}

/// A newcomer finds its place, sequence and bytes, while the producer runs.
fn newcomer(name: &'static str, start: Start) {
    model(name, 2, move || {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        producer.try_send(&payload(0, 3)).unwrap();
        let writer = common::spawn(move || {
            for sequence in 1..3 {
                producer.try_send(&payload(sequence, 3)).unwrap();
            }
            producer
        });
        let mut observer = ring.observer(start).unwrap();
        let began = observer.next_sequence();
        let mut oracle = Oracle::new(began, 3);
        let _producer = writer.join().unwrap();
        while let Some(event) = observer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(began + oracle.received + oracle.lost, 3);
    });
}

#[test]
fn newcomer_at_the_newest() {
    newcomer("newcomer_newest", Start::Newest);
}

#[test]
fn newcomer_at_the_oldest() {
    newcomer("newcomer_oldest", Start::Oldest);
}

/// A drain of two records that one look has found, and that are copied together, beside a producer that laps.
#[test]
fn a_drain_is_overrun() {
    model("lapped_drain", 2, || {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::lossy()).unwrap();
        let words = |sequence| if sequence < 2 { 0 } else { 3 };
        let mut batch = producer.batch();
        batch.send_all((0..2).map(|sequence| payload(sequence, 0))).unwrap();
        batch.publish();
        let writer = common::spawn(move || {
            for sequence in 2..4 {
                producer.try_send(&payload(sequence, words(sequence))).unwrap();
            }
            producer
        });
        let mut oracle = Oracle::of_lengths(0, words);
        consumer.drain(2, |event| oracle.feed(event)).unwrap();
        let _producer = writer.join().unwrap();
        while consumer.drain(2, |event| oracle.feed(event)).unwrap() > 0 {}
        assert_eq!(oracle.next, 4);
    });
}
