//! The forms of receiving, and what a record can do.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Event, Record, RecvError, Start};

use crate::common::{PATIENCE, payload, soon};
use crate::{Scene, Setup};

crate::behaviours! {
    an_empty_ring_has_nothing,
    deadlines_are_kept,
    waiting_forms_find_what_is_there,
    waiting_forms_wait,
    drain_takes_as_many_as_asked,
    drains_and_single_receives_mix,
    the_next_record_comes_past_everything_else,
    a_panic_in_a_drain_leaves_the_record_received,
    a_record_is_copied_as_asked,
    a_record_can_be_read_in_place,
    handles_move_between_threads,
}

fn an_empty_ring_has_nothing(setup: Setup) {
    let ring = setup.ring();
    for with_producer in [false, true] {
        let _producer = with_producer.then(|| ring.producer());
        let mut gated = ring.consumer(&Attach::gated());
        let mut lossy = ring.consumer(&Attach::lossy().start(Start::Oldest));
        let mut observer = ring.observer(Start::Newest);
        for _ in 0..3 {
            assert!(gated.try_recv().unwrap().is_none());
            assert!(lossy.try_recv().unwrap().is_none());
            assert!(observer.try_recv().unwrap().is_none());
        }
        assert_eq!(gated.drain(10, |_| ()).unwrap(), 0);
        assert_eq!(observer.drain(10, |_| ()).unwrap(), 0);
        assert_eq!((gated.next_sequence(), observer.next_sequence()), (setup.first, setup.first));
        assert_eq!((gated.producer_alive(), observer.producer_alive()), (with_producer, with_producer));
        assert!(gated.resumed().is_none());
    }
}

fn deadlines_are_kept(setup: Setup) {
    let ring = setup.ring();
    let _producer = ring.producer();
    let mut gated = ring.consumer(&Attach::gated());
    let mut lossy = ring.consumer(&Attach::lossy());
    let mut observer = ring.observer(Start::Newest);
    let past = Instant::now();
    assert_eq!(gated.recv_deadline(past).unwrap_err(), RecvError::TimedOut);
    assert_eq!(observer.recv_deadline(past).unwrap_err(), RecvError::TimedOut);
    assert_eq!(lossy.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::TimedOut);
    for spins in [0, 100] {
        gated.set_spins(spins);
        lossy.set_spins(spins);
        observer.set_spins(spins);
        let wait = Duration::from_millis(15);
        let deadline = Instant::now() + wait;
        assert_eq!(gated.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
        assert!(Instant::now() >= deadline, "the consumer gave up early");
        let deadline = Instant::now() + wait;
        assert_eq!(observer.recv_deadline(deadline).unwrap_err(), RecvError::TimedOut);
        assert!(Instant::now() >= deadline, "the observer gave up early");
        let begin = Instant::now();
        assert_eq!(lossy.recv_timeout(wait).unwrap_err(), RecvError::TimedOut);
        assert!(begin.elapsed() >= wait, "the timeout ended early");
        assert!(begin.elapsed() < PATIENCE, "the timeout was forgotten");
    }
}

fn waiting_forms_find_what_is_there(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut oracle) = (setup.sent(), setup.oracle());
    let mut observed = setup.oracle();
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    for _ in 0..30 {
        sent.send_many(&mut producer, [10, 20, 200, 0]);
        let past = Instant::now();
        oracle.feed(&sent, consumer.recv().unwrap());
        oracle.feed(&sent, consumer.recv_deadline(past).expect("it is there, however late"));
        oracle.feed(&sent, consumer.recv_timeout(Duration::ZERO).expect("it is there"));
        oracle.feed(&sent, consumer.recv_timeout(Duration::MAX).expect("it is there"));
        observed.feed(&sent, observer.recv().unwrap());
        observed.feed(&sent, observer.recv_deadline(past).expect("it is there, however late"));
        observed.feed(&sent, observer.recv_timeout(Duration::ZERO).expect("it is there"));
        observed.feed(&sent, observer.recv_timeout(Duration::MAX).expect("it is there"));
        consumer.release();
    }
    oracle.is_done(&sent, setup.first);
    observed.is_done(&sent, setup.first);
}

