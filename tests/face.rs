//! What the public interface adds to handles: one door, iterators, writers, a promise, kinds of errors.
#![allow(unsafe_code, reason = "promises that nobody else writes a ring")]

use std::io::{BufWriter, ErrorKind as IoKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::{
    Attach, Error, ErrorKind, Event, EventOf, Options, Receive, RecvError, Ring, SendError, Start, Status,
};

fn small() -> Options {
    Options::new().capacity(4096).slots(2)
}

fn payloads(events: impl Iterator<Item = Result<EventOf<Vec<u8>>, RecvError>>) -> Vec<Vec<u8>> {
    events.filter_map(|event| event.unwrap().payload()).collect()
}

#[test]
fn a_ring_in_a_file_is_a_door() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ring");
    assert_eq!(Ring::open(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let ring = Ring::create(&path, &small()).unwrap();
    assert_eq!(Ring::create(&path, &small()).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!((ring.path(), ring.records().is_none()), (Some(&*path), true));
    let again = Ring::open_or_create(&path, &small().capacity(8192)).unwrap();
    let mut producer = again.producer().unwrap();
    assert_eq!(producer.capacity(), 4096, "what is there is used as it is");
    assert_eq!(ring.producer().unwrap_err().kind(), ErrorKind::InUse);
    let mut consumer = ring.consumer(&Attach::gated().name("n")).unwrap();
    let mut observer = ring.observer(Start::Newest).unwrap();
    producer.send(b"x").unwrap();
    assert_eq!(consumer.recv_record(|_| {}).unwrap().to_vec(), b"x");
    assert_eq!(observer.recv_record(|_| {}).unwrap().to_vec(), b"x");
    assert_eq!(ring.inspector().unwrap().snapshot().unwrap().records, 1);
    assert!(matches!(ring.forget("n"), Err(Error::NameInUse { .. })));
    drop(consumer);
    ring.forget("n").unwrap();
    assert_eq!(ring.forget("n").unwrap_err().kind(), ErrorKind::NotFound);
    assert!(matches!(ring.forget_slot(0), Err(Error::SlotUnknown { slot: 0 })));
    assert_eq!(ring.forget_away(Duration::ZERO).unwrap(), []);
    assert_eq!(ring.evict(0, Duration::ZERO).unwrap_err().kind(), ErrorKind::Unsuitable);
    // It is whatever is at the path.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(ring.inspector().unwrap_err().kind(), ErrorKind::NotFound);
    let soon = Instant::now() + Duration::from_millis(5);
    assert_eq!(Ring::open_wait(&path, soon).unwrap_err().kind(), ErrorKind::NotFound);
    let other = Ring::open_or_create(&path, &small()).unwrap();
    assert!(other.producer().is_ok() && ring.producer().is_ok());
}

#[test]
fn a_sealed_ring_has_one_producer() {
    let (producer, ring) = Ring::sealed(&small()).unwrap();
    assert!(ring.records().is_some() && ring.control().is_some() && ring.path().is_none());
    let error = ring.producer().unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("one producer"), "{error}");
    drop(producer);
    assert_eq!(ring.observer(Start::Newest).unwrap().recv().unwrap_err(), RecvError::Closed);
}

#[test]
fn iterators_end_with_the_stream() {
    let ring = Ring::heap(&small()).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    let observer = ring.observer(Start::Newest).unwrap();
    producer.send(b"one").unwrap();
    producer.send(b"two").unwrap();
    let first = consumer.events().next();
    assert_eq!(first, Some(Ok(EventOf::Record { sequence: 0, time: None, payload: b"one".to_vec() })));
    let mut seen = Vec::new();
    drop(producer);
    consumer.for_each(|event| seen.extend(event.record().map(|record| record.to_vec()))).unwrap();
    assert_eq!(seen, [b"two"]);
    assert_eq!(payloads(observer.into_iter()), [b"one", b"two"]);
    let mut producer = ring.producer().unwrap();
    producer.send(b"three").unwrap();
    drop(producer);
    assert_eq!(payloads((&mut consumer).into_iter()), [b"three"]);
    assert!(consumer.events().next().is_none(), "still closed");
}

#[test]
fn the_same_code_reads_by_either() {
    let ring = Ring::heap(&small()).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut readers: [Box<dyn Receive>; 2] =
        [Box::new(ring.consumer(&Attach::gated()).unwrap()), Box::new(ring.observer(Start::Newest).unwrap())];
    assert_eq!(readers.each_ref().map(|reader| reader.slot()), [Some(0), None]);
    assert_eq!(readers.each_ref().map(|reader| reader.account().is_some()), [true, false]);
    for reader in &mut readers {
        while reader.try_recv().unwrap().is_some() {}
        reader.keep(true);
        reader.set_spins(0);
        reader.turn_backoff_off();
        assert_eq!(reader.recv_timeout(Duration::from_millis(1)).unwrap_err(), RecvError::TimedOut);
        producer.send(b"x").unwrap();
        let mut records = 0;
        reader.drain(9, &mut |event| records += usize::from(matches!(event, Event::Record(_)))).unwrap();
        assert!(records > 0);
        reader.release();
        assert!(matches!(reader.try_recv(), Ok(None)));
        assert_eq!((reader.status(), reader.producer_alive()), (Status::Streaming, true));
        assert!(reader.resumed().is_none() && !reader.is_stale());
    }
    assert_eq!(readers.each_ref().map(|reader| reader.next_sequence()), [1, 2]);
}

#[test]
fn a_flush_makes_a_record() {
    let ring = Ring::heap(&small()).unwrap();
    let mut producer = ring.producer().unwrap();
    let observer = ring.observer(Start::Newest).unwrap();
    let max = producer.max_len();
    let mut writer = producer.record_writer();
    writer.flush().unwrap();
    assert_eq!(writer.publish(), Ok(None), "nothing is no record");
    write!(writer, "{}-{}", 1, 2).unwrap();
    assert_eq!((writer.buffered(), writer.publish()), (3, Ok(Some(0))));
    let error = writer.write_all(&vec![0; max + 1]).unwrap_err();
    assert_eq!(error.kind(), IoKind::InvalidInput);
    assert!(error.downcast::<SendError>().is_ok_and(|error| error.kind() == ErrorKind::Unsuitable));
    writer.write_all(b"discarded").unwrap();
    writer.clear();
    let mut buffered = BufWriter::new(writer);
    buffered.write_all(b"a line\nanother\n").unwrap();
    buffered.flush().unwrap();
    drop(buffered);
    let mut writer = producer.record_writer();
    writer.write_all(b"left").unwrap();
    drop(writer);
    drop(producer);
    let records = payloads(observer.into_iter());
    assert_eq!(records, [&b"1-2"[..], b"a line\nanother\n"], "dropped is discarded");
}

#[test]
fn a_claim_is_filled_from_its_start() {
    let ring = Ring::heap(&small()).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    let mut claim = producer.claim(600).unwrap();
    let mut writer = claim.writer();
    writer.write_all(b"abc").unwrap();
    writer.write_all(b"def").unwrap();
    assert_eq!((writer.written(), writer.remaining()), (6, 594));
    writer.fill_rest(b'.');
    assert_eq!(writer.write_all(b"more").unwrap_err().kind(), IoKind::WriteZero);
    claim.publish();
    let record = consumer.recv_record(|_| {}).unwrap().to_vec();
    assert_eq!((&record[..6], record.len()), (&b"abcdef"[..], 600));
    assert!(record[6..].iter().all(|byte| *byte == b'.'));
    let mut batch = producer.batch();
    let mut claim = batch.claim_timeout(2, Duration::from_secs(9)).unwrap();
    claim.writer().write_all(b"ok").unwrap();
    claim.add();
    batch.publish();
    assert_eq!(consumer.recv_record(|_| {}).unwrap().to_vec(), b"ok");
}

#[test]
fn time_outs_are_errors_on_both_sides() {
    let ring = Ring::heap(&small()).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    let wait = Duration::from_millis(2);
    assert_eq!(consumer.recv_timeout(wait).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(consumer.recv_record_deadline(Instant::now(), |_| {}).unwrap_err(), RecvError::TimedOut);
    while producer.try_send(&[0; 56]).is_ok() {}
    let full = SendError::TimedOut { slot: 0 };
    assert_eq!(producer.try_send(&[0; 56]).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(producer.send_timeout(&[0; 56], wait), Err(full));
    assert_eq!(producer.claim_timeout(56, wait).unwrap_err(), full);
    let mut batch = producer.batch();
    assert_eq!(batch.send_timeout(&[0; 56], wait), Err(full));
    assert_eq!(batch.claim_deadline(56, Instant::now()).unwrap_err(), full);
    assert_eq!(batch.send_all_deadline([[0; 56]], Instant::now() + wait), Err(full));
    drop(batch);
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    assert_eq!(std::io::Error::from(full).kind(), IoKind::TimedOut);
}

#[test]
fn one_promise_lends_slices() {
    let ring = Ring::heap(&small().gated_only(true)).unwrap();
    // SAFETY: a ring of this process, of which nobody else has a handle, and nobody attaches while a claim is lent.
    let ring = unsafe { ring.trust_writers() };
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(&Attach::gated()).unwrap();
    for round in 0..200_u8 {
        let mut claim = producer.claim(100).unwrap();
        claim.as_mut().fill(round);
        assert_eq!((claim.len(), claim.sequence()), (100, round.into()));
        claim.publish();
        match consumer.recv().unwrap() {
            EventOf::Record { sequence, payload, .. } => {
                assert_eq!((sequence, payload), (round.into(), &[round; 100][..]))
            }
            other => panic!("{other}"),
        }
    }
    producer.send(b"copied in").unwrap();
    assert_eq!(consumer.try_recv().unwrap().and_then(EventOf::payload), Some(&b"copied in"[..]));
    drop(producer.try_claim(9).unwrap());
    drop(producer);
    let mut more = 0;
    consumer.for_each(|_| more += 1).unwrap();
    assert_eq!((more, consumer.status()), (0, Status::Closed));
    assert_eq!(consumer.get().next_sequence(), 201);
}

#[test]
fn claims_are_lent_where_nobody_reads_them_alone() {
    let ring = Ring::heap(&small()).unwrap();
    // SAFETY: as above.
    let ring = unsafe { ring.trust_writers() };
    let error = ring.producer().unwrap_err();
    assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("gated-only"), "{error}");
    // Records are, whatever the ring: copied out where they could be overwritten.
    let mut consumer = ring.consumer(&Attach::lossy()).unwrap();
    ring.get().producer().unwrap().send(b"x").unwrap();
    assert_eq!(consumer.recv().unwrap().payload(), Some(&b"x"[..]));
}

#[test]
fn errors_have_kinds() {
    let path = || PathBuf::from("x");
    for (error, kind, io) in [
        (Error::NotFound { path: path() }, ErrorKind::NotFound, IoKind::NotFound),
        (Error::NotARing { path: path(), wanted: None }, ErrorKind::NotARing, IoKind::InvalidData),
        (Error::EarlierBoot { path: path() }, ErrorKind::Mismatch, IoKind::InvalidData),
        (Error::ProducerAlive { pid: 1 }, ErrorKind::InUse, IoKind::ResourceBusy),
        (Error::GatedOnly, ErrorKind::Unsuitable, IoKind::InvalidInput),
        (Error::NoProducer, ErrorKind::NoProducer, IoKind::BrokenPipe),
        (Error::Truncated, ErrorKind::Truncated, IoKind::UnexpectedEof),
        (Error::Forked, ErrorKind::Forked, IoKind::Other),
    ] {
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!kind.to_string().is_empty());
        assert_eq!(std::io::Error::from(error).kind(), io);
    }
    assert_eq!(RecvError::Closed.kind(), ErrorKind::Closed);
    assert_eq!(RecvError::ProducerGone.kind(), ErrorKind::ProducerGone);
}
