//! A producer that dies before any of its stores, and a successor that goes on: nothing published is lost, nothing
//! unpublished is seen, and the sequences go on.
mod common;

use common::{Oracle, drain, first_sequence, for_each_crash, look, model, options, payload};
use quoit::{Attach, Consumer, Error, Event, Options, Producer, Ring, Start, WaitMode};

/// A second producer sends one record; the consumer must then have seen every sequence before it.
fn go_on(ring: &Ring, before: Option<Producer>, words: usize) -> (Producer, u64) {
    if let Some(before) = before {
        quoit::fate::kill(before);
    }
    let mut producer = ring.producer().unwrap();
    let sequence = producer.next_sequence();
    producer.try_send(&payload(sequence, words)).unwrap();
    (producer, sequence)
}

/// The first producer dies in the second of two sends; a reader looks on all the while.
fn dies_sending(name: &'static str, attach: &Attach, inline: bool, before_end: u64, words: usize) {
    let options = options(before_end).inline(inline);
    dies_publishing(name, attach, options, before_end, words, |producer, payload| {
        producer.try_send(payload).unwrap()
    });
}

/// The same, with `publish` for the second.
fn dies_publishing(
    name: &'static str,
    attach: &Attach,
    options: Options,
    before_end: u64,
    words: usize,
    publish: fn(&mut Producer, &[u8]) -> u64,
) {
    let attach = attach.clone();
    for_each_crash(name, 2, move |stores| {
        let ring = Ring::heap(&options).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&attach).unwrap();
        let first = first_sequence(before_end);
        producer.try_send(&payload(first, words)).unwrap();
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let second = first.wrapping_add(1);
            let sent = quoit::fate::crash_after(stores, || publish(&mut producer, &payload(second, words)));
            let (producer, sequence) = go_on(&successor, Some(producer), words);
            if sent.is_some() {
                assert_eq!(sequence, second.wrapping_add(1), "a sent record was forgotten");
            }
            (producer, sequence, sent.is_some())
        });
        let mut oracle = Oracle::new(first, words);
        look(&mut consumer, &mut oracle, 2);
        let (_producer, last, finished) = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!(oracle.next, last.wrapping_add(1), "the stream does not reach the successor's record");
        assert_eq!(oracle.lost, 0);
        assert_eq!(oracle.changes, [2]);
        assert_eq!(oracle.changed_at, [last], "the change was told at the wrong place");
        finished
    });
}

#[test]
fn in_an_inline_send() {
    dies_sending("dies_inline", &Attach::gated(), true, 0, 1);
}

#[test]
fn in_a_plain_send() {
    dies_sending("dies_plain", &Attach::gated(), false, 0, 1);
}

#[test]
fn before_a_lossy_reader() {
    dies_sending("dies_lossy", &Attach::lossy(), false, 0, 1);
}

#[test]
fn at_the_end_of_the_ring() {
    dies_sending("dies_at_the_end", &Attach::gated(), false, 24, 1);
}

#[test]
fn across_the_wrap() {
    dies_sending("dies_across_the_wrap", &Attach::gated(), true, 16, 1);
}

/// In a ring of four records a segment, the second goes the short way.
#[test]
fn in_a_short_send() {
    dies_publishing("dies_short", &Attach::gated(), options(0).capacity(256), 0, 1, |producer, payload| {
        producer.try_send(payload).unwrap()
    });
}

#[test]
fn in_a_short_claim() {
    dies_publishing("dies_claimed", &Attach::gated(), options(0).capacity(256), 0, 1, |producer, payload| {
        let mut claim = producer.try_claim(payload.len()).unwrap();
        claim.write_at(0, payload).unwrap();
        claim.publish()
    });
}