fn waiting_forms_wait(setup: Setup) {
    let ring = setup.ring();
    let mut sent = setup.sent();
    sent.lens = (0..8).map(|n| n * 40).collect();
    let mut producer = ring.producer();
    let mut consumer = ring.consumer(&Attach::gated());
    let mut observer = ring.observer(Start::Newest);
    let (mut oracle, mut observed) = (setup.oracle(), setup.oracle());
    std::thread::scope(|scope| {
        let sent = &sent;
        scope.spawn(move || {
            for (sequence, len) in (0..).map(|n| sent.first.wrapping_add(n)).zip(&sent.lens) {
                std::thread::sleep(Duration::from_millis(2));
                producer.send(&payload(sequence, *len)).unwrap();
            }
            std::thread::sleep(Duration::from_millis(2));
            producer
        });
        scope.spawn(move || {
            for _ in 0..sent.lens.len() / 2 {
                observed.feed(sent, observer.recv().unwrap());
                observed.feed(sent, observer.recv_deadline(soon()).expect("it came in time"));
            }
            observed.is_done(sent, setup.first);
        });
        for _ in 0..sent.lens.len() / 2 {
            oracle.feed(sent, consumer.recv().unwrap());
            oracle.feed(sent, consumer.recv_timeout(PATIENCE).expect("it came in time"));
        }
        oracle.is_done(sent, setup.first);
    });
}

fn drain_takes_as_many_as_asked(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    sent.send_many(&mut producer, [56; 10]);
    assert_eq!(consumer.drain(0, |_| panic!("none was asked for")).unwrap(), 0);
    assert_eq!(consumer.drain(4, |event| oracle.feed(&sent, event)).unwrap(), 4);
    assert_eq!(oracle.received, 4);
    assert_eq!(consumer.drain(6, |event| oracle.feed(&sent, event)).unwrap(), 6);
    sent.send_many(&mut producer, [56; 3]);
    assert_eq!(consumer.drain(usize::MAX, |event| oracle.feed(&sent, event)).unwrap(), 3);
    assert_eq!(consumer.drain(usize::MAX, |_| panic!("there is none")).unwrap(), 0);
    oracle.is_done(&sent, setup.first);
    // Having found nothing more it has released everything.
    assert_eq!(sent.fill(&mut producer, 56), 64);
}

fn drains_and_single_receives_mix(setup: Setup) {
    let ring = setup.ring();
    let (mut sent, mut oracles) = (setup.sent(), [setup.oracle(), setup.oracle(), setup.oracle()]);
    let mut producer = ring.producer();
    let attach = [Attach::gated(), Attach::gated().name("kept"), Attach::lossy()];
    let mut consumers = attach.map(|attach| ring.consumer(&attach));
    consumers[1].keep(true);
    for round in 0..200 {
        // Half of the rounds send records of one length; all together go round the ring many times.
        let lens = (0..round % 23).map(|n| if round % 2 == 0 { round % 90 } else { (n * 37 + round) % 130 });
        let before = sent.next();
        sent.send_many(&mut producer, lens);
        for (who, (consumer, oracle)) in consumers.iter_mut().zip(&mut oracles).enumerate() {
            let steps = [(round + who) % 5, 1, (round * 7 + who) % 11, usize::MAX];
            for (turn, most) in steps.into_iter().enumerate() {
                let before = oracle.received;
                let received = consumer.drain(most, |event| oracle.feed(&sent, event)).unwrap() as u64;
                assert_eq!(received, oracle.received - before);
                assert_eq!(consumer.next_sequence(), oracle.next);
                if turn % 2 == 0 {
                    let left = sent.next().wrapping_sub(oracle.next).min(2) as usize;
                    oracle.take(&sent, consumer, left);
                }
            }
            assert_eq!(oracle.next, sent.next());
        }
        let kept = || ring.named("kept").unwrap().next_sequence;
        assert_eq!(kept(), before, "nothing is released by receiving");
        consumers[1].release();
        assert_eq!(kept(), sent.next());
        assert!(
            ring.snapshot()
                .consumers
                .iter()
                .filter(|seen| seen.name.is_none())
                .all(|seen| { seen.next_sequence == sent.next() }),
            "who found nothing more has released everything"
        );
    }
    for oracle in oracles {
        oracle.is_done(&sent, setup.first);
    }
}

