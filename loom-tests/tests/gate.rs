//! Gates hold from the moment they open to the moment they are given up: [G1] with [G2], [G3], [R5] with [W5].
mod common;

use std::time::{Duration, Instant};

use common::{Oracle, dies_attaching, first_sequence, for_each_crash, model, options, payload, send_halves};
use quoit::{Attach, Consumer, ConsumerState, Error, Event, Evicted, Ring, Start, WaitMode};

/// A gate opens while the producer laps the ring. From its start on, nothing may be lost or torn.
fn attaching(
    name: &'static str,
    preemptions: usize,
    before_end: u64,
    records: u64,
    looks: usize,
    start: Start,
) {
    model(name, preemptions, move || {
        let ring = Ring::heap(&options(before_end).inline(looks > 0).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let first = first_sequence(before_end);
        send_halves(&mut producer, first, 1);
        let writer = common::spawn(move || {
            let mut sent = first.wrapping_add(1);
            for _ in 1..records {
                if producer.try_send(&payload(sent, 3)).is_ok() {
                    sent = sent.wrapping_add(1);
                }
            }
            (producer, sent)
        });
        let mut consumer = ring.consumer(&Attach::gated().start(start)).unwrap();
        let began = consumer.next_sequence();
        let mut oracle = Oracle::new(began, 3);
        for _ in 0..looks {
            if let Some(event) = consumer.try_recv().unwrap() {
                oracle.feed(event);
            }
        }
        let (_producer, sent) = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(began.wrapping_add(oracle.received + oracle.lost), sent);
        if start == Start::Newest {
            assert_eq!(oracle.lost, 0, "a gate let its consumer be lapped");
        }
    });
}

#[test]
fn attach_at_the_newest() {
    attaching("attach_newest", 2, 0, 3, 2, Start::Newest);
}

#[test]
fn attach_at_the_oldest() {
    attaching("attach_oldest", 1, 0, 3, 2, Start::Oldest);
}

#[test]
fn attach_at_the_newest_across_the_wrap() {
    attaching("attach_newest_across_the_wrap", 2, 32, 3, 2, Start::Newest);
}

#[test]
fn attach_at_the_oldest_across_the_wrap() {
    attaching("attach_oldest_across_the_wrap", 2, 96, 4, 0, Start::Oldest);
}

/// The gate opens just as the producer scans: either the scan sees it, or it opens at what the scan had seen
/// published. The producer then fills the ring as far as it may: past a gate that was missed, it would write over
/// the first of the two large records.
fn opening(name: &'static str, preemptions: usize, before_end: u64, records: u64) {
    model(name, preemptions, move || {
        // `Spin`: the barriers of waking would order for the scan what it has to order itself.
        let ring = Ring::heap(&options(before_end).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let first = first_sequence(before_end);
        producer.try_send(&payload(first, 1)).unwrap();
        let writer = common::spawn(move || {
            let send = |sequence| producer.try_send(&payload(first.wrapping_add(sequence), 3)).is_ok();
            let sent = (1..records).map(send).take_while(|sent| *sent).count();
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
            (oracle.next, oracle.lost),
            (first.wrapping_add(1 + sent), 0),
            "a gate let its consumer be lapped"
        );
    });
}

#[test]
fn opening_against_the_scan() {
    opening("open_against_scan", 2, 0, 3);
}

/// A cursor that a newcomer has not set yet is zero, which here is ahead of everything published.
#[test]
fn opening_against_the_scan_before_the_wrap() {
    opening("open_against_scan_before_the_wrap", 1, 80, 4);
}

#[test]
fn opening_against_the_scan_across_the_wrap() {
    opening("open_against_scan_across_the_wrap", 2, 16, 3);
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
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&attach).unwrap();
        send_halves(&mut producer, 0, 2);
        let inspector = ring.inspector().unwrap();
        let reader = common::spawn(move || {
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
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        let reader = common::spawn(move || {
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
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        let reader = common::spawn(move || {
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
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        let reader = common::spawn(move || {
            let Ok(Some(Event::Record(record))) = consumer.try_recv() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(0, 3));
            quoit::fate::kill(consumer);
        });
        send_halves(&mut producer, 2, 1);
        reader.join().unwrap();
    });
}

/// A consumer over its deadline loses its gate, is told, and accounts for what it lost to the last record, even
/// where it stores its cursor at the same moment. `receive` feeds the oracle one event, if there is one: `drain` goes
/// straight to what `try_recv` looks for a second time, after a shorter way that found the lap as well, and that second
/// look at `reserve` has a fence of its own.
fn evicted(name: &'static str, before_end: u64, receive: fn(&mut Consumer, &mut Oracle)) {
    model(name, 2, move || {
        let ring = Ring::heap(&options(before_end)).unwrap();
        let mut producer = ring.producer().unwrap();
        let attach = Attach::gated_for(std::time::Duration::from_nanos(1));
        let mut consumer = ring.consumer(&attach).unwrap();
        let first = first_sequence(before_end);
        send_halves(&mut producer, first, 2);
        let writer = common::spawn(move || {
            let mut sent = 2;
            for _ in 0..2 {
                if producer.try_send(&payload(first.wrapping_add(sent), 3)).is_ok() {
                    sent += 1;
                }
            }
            (producer, sent)
        });
        let mut oracle = Oracle::new(first, 3);
        for _ in 0..2 {
            receive(&mut consumer, &mut oracle);
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

#[test]
fn evicted_while_it_releases() {
    evicted("evict", 0, |consumer, oracle| {
        consumer.drain(1, |event| oracle.feed(event)).unwrap();
    });
}

#[test]
fn evicted_across_the_wrap() {
    evicted("evict_across_the_wrap", 32, |consumer, oracle| {
        if let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
    });
}

/// `reserve` moves a segment at a time, but never past what a gate holds: the records of a consumer with a deadline that is
/// not over look lost to nobody.
#[test]
fn reserve_stops_at_a_gate() {
    model("reserve_stops", 2, || {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let attach = Attach::gated_for(std::time::Duration::from_secs(3600));
        let mut consumer = ring.consumer(&attach).unwrap();
        // Whole records, and none that is copied together with the first.
        let words = |sequence| usize::from((1..4).contains(&sequence));
        for sequence in 0..5 {
            producer.try_send(&payload(sequence, words(sequence))).unwrap();
        }
        let reader = common::spawn(move || {
            let mut oracle = Oracle::of_lengths(0, words);
            oracle.feed(consumer.try_recv().unwrap().unwrap());
            consumer.release();
            oracle.feed(consumer.try_recv().unwrap().unwrap());
            (consumer, oracle)
        });
        while producer.try_send(&payload(5, 0)).is_err() {
            loom::thread::yield_now();
        }
        let (mut consumer, mut oracle) = reader.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!((oracle.next, oracle.lost), (6, 0), "lost under a gate");
    });
}

/// A successor looks at the gates before it writes over anything.
#[test]
fn a_gate_outlives_its_producer() {
    model("gate_outlives", 3, || {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        quoit::fate::kill(producer);
        let reader = common::spawn(move || {
            let Ok(Some(Event::Record(record))) = consumer.try_recv() else { panic!("no record") };
            assert_eq!(record.to_vec(), payload(0, 3));
            consumer.release();
            consumer
        });
        let mut producer = ring.producer().unwrap();
        send_halves(&mut producer, 2, 1);
        let mut consumer = reader.join().unwrap();
        let mut oracle = Oracle::new(1, 3);
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!((oracle.received, oracle.lost), (2, 0));
    });
}

/// A slot is the next one's only once its last owner is done with it.
#[test]
fn a_slot_changes_hands() {
    model("slot_changes_hands", 3, || {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 1);
        let leaver = common::spawn(move || drop(first));
        let mut second = loop {
            match ring.consumer(&Attach::gated()) {
                Ok(second) => break second,
                Err(Error::SlotsTaken { .. }) => loom::thread::yield_now(),
                Err(other) => panic!("{other}"),
            }
        };
        leaver.join().unwrap();
        let sent = (1..5).take_while(|sequence| producer.try_send(&payload(*sequence, 3)).is_ok()).count();
        assert_eq!(sent, 2, "the gate let the producer past, or held what it was not to hold");
        let mut oracle = Oracle::new(1, 3);
        while let Some(event) = second.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!((oracle.received, oracle.lost), (2, 0));
    });
}

/// A slot that was vacant a moment ago may be a name's by the time its lock is ours.
#[test]
fn a_saved_slot_is_nobody_elses() {
    model("saved_slot", 2, || {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        send_halves(&mut producer, 0, 1);
        let mut named = ring.consumer(&Attach::gated()).map(drop).map(|()| None).unwrap();
        let other = ring.clone();
        let guest = common::spawn(move || drop(other.consumer(&Attach::gated())));
        if let Ok(consumer) = ring.consumer(&Attach::gated().name("n")) {
            named = Some(consumer.next_sequence());
        }
        guest.join().unwrap();
        let resumed = ring.consumer(&Attach::gated().name("n")).unwrap().resumed();
        assert_eq!(resumed.map(|resumed| resumed.sequence), named, "a name was forgotten");
    });
}

/// A name whose consumer is killed at any store of its first attach knows no place, or the right one: never that of
/// the consumer who had the slot before it.
#[test]
fn a_name_dies_while_it_attaches() {
    for_each_crash("dies_attaching", 2, |stores| {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut before = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        assert!(before.try_recv().unwrap().is_some());
        before.release();
        drop(before);
        let attach = Attach::gated().name("n");
        let lived = dies_attaching(&ring, &attach, stores);
        let consumer = ring.consumer(&attach).unwrap();
        assert_eq!(consumer.next_sequence(), 2, "a newcomer starts at somebody else's place");
        lived
    });
}

/// The hold of a name ends just as its consumer comes back: either it has its gate again, or it knows that it lost it.
#[test]
fn a_held_name_comes_back_just_in_time() {
    model("back_in_time", 1, || {
        let ring = Ring::heap(&options(0).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let attach = Attach::gated().name("n").hold(std::time::Duration::from_nanos(1));
        let consumer = ring.consumer(&attach).unwrap();
        send_halves(&mut producer, 0, 2);
        quoit::fate::kill(consumer);
        let other = ring.clone();
        let reader = common::spawn(move || {
            let mut consumer = other.consumer(&attach).unwrap();
            let mut oracle = Oracle::new(0, 3);
            for _ in 0..2 {
                if let Some(event) = consumer.try_recv().unwrap() {
                    oracle.feed(event);
                }
            }
            (consumer, oracle)
        });
        let mut sent = 2;
        for _ in 0..3 {
            if producer.try_send(&payload(sent, 3)).is_ok() {
                sent += 1;
            }
        }
        let (mut consumer, mut oracle) = reader.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.next, sent);
        let snapshot = ring.inspector().unwrap().snapshot().unwrap();
        assert_eq!(snapshot.consumers[0].state, ConsumerState::Gated, "a gate was taken from its next owner");
    });
}

/// A name resumes where its last consumer stopped, killed at any of its stores.
#[test]
fn a_held_name_resumes_after_a_crash() {
    for_each_crash("resume", 2, |stores| {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let attach = Attach::gated().name("n").hold_forever();
        let mut consumer = ring.consumer(&attach).unwrap();
        send_halves(&mut producer, 0, 2);
        let writer = common::spawn(move || {
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
        lived.is_some()
    });
}

/// One consumer leaves that had released everything, and another comes and never gates: the ring is full for nobody,
/// wherever the producer looks in between.
#[test]
fn full_is_only_said_of_a_gate() {
    model("full_of_a_gate", 2, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&Attach::gated()).unwrap();
        send_halves(&mut producer, 0, 2);
        while first.try_recv().unwrap().is_some() {}
        let other = ring.clone();
        let changing = common::spawn(move || {
            drop(first);
            other.consumer(&Attach::lossy()).unwrap()
        });
        // A thread of its own, begun after the other: see `takeover::before_a_shorter_record`.
        let sending = common::spawn(move || (producer.try_send(&payload(2, 3)), producer));
        let _second = changing.join().unwrap();
        let (sent, _producer) = sending.join().unwrap();
        assert_eq!(sent, Ok(2), "full, and nobody is in the way");
    });
}

/// The producer takes a gate that somebody else asks for, while its consumer goes on: who loses records was evicted.
#[test]
fn an_eviction_that_was_asked_for() {
    model("evict_asked", 2, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated().evictable()).unwrap();
        send_halves(&mut producer, 0, 2);
        assert_eq!(ring.evict(0, Duration::ZERO).unwrap(), Evicted::Asked);
        let writer = common::spawn(move || {
            send_halves(&mut producer, 2, 1);
            producer
        });
        let mut oracle = Oracle::new(0, 3);
        if let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        let _producer = writer.join().unwrap();
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!(oracle.received + oracle.lost, 3);
        assert!(oracle.evicted, "evicted, and not told");
        assert_eq!(consumer.account().evicted, oracle.lost);
    });
}

/// Somebody asked for the eviction of a consumer, which then leaves. The next one in its slot is not evicted for it.
#[test]
fn a_request_is_for_one_gate_alone() {
    model("evict_one_gate", 1, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&Attach::gated().evictable()).unwrap();
        send_halves(&mut producer, 0, 2);
        assert_eq!(ring.evict(0, Duration::ZERO).unwrap(), Evicted::Asked);
        let other = ring.clone();
        let changing = common::spawn(move || {
            drop(first);
            other.consumer(&Attach::gated().evictable()).unwrap()
        });
        // Whatever comes of it: it looks at the gates.
        let looking = common::spawn(move || (producer.try_send(&payload(2, 3)), producer));
        let mut second = changing.join().unwrap();
        let (_sent, _producer) = looking.join().unwrap();
        let mut evicted = false;
        while let Some(event) = second.try_recv().unwrap() {
            evicted |= matches!(event, Event::Evicted);
        }
        assert!(!evicted, "somebody else was meant");
    });
}

/// Once the producer has seen that a consumer is there, that one receives whatever is sent.
#[test]
fn who_is_waited_for_misses_nothing() {
    model("waited_for", 2, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let other = ring.clone();
        let newcomer = common::spawn(move || other.consumer(&Attach::gated().name("n")).unwrap());
        let no_time = Instant::now();
        while !producer.wait_for_name("n", no_time).unwrap() {
            loom::thread::yield_now();
        }
        assert!(producer.wait_for_consumers(1, no_time).unwrap());
        producer.try_send(&payload(0, 1)).unwrap();
        let mut consumer = newcomer.join().unwrap();
        let mut oracle = Oracle::new(0, 1);
        while let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
        }
        assert_eq!((oracle.received, oracle.lost), (1, 0), "it was there, and missed a record");
    });
}