/// It dies with its inline copy half written, and its successor writes none: the old one must not come to match.
#[test]
fn with_an_inline_copy_in_the_making() {
    for_each_crash("dies_inline_stale", 2, |stores| {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let sent = quoit::fate::crash_after(stores, || producer.try_send(&payload(99, 1)).unwrap());
            quoit::fate::kill(producer);
            let mut producer = successor.producer().unwrap();
            // Whoever was there before is told of the change first, and then takes the record from the ring.
            let mut newcomer = successor.observer(Start::Newest).unwrap();
            let sequence = producer.next_sequence();
            let mut batch = producer.batch();
            batch.try_send(&payload(sequence, 1)).unwrap();
            batch.publish();
            let Ok(Some(Event::Record(record))) = newcomer.try_recv() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(sequence, 1), "a dead producer's copy");
            (producer, sequence, sent.is_some())
        });
        let mut received = Vec::new();
        let mut take = |consumer: &mut Consumer| match consumer.try_recv().unwrap() {
            Some(Event::Record(record)) => {
                assert_eq!(record.sequence(), received.len() as u64);
                received.push(record.to_vec());
                true
            }
            Some(event) => matches!(event, Event::ProducerChanged { epoch: 2 }),
            None => false,
        };
        for _ in 0..2 {
            take(&mut consumer);
        }
        let (_producer, last, finished) = writer.join().unwrap();
        while take(&mut consumer) {}
        let first = if last == 2 { payload(99, 1) } else { payload(1, 1) };
        let expected = [payload(0, 1), first, payload(2, 1)];
        assert_eq!(received, expected[..=last as usize], "a dead producer's copy");
        finished
    });
}

/// Four producers die at the same point, one after the other. What each did not come to write, its successor does,
/// or the ring would be lost to the next but one.
#[test]
fn one_after_the_other() {
    for_each_crash("die_one_after_the_other", 2, |stores| {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut finished = true;
        for _ in 0..4 {
            let mut producer = ring.producer().unwrap();
            let sequence = producer.next_sequence();
            let sent = quoit::fate::crash_after(stores, || producer.try_send(&payload(sequence, 3)).unwrap());
            finished = sent.is_some();
            quoit::fate::kill(producer);
        }
        let (producer, last) = go_on(&ring, None, 3);
        let mut observer = ring.observer(Start::Oldest).unwrap();
        let mut oracle = Oracle::new(observer.next_sequence(), 3);
        while let Some(event) = observer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.next, last + 1);
        drop(producer);
        finished
    });
}

/// The end of one producer is not taken for that of the next.
#[test]
fn an_end_and_a_successor() {
    model("end_and_successor", 3, || {
        let ring = Ring::heap(&options(0)).unwrap();
        let first = ring.producer().unwrap();
        let leaver = common::spawn(move || drop(first));
        let _second = loop {
            match ring.producer() {
                Ok(second) => break second,
                Err(Error::ProducerAlive { .. }) => loom::thread::yield_now(),
                Err(other) => panic!("{other}"),
            }
        };
        leaver.join().unwrap();
        assert!(!ring.inspector().unwrap().snapshot().unwrap().closed, "the end of a stream that goes on");
    });
}

/// It dies while it laps a lossy reader: what it dirtied must not come to look whole under its successor, which is
/// another thread, as it is another process.
#[test]
fn while_it_laps_a_reader() {
    for_each_crash("dies_lapping", 2, |stores| {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::lossy()).unwrap();
        for sequence in 0..2 {
            producer.try_send(&payload(sequence, 3)).unwrap();
        }
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let first = common::spawn(move || {
                let sent = quoit::fate::crash_after(stores, || producer.try_send(&payload(2, 3)).unwrap());
                (producer, sent.is_some())
            });
            let (producer, finished) = first.join().unwrap();
            let (producer, last) = go_on(&successor, Some(producer), 3);
            (producer, last, finished)
        });
        let mut oracle = Oracle::new(0, 3);
        look(&mut consumer, &mut oracle, 1);
        let (_producer, last, finished) = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!(oracle.next, last + 1);
        finished
    });
}

/// It dies with a claim dirtied further than its successor's record reaches. There it leaves the header of the record
/// that stood there, and other payload behind it: nothing but the dead one's `reserve` tells a reader that is about to
/// read that record.
#[test]
fn before_a_shorter_record() {
    for_each_crash("dies_before_a_shorter_record", 2, |stores| {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::lossy()).unwrap();
        for sequence in 0..4 {
            producer.try_send(&payload(sequence, 1)).unwrap();
        }
        let mut oracle = Oracle::new(0, 1);
        look(&mut consumer, &mut oracle, 1);
        assert_eq!(oracle.received, 1, "the reader is to be at the second record");
        let first = common::spawn(move || {
            let written = quoit::fate::crash_after(stores, || {
                let mut claim = producer.try_claim(24).unwrap();
                let header = 8 | 1u64 << 32;
                claim.write_at(8, &header.to_le_bytes()).unwrap();
                claim.write_at(16, &payload(99, 1)).unwrap();
            });
            (producer, written.is_some())
        });
        // A thread of its own, begun after the dead one's: loom goes by the last access to a word, and a successor looks
        // at the cursors before it stores them. So a reader that ran first would not be tried later.
        let reader = common::spawn(move || {
            look(&mut consumer, &mut oracle, 2);
            (consumer, oracle)
        });
        let (producer, finished) = first.join().unwrap();
        let (_producer, last) = go_on(&ring, Some(producer), 1);
        let (mut consumer, mut oracle) = reader.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!((last, oracle.next), (4, 5));
        finished
    });
}

