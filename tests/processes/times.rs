//! Publish times across producers that are killed anywhere, and across clocks.

use quoit::{Attach, Consumer, Error, Event, Options, Producer, RecvError, Start, Timestamp};

use crate::process::{Part, SOON, Stage, kills_wanted, note, numbers, say};

/// Sends its sequences in every way until it is killed.
pub(crate) fn publish(part: &Part) {
    let mut producer = loop {
        match Producer::open(part.ring()) {
            Ok(producer) => break producer,
            // The kernel may still be at the last one.
            Err(Error::ProducerAlive { .. }) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    say("ready");
    loop {
        let next = producer.next_sequence();
        match next % 5 {
            0 | 1 => {
                producer.send(&next.to_le_bytes()).expect("send");
            }
            2 => {
                let mut claim = producer.claim(8).expect("claim");
                claim.write_at(0, &next.to_le_bytes()).expect("room");
                claim.publish();
            }
            _ => {
                let mut batch = producer.batch();
                batch.send(&next.to_le_bytes()).expect("send");
                let mut claim = batch.claim(500).expect("claim");
                claim.write_at(0, &(next + 1).to_le_bytes()).expect("room");
                claim.add();
                batch.publish();
            }
        }
    }
}

#[test]
fn times_never_decrease_whoever_is_killed() {
    let kills = kills_wanted(100);
    let stage = Stage::tmpfs(120);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 14).times(true).create(&ring).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    let part = Part::new("publish with times").on(&ring);
    let (mut next, mut last) = (0, Timestamp::now());
    for kill in 1..=kills {
        let mut producer = part.start();
        producer.says("ready");
        let until = Timestamp::now().saturating_add(std::time::Duration::from_micros(kill * 73 % 3000));
        let mut struck = false;
        loop {
            if !struck && Timestamp::now() >= until {
                producer.strike();
                struck = true;
            }
            match consumer.recv_timeout(std::time::Duration::from_millis(1)) {
                Ok(Event::Record(record)) => {
                    let time = record.time().expect("a time");
                    assert!(last <= time && time <= Timestamp::now(), "{time} after {last}");
                    let mut sent = [0; 8];
                    record.copy_to(&mut sent);
                    assert_eq!((record.sequence(), u64::from_le_bytes(sent)), (next, next));
                    (next, last) = (next + 1, time);
                }
                Ok(Event::ProducerChanged { .. }) | Err(RecvError::TimedOut) => {}
                Ok(event) => panic!("{event}"),
                Err(RecvError::ProducerGone) if struck => break,
                // The last one is gone, and the next one has not come yet.
                Err(RecvError::ProducerGone) => {}
                Err(error) => panic!("{error}"),
            }
        }
        producer.reap();
    }
    assert!(next > kills, "only {next} records");
    // What is left is found by its time.
    let found = Consumer::open(&ring, &Attach::lossy().start(Start::Time(last))).expect("attach");
    assert!((next - 2..next).contains(&found.next_sequence()), "{} of {next}", found.next_sequence());
    note(format_args!("{kills} producers killed, {next} records in order of time"));
}

#[test]
fn a_producer_on_another_clock_stores_the_machines() {
    let stage = Stage::tmpfs(60);
    let ring = stage.file("ring");
    Options::new().capacity(1 << 14).times(true).create(&ring).expect("create");
    let mut consumer = Consumer::open(&ring, &Attach::gated()).expect("attach");
    for number in [1, 5] {
        let part = Part::new("alone").on(&ring).with("play", "send when told");
        let mut producer = part.with("number", number).with("max", 100).start();
        let line = producer.line(SOON);
        if line == "skipped" {
            note("SKIPPED, no privilege for namespaces: times of another clock");
            return;
        }
        assert!(numbers(&line, "ready").is_some(), "{line}");
        let before = Timestamp::now();
        producer.tell("send");
        let mut other = 0;
        let record = consumer.recv_record(|_| other += 1).expect("a record");
        let (time, now) = (record.time().expect("a time"), Timestamp::now());
        assert!(before <= time && time <= now, "{time} is not from {before} to {now}");
        producer.finish();
    }
}
