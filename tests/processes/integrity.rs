//! Every policy side by side on one ring under load: what is delivered and what is told as lost make up exactly
//! what was sent.

use std::time::Duration;

use quoit::{Attach, Consumer, Event, Inspector, Options, Producer, RecvError, WaitMode};

use crate::oracle::{Oracle, Sums};
use crate::process::{Part, Process, Stage, note};

const MAX: usize = 5_000;

fn reader(stage: &Stage, policy: &str) -> Part {
    Part::new("consume").on(&stage.file("ring")).with("max", MAX).with("policy", policy)
}

fn sums(process: &mut Process) -> Sums {
    let mut numbers = process.says_within("done", Duration::from_secs(40));
    numbers.pop();
    numbers.into()
}

fn every_policy(stage: &Stage, options: &Options, count: u64) {
    let ring = stage.file("ring");
    options.create(&ring).expect("create");
    let slow = |policy| reader(stage, policy).with("nap_every", 100).with("nap_us", 100_000);
    let parts = [
        ("gated", reader(stage, "gated")),
        ("gated, asleep at once", reader(stage, "gated").with("spins", 0)),
        (
            "gated, releasing late",
            reader(stage, "gated").with("keep", 20).with("progress", stage.file("notes").display()),
        ),
        ("deadline, in time", reader(stage, "gated for").with("patience_ms", 60_000)),
        (
            "deadline, too slow",
            reader(stage, "gated for").with("patience_ms", 30).with("nap_every", 400).with("nap_us", 150_000),
        ),
        ("lossy, slow", slow("lossy")),
        ("observer, slow", slow("observer")),
    ];
    let mut readers = parts.map(|(who, part)| (who, part.start()));
    for (_, reader) in &mut readers {
        assert_eq!(reader.says("ready"), [0, 0]);
    }
    let mut producer =
        Part::new("produce").on(&ring).with("max", MAX).with("seed", count).with("count", count).start();
    assert_eq!(producer.says("ready"), [0, 1]);
    assert_eq!(producer.says_within("done", Duration::from_secs(60)), [count]);
    producer.finish();
    let sent_bytes = Oracle::new(MAX).bytes(0, count);
    for (who, mut reader) in readers {
        let sums = sums(&mut reader);
        reader.finish();
        assert_eq!((sums.first, sums.next), (0, count), "{who}: {sums:?}");
        assert_eq!(sums.delivered + sums.lost, count, "{who}: {sums:?}");
        assert_eq!(sums.delivered_bytes + sums.lost_bytes, sent_bytes, "{who}: {sums:?}");
        assert_eq!(sums.changes, 0, "{who}: {sums:?}");
        let slow = who.ends_with("slow");
        assert_eq!(slow, sums.lost > 0, "{who}: the slow ones lose something, and nobody else: {sums:?}");
        assert_eq!(sums.evicted, u64::from(who == "deadline, too slow"), "{who}: {sums:?}");
        assert!(sums.delivered > 0, "{who}: {sums:?}");
    }
    let snapshot = Inspector::open(&ring).expect("inspect").snapshot().expect("snapshot");
    assert_eq!((snapshot.records, snapshot.bytes), (count, sent_bytes));
    assert_eq!((snapshot.evictions, snapshot.reclaims), (1, 0));
    // The one that noted its progress had no name: nobody's slot is kept.
    assert_eq!(snapshot.consumers.len(), 0, "{:?}", snapshot.consumers);
}

#[test]
fn every_policy_on_tmpfs() {
    let stage = Stage::tmpfs(80);
    every_policy(&stage, &Options::new().capacity(1 << 16), 40_000);
}

#[test]
fn every_policy_on_disk() {
    let stage = Stage::disk(80);
    every_policy(&stage, &Options::new().capacity(1 << 16).inline(false), 20_000);
}

#[test]
fn every_policy_with_fences() {
    let stage = Stage::tmpfs(80);
    every_policy(&stage, &Options::new().capacity(1 << 17).wait(WaitMode::Fence), 30_000);
}

#[test]
fn every_policy_without_sleep() {
    let stage = Stage::tmpfs(80);
    every_policy(&stage, &Options::new().capacity(1 << 16).wait(WaitMode::Spin), 15_000);
}

/// A rival that jumps to the oldest record is lapped again at once and receives nothing; one that jumps to the
/// newest loses a ring each time.
#[test]
fn a_lapped_reader_of_large_records_receives_something() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    let max = 1 << 16;
    Options::new().capacity(1 << 20).create(&ring).expect("create");
    let part = Part::new("consume").on(&ring).with("max", max);
    let mut slow = part.clone().with("policy", "lossy").with("nap_every", 4).with("nap_us", 2_000).start();
    slow.says("ready");
    let count = 30_000;
    let mut producer =
        Part::new("produce").on(&ring).with("max", max).with("seed", 7).with("count", count).start();
    producer.says("ready");
    producer.says_within("done", Duration::from_secs(40));
    let sums = sums(&mut slow);
    assert_eq!(sums.delivered + sums.lost, count, "{sums:?}");
    assert!(sums.lost > 0 && sums.delivered >= 50, "{sums:?}");
    note(format_args!("a lapped reader of large records received {} of {count}", sums.delivered));
}

/// The rivals' consumers fall silent for ever when a producer comes back by `create`; ours are never left behind.
#[test]
fn a_producer_that_comes_back_by_create_or_open_meets_the_same_ring() {
    let stage = Stage::tmpfs(30);
    let ring = stage.file("ring");
    let options = Options::new().capacity(1 << 14);
    let mut producer = Producer::create(&ring, &options).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    producer.send(b"one").expect("send");
    drop(producer);
    assert!(matches!(Producer::create(&ring, &options), Err(quoit::Error::Exists { .. })));
    let mut producer = Producer::open_or_create(&ring, &options).expect("take over");
    assert_eq!(producer.send(b"two"), Ok(1));
    let mut seen = Vec::new();
    drop(producer);
    loop {
        match consumer.recv() {
            Ok(Event::Record(record)) => seen.push(record.to_vec()),
            Ok(_) => {}
            Err(RecvError::Closed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(seen, [b"one", b"two"]);
}

#[test]
fn a_forgotten_batch_publishes_nothing() {
    let stage = Stage::tmpfs(30);
    let mut producer = Producer::create(stage.file("ring"), &Options::new().capacity(4096)).expect("create");
    let mut consumer = Consumer::open(stage.file("ring"), &Attach::gated()).expect("attach");
    for round in 0..20 {
        let mut batch = producer.batch();
        // Up to its limit: nor may it stand in the way of what comes next.
        while batch.send(&[0xff; 200]).is_ok() {}
        std::mem::forget(batch);
        let sequence = match round % 3 {
            0 => producer.send(b"sent").expect("room"),
            1 => {
                let mut claim = producer.claim(4).expect("room");
                claim.write_at(0, b"sent").expect("fits");
                claim.publish()
            }
            _ => {
                let mut batch = producer.batch();
                batch.send(b"sent").expect("room");
                batch.publish().expect("a record")
            }
        };
        assert_eq!(sequence, round);
        match consumer.try_recv() {
            Ok(Some(Event::Record(record))) => {
                assert_eq!((record.sequence(), record.to_vec()), (round, b"sent".to_vec()))
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(consumer.try_recv(), Ok(None)));
    }
}
