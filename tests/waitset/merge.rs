//! Several rings as one stream.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use quoit::{AnyReader, Attach, Event, Merge, RecvError, Start, WaitSet};

use crate::common::{Backing, Sent, soon};
use crate::{BACKINGS, MODES, now, small};

/// What is received until all rings have ended: the sequences of each, and how each ended.
fn all(merge: &mut Merge) -> (BTreeMap<usize, Vec<u64>>, BTreeMap<usize, RecvError>) {
    let (mut records, mut ends) = (BTreeMap::<usize, Vec<u64>>::new(), BTreeMap::new());
    loop {
        match merge.recv_deadline(soon()) {
            Ok(merged) => match merged.event {
                Ok(Event::Record(record)) => records.entry(merged.ring).or_default().push(record.sequence()),
                Ok(_) => {}
                Err(end) => assert_eq!(ends.insert(merged.ring, end), None, "told twice"),
            },
            Err(RecvError::Closed) => return (records, ends),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn every_record_comes_once_and_in_its_rings_order() {
    for backing in BACKINGS {
        for mode in MODES {
            let rings: Vec<_> = (0..4).map(|_| backing.ring(&small().wait(mode))).collect();
            let mut merge = Merge::new();
            merge.set_spins(0);
            for (number, ring) in rings.iter().enumerate() {
                assert_eq!(merge.push(ring.consumer(&Attach::gated())), number);
            }
            let producers: Vec<_> = rings.iter().map(|ring| ring.producer()).collect();
            thread::scope(|scope| {
                for (number, mut producer) in producers.into_iter().enumerate() {
                    scope.spawn(move || {
                        let mut sent = Sent::new(0);
                        for turn in 0..100 * number {
                            let payload = crate::common::payload(sent.next(), turn % 300);
                            sent.lens.push(turn % 300);
                            producer.send_deadline(&payload, soon()).unwrap();
                            if turn % 16 == 0 {
                                thread::sleep(Duration::from_micros(200));
                            }
                        }
                    });
                }
                let (records, ends) = all(&mut merge);
                for number in 1..4_usize {
                    let expected: Vec<_> = (0..100 * number as u64).collect();
                    assert_eq!(records[&number], expected, "ring {number}");
                }
                assert!(!records.contains_key(&0));
                assert!(ends.len() == 4 && ends.values().all(|end| *end == RecvError::Closed), "{ends:?}");
            });
            assert_eq!(merge.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::Closed);
            assert_eq!(merge.recv().unwrap_err(), RecvError::Closed);
        }
    }
}

/// A ring that is always full does not keep another waiting.
#[test]
fn a_busy_ring_gives_way() {
    let rings = [Backing::Heap.ring(&small()), Backing::Heap.ring(&small())];
    let mut producers = rings.each_ref().map(|ring| ring.producer());
    let mut merge = Merge::new();
    for ring in &rings {
        merge.push(ring.consumer(&Attach::lossy()));
    }
    let mut in_a_row = 0;
    for turn in 0..500 {
        while producers[0].next_sequence() < turn + 20 {
            producers[0].send(b"busy").unwrap();
        }
        if turn % 50 == 0 {
            producers[1].send(b"quiet").unwrap();
            in_a_row = 0;
        }
        let merged = merge.try_recv().expect("there is something");
        in_a_row += 1;
        if merged.ring == 1 {
            assert_eq!(merged.event.unwrap().record().unwrap().to_vec(), b"quiet");
            assert!(in_a_row <= 17, "after {in_a_row} of the other");
            in_a_row = 0;
        }
    }
}

#[test]
fn one_that_dies_is_told_and_does_not_stop_the_others() {
    let rings = [Backing::Tmpfs.ring(&small()), Backing::Tmpfs.ring(&small())];
    let mut merge = Merge::new();
    merge.push(rings[0].consumer(&Attach::gated()));
    merge.push(rings[1].observer(Start::Newest));
    let mut first = rings[0].producer();
    let mut second = rings[1].producer();
    first.send(b"last").unwrap();
    rings[0].kill_producer(first);
    let event = |merge: &mut Merge| {
        let merged = merge.recv_deadline(soon()).unwrap();
        (merged.ring, merged.event.map(|event| event.to_owned()))
    };
    assert!(matches!(event(&mut merge), (0, Ok(quoit::EventOf::Record { sequence: 0, .. }))));
    assert_eq!(event(&mut merge), (0, Err(RecvError::ProducerGone)));
    second.send(b"alive").unwrap();
    assert!(matches!(event(&mut merge), (1, Ok(quoit::EventOf::Record { sequence: 0, .. }))));
    assert_eq!(merge.recv_timeout(Duration::from_millis(150)).unwrap_err(), RecvError::TimedOut);
    // The next producer goes on.
    let mut next = rings[0].producer();
    next.send(b"again").unwrap();
    assert_eq!(event(&mut merge), (0, Ok(quoit::EventOf::ProducerChanged { epoch: 2 })));
    assert!(matches!(event(&mut merge), (0, Ok(quoit::EventOf::Record { sequence: 1, .. }))));
    drop((next, second));
    let mut ends = [event(&mut merge), event(&mut merge)];
    ends.sort_by_key(|(ring, _)| *ring);
    assert_eq!(ends, [(0, Err(RecvError::Closed)), (1, Err(RecvError::Closed))]);
    assert_eq!(merge.recv().unwrap_err(), RecvError::Closed);
}

#[test]
fn readers_are_added_and_taken_out() {
    let mut merge = Merge::new();
    assert!(merge.try_recv().is_none() && merge.remove(0).is_none() && merge.things().is_empty());
    assert_eq!(merge.recv().unwrap_err(), RecvError::Closed, "of no rings");
    let rings = [Backing::Heap.ring(&small()), Backing::Heap.ring(&small())];
    let mut producers = rings.each_ref().map(|ring| ring.producer());
    for ring in &rings {
        merge.push(ring.consumer(&Attach::gated()));
    }
    for producer in &mut producers {
        producer.send(b"x").unwrap();
    }
    let Some(AnyReader::Consumer(mut taken)) = merge.remove(0) else { panic!("a consumer") };
    assert!(merge.reader(0).is_none() && merge.remove(0).is_none());
    assert_eq!(merge.recv().unwrap().ring, 1);
    assert!(merge.try_recv().is_none());
    assert!(taken.try_recv().unwrap().is_some(), "what was not received is left");
    assert_eq!(merge.things().len(), 1);
    assert!(matches!(merge.reader_mut(1), Some(AnyReader::Consumer(consumer)) if consumer.slot() == 0));
    assert_eq!(merge.push(taken), 2);
    producers[0].send(b"y").unwrap();
    let merged = merge.recv().unwrap();
    assert_eq!((merged.ring, merged.event.unwrap().record().unwrap().to_vec()), (2, b"y".to_vec()));
    assert!(format!("{merge:?}").contains("Merge"));
}

/// One ring is read behind a stage, another one is not.
#[test]
fn a_ring_is_read_behind_a_stage() {
    for backing in BACKINGS {
        for mode in MODES {
            let rings = [backing.ring(&small().wait(mode)), backing.ring(&small().wait(mode))];
            let mut producers = rings.each_ref().map(|ring| ring.producer());
            let attach = Attach::gated().name("journal").start(Start::Oldest);
            let mut journal = rings[0].consumer(&attach);
            let mut merge = Merge::new();
            merge.push(rings[0].consumer(&Attach::gated().after("journal").start(Start::Oldest)));
            merge.push(rings[1].consumer(&Attach::gated()));
            let next = |merge: &mut Merge| {
                let merged = merge.recv_deadline(soon()).unwrap();
                (merged.ring, merged.event.map(|event| event.record().unwrap().sequence()))
            };
            let nothing = |merge: &mut Merge, why: &str| {
                assert!(merge.try_recv().is_none(), "{why}");
                assert_eq!(
                    merge.recv_timeout(Duration::from_millis(2)).unwrap_err(),
                    RecvError::TimedOut,
                    "{why}"
                );
            };
            for _ in 0..3 {
                producers[0].send(b"behind a stage").unwrap();
            }
            nothing(&mut merge, "the stage has received nothing");
            producers[1].send(b"from the other").unwrap();
            assert_eq!(next(&mut merge), (1, Ok(0)), "the other ring waits for the stage");
            assert!(journal.try_recv().unwrap().is_some());
            nothing(&mut merge, "the stage has it in hand");
            journal.release();
            assert_eq!(next(&mut merge), (0, Ok(0)));
            // A thread that waits receives it.
            thread::scope(|scope| {
                let waiting = scope.spawn(|| next(&mut merge));
                assert!(journal.try_recv().unwrap().is_some());
                thread::sleep(Duration::from_millis(2));
                journal.release();
                assert_eq!(waiting.join().unwrap(), (0, Ok(1)));
            });
            // It is told once that the stage is gone. What that has not released is still withheld, and the other ring goes on.
            drop(journal);
            assert_eq!(next(&mut merge), (0, Err(RecvError::StageGone)));
            nothing(&mut merge, "told twice, or not released");
            producers[1].send(b"from the other").unwrap();
            assert_eq!(next(&mut merge), (1, Ok(1)));
            let mut journal = rings[0].consumer(&attach);
            assert!(journal.try_recv().unwrap().is_some());
            nothing(&mut merge, "the stage that came back has it in hand");
            journal.release();
            assert_eq!(next(&mut merge), (0, Ok(2)));
            // The end of a ring comes once its stage has released everything.
            producers[0].send(b"the last").unwrap();
            drop(producers);
            assert_eq!(next(&mut merge), (1, Err(RecvError::Closed)));
            nothing(&mut merge, "the stage has still to release the last record");
            assert!(journal.try_recv().unwrap().is_some());
            journal.release();
            assert_eq!(next(&mut merge), (0, Ok(3)));
            assert_eq!(next(&mut merge), (0, Err(RecvError::Closed)));
            assert_eq!(merge.recv().unwrap_err(), RecvError::Closed);
        }
    }
}

/// Two rings: the first one has ended, and the second one goes on for ever.
fn one_has_ended() -> (Merge, quoit::Producer) {
    let rings = [(); 2].map(|()| quoit::Ring::heap(&small()).unwrap());
    let mut merge = Merge::new();
    for ring in &rings {
        merge.push(ring.consumer(&Attach::gated()).unwrap());
    }
    drop(rings[0].producer().unwrap());
    (merge, rings[1].producer().unwrap())
}

/// What comes next. `None`: an event of the second ring; else the end of the first one.
fn next_end(merge: &mut Merge) -> Option<RecvError> {
    let merged = merge.recv_deadline(soon()).unwrap();
    match merged.event {
        Ok(_) => assert_eq!(merged.ring, 1),
        Err(end) => {
            assert_eq!(merged.ring, 0);
            return Some(end);
        }
    }
    None
}

#[test]
fn an_end_is_told_beside_a_ring_that_is_always_full() {
    let (mut merge, mut producer) = one_has_ended();
    let end = (0..5_000).find_map(|_| {
        producer.send(b"x").unwrap();
        next_end(&mut merge)
    });
    assert_eq!(end, Some(RecvError::Closed));
    // Once.
    for _ in 0..5_000 {
        producer.send(b"x").unwrap();
        assert_eq!(next_end(&mut merge), None);
    }
}

/// Each wait ends with a record of the other ring.
#[test]
fn an_end_is_told_beside_a_ring_that_is_never_silent_for_long() {
    for period in [1, 5, 10] {
        let (mut merge, mut producer) = one_has_ended();
        // Its end is shown here, and the event comes first.
        producer.send(b"x").unwrap();
        assert_eq!(merge.things().len(), 2);
        assert_eq!(now(&mut WaitSet::new(), &mut merge.things()).len(), 2);
        let is_over = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    producer.send(b"x").unwrap();
                    thread::sleep(Duration::from_millis(period));
                }
            });
            let end = (0..2_000 / period).find_map(|_| next_end(&mut merge));
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(end, Some(RecvError::Closed), "every {period} ms");
        });
    }
}