/// The function that users write: it lends the record on.
fn next_record<'a>(
    consumer: &'a mut Consumer,
    others: &mut Vec<&'static str>,
) -> Result<Record<'a>, RecvError> {
    consumer.recv_record(|event| others.push(kind(&event)))
}

fn kind(event: &Event<'_>) -> &'static str {
    match event {
        Event::Record(_) => "record",
        Event::Lost(_) => "lost",
        Event::Evicted => "evicted",
        Event::ProducerChanged { .. } => "changed",
        _ => unreachable!("no other kind is known here"),
    }
}

fn the_next_record_comes_past_everything_else(setup: Setup) {
    let Scene { ring, mut sent, mut producer, .. } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated_for(Duration::from_nanos(1)));
    let mut observer = ring.observer(Start::Newest);
    let no_other = |event: Event<'_>| panic!("{event:?}");
    assert!(consumer.try_recv_record(no_other).unwrap().is_none());
    assert_eq!(consumer.recv_record_deadline(Instant::now(), no_other).unwrap_err(), RecvError::TimedOut);
    assert!(observer.try_recv_record(no_other).unwrap().is_none());
    sent.send_many(&mut producer, [10, 20, 30]);
    let mut others = Vec::new();
    assert_eq!(next_record(&mut consumer, &mut others).unwrap().to_vec(), sent.payload(setup.first));
    let second = setup.first.wrapping_add(1);
    let record = consumer.try_recv_record(no_other).unwrap().expect("it is there");
    assert_eq!(record.to_vec(), sent.payload(second));
    let record = consumer.recv_record_deadline(soon(), no_other).expect("it is there");
    assert_eq!((record.sequence(), record.len()), (second.wrapping_add(1), 30));
    consumer.release();
    // It loses its gate, its records and its producer.
    sent.send_many(&mut producer, [56; 60]);
    let wanted = sent.next().wrapping_add(200);
    while sent.next() != wanted {
        sent.lens.push(56);
        producer.send_deadline(&sent.payload(sent.next().wrapping_sub(1)), soon()).unwrap();
    }
    drop(producer);
    let mut producer = ring.producer();
    sent.send_many(&mut producer, [5]);
    drop(producer);
    let last = sent.next().wrapping_sub(1);
    let sequence = loop {
        let record = next_record(&mut consumer, &mut others).unwrap();
        assert_eq!(record.to_vec(), sent.payload(record.sequence()));
        if record.sequence() == last {
            break record.sequence();
        }
    };
    assert_eq!(others, ["evicted", "lost", "changed"]);
    assert_eq!(sequence, last);
    others.clear();
    loop {
        let event = |event: Event<'_>| others.push(kind(&event));
        let record = observer.recv_record_deadline(soon(), event).expect("there are more");
        if record.sequence() == last {
            break;
        }
    }
    assert_eq!(others, ["lost", "changed"]);
    assert_eq!(next_record(&mut consumer, &mut others).unwrap_err(), RecvError::Closed);
    assert_eq!(observer.recv_record(no_other).unwrap_err(), RecvError::Closed);
    assert!(consumer.try_recv_record(no_other).unwrap().is_none());
}

