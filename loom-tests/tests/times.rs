//! Publish times: written before what they are part of is visible.
mod common;

use common::{model, options};
use quoit::{Attach, Options, Ring, Start, Timestamp};

/// Four records of 16 bytes fit: a header and a time each.
fn timed() -> Options {
    options(0).inline(false).times(true)
}

/// A record of a batch is seen with the time of its publish. The time is written last, after the payload.
#[test]
fn a_batch_is_seen_with_its_time() {
    model("batch_time", 3, || {
        let ring = Ring::heap(&timed()).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let before = Timestamp::now();
        let writer = common::spawn(move || {
            let mut batch = producer.batch();
            batch.try_send(&[]).unwrap();
            batch.try_claim(0).unwrap().add();
            assert_eq!(batch.publish(), Some(1));
            producer
        });
        let mut times = Vec::new();
        while times.len() < 2 {
            match consumer.try_recv().unwrap() {
                Some(event) => times.push(event.record().unwrap().time().unwrap()),
                None => loom::thread::yield_now(),
            }
        }
        let _producer = writer.join().unwrap();
        assert!(times[0] > before && times[0] == times[1], "{times:?} after {before}");
    });
}

/// The same for a record sent alone, with its inline copy.
#[test]
fn an_inline_copy_has_its_time() {
    model("inline_time", 3, || {
        let ring = Ring::heap(&timed().inline(true)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut observer = ring.observer(Start::Newest).unwrap();
        let mut last = Timestamp::now();
        let writer = common::spawn(move || {
            producer.try_send(&[]).unwrap();
            producer.try_send(&[]).unwrap();
            producer
        });
        let mut received = 0;
        while received < 2 {
            match observer.try_recv().unwrap() {
                Some(event) => {
                    let time = event.record().unwrap().time().unwrap();
                    assert!(time > last, "{time} after {last}");
                    (last, received) = (time, received + 1);
                }
                None => loom::thread::yield_now(),
            }
        }
        let _producer = writer.join().unwrap();
    });
}
