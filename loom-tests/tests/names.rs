//! Names find their own slots, whoever else comes, goes or dies: [G6], [G7]; and a gate stands where there is something to
//! read.
mod common;

use std::time::Duration;

use common::{Oracle, dies_attaching, drain, for_each_crash, look, model, options, payload, send_halves};
use quoit::{Attach, Error, Ring, Start, WaitMode};

/// Eight bytes, a word of the slot; and a name that begins with them.
const BEGINNING: &str = "worker-1";
const LONGER: &str = "worker-10";

/// A ring of two slots. The second is kept for `BEGINNING`, at sequence 1, the first is free.
fn ring_with_a_name() -> quoit::Ring {
    let ring = Ring::heap(&options(0).slots(2).inline(false)).unwrap();
    let mut producer = ring.producer().unwrap();
    let guest = ring.consumer(&Attach::lossy()).unwrap();
    let mut named = ring.consumer(&Attach::gated().name(BEGINNING)).unwrap();
    send_halves(&mut producer, 0, 2);
    assert!(named.try_recv().unwrap().is_some());
    named.release();
    drop((named, guest));
    ring
}

fn resumes_where_it_was(ring: &quoit::Ring) {
    let consumer = ring.consumer(&Attach::gated().name(BEGINNING)).unwrap();
    assert_eq!(consumer.resumed().map(|resumed| resumed.sequence), Some(1), "a name forgot its place");
    assert_eq!(consumer.slot(), 1);
}

/// What is left of a name whose consumer was killed at any store of its first attach is nobody else's name.
#[test]
fn the_beginning_of_a_name_dies_while_it_attaches() {
    for_each_crash("beginning_dies", 2, |stores| {
        let ring = ring_with_a_name();
        let attach = Attach::lossy().name(LONGER);
        let lived = dies_attaching(&ring, &attach, stores);
        resumes_where_it_was(&ring);
        lived
    });
}

/// Nor while it is being written, or forgotten, by somebody who lives.
#[test]
fn a_name_is_not_taken_for_its_beginning() {
    model("not_its_beginning", 2, || {
        let ring = ring_with_a_name();
        let other = ring.clone();
        let newcomer = common::spawn(move || other.consumer(&Attach::lossy().name(LONGER)).unwrap());
        resumes_where_it_was(&ring);
        assert_eq!(newcomer.join().unwrap().slot(), 0);
    });
}

/// A consumer was killed at any store of its first attach; two come after it, one under its name: each has a slot and
/// a place of its own.
#[test]
fn two_come_after_a_name_that_died_while_it_attached() {
    for_each_crash("two", 1, |stores| {
        let ring = Ring::heap(&options(0).slots(2).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        send_halves(&mut producer, 0, 1);
        let attach = Attach::lossy().name("n");
        let lived = dies_attaching(&ring, &attach, stores);
        let other = ring.clone();
        let second =
            common::spawn(move || other.consumer(&Attach::lossy().name("m").start(Start::Oldest)).unwrap());
        let first = loop {
            match ring.consumer(&attach) {
                Ok(first) => break first,
                // The other is just looking whether this slot is vacant.
                Err(Error::NameInUse { .. }) => loom::thread::yield_now(),
                Err(other) => panic!("{other}"),
            }
        };
        let second = second.join().unwrap();
        assert_ne!(first.slot(), second.slot());
        assert_eq!((second.resumed(), second.next_sequence()), (None, 0), "at another's place");
        assert_eq!(first.next_sequence(), 1, "at another's place");
        drop((first, second));
        let first = ring.consumer(&attach).unwrap();
        assert_eq!(first.resumed().map(|resumed| resumed.sequence), Some(1), "a name was forgotten");
        lived
    });
}

/// A name that was lapped while it was away comes back: it holds nobody up before it has a place to read at. Its gate then
/// opens beside a producer that goes on, and from there on it loses nothing that is published.
#[test]
fn a_lapped_name_comes_back() {
    model("lapped_name", 2, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Spin)).unwrap();
        let mut producer = ring.producer().unwrap();
        let attach = Attach::gated().name("n");
        drop(ring.consumer(&attach).unwrap());
        send_halves(&mut producer, 0, 4);
        let mut consumer = ring.consumer(&attach).unwrap();
        let mut oracle = Oracle::new(0, 3);
        oracle.feed(consumer.try_recv().unwrap().unwrap());
        // This is the one behind the last look at the gates.
        assert!(producer.try_send(&payload(4, 3)).is_ok(), "held up for what nobody can read");
        let writer = common::spawn(move || {
            let sent =
                (5..7).take_while(|sequence| producer.try_send(&payload(*sequence, 3)).is_ok()).count();
            (producer, 5 + sent as u64)
        });
        look(&mut consumer, &mut oracle, 2);
        let (mut producer, sent) = writer.join().unwrap();
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.next, oracle.received + oracle.lost), (sent, sent));
        let lost = oracle.lost;
        let more = (sent..sent + 4).take_while(|next| producer.try_send(&payload(*next, 3)).is_ok()).count();
        assert_eq!(more, 2, "its gate is open by now");
        drain(&mut consumer, &mut oracle);
        assert_eq!((oracle.next, oracle.lost), (sent + 2, lost), "lost behind its gate");
    });
}

/// Somebody finds a killed consumer gone, and notes since when, while its name comes back: that finds its slot all the same,
/// and is alive in it.
#[test]
fn a_dead_name_is_noted_while_it_comes_back() {
    model("dead_name_noted", 3, || {
        let ring = Ring::heap(&options(0).slots(2).inline(false)).unwrap();
        let attach = Attach::gated().name("n");
        quoit::fate::kill(ring.consumer(&attach).unwrap());
        let noting = ring.clone();
        let noter = common::spawn(move || {
            assert!(noting.forget_away(Duration::from_secs(1000)).unwrap().is_empty());
        });
        let back = loop {
            match ring.consumer(&attach) {
                Ok(consumer) => break consumer,
                Err(Error::NameInUse { .. }) => loom::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        };
        noter.join().unwrap();
        assert_eq!(back.slot(), 0, "it has another slot than before");
        assert!(matches!(ring.consumer(&attach), Err(Error::NameInUse { .. })));
    });
}
