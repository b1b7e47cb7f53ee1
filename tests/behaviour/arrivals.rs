//! Opening a ring that is not there yet.

use std::time::{Duration, Instant};

use quoit::{Attach, Consumer, Error, Event, Observer, Options, Producer, Start};

use crate::Setup;
use crate::common::{PATIENCE, soon};

crate::behaviours_of_files! {
    a_ring_that_is_there_is_opened_at_once,
    a_ring_that_comes_is_opened,
    a_ring_that_does_not_come_is_not_found,
    what_else_is_wrong_is_told_at_once,
}

fn a_ring_that_is_there_is_opened_at_once(setup: Setup) {
    let ring = setup.ring();
    let path = ring.path().unwrap();
    let past = Instant::now();
    let consumer = Consumer::open_wait(path, &Attach::gated(), past).unwrap();
    let observer = Observer::open_wait(path, Start::Oldest, past).unwrap();
    assert_eq!((consumer.next_sequence(), observer.next_sequence()), (setup.first, setup.first));
}

/// Directory, ring and first record come one after the other, and nothing of it is missed.
fn a_ring_that_comes_is_opened(setup: Setup) {
    let directory = setup.backing.directory();
    let inner = directory.path().join("inner");
    let path = inner.join("ring");
    std::thread::scope(|scope| {
        let path = &path;
        scope.spawn(move || {
            let attach = Attach::gated().start(Start::Oldest).name("early");
            let mut consumer = Consumer::open_wait(path, &attach, soon()).unwrap();
            let event = consumer.recv_deadline(soon()).unwrap();
            assert!(matches!(event, Event::Record(record) if record.sequence() == setup.first));
        });
        scope.spawn(move || {
            let mut observer = Observer::open_wait(path, Start::Oldest, soon()).unwrap();
            let event = observer.recv_deadline(soon()).unwrap();
            assert!(matches!(event, Event::Record(record) if record.sequence() == setup.first));
        });
        std::thread::sleep(Duration::from_millis(15));
        std::fs::create_dir(&inner).unwrap();
        std::thread::sleep(Duration::from_millis(15));
        let mut producer = Producer::create(path, &setup.options()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        producer.send(b"first").unwrap();
    });
}

fn a_ring_that_does_not_come_is_not_found(setup: Setup) {
    let directory = setup.backing.directory();
    for path in [directory.path().join("ring"), directory.path().join("none").join("ring")] {
        for timeout in [0, 30].map(Duration::from_millis) {
            let deadline = Instant::now() + timeout;
            let consumer = Consumer::open_wait(&path, &Attach::lossy(), deadline);
            assert!(matches!(consumer, Err(Error::NotFound { .. })));
            assert!(Instant::now() >= deadline, "gave up early");
            assert!(deadline.elapsed() < PATIENCE);
            let deadline = Instant::now() + timeout;
            let observer = Observer::open_wait(&path, Start::Newest, deadline);
            assert!(matches!(observer, Err(Error::NotFound { .. })));
            assert!(Instant::now() >= deadline, "gave up early");
        }
    }
}

/// None of this goes away by itself: the wait would be for nothing.
fn what_else_is_wrong_is_told_at_once(setup: Setup) {
    // The watchdog of this file's tests is long past by then.
    let far = Instant::now() + PATIENCE * 100;
    let directory = setup.backing.directory();
    let path = directory.path().join("ring");
    std::fs::write(&path, vec![7; 8192]).unwrap();
    let refused = Consumer::open_wait(&path, &Attach::lossy(), far);
    assert!(matches!(refused, Err(Error::NotARing { .. })), "{refused:?}");
    let refused = Observer::open_wait(directory.path(), Start::Newest, far);
    assert!(matches!(refused, Err(Error::NotRegular { .. })), "{refused:?}");

    let ring = setup.backing.ring(&Options::new().capacity(4096).slots(1).gated_only(true));
    let path = ring.path().unwrap();
    let refused = Observer::open_wait(path, Start::Newest, far);
    assert!(matches!(refused, Err(Error::GatedOnly)), "{refused:?}");
    let name = Attach::gated().name("x");
    let _consumer = Consumer::open_wait(path, &name, far).unwrap();
    let refused = Consumer::open_wait(path, &name, far);
    assert!(matches!(refused, Err(Error::NameInUse { .. })), "{refused:?}");
    let refused = Consumer::open_wait(path, &Attach::gated(), far);
    assert!(matches!(refused, Err(Error::SlotsTaken { .. })), "{refused:?}");
    let refused = Consumer::open_wait(path, &Attach::gated().start(Start::Sequence(77)).name("x"), far);
    assert!(matches!(refused, Err(Error::NameInUse { .. })), "{refused:?}");
}
