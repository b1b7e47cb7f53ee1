//! A thread that waits for many things sleeps through none of them: [S1] with [S2] over several words, one barrier for all.
//! Sleeps in the models have no end, so a lost wake is a deadlock, which loom reports.
mod common;

use std::time::Duration;

use common::{model, options, payload};
use quoit::sync::{
    Barrier, Event as Signal, Latch, Latest, LatestOptions, Reset, SyncOptions, Table, TableOptions,
};
use quoit::{Attach, Event, RecvError, Ring, WaitMode, WaitSet};

fn ring(mode: WaitMode) -> Ring {
    Ring::heap(&options(0).inline(false).wait(mode)).unwrap()
}

/// Two producers, one record each, and a set that sleeps for both.
fn two_rings(name: &'static str, modes: [WaitMode; 2]) {
    model(name, 2, move || {
        let rings = modes.map(ring);
        let [mut first, mut second] = rings.each_ref().map(|ring| ring.consumer(&Attach::lossy()).unwrap());
        let writers = rings.map(|ring| {
            let mut producer = ring.producer().unwrap();
            common::spawn(move || {
                producer.send(&payload(0, 0)).unwrap();
                producer
            })
        });
        let mut set = WaitSet::new();
        let mut received = 0;
        while received < 2 {
            assert!(!set.wait(&mut [&mut first, &mut second]).is_empty());
            for consumer in [&mut first, &mut second] {
                let event = consumer.try_recv().unwrap();
                received += usize::from(matches!(event, Some(Event::Record(_))));
            }
        }
        let _producers = writers.map(|writer| writer.join().unwrap());
    });
}

#[test]
fn fencing_producers_wake() {
    two_rings("waitset_fence", [WaitMode::Fence; 2]);
}

#[test]
fn one_barrier_reaches_every_producer() {
    two_rings("waitset_membarrier", [WaitMode::Membarrier; 2]);
}

#[test]
fn both_barriers_are_made() {
    two_rings("waitset_both", [WaitMode::Fence, WaitMode::Membarrier]);
}

/// A latest value beside a ring from which nothing comes.
#[test]
fn a_change_wakes() {
    model("waitset_latest", 3, || {
        let idle = ring(WaitMode::Membarrier);
        let _producer = idle.producer().unwrap();
        let mut consumer = idle.consumer(&Attach::lossy()).unwrap();
        let mut latest = Latest::local(&LatestOptions::new(), &1_u64).unwrap();
        let mut reader = latest.reader().unwrap();
        reader.get().unwrap();
        let writer = common::spawn(move || {
            latest.set(&2).unwrap();
            latest
        });
        assert!(WaitSet::new().wait(&mut [&mut consumer, &mut reader]).contains(1));
        assert_eq!(reader.get().unwrap(), 2);
        let _latest = writer.join().unwrap();
    });
}

/// An event beside a ring from which nothing comes. `work` is done by another handle.
fn an_event(name: &'static str, reset: Reset, work: fn(&Signal), then: fn(&Signal)) {
    model(name, 2, move || {
        let idle = ring(WaitMode::Membarrier);
        let _producer = idle.producer().unwrap();
        let mut consumer = idle.consumer(&Attach::lossy()).unwrap();
        let mut event = Signal::local(&SyncOptions::new().seats(2), reset).unwrap();
        let other = event.try_clone().unwrap();
        let worker = common::spawn(move || {
            work(&other);
            other
        });
        let mut set = WaitSet::new();
        assert!(set.wait(&mut [&mut consumer, &mut event]).contains(1));
        let _other = worker.join().unwrap();
        then(&event);
        // At the latest after a look that found it reset, nothing is left to tell.
        let _ = set.wait_timeout(&mut [&mut event], Duration::ZERO);
        assert!(set.wait_timeout(&mut [&mut event], Duration::ZERO).is_empty(), "told twice");
    });
}

fn set(event: &Signal) {
    assert!(event.set().unwrap());
}

#[test]
fn an_event_wakes() {
    let reset = |event: &Signal| assert!(event.reset().unwrap());
    an_event("waitset_event", Reset::Manual, set, reset);
}

#[test]
fn a_signal_wakes() {
    let take = |event: &Signal| assert!(event.try_wait().unwrap() && !event.try_wait().unwrap());
    an_event("waitset_signal", Reset::Auto, set, take);
}