/// A ring whose records carry times.
fn timed() -> quoit::Options {
    small().times(true)
}

/// The payloads of all records until all rings have ended, and which of them were late.
fn in_order(merge: &mut Merge) -> Vec<(usize, Vec<u8>, bool)> {
    let mut all = Vec::new();
    loop {
        match merge.recv_deadline(soon()) {
            Ok(quoit::Merged { ring, event: Ok(Event::Record(record)), late }) => {
                all.push((ring, record.to_vec(), late));
            }
            Ok(_) => {}
            Err(RecvError::Closed) => return all,
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn by_time_records_of_several_rings_are_in_order() {
    for backing in BACKINGS {
        let rings: Vec<_> = (0..3).map(|_| backing.ring(&timed())).collect();
        let mut merge = Merge::by_time(Duration::from_secs(60));
        for (number, ring) in rings.iter().enumerate() {
            let attach = if number == 2 { Attach::lossy() } else { Attach::gated() };
            merge.push(ring.consumer(&attach));
        }
        let mut producers: Vec<_> = rings.iter().map(|ring| ring.producer()).collect();
        let mut dice = 7_u64;
        // Fewer than fill a ring.
        let sent: Vec<_> = (0..60_u64)
            .map(|number| {
                dice = dice.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let ring = (dice >> 60) as usize % 3;
                producers[ring].send(&number.to_le_bytes()).unwrap();
                (ring, number.to_le_bytes().to_vec(), false)
            })
            .collect();
        drop(producers);
        // Those with nothing left have ended, and are not waited for.
        assert_eq!(in_order(&mut merge), sent);
    }
}

#[test]
fn by_time_a_record_waits_for_a_silent_ring_as_long_as_the_lateness() {
    let rings = [Backing::Heap.ring(&timed()), Backing::Heap.ring(&timed())];
    let lateness = Duration::from_millis(50);
    let mut merge = Merge::by_time(lateness);
    for ring in &rings {
        merge.push(ring.consumer(&Attach::gated()));
    }
    let mut producers = rings.each_ref().map(|ring| ring.producer());
    producers[0].send(b"waits").unwrap();
    assert!(merge.try_recv().is_none(), "the other ring may have an older one");
    assert!(merge.reader_mut(0).is_none() && merge.reader_mut(1).is_some());
    // What waits for its turn is a thing of its own.
    assert_eq!(merge.things().len(), 2);
    let mut set = crate::sleeper();
    let ready = set.wait_deadline(&mut merge.things(), soon());
    assert!(ready.contains(1) && !ready.contains(0));
    let merged = merge.recv_deadline(soon()).unwrap();
    assert!(!merged.late);
    let record = merged.event.unwrap().record().unwrap();
    assert!(record.time().unwrap().elapsed() >= lateness, "too early");
    // As soon as the other has one as well, the older one goes out.
    producers[1].send(b"older").unwrap();
    producers[0].send(b"newer").unwrap();
    let mut long = Merge::by_time(Duration::from_secs(600));
    for ring in [0, 1] {
        long.push(merge.remove(ring).unwrap());
    }
    let merged = long.recv_deadline(soon()).unwrap();
    assert_eq!((merged.ring, merged.event.unwrap().record().unwrap().to_vec()), (1, b"older".to_vec()));
    assert_eq!(long.recv_timeout(Duration::ZERO).unwrap_err(), RecvError::TimedOut);
}

#[test]
fn by_time_what_comes_too_late_is_marked() {
    let rings = [Backing::Heap.ring(&timed()), Backing::Heap.ring(&timed())];
    let mut producers = rings.each_ref().map(|ring| ring.producer());
    let mut merge = Merge::by_time(Duration::ZERO);
    merge.push(rings[0].consumer(&Attach::gated()));
    let late = rings[1].consumer(&Attach::gated());
    producers[1].send(b"first").unwrap();
    producers[0].send(b"second").unwrap();
    producers[1].send(b"third").unwrap();
    // The reader of the other ring comes after the second record has gone out.
    assert!(matches!(merge.recv().unwrap(), quoit::Merged { ring: 0, event: Ok(_), late: false }));
    merge.push(late);
    drop(producers);
    assert_eq!(in_order(&mut merge), [(1, b"first".to_vec(), true), (1, b"third".to_vec(), false)]);
}

#[test]
fn by_time_other_events_and_records_without_times_do_not_wait() {
    let rings = [Backing::Heap.ring(&timed()), Backing::Heap.ring(&small()), Backing::Heap.ring(&timed())];
    let mut merge = Merge::by_time(Duration::from_secs(600));
    for ring in &rings {
        merge.push(ring.consumer(&Attach::lossy()));
    }
    let mut producers = rings.each_ref().map(|ring| ring.producer());
    for _ in 0..500 {
        producers[0].send(&[7; 50]).unwrap();
    }
    producers[1].send(b"no time").unwrap();
    let (mut lost, mut plain) = (0, 0);
    while let Some(merged) = merge.try_recv() {
        match (merged.ring, merged.event.unwrap()) {
            (0, Event::Lost(loss)) => lost += loss.records,
            (1, Event::Record(record)) => plain += record.len(),
            (ring, event) => panic!("{event} of ring {ring}"),
        }
    }
    assert!(lost > 0 && plain == 7);
}
