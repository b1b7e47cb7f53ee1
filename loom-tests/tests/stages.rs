//! A follower receives only what its stage has released, all of it, and sleeps through none of it: [F1] to [F4].
mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{Handle, Outside, dies_attaching, for_each_crash, model, options, payload, send_halves};
use quoit::{Attach, Consumer, Error, Event, RecvError, Ring, Start, Status, WaitMode};

/// The name of the stage.
const STAGE: &str = "stage";

/// Which records the stage has been done with, as bits. Not part of the model: its threads run one at a time.
#[derive(Clone, Default)]
struct Done(Rc<Cell<u64>>);

impl Done {
    fn with(&self, sequence: u64) {
        self.0.set(self.0.get() | 1 << sequence);
    }

    fn has(&self, sequence: u64) -> bool {
        self.0.get() >> sequence & 1 == 1
    }
}

fn ring(slots: u32) -> Ring {
    Ring::heap(&options(0).slots(slots).inline(false).wait(WaitMode::Fence)).unwrap()
}

fn stage() -> Attach {
    Attach::gated().name(STAGE).start(Start::Oldest)
}

fn follower() -> Attach {
    Attach::gated().after(STAGE).start(Start::Oldest)
}

/// Takes a record as a stage does: works on it, and then releases it. False: there was none.
fn pass_on(stage: &mut Consumer, work: impl FnOnce(u64)) -> bool {
    let Some(event) = stage.try_recv().unwrap() else { return false };
    let Event::Record(record) = event else { panic!("{event}") };
    let sequence = record.sequence();
    assert_eq!(record.to_vec(), payload(sequence, 3), "torn or foreign payload");
    work(sequence);
    stage.release();
    true
}

/// The record in hand is the next one, whole, and the stage was done with it.
fn follows(record: &quoit::Record<'_>, next: &mut u64, done: &Done) {
    assert_eq!(record.sequence(), *next, "record out of sequence");
    assert_eq!(record.to_vec(), payload(*next, 3), "torn or foreign payload");
    assert!(done.has(*next), "the stage was not done with it");
    *next += 1;
}

/// Takes what a follower finds in so many looks.
fn look(follower: &mut Consumer, next: &mut u64, done: &Done, looks: usize) {
    for _ in 0..looks {
        match follower.try_recv().unwrap() {
            Some(Event::Record(record)) => follows(&record, next, done),
            Some(event) => panic!("{event}"),
            None => {}
        }
    }
}

/// A stage that works on so many records, one after the other, in a thread of its own.
fn works(mut stage: Consumer, records: usize, done: &Done) -> Handle<Consumer> {
    let done = done.clone();
    common::spawn(move || {
        for _ in 0..records {
            assert!(pass_on(&mut stage, |sequence| done.with(sequence)));
        }
        stage
    })
}

/// A stage that works on one record, and leaves.
fn works_and_leaves(mut stage: Consumer, done: &Done) -> Handle<()> {
    let done = done.clone();
    common::spawn(move || assert!(pass_on(&mut stage, |sequence| done.with(sequence))))
}

/// Receives what a follower gets until it is told something else.
fn until_told(follower: &mut Consumer, next: &mut u64, done: &Done) -> RecvError {
    loop {
        match follower.recv() {
            Ok(Event::Record(record)) => follows(&record, next, done),
            Ok(event) => panic!("{event}"),
            Err(told) => return told,
        }
    }
}

/// What the stage did with a record happened before its follower receives it, though what it did is nowhere in the ring.
#[test]
fn the_work_of_a_stage_is_done_before() {
    model("stages_work", 3, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        send_halves(&mut producer, 0, 1);
        let (work, done) = (Outside::new(), Done::default());
        let (its_work, its_done) = (work.clone(), done.clone());
        let thread = common::spawn(move || {
            assert!(pass_on(&mut first, |sequence| {
                its_work.touch();
                its_done.with(sequence);
            }));
            first
        });
        let mut next = 0;
        look(&mut second, &mut next, &done, 2);
        if next == 1 {
            work.look();
        }
        let _first = thread.join().unwrap();
        look(&mut second, &mut next, &done, 1);
        assert_eq!(next, 1, "released, and not received");
    });
}

/// A record that a stage has released is whole for its follower, which never loads `published` itself.
#[test]
fn a_record_goes_through_a_stage() {
    model("stages_record", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        let done = Done::default();
        let its_done = done.clone();
        let writer = common::spawn(move || {
            send_halves(&mut producer, 0, 1);
            producer
        });
        let thread = common::spawn(move || {
            while !pass_on(&mut first, |sequence| its_done.with(sequence)) {
                loom::thread::yield_now();
            }
            first
        });
        let mut next = 0;
        look(&mut second, &mut next, &done, 1);
        let _first = thread.join().unwrap();
        let _producer = writer.join().unwrap();
        look(&mut second, &mut next, &done, 1);
        assert_eq!(next, 1, "released, and not received");
    });
}