#[test]
fn in_a_batch() {
    for_each_crash("dies_in_a_batch", 2, |stores| {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let sent = quoit::fate::crash_after(stores, || {
                let mut batch = producer.batch();
                batch.try_send(&payload(0, 1)).unwrap();
                batch.try_send(&payload(1, 1)).unwrap();
                batch.publish()
            });
            let (producer, last) = go_on(&successor, Some(producer), 1);
            assert!(last == 0 || last == 2, "half a batch");
            (producer, last, sent.is_some())
        });
        let mut oracle = Oracle::new(0, 1);
        look(&mut consumer, &mut oracle, 2);
        let (_producer, last, finished) = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.next, oracle.lost), (last + 1, 0));
        finished
    });
}

/// Publish times do not go back from one producer to the next, though the successor's clock does.
#[test]
fn times_go_on() {
    for_each_crash("times_go_on", 2, |stores| {
        let ring = Ring::heap(&options(0).inline(false).times(true)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        producer.try_send(&[]).unwrap();
        let sent = quoit::fate::crash_after(stores, || producer.try_send(&[]).unwrap());
        quoit::fate::kill(producer);
        quoit::fate::restart_clock();
        let mut successor = ring.producer().unwrap();
        successor.try_send(&[]).unwrap();
        let mut times = Vec::new();
        while let Some(event) = consumer.try_recv().unwrap() {
            times.extend(event.record().map(|record| record.time().unwrap()));
        }
        assert!(times.len() >= 2 && times.is_sorted(), "{times:?}");
        sent.is_some()
    });
}

/// The successor dies in its takeover, and another succeeds it.
#[test]
fn in_the_takeover_itself() {
    for_each_crash("dies_taking_over", 2, |stores| {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        // Dies itself with its record published, its index entry not yet written.
        quoit::fate::crash_after(8, || producer.try_send(&payload(1, 1)).unwrap());
        quoit::fate::kill(producer);
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let taken = quoit::fate::crash_after(stores, || successor.producer().unwrap());
            let finished = taken.is_some();
            let (producer, last) = go_on(&successor, taken, 1);
            (producer, last, finished)
        });
        let mut oracle = Oracle::new(0, 1);
        look(&mut consumer, &mut oracle, 2);
        let (_producer, last, finished) = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.next, oracle.lost), (last + 1, 0));
        assert!(!oracle.changes.is_empty());
        finished
    });
}

/// A successor dies in its takeover while a reader has still to be told of the producer before it: that one is told,
/// and where it began, not where the dead one would have.
#[test]
fn before_its_epoch_counts() {
    for_each_crash("dies_before_its_epoch", 2, |stores| {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        for sequence in 0..2 {
            let mut producer = ring.producer().unwrap();
            producer.try_send(&payload(sequence, 1)).unwrap();
            quoit::fate::kill(producer);
        }
        let taken = quoit::fate::crash_after(stores, || ring.producer().unwrap());
        let finished = taken.is_some();
        let mut oracle = Oracle::new(0, 1);
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.next, oracle.lost), (2, 0));
        if ring.inspector().unwrap().snapshot().unwrap().epoch == 2 {
            assert_eq!((&oracle.changes[..], &oracle.changed_at[..]), (&[2][..], &[1][..]));
        }
        let (_producer, _) = go_on(&ring, taken, 1);
        drain(&mut consumer, &mut oracle);
        for (epoch, at) in oracle.changes.iter().zip(&oracle.changed_at) {
            assert_eq!(*at, if *epoch == 2 { 1 } else { 2 }, "epoch {epoch} was told at the wrong place");
        }
        let last = oracle.changes.last();
        assert!(matches!(last, Some(3 | 4)), "the last producer was not told: {last:?}");
        finished
    });
}
