//! Gates hold from the moment they open to the moment they are given up: [G1] with [G2], [G3], [R5] with [W5].
mod common;

use common::{Oracle, model, options, payload};
use quoit::{Attach, Event, Producer, Start, WaitMode};

/// Sends `records` of half a ring each, yielding while the ring is full.
fn send_halves(producer: &mut Producer, from: u64, records: u64) {
    let mut sequence = from;
    while sequence < from + records {
        match producer.try_send(&payload(sequence, 3)) {
            Ok(_) => sequence += 1,
            Err(_) => loom::thread::yield_now(),
        }
    }
}

/// A gate opens while the producer laps the ring. From its start on, nothing may be lost or torn.
fn attaching(name: &'static str, preemptions: usize, start: Start) {
    model(name, preemptions, move || {
        let ring = options(0).wait(WaitMode::Spin).local().unwrap();
        let mut producer = ring.producer().unwrap();
        send_halves(&mut producer, 0, 1);
        let writer = loom::thread::spawn(move || {
            let mut sent = 1;
            for _ in 0..2 {
                if producer.try_send(&payload(sent, 3)).is_ok() {
                    sent += 1;
                }
            }
            (producer, sent)
        });
        let mut consumer = ring.consumer(&Attach::gated().start(start)).unwrap();
        let began = consumer.next_sequence();
        let mut oracle = Oracle::new(began, 3);
        for _ in 0..2 {
            if let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let (_producer, sent) = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(began + oracle.received + oracle.lost, sent);
        if start == Start::Newest {
            assert_eq!(oracle.lost, 0, "a gate let its consumer be lapped");
        }
    });
}

#[test]
fn attach_at_the_newest() {
    attaching("attach_newest", 2, Start::Newest);
}

#[test]
fn attach_at_the_oldest() {
    attaching("attach_oldest", 1, Start::Oldest);
}

/// The gate opens just as the producer scans: either the scan sees it, or it opens at what the scan had seen
/// published. The producer then fills the ring as far as it may: past a gate that was missed, it would write over
/// the first of the two large records.
#[test]
fn opening_against_the_scan() {
    model("open_against_scan", 2, || {
        // `Spin`: the barriers of waking would order for the scan what it has to order itself.
        let ring = options(0).express(false).wait(WaitMode::Spin).local().unwrap();
        let mut producer = ring.producer().unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        let writer = loom::thread::spawn(move || {
            let sent =
                (1..3).take_while(|sequence| producer.try_send(&payload(*sequence, 3)).is_ok()).count();
            (producer, sent as u64)
        });
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let began = consumer.next_sequence();
        let (_producer, sent) = writer.join().unwrap();
        let mut oracle = Oracle::new(began, 3);
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(
            (began + oracle.received, oracle.lost),
            (1 + sent, 0),
            "a gate let its consumer be lapped"
        );
    });
}

/// Whoever looks at a consumer sees an account that belongs to its cursor.
#[test]
fn an_account_goes_with_its_cursor() {
    an_account_goes_with_the_cursor_of("account", &Attach::gated());
}

/// Also of one that has nobody to wake, and so no full fence between its cursor and the next account.
#[test]
fn an_account_goes_with_a_lossy_cursor() {
    an_account_goes_with_the_cursor_of("lossy_account", &Attach::lossy());
}

fn an_account_goes_with_the_cursor_of(name: &str, attach: &Attach) {
    let attach = attach.clone();
    model(name, 2, move || {
        let ring = options(0).express(false).local().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&attach).unwrap();
        send_halves(&mut producer, 0, 2);
        let inspector = ring.inspector().unwrap();
        let reader = loom::thread::spawn(move || {
            for _ in 0..2 {
                assert!(consumer.try_recv().unwrap().is_some());
                consumer.release();
            }
            consumer
        });
        let snapshot = inspector.snapshot().unwrap();
        let lag = &snapshot.consumers[0];
        assert_eq!(lag.lag_bytes, 32 * lag.lag_records, "an account half way between two cursors");
        let _consumer = reader.join().unwrap();
    });
}

