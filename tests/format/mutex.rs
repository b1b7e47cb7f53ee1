//! Part D of docs/format.md: the bytes of a mutex.

use std::os::unix::fs::FileExt;

use quoit::sync::{Mutex, SyncOptions};

use crate::common::Backing;
use crate::{crc, locked, word};

/// Bytes of the value, and of each of its two cells.
const BYTES: usize = 61;
const CELL: usize = 64;
const SEATS: usize = 130;
const CONTROL: usize = 4096;
const DATA: usize = CONTROL + (64 * SEATS).next_multiple_of(4096);

/// The owned word of an incarnation.
fn owned(generation: u64, seat: u64) -> u64 {
    generation << 16 | seat << 2
}

fn incarnation(generation: u64, seat: u64) -> u64 {
    (1 << 62) + (1 << 60) + (generation << 14 | seat)
}

#[test]
fn a_mutex_stands_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("mutex");
        let value = |version: u8| [version; BYTES];
        let options = SyncOptions::new().seats(SEATS as u32);
        let mut first = Mutex::create(&path, &options, &value(1)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes[32..40], *b"mutex   ", "the kind");
        let size = DATA + (32 + 2 * CELL).next_multiple_of(4096);
        assert_eq!((word(&bytes, 40), word(&bytes, 48), bytes.len()), (size as u64, 4096, size));
        // Bytes have the tag 0.
        assert_eq!([128, 136].map(|at| word(&bytes, at)), [SEATS as u64, (BYTES as u64) << 32]);
        assert!(bytes[144..4096].iter().all(|byte| *byte == 0));
        assert_eq!(word(&bytes, 24), u64::from(crc(&bytes[32..256])));
        assert_eq!([0, 8].map(|at| word(&bytes, CONTROL + at)), [1, std::process::id().into()], "its seat");
        assert!(bytes[CONTROL + 64..DATA].iter().all(|byte| *byte == 0), "the other seats");
        assert_eq!([0, 8, 16, 24].map(|at| word(&bytes, DATA + at)), [0, 0, 1, 0], "free, one commit");
        assert_eq!(bytes[DATA + 32 + CELL..][..BYTES], value(1));

        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        assert_eq!(locked(&file, 0, i64::MAX), [incarnation(1, 0)], "its lock alone");
        // The third generation in the second seat.
        for _ in 0..2 {
            drop(Mutex::<[u8; BYTES]>::open(&path).unwrap());
        }
        let mut second = Mutex::<[u8; BYTES]>::open(&path).unwrap();
        assert_eq!(locked(&file, 0, i64::MAX), [incarnation(1, 0), incarnation(3, 1)]);
        let at = |byte: usize| {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, byte as u64).unwrap();
            u64::from_le_bytes(bytes)
        };
        for version in 2..6 {
            let mut guard = second.lock().unwrap();
            assert_eq!(at(DATA), owned(3, 1));
            *guard = value(version);
            guard.commit().unwrap();
            assert_eq!((at(DATA), at(DATA + 16)), (0, version.into()));
            let bytes = std::fs::read(&path).unwrap();
            let cell = DATA + 32 + CELL * (usize::from(version) % 2);
            assert_eq!(bytes[cell..cell + BYTES], value(version), "the cell of version {version}");
        }

        // What another implementation would leave: an owner that died, while somebody slept.
        file.write_all_at(&(owned(9, 100) | 3).to_le_bytes(), DATA as u64).unwrap();
        let guard = first.recover().unwrap();
        assert_eq!((at(DATA), at(DATA + 24)), (owned(1, 0) | 1, 1), "taken from the dead");
        assert_eq!(*guard, value(5));
        drop(guard);
        assert_eq!(at(DATA), 0);
    }
}
