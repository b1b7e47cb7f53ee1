//! Part D of docs/format.md: the bytes of a barrier, of a latch, and of something that is done once.

use std::path::Path;

use quoit::sync::{Barrier, Latch, Once, SyncOptions};

use crate::common::Backing;
use crate::word;

fn words<const N: usize>(path: &Path, at: [usize; N]) -> [u64; N] {
    let bytes = std::fs::read(path).unwrap();
    at.map(|at| word(&bytes, at))
}

#[test]
fn rounds_stand_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("barrier");
        let only = Barrier::create(&path, &SyncOptions::new(), 1).unwrap();
        assert_eq!(words(&path, [32, 128, 136, 144]), [u64::from_le_bytes(*b"barrier "), 1, 1, 0]);
        for round in 0..3 {
            assert_eq!(words(&path, [8192, 8192 + 128]), [round << 1, round]);
            only.wait().unwrap();
        }
        only.abort().unwrap();
        assert_eq!(words(&path, [8192]), [3 << 1 | 1]);
        only.reset().unwrap();
        assert_eq!(words(&path, [8192, 8192 + 128]), [5 << 1, 3]);

        let path = directory.path().join("latch");
        let latch = Latch::create(&path, &SyncOptions::new().seats(7), 3).unwrap();
        assert_eq!(words(&path, [32, 128, 136, 144]), [u64::from_le_bytes(*b"latch   "), 10, 3, 0]);
        // Those that wait come after the parties.
        assert_eq!(words(&path, [4096, 4096 + 3 * 64]), [0, 1]);
        for party in 0..3 {
            latch.join().unwrap().arrive().unwrap();
            assert_eq!(words(&path, [4096 + 64 * party, 8192 + 128 + 8 * party]), [1, 1]);
        }
        assert_eq!(words(&path, [8192]), [1 << 1]);

        let path = directory.path().join("once");
        let mut once = Once::create(&path, &SyncOptions::new()).unwrap();
        assert_eq!(words(&path, [32, 128, 136, 144]), [u64::from_le_bytes(*b"once    "), 64, 0, 0]);
        once.call(|_| assert_eq!(words(&path, [8192, 8192 + 16]), [1 << 16, 0])).unwrap();
        assert_eq!(words(&path, [8192, 8192 + 16, 8192 + 24]), [0, 1, 0]);
    }
}
