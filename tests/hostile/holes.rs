//! Pages of the file are punched out while it is mapped. Each reads as zeros from then on; with room on the disk
//! nothing faults. Whoever needs what stood there finds corruption or a loss, sticky as ever. A hole in the middle of
//! a payload is the one thing that nobody can tell from data: those bytes read as zeros, as if they had been sent.

use rustix::fs::{FallocateFlags, fallocate};

use super::races::{Vandal, vandal};
use super::*;

const PAGE: u64 = 4096;

fn punch(file: &File, at: u64) {
    fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, PAGE).expect("punch a hole");
}

/// What was sent under this sequence, but for zeros.
fn is_right_but_for_zeros(bytes: &[u8], sequence: u64) -> bool {
    let sent = payload(sequence, bytes.len());
    bytes.iter().zip(sent).all(|(found, sent)| *found == sent || *found == 0)
}

/// Behind a hole there is no header. Sequence 0 is left out: zeros are the header of an empty record of that number.
#[test]
fn records_in_a_hole_are_corrupt() {
    for backwards in [false, true] {
        let victim = Victim::with(&Options::new().capacity(1 << 15).slots(4).origin(0, 1));
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        let mut first_in = [None; 8];
        let mut position = 0;
        while position < 1 << 15 {
            let page = (position / PAGE) as usize;
            let sequence = send(&mut producer, 56);
            first_in[page].get_or_insert(sequence);
            position += 64;
        }
        let page = if backwards { 7 } else { 3 };
        punch(&victim.file, at::RECORDS + PAGE * page);
        let end = first_in[page as usize].unwrap();
        for reader in &mut readers {
            for sequence in 1..end {
                reader.receives(sequence, &payload(sequence, 56));
            }
            assert_eq!(reader.finds_corruption().what, "a record out of sequence", "{}", reader.name());
            assert_eq!(reader.next_sequence(), end);
        }
        drop(readers);
        // The producer never reads them. Whoever comes now starts behind the hole.
        for _ in 0..600 {
            send(&mut producer, 56);
        }
        is_healthy(&victim, &mut producer);
    }
}

/// Each page of the head and of the control area, once.
#[test]
fn a_hole_in_each_area() {
    let victim = Victim::new();
    for page in 0..at::END / PAGE {
        victim.restore();
        let mut producer = victim.producer();
        let mut readers = victim.readers();
        for len in [40, 8, 104] {
            send(&mut producer, len);
        }
        punch(&victim.file, page * PAGE);
        for reader in &mut readers {
            let mut next = reader.next_sequence();
            for _ in 0..10 {
                match reader.look() {
                    Ok(Some(Seen::Record(sequence, bytes))) => {
                        assert_eq!(sequence, next, "{}", reader.name());
                        assert!(is_right_but_for_zeros(&bytes, sequence), "page {page}, {}", reader.name());
                        next += 1;
                    }
                    Ok(Some(Seen::Lost(loss))) => next = loss.next,
                    Ok(_) => {}
                    Err(RecvError::Corrupt(_)) => {
                        reader.finds_corruption();
                        break;
                    }
                    Err(other) => panic!("page {page}: {other:?}"),
                }
            }
        }
        // Nobody opens a file with a hole in it.
        let sparse = |result: Result<(), Error>| {
            assert!(
                matches!(result, Err(Error::Sparse { .. } | Error::NotARing { .. }) | Ok(())),
                "page {page}: {result:?}"
            );
        };
        sparse(Consumer::open(&victim.path, &Attach::lossy()).map(drop));
        sparse(Observer::open(&victim.path, Start::Newest).map(drop));
        // The producer goes on by what it knows itself.
        for _ in 0..100 {
            let sequence = producer.next_sequence();
            match at_once("try_send", || producer.try_send(&payload(sequence, 72))) {
                Ok(told) => assert_eq!(told, sequence),
                Err(quoit::SendError::Full { .. }) => assert!(page != 2, "the gate was punched out"),
                Err(other) => panic!("page {page}: {other}"),
            }
        }
    }
}

/// Any page, at any time, under load.
#[test]
fn under_load() {
    let victim = Victim::with(&Options::new().capacity(1 << 15).slots(4).origin(0, 1));
    let mut producer = victim.producer();
    let data = at::RECORDS..at::RECORDS + (1 << 15);
    let puncher: Vandal = vandal(&victim, 33, move |file, random| {
        let pages = (data.end - data.start) / PAGE;
        // The data most of the time; now and then the index, or what consumers write.
        let page = match random.below(40) {
            0 => PAGE,
            1 => 2 * PAGE,
            _ => data.start + PAGE * random.below(pages),
        };
        punch(file, page);
        std::thread::sleep(Duration::from_micros(300));
    });
    let mut observers: Vec<Observer> = Vec::new();
    let (mut whole, mut with_zeros, mut lost, mut corrupt, mut turn) = (0u64, 0u64, 0u64, 0u64, 0u64);
    while puncher.goes_on(whole > 100 && corrupt > 0) {
        turn += 1;
        let sequence = producer.next_sequence();
        let len = [0, 40, 104, 700, 5000][turn as usize % 5];
        assert_eq!(at_once("try_send", || producer.try_send(&payload(sequence, len))), Ok(sequence));
        if observers.len() < 3 {
            // A file with a hole is refused until the producer has been everywhere again.
            match Observer::open(&victim.path, Start::Newest) {
                Ok(observer) => observers.push(observer),
                Err(Error::Sparse { .. } | Error::Corrupt(_) | Error::NotARing { .. }) => {
                    // All blocks are there again, if only as zeros.
                    fallocate(&victim.file, FallocateFlags::empty(), 0, at::RECORDS + (1 << 15)).unwrap();
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        // Some read at once, some are behind.
        if turn % 7 != 0 {
            continue;
        }
        observers.retain_mut(|observer| {
            for _ in 0..20 {
                let before = observer.next_sequence();
                match at_once("try_recv", || observer.try_recv().map(|event| event.map(Seen::from_long))) {
                    Ok(None) => break,
                    Ok(Some(Seen::Record(sequence, bytes))) => {
                        assert_eq!(sequence, before);
                        assert!(is_right_but_for_zeros(&bytes, sequence), "wrong bytes in {sequence}");
                        match bytes == payload(sequence, bytes.len()) {
                            true => whole += 1,
                            false => with_zeros += 1,
                        }
                    }
                    Ok(Some(Seen::Lost(loss))) => lost += loss.records,
                    Ok(Some(_)) => {}
                    Err(RecvError::Corrupt(_)) => {
                        corrupt += 1;
                        return false;
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            true
        });
    }
    let count = puncher.end();
    note(&format!(
        "{count} pages punched out: {whole} records whole, {with_zeros} with zeros in them, {lost} lost, {corrupt} \
         readers told of corruption"
    ));
    assert!(whole > 100 && corrupt > 0, "{whole} whole, {corrupt} corrupt");
}
