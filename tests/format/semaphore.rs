//! Part D of docs/format.md: the bytes of a semaphore.

use quoit::sync::{Semaphore, SyncOptions};

use crate::common::Backing;
use crate::word;

const DATA: usize = 8192;
const PERMITS: usize = DATA + 128;

/// The owned word of an incarnation.
fn owned(generation: u64, seat: u64) -> u64 {
    generation << 16 | seat << 2
}

#[test]
fn a_semaphore_stands_where_the_document_says() {
    use std::os::unix::fs::FileExt;
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("semaphore");
        let first = Semaphore::create(&path, &SyncOptions::new().seats(64), 600).unwrap();
        let bytes = || std::fs::read(&path).unwrap();
        let size = DATA + (128_usize + 8 * 600).next_multiple_of(4096);
        assert_eq!((word(&bytes(), 40), bytes().len()), (size as u64, size));
        assert_eq!(bytes()[32..40], *b"semaphor", "the kind");
        assert_eq!([128, 136, 144].map(|at| word(&bytes(), at)), [64, 600, 0]);
        assert!(bytes()[DATA..].iter().all(|byte| *byte == 0));

        let second = Semaphore::open(&path).unwrap();
        // A handle begins to look at eight times its seat, and goes on from there.
        let (one, two) = (first.acquire().unwrap(), second.acquire_many(3).unwrap());
        assert_eq!(word(&bytes(), PERMITS), owned(1, 0));
        assert_eq!([8, 9, 10].map(|permit| word(&bytes(), PERMITS + 8 * permit)), [owned(1, 1); 3]);
        drop((one, two));
        assert!(bytes()[DATA..].iter().all(|byte| *byte == 0));

        // What another implementation would leave: all permits are somebody's who died.
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        for permit in 0..600 {
            file.write_all_at(&owned(5, 9).to_le_bytes(), (PERMITS + 8 * permit) as u64).unwrap();
        }
        let permit = first.try_acquire().unwrap().expect("it is dead");
        assert!(permit.is_abandoned());
        let [taken, left] = [owned(1, 0), 1]
            .map(|wanted| (0..600).filter(|permit| word(&bytes(), PERMITS + 8 * permit) == wanted).count());
        assert_eq!((taken, left), (1, 599));
    }
}
