//! Typed records: what is sent as a value comes back as one, and nothing else is taken for it.

mod common;

use common::Backing;
use quoit::{Attach, Event, Options};
use zerocopy::{FromBytes, Immutable, IntoBytes};

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
struct Quote {
    time_ns: u64,
    instrument: u32,
    size: u32,
    price: f64,
}

fn quote(number: u32) -> Quote {
    Quote {
        time_ns: u64::MAX - u64::from(number),
        instrument: number,
        size: 7,
        price: f64::from(number) / 3.0,
    }
}

fn values_come_back(backing: Backing) {
    let ring = backing.ring(&Options::new().capacity(4096));
    let (mut producer, mut gated) = (ring.producer(), ring.consumer(&Attach::gated()));
    let mut lossy = ring.consumer(&Attach::lossy());
    for number in 0..1000 {
        producer.send_typed(&quote(number)).unwrap();
        for consumer in [&mut gated, &mut lossy] {
            match consumer.try_recv().unwrap() {
                Some(Event::Record(record)) => {
                    assert_eq!(record.sequence(), u64::from(number));
                    assert_eq!(record.read(), Some(quote(number)));
                    assert_eq!(record.read::<[u8; 25]>(), None);
                    assert_eq!(record.read::<[u32; 5]>(), None);
                    assert_eq!(record.read::<()>(), None);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn values_come_back_on_the_heap() {
    values_come_back(Backing::Heap);
}

#[test]
fn values_come_back_on_tmpfs() {
    values_come_back(Backing::Tmpfs);
}

#[test]
fn slices_and_nothing_are_values_too() {
    let ring = Backing::Heap.ring(&Options::new());
    let (mut producer, mut consumer) = (ring.producer(), ring.consumer(&Attach::gated()));
    producer.send_typed(&[quote(1), quote(2)][..]).unwrap();
    producer.send_typed(&()).unwrap();
    match consumer.try_recv().unwrap() {
        Some(Event::Record(record)) => {
            assert_eq!(record.read::<Quote>(), None);
            assert_eq!(record.read(), Some([quote(1), quote(2)]));
        }
        other => panic!("{other:?}"),
    }
    match consumer.try_recv().unwrap() {
        Some(Event::Record(record)) => assert_eq!((record.len(), record.read()), (0, Some(()))),
        other => panic!("{other:?}"),
    }
}
