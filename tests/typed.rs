//! Typed records: what is sent as a value comes back as one, and nothing else is taken for it.

mod common;

use std::time::Duration;

use common::Backing;
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
use quoit::{
    Attach, Error, ErrorKind, Event, EventOf, Options, RecvError, Ring, Schema, Typed, TypedConsumer,
    TypedProducer,
};

#[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
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

impl Typed for Quote {
    const TAG: u32 = 7;
}

/// As long as a quote, and something else.
#[derive(Clone, Copy, Debug, PartialEq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
struct Trade([u64; 3]);

impl Typed for Trade {
    const TAG: u32 = 8;
}

#[test]
fn a_ring_of_one_type_is_no_ring_of_another() {
    for backing in [Backing::Heap, Backing::Tmpfs] {
        let ring = backing.ring(&Options::new().capacity(4096).schema::<Quote>());
        let door = ring.door();
        assert_eq!(door.schema().unwrap(), Some(Schema::of::<Quote>()));
        assert_eq!(door.inspector().unwrap().snapshot().unwrap().schema, Some(Schema::of::<Quote>()));
        let error = door.typed_producer::<Trade>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
        assert!(
            error.to_string().contains("24 bytes with the tag 7, not of 24 bytes with the tag 8"),
            "{error}"
        );
        assert!(matches!(door.typed_consumer::<Trade>(&Attach::lossy()), Err(Error::WrongSchema { .. })));
        assert_eq!(ring.snapshot().epoch, 0, "nobody noticed");
        let mut producer = door.typed_producer::<Quote>().unwrap();
        let mut consumer = door.typed_consumer::<Quote>(&Attach::gated()).unwrap();
        let quotes: Vec<_> = (0..10).map(quote).collect();
        assert_eq!(producer.send_all(&quotes), Ok(10));
        for (sequence, quote) in (0..).zip(&quotes) {
            assert_eq!(consumer.recv(), Ok(EventOf::Record { sequence, time: None, payload: *quote }));
        }
        assert_eq!(consumer.try_recv(), Ok(None));
        assert_eq!(consumer.recv_timeout(Duration::ZERO), Err(RecvError::TimedOut));
    }
}

#[test]
fn a_batch_that_is_full_is_followed_by_another() {
    let ring = Ring::heap(&Options::new().capacity(4096).schema::<Quote>()).unwrap();
    let mut producer = ring.typed_producer::<Quote>().unwrap();
    let mut consumer = ring.typed_consumer::<Quote>(&Attach::lossy()).unwrap();
    let quotes: Vec<_> = (0..1000).map(quote).collect();
    assert_eq!(producer.send_all(&quotes), Ok(1000));
    let last = std::iter::from_fn(|| consumer.try_recv().unwrap()).last();
    assert_eq!(last, Some(EventOf::Record { sequence: 999, time: None, payload: quote(999) }));
}

#[test]
fn a_record_of_another_length_is_told_and_passed_over() {
    let ring = Ring::heap(&Options::new().capacity(4096).schema::<Quote>()).unwrap();
    let mut consumer = ring.typed_consumer::<Quote>(&Attach::gated()).unwrap();
    let mut producer = ring.typed_producer::<Quote>().unwrap();
    producer.as_untyped().send(b"short").unwrap();
    producer.send(&quote(1)).unwrap();
    let error = consumer.recv().unwrap_err();
    assert_eq!(error, RecvError::WrongLength { sequence: 0, len: 5, expected: 24 });
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert_eq!(consumer.recv(), Ok(EventOf::Record { sequence: 1, time: None, payload: quote(1) }));
}

#[test]
fn rings_of_any_kind_are_of_no_type() {
    let ring = Ring::heap(&Options::new().capacity(4096)).unwrap();
    let error = ring.typed_producer::<Quote>().unwrap_err();
    assert!(error.to_string().contains("any kind"), "{error}");
    assert_eq!(ring.schema().unwrap(), None);
}

#[test]
fn typed_handles_open_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("quotes");
    let options = Options::new().capacity(4096);
    let mut producer = TypedProducer::<Quote>::open_or_create(&path, &options).unwrap();
    let mut consumer = TypedConsumer::<Quote>::open(&path, &Attach::gated()).unwrap();
    producer.send(&quote(3)).unwrap();
    assert_eq!(consumer.recv().unwrap().payload(), Some(quote(3)));
    drop(producer);
    assert!(matches!(TypedProducer::<Trade>::open(&path), Err(Error::WrongSchema { .. })));
    assert!(matches!(
        TypedProducer::<Trade>::open_or_create(&path, &options),
        Err(Error::WrongSchema { .. })
    ));
    assert_eq!(TypedProducer::<Quote>::open(&path).unwrap().into_untyped().epoch(), 2);
}
