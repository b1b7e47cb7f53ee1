//! Seats: one participant each, and nobody is taken for its predecessor, dead or alive.
mod common;

use common::{Oracle, dies_after, for_each_crash, model, options, payload};
use quoit::fate::kill;
use quoit::{Attach, Error, Event, Ring};

/// Two want the one seat. One gets it, unless each meets the other on its way.
#[test]
fn a_seat_is_for_one() {
    model("seat_for_one", 3, || {
        let ring = Ring::heap(&options(0).slots(1).inline(false)).unwrap();
        let _producer = ring.producer().unwrap();
        let other = ring.clone();
        let second = common::spawn(move || other.consumer(&Attach::lossy()));
        let first = ring.consumer(&Attach::lossy());
        let second = second.join().unwrap();
        let taken = [&first, &second].map(|consumer| match consumer {
            Ok(_) => true,
            Err(Error::SlotsTaken { .. }) => false,
            Err(error) => panic!("{error}"),
        });
        assert!(taken != [true, true], "two have one seat");
        assert!(taken != [false, false], "nobody has it");
    });
}

/// A gated consumer is killed and another takes its seat, while the producer waits for the dead one's gate: it takes the
/// gate of the dead, and never that of the living.
#[test]
fn a_successor_is_not_taken_for_the_dead() {
    model("seat_successor", 2, || {
        let ring = Ring::heap(&options(0).slots(1).inline(false)).unwrap();
        let mut producer = ring.producer().unwrap();
        let dead = ring.consumer(&Attach::gated()).unwrap();
        producer.send(&payload(0, 3)).unwrap();
        producer.send(&payload(1, 3)).unwrap();
        kill(dead);
        let heirs = ring.clone();
        let heir = common::spawn(move || heirs.consumer(&Attach::gated()).ok());
        // The ring is full of what the dead one has not read.
        let sent = producer.try_send(&payload(2, 3)).is_ok();
        if let Some(mut heir) = heir.join().unwrap() {
            // Loom does not know that nothing comes between what an exchange read and what it wrote, so the producer's
            // thread is not asked again after the exchange: what it would find there need not be the last state.
            let (first, last) = (heir.next_sequence(), if sent { 3 } else { 2 });
            let mut oracle = Oracle::new(first, 3);
            for _ in first..last {
                match heir.try_recv().unwrap() {
                    Some(Event::Evicted) => panic!("taken for the dead"),
                    Some(event) => oracle.feed(event),
                    None => panic!("a record is missing"),
                }
            }
            assert_eq!((oracle.received, oracle.lost), (last - first, 0));
        }
    });
}

/// Killed before any of its stores on the way into the seat, it leaves one that the next has.
#[test]
fn a_seat_outlives_who_dies_taking_it() {
    for_each_crash("seat_crash", 1, |stores| {
        let ring = Ring::heap(&options(0).slots(1).inline(false)).unwrap();
        let _producer = ring.producer().unwrap();
        let first = ring.clone();
        let dying = dies_after(stores, move || drop(first.consumer(&Attach::lossy())));
        let lived = dying.join().unwrap();
        assert!(ring.consumer(&Attach::lossy()).is_ok(), "the seat is gone");
        lived
    });
}
