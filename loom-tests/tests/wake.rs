//! Nobody sleeps through what it waits for: [S1] with [S2], [S5] with [S2]. Sleeps in the models have no end, so a
//! lost wake is a deadlock, which loom reports.
mod common;

use std::time::Duration;

use common::{Oracle, first_sequence, model, options, payload};
use quoit::{Attach, Consumer, Event, Evicted, RecvError, Ring, Status, WaitMode};

/// The consumer sleeps for each record.
fn asleep(name: &'static str, mode: WaitMode, before_end: u64, records: u64) {
    model(name, 3, move || {
        let ring = Ring::heap(&options(before_end).wait(mode)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let first = first_sequence(before_end);
        let writer = common::spawn(move || {
            for sequence in 0..records {
                producer.send(&payload(first.wrapping_add(sequence), 1)).unwrap();
            }
            producer
        });
        let mut oracle = Oracle::new(first, 1);
        for _ in 0..records {
            oracle.feed(consumer.recv().unwrap());
        }
        let _producer = writer.join().unwrap();
    });
}

#[test]
fn a_sleeper_is_woken_by_a_fencing_producer() {
    asleep("wake_fence", WaitMode::Fence, 0, 2);
}

#[test]
fn a_sleeper_is_woken_through_its_own_barrier() {
    asleep("wake_membarrier", WaitMode::Membarrier, 0, 2);
}

#[test]
fn a_sleeper_is_woken_across_the_wrap() {
    asleep("wake_across_the_wrap", WaitMode::Membarrier, 16, 2);
}

/// Two sleepers arm the same word. A wake that one of them has seen off must not look, to the other, as if there had
/// been none.
#[test]
fn two_sleepers_are_woken() {
    model("wake_two", 2, || {
        let ring = Ring::heap(&options(0).slots(2).inline(false).wait(WaitMode::Fence)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&Attach::lossy()).unwrap();
        let mut second = ring.consumer(&Attach::lossy()).unwrap();
        let writer = common::spawn(move || {
            producer.send(&payload(0, 0)).unwrap();
            producer
        });
        let sleeper = common::spawn(move || {
            assert!(second.recv().is_ok());
            second
        });
        assert!(first.recv().is_ok());
        let _second = sleeper.join().unwrap();
        let _producer = writer.join().unwrap();
    });
}

/// The producer sleeps for space, the consumer for records.
#[test]
fn both_sides_sleep() {
    model("wake_both", 2, || {
        let ring = Ring::heap(&options(0).wait(WaitMode::Fence)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let writer = common::spawn(move || {
            for sequence in 0..3 {
                producer.send(&payload(sequence, 3)).unwrap();
            }
            producer
        });
        let mut oracle = Oracle::new(0, 3);
        for _ in 0..3 {
            oracle.feed(consumer.recv().unwrap());
        }
        let _producer = writer.join().unwrap();
    });
}

/// The end of the stream wakes, and comes after its last record.
#[test]
fn closing_wakes() {
    model("wake_close", 2, || {
        let ring = Ring::heap(&options(0)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let writer = common::spawn(move || {
            // Too short to enter another segment: an index entry has fences of its own.
            producer.send(&payload(0, 0)).unwrap();
        });
        let mut oracle = Oracle::new(0, 0);
        let end = loop {
            match consumer.recv() {
                Ok(event) => oracle.feed(event),
                Err(end) => break end,
            }
        };
        assert_eq!(end, RecvError::Closed);
        assert_eq!(oracle.received, 1, "the end came before the last record");
        writer.join().unwrap();
    });
}

/// A consumer that waits for the first producer of all receives by `turn` until that says that it was the end.
fn the_end_is_last(name: &'static str, turn: fn(&mut Consumer, &mut Oracle) -> bool) {
    model(name, 2, move || {
        let ring = Ring::heap(&options(0).wait(WaitMode::Fence)).unwrap();
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let other = ring.clone();
        let writer = common::spawn(move || {
            other.producer().unwrap().send(&payload(0, 0)).unwrap();
        });
        let mut oracle = Oracle::new(0, 0);
        while !turn(&mut consumer, &mut oracle) {}
        assert_eq!(oracle.received, 1, "the end came before the last record");
        writer.join().unwrap();
    });
}

/// It is woken when the producer comes, and looks once more before it takes the end for the end.
#[test]
fn the_end_comes_last() {
    the_end_is_last("wake_end_last", |consumer, oracle| match consumer.recv() {
        Ok(event) => {
            oracle.feed(event);
            false
        }
        Err(end) => {
            assert_eq!(end, RecvError::Closed);
            true
        }
    });
}

/// Whoever never sleeps, and asks how the stream stands when there was nothing, is told the end last as well.
#[test]
fn the_end_comes_last_for_who_polls() {
    the_end_is_last("wake_end_polled", |consumer, oracle| {
        if let Some(event) = consumer.try_recv().unwrap() {
            oracle.feed(event);
            return false;
        }
        let status = consumer.status();
        if status == Status::Streaming {
            loom::thread::yield_now();
            return false;
        }
        assert_eq!(status, Status::Closed);
        true
    });
}

/// A consumer that was about to sleep by the mode of a producer that died is woken by the next one's, which pays
/// for no fence any more.
#[test]
fn a_new_producer_reaches_sleepers_of_the_old() {
    model("wake_takeover", 2, || {
        let ring = Ring::heap(&options(0).wait(WaitMode::Membarrier)).unwrap();
        quoit::fate::refuse_barriers(true);
        let first = ring.producer().unwrap();
        assert_eq!(first.wait_mode(), WaitMode::Fence);
        quoit::fate::kill(first);
        quoit::fate::refuse_barriers(false);
        let mut consumer = ring.consumer(&Attach::gated()).unwrap();
        let successor = ring.clone();
        let writer = common::spawn(move || {
            let mut producer = successor.producer().unwrap();
            assert_eq!(producer.wait_mode(), WaitMode::Membarrier);
            producer.send(&payload(0, 1)).unwrap();
            producer
        });
        let mut oracle = Oracle::new(0, 1);
        while oracle.received == 0 {
            match consumer.recv() {
                Ok(event) => oracle.feed(event),
                Err(RecvError::ProducerGone) => loom::thread::yield_now(),
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(oracle.changes, [2]);
        let _producer = writer.join().unwrap();
    });
}

/// A detaching consumer wakes the producer that waited for it. That one, whether it slept or was about to, leaves no mark:
/// every gated consumer would look for it, for good.
#[test]
fn leaving_wakes() {
    model("wake_leave", 2, || {
        let ring = Ring::heap(&options(0).wait(WaitMode::Fence)).unwrap();
        let mut producer = ring.producer().unwrap();
        let consumer = ring.consumer(&Attach::gated()).unwrap();
        producer.send(&payload(0, 3)).unwrap();
        producer.send(&payload(1, 3)).unwrap();
        let leaver = common::spawn(move || drop(consumer));
        producer.send(&payload(2, 3)).unwrap();
        leaver.join().unwrap();
        assert!(!quoit::fate::is_space_armed(&ring), "armed, and awake");
    });
}

/// So does whoever forgets a name that was held.
#[test]
fn forgetting_wakes() {
    model("wake_forget", 2, || {
        let ring = Ring::heap(&options(0).wait(WaitMode::Fence)).unwrap();
        let mut producer = ring.producer().unwrap();
        let consumer = ring.consumer(&Attach::gated().name("n").hold_forever()).unwrap();
        producer.send(&payload(0, 3)).unwrap();
        producer.send(&payload(1, 3)).unwrap();
        quoit::fate::kill(consumer);
        let other = ring.clone();
        let forgetter = common::spawn(move || other.forget("n").unwrap());
        producer.send(&payload(2, 3)).unwrap();
        forgetter.join().unwrap();
    });
}

/// Nor does the next producer keep the mark of one that died in its sleep.
#[test]
fn nobody_looks_for_a_producer_that_is_dead() {
    model("wake_disarmed_dead", 2, || {
        let ring = Ring::heap(&options(0).wait(WaitMode::Fence)).unwrap();
        quoit::fate::kill(ring.producer().unwrap());
        quoit::fate::arm_space(&ring);
        assert!(quoit::fate::is_space_armed(&ring));
        let _producer = ring.producer().unwrap();
        assert!(!quoit::fate::is_space_armed(&ring), "armed by the dead");
    });
}

/// A consumer that sleeps with nothing to receive is told at once that it was evicted.
#[test]
fn an_eviction_wakes_its_sleeper() {
    model("wake_evicted", 2, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Fence)).unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(&Attach::gated().evictable()).unwrap();
        let sleeper = common::spawn(move || {
            assert!(matches!(consumer.recv(), Ok(Event::Evicted)));
            consumer
        });
        producer.evict(0).unwrap();
        let _consumer = sleeper.join().unwrap();
    });
}

/// A producer asleep is woken by whoever asks for the eviction of the consumer in its way, and so is that one by the answer.
#[test]
fn asking_for_an_eviction_wakes() {
    model("wake_asked", 2, || {
        let ring = Ring::heap(&options(0).inline(false).wait(WaitMode::Fence)).unwrap();
        let mut producer = ring.producer().unwrap();
        let _consumer = ring.consumer(&Attach::gated().evictable()).unwrap();
        producer.send(&payload(0, 3)).unwrap();
        producer.send(&payload(1, 3)).unwrap();
        let other = ring.clone();
        let asking = common::spawn(move || other.evict(0, Duration::MAX).unwrap());
        producer.send(&payload(2, 3)).unwrap();
        assert_eq!(asking.join().unwrap(), Evicted::Done);
    });
}