fn a_panic_in_a_drain_leaves_the_record_received(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for round in 0..40 {
        sent.send_many(&mut producer, (0..9).map(|n| 10 * (round % 4) + n % 2));
        let mut left = round % 9;
        let drained = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            consumer.drain(usize::MAX, |event| {
                oracle.feed(&sent, event);
                assert!(left > 0, "enough");
                left -= 1;
            })
        }));
        assert!(drained.is_err());
        assert_eq!(consumer.next_sequence(), oracle.next, "the last one handed over counts as received");
        consumer.release();
        let gates = ring.snapshot().consumers[0].next_sequence;
        assert_eq!(gates, oracle.next, "and is released");
        oracle.keep_up(&sent, &mut consumer);
    }
    oracle.is_done(&sent, setup.first);
}

fn a_record_is_copied_as_asked(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let mut gated = ring.consumer(&Attach::gated());
    let mut lossy = ring.consumer(&Attach::lossy());
    for len in [0, 1, 15, 100, 104, 105, 700] {
        let bytes = payload(1, len);
        producer.send(&bytes).unwrap();
        producer.send(&bytes).unwrap();
        for copied in [false, true] {
            for _ in 0..2 {
                let event = if copied { lossy.try_recv() } else { gated.try_recv() };
                let record = event.unwrap().and_then(Event::record).expect("a record");
                assert_eq!((record.len(), record.is_empty()), (len, len == 0));
                let mut buffer = vec![0xaa; len + 3];
                assert_eq!(record.copy_to(&mut buffer), len);
                assert_eq!(buffer[..len], bytes);
                assert_eq!(buffer[len..], [0xaa; 3], "wrote past the record");
                let mut short = vec![0xaa; len / 2];
                assert_eq!(record.copy_to(&mut short), len / 2);
                assert_eq!(short, bytes[..len / 2]);
                assert_eq!(record.copy_to(&mut []), 0);
                let mut appended = b"before".to_vec();
                record.append_to(&mut appended);
                assert_eq!(appended[..6], *b"before");
                assert_eq!(appended[6..], bytes);
                assert_eq!(record.to_vec(), bytes);
                assert_eq!(*record.bytes(), bytes);
                if copied {
                    assert!(matches!(record.bytes(), Cow::Borrowed(_)), "copied twice");
                }
            }
        }
        assert!(gated.try_recv().unwrap().is_none());
        assert!(lossy.try_recv().unwrap().is_none());
    }
}

#[allow(unsafe_code, reason = "the slice of a record is an unsafe fn")]
fn a_record_can_be_read_in_place(setup: Setup) {
    let ring = setup.ring();
    let mut producer = ring.producer();
    let mut gated = ring.consumer(&Attach::gated());
    let mut lossy = ring.consumer(&Attach::lossy());
    for len in [0, 1, 64, 105, 2040] {
        let bytes = payload(7, len);
        producer.send(&bytes).unwrap();
        for consumer in [&mut gated, &mut lossy] {
            let Event::Record(record) = consumer.recv().unwrap() else { panic!("no record") };
            // SAFETY: this process has all handles of the ring, and its producer does nothing meanwhile.
            assert_eq!(unsafe { record.as_slice() }, bytes);
        }
        gated.release();
    }
}

fn handles_move_between_threads(setup: Setup) {
    let Scene { ring, mut sent, mut oracle, mut producer } = setup.scene();
    let mut consumer = ring.consumer(&Attach::gated());
    for _ in 0..5 {
        (producer, sent) = std::thread::spawn(move || {
            sent.send_many(&mut producer, [30, 300]);
            (producer, sent)
        })
        .join()
        .unwrap();
        let seen = sent.clone();
        (consumer, oracle) = std::thread::spawn(move || {
            oracle.keep_up(&seen, &mut consumer);
            (consumer, oracle)
        })
        .join()
        .unwrap();
    }
    oracle.is_done(&sent, setup.first);
}