#[test]
fn what_is_reset_at_once_is_not_slept_through() {
    let pulse = |event: &Signal| {
        set(event);
        assert!(event.reset().unwrap());
    };
    let is_over = |event: &Signal| assert!(!event.try_wait().unwrap());
    an_event("waitset_pulse", Reset::Manual, pulse, is_over);
}

/// A row of a table and a signal, each from another thread.
#[test]
fn a_row_and_a_signal_wake() {
    model("waitset_table", 2, || {
        let table = Table::local(&TableOptions::new(1).seats(1), &1_u64).unwrap();
        let mut reader = table.reader().unwrap();
        assert_eq!(reader.next().unwrap(), (0, 1));
        let mut event = Signal::local(&SyncOptions::new().seats(2), Reset::Auto).unwrap();
        let other = event.try_clone().unwrap();
        let writer = common::spawn(move || {
            table.set(0, &2).unwrap();
            table
        });
        let worker = common::spawn(move || {
            set(&other);
            other
        });
        let (mut waits, mut rows, mut signals) = (WaitSet::new(), 0, 0);
        while rows == 0 || signals == 0 {
            let ready = waits.wait(&mut [&mut reader, &mut event]);
            assert!(!ready.is_empty());
            if ready.contains(0) {
                assert_eq!(reader.next().unwrap(), (0, 2));
                rows += 1;
            }
            if ready.contains(1) {
                signals += usize::from(event.try_wait().unwrap());
            }
        }
        assert_eq!((rows, signals), (1, 1), "told twice");
        let _others = (writer.join().unwrap(), worker.join().unwrap());
    });
}

/// Of two rows that change one after the other, the second may change while the first is read.
#[test]
fn each_row_wakes() {
    model("waitset_rows", 3, || {
        let table = Table::local(&TableOptions::new(2).seats(1), &1_u64).unwrap();
        let mut reader = table.reader().unwrap();
        for row in 0..2 {
            assert_eq!(reader.next().unwrap(), (row, 1));
        }
        let writer = common::spawn(move || {
            for row in 0..2 {
                table.set(row, &2).unwrap();
            }
            table
        });
        let mut set = WaitSet::new();
        let changed = [(); 2].map(|()| {
            assert!(set.wait(&mut [&mut reader]).contains(0));
            reader.next().unwrap()
        });
        // Nothing orders one row to another.
        assert!(changed.contains(&(0, 2)) && changed.contains(&(1, 2)), "{changed:?}");
        let _table = writer.join().unwrap();
    });
}

/// The last party of a latch arrives, or leaves without that.
fn a_latch(name: &'static str, leaves: bool) {
    model(name, 3, move || {
        let mut latch = Latch::local(&SyncOptions::new().seats(1), 1).unwrap();
        let party = latch.join().unwrap();
        let other = common::spawn(move || match leaves {
            // The set may be the first to see that all have arrived.
            false => {
                party.arrive().unwrap();
            }
            true => drop(party),
        });
        assert!(WaitSet::new().wait(&mut [&mut latch]).contains(0));
        assert_eq!(latch.try_wait().is_ok_and(|is_open| is_open), !leaves);
        other.join().unwrap();
    });
}

#[test]
fn a_latch_that_opens_wakes() {
    a_latch("waitset_latch", false);
}

#[test]
fn a_party_that_leaves_wakes() {
    a_latch("waitset_leaves", true);
}

/// Two parties arrive at once, and wait for the round in sets. Whoever is last wakes the other.
#[test]
fn the_end_of_a_round_wakes() {
    model("waitset_barrier", 2, || {
        let visit = |mut barrier: Barrier| {
            move || {
                barrier.arrive().unwrap();
                assert!(WaitSet::new().wait(&mut [&mut barrier]).contains(0));
                let pass = barrier.try_wait().unwrap().expect("it was ready");
                (barrier, pass.is_leader)
            }
        };
        let first = Barrier::local(&SyncOptions::new(), 2).unwrap();
        let other = common::spawn(visit(first.try_clone().unwrap()));
        let (_first, leads) = visit(first)();
        let (_second, other_leads) = other.join().unwrap();
        assert!(leads != other_leads, "a round has one leader");
    });
}

