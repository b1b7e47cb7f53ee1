//! Publish times: written before what they are part of is visible, and never taken from another record.
mod common;

use common::{model, options};
use quoit::{Attach, Event, Options, Producer, Ring, Start, Timestamp};

/// Four records of 16 bytes fit: a header and a time each. Each of them begins a segment.
fn timed(before_end: u64) -> Options {
    options(before_end).inline(false).times(true)
}

/// The newest time that a reader has seen, or that of its begin.
struct Last(Timestamp);

impl Last {
    /// Takes the next record if there is one. Each time is that of a publish of its own.
    fn feed(&mut self, event: Option<Event<'_>>) -> Option<u64> {
        let record = event?.record().unwrap();
        let time = record.time().unwrap();
        assert!(time > self.0, "{time} after {}", self.0);
        self.0 = time;
        Some(record.sequence())
    }
}

/// A reader looks on while `work` publishes two records, each by itself. What is there before has been received.
fn two(
    name: &'static str,
    (options, before): (Options, u64),
    work: impl Fn(&mut Producer) + Clone + Send + Sync + 'static,
) {
    model(name, 3, move || {
        let ring = Ring::heap(&options).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let mut last = Last(Timestamp::now());
        for _ in 0..before {
            producer.try_send(&[]).unwrap();
            last.feed(consumer.try_recv().unwrap());
        }
        let work = work.clone();
        let writer = common::spawn(move || {
            work(&mut producer);
            producer
        });
        let mut received = 0;
        for _ in 0..2 {
            received += last.feed(consumer.try_recv().unwrap()).iter().count();
        }
        let _producer = writer.join().unwrap();
        while received < 2 {
            received += last.feed(consumer.try_recv().unwrap()).iter().count();
        }
    });
}

/// A segment has room for four records. The second and third go the short way.
fn short() -> (Options, u64) {
    (timed(0).capacity(256), 1)
}

fn with_copies((options, before): (Options, u64)) -> (Options, u64) {
    (options.inline(true), before)
}

fn send(producer: &mut Producer) {
    producer.try_send(&[]).unwrap();
    producer.try_send(&[]).unwrap();
}

fn claim(producer: &mut Producer) {
    drop(producer.try_claim(0).unwrap());
    producer.try_claim(0).unwrap().publish();
    producer.try_claim(0).unwrap().publish();
}

#[test]
fn a_record_has_its_time() {
    two("time_sent", (timed(0), 0), send);
}

#[test]
fn an_inline_copy_has_its_time() {
    two("time_sent_inline", with_copies((timed(0), 0)), send);
}

#[test]
fn a_record_sent_the_short_way_has_its_time() {
    two("time_short", short(), send);
}

#[test]
fn an_inline_copy_of_the_short_way_has_its_time() {
    two("time_short_inline", with_copies(short()), send);
}

/// The second does not fit before the end of the ring, which is filled up.
#[test]
fn a_record_across_the_end_has_its_time() {
    two("time_across_the_end", (timed(32), 0), |producer| {
        producer.try_send(&[]).unwrap();
        producer.try_send(&[0; 8]).unwrap();
    });
}

#[test]
fn a_claim_has_its_time() {
    two("time_claimed", (timed(0), 0), claim);
}

#[test]
fn an_inline_copy_of_a_claim_has_its_time() {
    two("time_claimed_inline", with_copies((timed(0), 0)), claim);
}

#[test]
fn a_claim_the_short_way_has_its_time() {
    two("time_claimed_short", short(), claim);
}

/// Four records of a batch, claimed, sent, sent the short way and behind padding, are seen with one time, that of its publish. The times are
/// written last, after the payloads.
#[test]
fn a_batch_is_seen_with_its_time() {
    model("time_batch", 3, || {
        let ring = Ring::heap(&timed(64).capacity(512)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let before = Timestamp::now();
        let writer = common::spawn(move || {
            let mut batch = producer.batch();
            batch.try_claim(0).unwrap().add();
            assert_eq!(batch.try_send_all([&[][..], &[], &[0; 8]]), Ok(3));
            batch.publish().unwrap();
            producer
        });
        let mut times = Vec::new();
        for _ in 0..2 {
            if let Some(event) = consumer.try_recv().unwrap() {
                times.push(event.record().unwrap().time().unwrap());
            }
        }
        let _producer = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            times.push(event.record().unwrap().time().unwrap());
        }
        assert!(times.len() == 4 && times[0] > before, "{times:?} after {before}");
        assert!(times.iter().all(|time| *time == times[0]), "{times:?} in one batch");
    });
}

/// A newcomer looks for a time while the producer writes over the records, the times and the index entry that it looks at. Two
/// records share a segment; the time is that of the second.
#[test]
fn a_newcomer_at_a_time() {
    model("time_newcomer", 1, || {
        let ring = Ring::heap(&timed(0).capacity(128)).unwrap();
        let mut producer = ring.producer().unwrap();
        producer.try_send(&[]).unwrap();
        let time = Timestamp::now();
        for _ in 1..7 {
            producer.try_send(&[]).unwrap();
        }
        let writer = common::spawn(move || {
            // The first of them ends the lap: it takes the index entry of the first segment. The second takes its records.
            producer.try_send(&[]).unwrap();
            producer.try_send(&[]).unwrap();
            producer
        });
        let mut observer = ring.observer(Start::Time(time)).unwrap();
        let start = observer.next_sequence();
        // With the first segment overwritten it is 2; after an attempt that failed, one segment more is left to the producer.
        assert!([1, 2, 4].contains(&start), "started at {start}");
        let _producer = writer.join().unwrap();
        let (mut next, mut last) = (start, Last(time));
        while let Some(event) = observer.try_recv().unwrap() {
            if let Event::Lost(loss) = event {
                next = loss.next;
                continue;
            }
            assert_eq!(last.feed(Some(event)), Some(next));
            next += 1;
        }
        assert_eq!(next, 9);
    });
}