/// What a follower receives that attached while its stage worked on two records. It sleeps until the second is released.
fn receives_to_the_second(follower: &mut Consumer, done: &Done) {
    // The oldest record that an attach finds may be the second one.
    let mut next = None;
    while next != Some(2) {
        match follower.recv().unwrap() {
            Event::Record(record) => follows(&record, next.get_or_insert(record.sequence()), done),
            event => panic!("{event}"),
        }
    }
}

/// A follower that attaches while its stage works sleeps until that releases. The stage may have looked for followers
/// once before.
#[test]
fn a_follower_is_woken() {
    model("stages_wake", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&stage()).unwrap();
        send_halves(&mut producer, 0, 2);
        let done = Done::default();
        let thread = works(first, 2, &done);
        let mut second = ring.consumer(&follower()).unwrap();
        receives_to_the_second(&mut second, &done);
        let _first = thread.join().unwrap();
    });
}

/// The same with the stage first. Loom does not count a fence as an access that others depend on: it tries a follower that
/// attaches between the stage's fence and its look only where the stage's look comes before the attach to begin with.
#[test]
fn a_follower_that_comes_late_is_woken() {
    model("stages_wake_late", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&stage()).unwrap();
        send_halves(&mut producer, 0, 2);
        let done = Done::default();
        let its_done = done.clone();
        let thread = common::spawn(move || {
            let mut second = ring.consumer(&follower()).unwrap();
            receives_to_the_second(&mut second, &its_done);
            second
        });
        for _ in 0..2 {
            assert!(pass_on(&mut first, |sequence| done.with(sequence)));
        }
        let _second = thread.join().unwrap();
    });
}

/// One that follows already is woken each time.
#[test]
fn a_follower_is_woken_again() {
    model("stages_wake_again", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        send_halves(&mut producer, 0, 2);
        let done = Done::default();
        let thread = works(first, 2, &done);
        let mut next = 0;
        while next < 2 {
            match second.recv().unwrap() {
                Event::Record(record) => follows(&record, &mut next, &done),
                event => panic!("{event}"),
            }
        }
        let _first = thread.join().unwrap();
    });
}

/// A stage that leaves wakes its followers. They receive what it has released before they are told.
#[test]
fn a_stage_leaves() {
    model("stages_leave", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        send_halves(&mut producer, 0, 2);
        let done = Done::default();
        let thread = works_and_leaves(first, &done);
        let mut next = 0;
        let told = until_told(&mut second, &mut next, &done);
        assert_eq!((told, next), (RecvError::StageGone, 1), "told before the last record");
        thread.join().unwrap();
        // Without its stage it receives the rest.
        done.with(1);
        second.unfollow();
        look(&mut second, &mut next, &done, 1);
        assert_eq!(next, 2);
    });
}

/// The same for one that polls, and asks how the stream stands when there was nothing.
#[test]
fn a_stage_leaves_one_that_polls() {
    model("stages_leave_polled", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        send_halves(&mut producer, 0, 2);
        let done = Done::default();
        let thread = works_and_leaves(first, &done);
        let mut next = 0;
        loop {
            if let Some(event) = second.try_recv().unwrap() {
                let Event::Record(record) = event else { panic!("{event}") };
                follows(&record, &mut next, &done);
                continue;
            }
            match second.status() {
                Status::Streaming => loom::thread::yield_now(),
                status => {
                    break assert_eq!((status, next), (Status::StageGone, 1), "told before the last record");
                }
            }
        }
        thread.join().unwrap();
    });
}

/// The end of the stream is the end for a follower once its stage has released everything.
#[test]
fn the_end_comes_after_the_stage() {
    model("stages_end", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        send_halves(&mut producer, 0, 1);
        drop(producer);
        let done = Done::default();
        let thread = works(first, 1, &done);
        let mut next = 0;
        let end = until_told(&mut second, &mut next, &done);
        assert_eq!((end, next), (RecvError::Closed, 1), "the end came before the last record");
        let _first = thread.join().unwrap();
    });
}

/// The end wakes a follower that has received everything.
#[test]
fn the_end_wakes() {
    model("stages_end_wakes", 2, || {
        let ring = ring(2);
        let producer = ring.producer().unwrap();
        let _first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        let thread = common::spawn(move || drop(producer));
        assert!(matches!(second.recv(), Err(RecvError::Closed)));
        thread.join().unwrap();
    });
}