/// A producer waits for space and a consumer, whose wait for a record gives that space, both in sets.
#[test]
fn a_release_wakes_a_producer() {
    model("waitset_space", 2, || {
        let idle = ring(WaitMode::Fence);
        let mut other = idle.consumer(&Attach::lossy()).unwrap();
        let ring = ring(WaitMode::Fence);
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        for sequence in 0..2 {
            producer.try_send(&payload(sequence, 3)).unwrap();
        }
        let reader = common::spawn(move || {
            let mut set = WaitSet::new();
            for _ in 0..3 {
                assert!(set.wait(&mut [&mut consumer]).contains(0));
                assert!(matches!(consumer.try_recv().unwrap(), Some(Event::Record(_))));
            }
            consumer
        });
        assert!(WaitSet::new().wait(&mut [&mut producer.space(24), &mut other]).contains(0));
        producer.try_send(&payload(2, 3)).unwrap();
        let _consumer = reader.join().unwrap();
        assert!(!quoit::fate::is_space_armed(&ring), "armed, and awake");
    });
}

/// The third record does not fit before the end of the ring, and so needs room that the second takes up, which the
/// consumer has received and waits with.
#[test]
fn a_wait_releases_what_was_received() {
    model("waitset_release", 2, || {
        let ring = ring(WaitMode::Fence);
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        producer.try_send(&payload(0, 1)).unwrap();
        producer.try_send(&payload(1, 3)).unwrap();
        let writer = common::spawn(move || {
            producer.send(&payload(2, 3)).unwrap();
            producer
        });
        let (mut set, mut received) = (WaitSet::new(), 0);
        while received < 3 {
            assert!(set.wait(&mut [&mut consumer]).contains(0));
            // Padding may be there before the record behind it.
            received += usize::from(consumer.try_recv().unwrap().is_some());
        }
        let _producer = writer.join().unwrap();
    });
}

/// The end of one stream wakes, and comes after its last record.
#[test]
fn closing_wakes() {
    model("waitset_close", 2, || {
        let rings = [WaitMode::Membarrier; 2].map(ring);
        let [mut first, mut second] = rings.each_ref().map(|ring| ring.consumer(&Attach::lossy()).unwrap());
        let [mut producer, _idle] = rings.each_ref().map(|ring| ring.producer().unwrap());
        let writer = common::spawn(move || {
            producer.send(&payload(0, 0)).unwrap();
        });
        let (mut set, mut received) = (WaitSet::new(), 0);
        let end = loop {
            assert!(set.wait(&mut [&mut second, &mut first]).contains(1));
            match first.recv_timeout(Duration::ZERO) {
                Ok(event) => received += usize::from(matches!(event, Event::Record(_))),
                Err(RecvError::TimedOut) => {}
                Err(end) => break end,
            }
        };
        assert_eq!((end, received), (RecvError::Closed, 1));
        writer.join().unwrap();
    });
}

/// As `wake::a_new_producer_reaches_sleepers_of_the_old`, for a set.
#[test]
fn a_new_producer_reaches_sleepers_of_the_old() {
    model("waitset_takeover", 2, || {
        let ring = ring(WaitMode::Membarrier);
        quoit::fate::refuse_barriers(true);
        let first = ring.producer().unwrap();
        assert_eq!(first.wait_mode(), WaitMode::Fence);
        quoit::fate::kill(first);
        quoit::fate::refuse_barriers(false);
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let mut reader = Latest::local(&LatestOptions::new(), &1_u64).unwrap().reader().unwrap();
        reader.get().unwrap();
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let mut producer = successor.producer().unwrap();
            assert_eq!(producer.wait_mode(), WaitMode::Membarrier);
            producer.send(&payload(0, 1)).unwrap();
            producer
        });
        let mut set = WaitSet::new();
        loop {
            // The death of the first is shown once, and then no more.
            assert!(set.wait(&mut [&mut consumer, &mut reader]).contains(0));
            match consumer.recv_timeout(Duration::ZERO) {
                Ok(Event::Record(_)) => break,
                Ok(_) | Err(RecvError::ProducerGone | RecvError::TimedOut) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
        let _producer = writer.join().unwrap();
    });
}