/// A consumer reads a lent record to the end and leaves: the producer may write there only afterwards.
#[test]
fn leaving_with_a_record_in_hand() {
    model("leave", 3, || {
        let ring = options(0).express(false).local().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        let reader = loom::thread::spawn(move || {
            let Ok(Some(Event::Record(record))) = consumer.try_recv() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(0, 3));
        });
        send_halves(&mut producer, 2, 1);
        reader.join().unwrap();
    });
}

/// Release of a lent record, then the producer's next lap over it.
#[test]
fn releasing_a_record() {
    model("release", 3, || {
        let ring = options(0).express(false).local().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        let reader = loom::thread::spawn(move || {
            let Ok(Some(Event::Record(record))) = consumer.try_recv() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(0, 3));
            consumer.release();
            consumer
        });
        send_halves(&mut producer, 2, 1);
        let mut consumer = reader.join().unwrap();
        let mut oracle = Oracle::new(1, 3);
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!((oracle.received, oracle.lost), (2, 0));
    });
}

/// A dead consumer's gate goes once its lock has: what it read happened before.
#[test]
fn a_dead_consumer_gates_no_more() {
    model("dead_gate", 3, || {
        let ring = options(0).express(false).local().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        let reader = loom::thread::spawn(move || {
            let Ok(Some(Event::Record(record))) = consumer.try_recv() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(0, 3));
            quoit::fate::kill(consumer);
        });
        send_halves(&mut producer, 2, 1);
        reader.join().unwrap();
    });
}

/// A consumer over its deadline loses its gate, is told, and accounts for what it lost to the last record, even
/// where it stores its cursor at the same moment.
#[test]
fn evicted_while_it_releases() {
    model("evict", 2, || {
        let ring = options(0).local().unwrap();
        let mut producer = ring.producer().unwrap();
        let attach = Attach::gated_for(std::time::Duration::from_nanos(1));
        let mut consumer = ring.consumer(&attach).unwrap();
        send_halves(&mut producer, 0, 2);
        let writer = loom::thread::spawn(move || {
            let mut sent = 2;
            for _ in 0..2 {
                if producer.try_send(&payload(sent, 3)).is_ok() {
                    sent += 1;
                }
            }
            (producer, sent)
        });
        let mut oracle = Oracle::new(0, 3);
        for _ in 0..2 {
            if let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let (_producer, sent) = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.received + oracle.lost, sent);
        assert!(oracle.lost == 0 || oracle.evicted, "lost without having been evicted");
        assert_eq!(consumer.account().evicted, oracle.lost);
    });
}

/// A name resumes where its last consumer stopped, killed at any of its stores.
#[test]
fn a_held_name_resumes_after_a_crash() {
    for stores in 0.. {
        let finished = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let done = finished.clone();
        model(&format!("resume_after_{stores}_stores"), 2, move || {
            let ring = options(0).local().unwrap();
            let mut producer = ring.producer().unwrap();
            let attach = Attach::gated().name("n").hold_forever();
            let mut consumer = ring.consumer(&attach).unwrap();
            send_halves(&mut producer, 0, 2);
            let writer = loom::thread::spawn(move || {
                let mut sent = 2;
                for _ in 0..2 {
                    if producer.try_send(&payload(sent, 3)).is_ok() {
                        sent += 1;
                    }
                }
                (producer, sent)
            });
            let lived = quoit::fate::crash_after(stores, || {
                let mut oracle = Oracle::new(0, 3);
                oracle.feed(consumer.try_recv().unwrap().unwrap());
                consumer.release();
            });
            done.store(lived.is_some(), std::sync::atomic::Ordering::Relaxed);
            quoit::fate::kill(consumer);
            let mut consumer = ring.consumer(&attach).unwrap();
            let resumed = consumer.resumed().expect("a known name");
            assert_eq!(resumed.lost, None);
            assert!(resumed.sequence <= 1, "skipped what was not released");
            assert!(lived.is_none() || resumed.sequence == 1, "forgot a release");
            let mut oracle = Oracle::new(resumed.sequence, 3);
            let (_producer, sent) = writer.join().unwrap();
            while let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
            assert_eq!((oracle.next, oracle.lost), (sent, 0));
        });
        if finished.load(std::sync::atomic::Ordering::Relaxed) {
            break;
        }
    }
}
