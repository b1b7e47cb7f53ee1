//! Participants as threads of one process: what ThreadSanitizer, AddressSanitizer and Miri can watch. `cargo verify
//! sanitizers` runs this under each of them that is there.
//!
//! On the heap all handles see one piece of memory, so every unordered access is seen. Handles of a file have maps of
//! their own at addresses of their own: there a tool sees each participant's private half, and the process's
//! table of descriptors, which they share.
//!
//! Threads are spawned and joined and share nothing else: channels and scopes of a standard library that was not
//! compiled for the tool would look like races.
#![allow(unsafe_code, reason = "records are lent and filled in place")]

mod common;

use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use common::{Backing, Ring, payload, soon};
use quoit::{Attach, Consumer, Event, LossCause, Options, Producer, RecvError, Start};

const CAPACITY: u64 = 4096;

/// Records of a test. Miri is a few hundred times slower.
const RECORDS: u64 = if cfg!(miri) { 60 } else { 20_000 };

/// Payload bytes: short and long ones, on both sides of where copies change.
fn len(sequence: u64) -> usize {
    (sequence.wrapping_mul(97) % 41 * 17) as usize
}

fn check(sequence: u64, bytes: &[u8]) {
    assert!(bytes == payload(sequence, len(sequence)), "contents of record {sequence}");
}

fn send_all(mut producer: Producer, records: u64) -> JoinHandle<()> {
    spawn(move || {
        let first = producer.next_sequence();
        for sequence in first..first + records {
            let bytes = payload(sequence, len(sequence));
            if sequence % 3 == 0 {
                let mut batch = producer.batch();
                batch.send_deadline(&bytes, soon()).unwrap();
                batch.publish();
            } else {
                producer.send_deadline(&bytes, soon()).unwrap();
            }
        }
    })
}

/// Receives until the ring is closed; every record whole, and every loss exact. Returns received and lost.
fn receive_all(mut consumer: Consumer) -> JoinHandle<(u64, u64)> {
    spawn(move || {
        let (mut next, mut received, mut lost) = (consumer.next_sequence(), 0, 0);
        loop {
            match consumer.recv_deadline(soon()) {
                Ok(Event::Record(record)) => {
                    assert_eq!(record.sequence(), next);
                    check(next, &record.bytes());
                    next += 1;
                    received += 1;
                }
                Ok(Event::Lost(loss)) => {
                    assert_eq!(loss.first, next);
                    next = loss.next;
                    lost += loss.records;
                }
                Ok(_) | Err(RecvError::ProducerGone) => {}
                Err(RecvError::TimedOut) => panic!("nothing comes"),
                Err(RecvError::Closed) => return (received, lost),
                Err(error) => panic!("{error}"),
            }
        }
    })
}