/// A producer that takes the gate of a stage wakes its followers.
#[test]
fn taking_its_gate_wakes() {
    model("stages_evicted", 2, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        let _first = ring.consumer(&stage().evictable()).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        let thread = common::spawn(move || {
            producer.evict(0).unwrap();
            producer
        });
        assert!(matches!(second.recv(), Err(RecvError::StageGone)));
        let _producer = thread.join().unwrap();
    });
}

/// A follower that attaches at the same time as its stage receives nothing that was published before it.
#[test]
fn nothing_from_before_the_stage() {
    model("stages_before", 3, || {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        // Too short to enter another segment: the index leads to a place before it.
        producer.send(&payload(0, 0)).unwrap();
        let other = ring.clone();
        let thread = common::spawn(move || other.consumer(&Attach::gated().name(STAGE)).unwrap());
        match ring.consumer(&Attach::lossy().after(STAGE).start(Start::Oldest)) {
            Ok(mut follower) => {
                assert_eq!(follower.next_sequence(), 1);
                assert!(follower.try_recv().unwrap().is_none());
            }
            Err(Error::NoStage { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let _first = thread.join().unwrap();
    });
}

/// Two stages one after the other: the last receives what both were done with.
#[test]
fn a_chain() {
    model("stages_chain", 1, || {
        let ring = ring(3);
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&stage()).unwrap();
        let mut second = ring.consumer(&follower().name("second")).unwrap();
        let mut third = ring.consumer(&Attach::gated().after("second").start(Start::Oldest)).unwrap();
        send_halves(&mut producer, 0, 1);
        let (one, two) = (Done::default(), Done::default());
        let (its_one, its_two) = (one.clone(), two.clone());
        let (ones_work, twos_work) = (Outside::new(), Outside::new());
        let (work_of_one, work_of_two) = (ones_work.clone(), twos_work.clone());
        let stages = [
            common::spawn(move || {
                assert!(pass_on(&mut first, |sequence| {
                    work_of_one.touch();
                    its_one.with(sequence);
                }));
                first
            }),
            common::spawn(move || {
                while !pass_on(&mut second, |sequence| {
                    assert!(one.has(sequence));
                    work_of_two.touch();
                    its_two.with(sequence);
                }) {
                    loom::thread::yield_now();
                }
                second
            }),
        ];
        let mut next = 0;
        match third.recv().unwrap() {
            Event::Record(record) => follows(&record, &mut next, &two),
            event => panic!("{event}"),
        }
        ones_work.look();
        twos_work.look();
        let _stages = stages.map(|thread| thread.join().unwrap());
    });
}

/// A stage is killed before any store of its work on two records, and its successor goes on under its name. Whoever
/// follows meanwhile, and after, receives both, each once one of the two was done with it.
#[test]
fn a_stage_is_killed_anywhere() {
    for_each_crash("stages_killed", 1, |stores| {
        let ring = ring(2);
        let attach = stage().hold_forever();
        let mut producer = ring.producer().unwrap();
        let mut first = ring.consumer(&attach).unwrap();
        let mut second = ring.consumer(&follower()).unwrap();
        send_halves(&mut producer, 0, 2);
        let done = Done::default();
        let its_done = done.clone();
        let other = ring.clone();
        let thread = common::spawn(move || {
            let lived = quoit::fate::crash_after(stores, || {
                for _ in 0..2 {
                    pass_on(&mut first, |sequence| its_done.with(sequence));
                }
            });
            quoit::fate::kill(first);
            let mut successor = other.consumer(&attach).unwrap();
            assert!(successor.resumed().is_some());
            while pass_on(&mut successor, |sequence| its_done.with(sequence)) {}
            (successor, lived.is_some())
        });
        let mut next = 0;
        look(&mut second, &mut next, &done, 1);
        let (_successor, lived) = thread.join().unwrap();
        look(&mut second, &mut next, &done, 2);
        assert_eq!(next, 2, "records are lost");
        lived
    });
}

/// A stage is killed before any store of its first attach. Whoever comes after it, under its name, and whoever follows that
/// one, receive the same.
#[test]
fn a_stage_is_killed_while_it_attaches() {
    for_each_crash("stages_attach_dies", 1, |stores| {
        let ring = ring(2);
        let mut producer = ring.producer().unwrap();
        send_halves(&mut producer, 0, 1);
        let attach = Attach::gated().name(STAGE).hold_forever();
        let lived = dies_attaching(&ring, &attach, stores);
        let mut successor = ring.consumer(&attach).unwrap();
        send_halves(&mut producer, 1, 1);
        let done = Done::default();
        while pass_on(&mut successor, |sequence| done.with(sequence)) {}
        let mut follower = ring.consumer(&Attach::lossy().after(STAGE).start(Start::Oldest)).unwrap();
        let mut next = follower.next_sequence();
        look(&mut follower, &mut next, &done, 2);
        assert_eq!(next, 2, "released, and not received");
        lived
    });
}
