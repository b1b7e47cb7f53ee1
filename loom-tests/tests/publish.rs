//! What is read was published, whole and in order: [W4] with [R4], [W3] with [R3], [R5] with [W5].
mod common;

use common::{Oracle, first_sequence, model, options, payload};
use quoit::{Attach, Event, Ring};

/// One producer, one gated consumer that looks now and then; whatever it finds is right, and in the end it has
/// found everything. `records` of them more than fit the ring make the producer wait for releases.
fn gated(name: &'static str, inline: bool, before_end: u64, records: u64, words: usize, looks: usize) {
    model(name, 3, move || {
        let ring = Ring::heap(&options(before_end).inline(inline)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let first = first_sequence(before_end);
        let writer = common::spawn(move || {
            let mut sent = 0;
            while sent < records {
                let sequence = first.wrapping_add(sent);
                match producer.try_send(&payload(sequence, words)) {
                    Ok(at) => {
                        assert_eq!(at, sequence);
                        sent += 1;
                    }
                    Err(_) => loom::thread::yield_now(),
                }
            }
            producer
        });
        let mut oracle = Oracle::new(first, words);
        for _ in 0..looks {
            match consumer.try_recv().unwrap() {
                Some(event) => oracle.feed(event),
                None => loom::thread::yield_now(),
            }
        }
        while oracle.received < records {
            match consumer.try_recv().unwrap() {
                Some(event) => oracle.feed(event),
                None => loom::thread::yield_now(),
            }
        }
        let _producer = writer.join().unwrap();
        assert!(matches!(consumer.try_recv(), Ok(None)));
        assert_eq!((oracle.received, oracle.lost), (records, 0));
    });
}

#[test]
fn inline() {
    gated("inline", true, 0, 2, 1, 2);
}

#[test]
fn plain() {
    gated("plain", false, 0, 2, 1, 2);
}

#[test]
fn plain_across_the_end() {
    gated("plain_across_the_end", false, 16, 2, 2, 2);
}

#[test]
fn a_full_ring_waits_for_the_release() {
    gated("full_ring", false, 0, 3, 3, 0);
}

#[test]
fn a_claim_filled_in_place() {
    model("claim", 3, || {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let writer = common::spawn(move || {
            drop(producer.try_claim(8).unwrap());
            let mut claim = producer.try_claim(16).unwrap();
            claim.write_at(0, &payload(0, 2)).unwrap();
            assert_eq!(claim.publish(), 0);
            producer
        });
        let mut oracle = Oracle::new(0, 2);
        for _ in 0..2 {
            if let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let _producer = writer.join().unwrap();
        if oracle.received == 0 {
            oracle.feed(consumer.try_recv().unwrap().unwrap());
        }
        assert!(consumer.try_recv().unwrap().is_none());
    });
}

#[test]
fn a_batch_is_seen_whole_or_not_at_all() {
    model("batch", 3, || {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let writer = common::spawn(move || {
            let mut batch = producer.batch();
            batch.try_send(&payload(0, 1)).unwrap();
            batch.try_send(&payload(1, 1)).unwrap();
            assert_eq!(batch.publish(), Some(1));
            producer
        });
        let mut oracle = Oracle::new(0, 1);
        if let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
            match consumer.try_recv().unwrap() {
                Some(event) => oracle.feed(event),
                None => panic!("half a batch"),
            }
        }
        let _producer = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            assert!(matches!(event, Event::Record(_)));
            oracle.feed(event);
        }
        assert_eq!(oracle.received, 2);
    });
}

/// Records that are added at once, and taken at once: the second of three goes the short way on either side. What comes
/// after them is another matter.
#[test]
fn a_run_is_seen_whole_or_not_at_all() {
    model("run", 3, || {
        let ring = Ring::heap(&options(0).capacity(128)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let words = |sequence| usize::from(sequence % 3 == 0);
        let writer = common::spawn(move || {
            let mut batch = producer.batch();
            let payloads = (0..3).map(|sequence| payload(sequence, words(sequence)));
            assert_eq!(batch.send_all(payloads), Ok(3));
            assert_eq!(batch.publish(), Some(2));
            assert_eq!(producer.try_send(&payload(3, words(3))), Ok(3));
            producer
        });
        let mut oracle = Oracle::of_lengths(0, words);
        for _ in 0..2 {
            consumer.drain(4, |event| oracle.feed(event)).unwrap();
            assert!([0, 3, 4].contains(&oracle.received), "a part of a batch");
        }
        let _producer = writer.join().unwrap();
        while oracle.received < 4 {
            assert_ne!(consumer.drain(4, |event| oracle.feed(event)).unwrap(), 0);
        }
    });
}