/// Written in place, read in place: the only memory of a ring that is not accessed atomically. Each record is
/// released before the next lap is written over it.
fn filled_and_lent_in_place(backing: Backing) {
    let ring = backing.ring(&Options::new().capacity(CAPACITY).slots(4).gated_only(true));
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let mut consumer = ring.consumer(&Attach::gated());
            spawn(move || {
                let mut next = 0;
                while next < RECORDS {
                    match consumer.recv_deadline(soon()) {
                        Ok(Event::Record(record)) => {
                            // SAFETY: the other threads keep to the protocol.
                            check(next, unsafe { record.as_slice() });
                            next += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            })
        })
        .collect();
    let mut producer = ring.producer();
    let filler = spawn(move || {
        for sequence in 0..RECORDS {
            let mut claim = producer.claim_deadline(len(sequence), soon()).unwrap();
            // SAFETY: the other threads keep to the protocol.
            let slice = unsafe { claim.as_mut_slice() };
            slice.expect("a gated-only ring").copy_from_slice(&payload(sequence, len(sequence)));
            assert_eq!(claim.publish(), sequence);
        }
        producer
    });
    consumers.into_iter().for_each(|consumer| consumer.join().unwrap());
    drop(filler.join().unwrap());
}

/// Consumers that come, read a few records in place, and leave with the last of them in hand: it is overwritten
/// as soon as they are gone, and not before.
fn left_with_a_record_in_hand(backing: Backing) {
    let ring = backing.ring(&Options::new().capacity(CAPACITY).slots(2).gated_only(true));
    let mut producer = ring.producer();
    let visits = RECORDS / 20;
    let mut next = ring.consumer(&Attach::gated());
    let sender = spawn(move || {
        let mut sequence = 0;
        while sequence < RECORDS {
            let mut claim = producer.claim_deadline(len(sequence), soon()).unwrap();
            // SAFETY: the other threads keep to the protocol.
            let slice = unsafe { claim.as_mut_slice() };
            slice.expect("a gated-only ring").copy_from_slice(&payload(sequence, len(sequence)));
            sequence = claim.publish() + 1;
        }
    });
    for visit in 0..visits {
        let mut guest = next;
        next = ring.consumer(&Attach::gated());
        let leaving = spawn(move || {
            for _ in 0..1 + visit % 3 {
                match guest.recv_deadline(soon()) {
                    // SAFETY: the other threads keep to the protocol.
                    Ok(Event::Record(record)) => check(record.sequence(), unsafe { record.as_slice() }),
                    Ok(_) => panic!("nothing comes"),
                    Err(RecvError::Closed) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        leaving.join().unwrap();
    }
    drop(next);
    sender.join().unwrap();
}

/// Consumers that ask to start in the past while claims are filled in place: refused, unless there is nothing before them;
/// and names that come back, held or not, read nothing that is being written.
fn started_in_the_past(backing: Backing) {
    let ring = backing.ring(&Options::new().capacity(CAPACITY).slots(4).gated_only(true));
    let mut producer = ring.producer();
    let sender = spawn(move || {
        let mut sequence = 0;
        while sequence < RECORDS {
            let mut claim = producer.claim_deadline(len(sequence), soon()).unwrap();
            // SAFETY: the other threads keep to the protocol.
            let slice = unsafe { claim.as_mut_slice() };
            slice.expect("a gated-only ring").copy_from_slice(&payload(sequence, len(sequence)));
            sequence = claim.publish() + 1;
        }
    });
    let attaches = [
        Attach::gated().start(Start::Oldest),
        Attach::gated().start(Start::Last(3)),
        Attach::gated().name("away").start(Start::Oldest),
        Attach::gated().name("held").hold(Duration::from_micros(200)),
    ];
    let mut visit = 0;
    while !sender.is_finished() {
        visit += 1;
        let Ok(mut guest) = ring.try_consumer(&attaches[visit % attaches.len()]) else { continue };
        for _ in 0..1 + visit % 3 {
            match guest.recv_deadline(soon()) {
                // SAFETY: the other threads keep to the protocol.
                Ok(Event::Record(record)) => check(record.sequence(), unsafe { record.as_slice() }),
                Ok(Event::Lost(loss)) => assert_eq!(loss.cause, LossCause::Away),
                Ok(other) => panic!("{other:?}"),
                Err(RecvError::TimedOut) => panic!("nothing comes"),
                Err(RecvError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    sender.join().unwrap();
}

/// Everybody at once, in every policy, asleep and awake.
fn all_policies(backing: Backing) {
    let ring = backing.ring(&Options::new().capacity(CAPACITY).slots(8));
    let attaches = [
        Attach::gated(),
        Attach::gated().name("held").hold_forever(),
        Attach::gated_for(Duration::from_micros(50)),
        Attach::lossy(),
    ];
    let consumers: Vec<_> = attaches
        .iter()
        .enumerate()
        .map(|(number, attach)| {
            let mut consumer = ring.consumer(attach);
            consumer.set_spins(if number % 2 == 0 { 0 } else { 100 });
            receive_all(consumer)
        })
        .collect();
    send_all(ring.producer(), RECORDS).join().unwrap();
    for (number, consumer) in consumers.into_iter().enumerate() {
        let (received, lost) = consumer.join().unwrap();
        assert_eq!(received + lost, RECORDS, "consumer {number}");
        assert!(number >= 2 || lost == 0, "consumer {number}: {lost} lost");
    }
}

/// Participants come and go while records flow, and observers and inspectors look on.
fn coming_and_going(backing: Backing) {
    let ring = backing.ring(&Options::new().capacity(CAPACITY).slots(4));
    let steady = receive_all(ring.consumer(&Attach::gated()));
    let mut rounds = 0;
    for epoch in 1..=3 {
        let producer = ring.producer();
        assert_eq!(producer.epoch(), epoch);
        let sending = send_all(producer, RECORDS / 3);
        while !sending.is_finished() && rounds < RECORDS {
            rounds += 1;
            visit(&ring, rounds);
        }
        sending.join().unwrap();
    }
    let (received, lost) = steady.join().unwrap();
    // It ends with the first close that it sees, which may be any of the three.
    assert!(received >= RECORDS / 3 && lost == 0, "{received} received, {lost} lost");
}

fn visit(ring: &Ring, round: u64) {
    let named = Attach::gated().name("guest");
    let attach = match round % 3 {
        0 => Attach::lossy().start(Start::Oldest),
        1 => Attach::gated(),
        _ => named,
    };
    let mut consumer = ring.consumer(&attach);
    let mut observer = ring.observer(Start::Newest);
    for _ in 0..round % 7 {
        match consumer.try_recv().unwrap() {
            Some(Event::Record(record)) => check(record.sequence(), &record.bytes()),
            Some(Event::Lost(loss)) => assert!(round % 3 != 1 || loss.cause == LossCause::Overrun),
            _ => {}
        }
        if let Some(Event::Record(record)) = observer.try_recv().unwrap() {
            check(record.sequence(), &record.bytes());
        }
    }
    let snapshot = ring.snapshot();
    assert!(snapshot.consumers.iter().any(|info| info.slot == consumer.slot() && info.alive));
}

/// Handles move between threads, and their drops race.
fn handles_move_and_go_together(backing: Backing) {
    for round in 0..if cfg!(miri) { 2 } else { 200 } {
        let ring = backing.ring(&Options::new().capacity(CAPACITY).slots(4));
        let mut producer = ring.producer();
        let consumers: Vec<_> = (0..3).map(|_| ring.consumer(&Attach::gated())).collect();
        producer.send(&payload(0, len(round))).unwrap();
        let mut going: Vec<_> = consumers
            .into_iter()
            .map(|mut consumer| {
                spawn(move || {
                    let event = consumer.recv_deadline(soon()).unwrap();
                    assert!(matches!(event, Event::Record(_)), "{event:?}");
                })
            })
            .collect();
        going.push(spawn(move || drop(producer)));
        drop(ring);
        going.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

macro_rules! on_both {
    ($($name:ident),*) => {
        mod heap {
            $(#[test] fn $name() { super::$name(super::Backing::Heap); })*
        }
        mod file {
            $(#[test] #[cfg_attr(miri, ignore = "Miri maps no shared files")]
            fn $name() { super::$name(super::Backing::Tmpfs); })*
        }
    };
}

on_both!(
    filled_and_lent_in_place,
    left_with_a_record_in_hand,
    started_in_the_past,
    all_policies,
    coming_and_going,
    handles_move_and_go_together
);
