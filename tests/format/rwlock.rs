//! Part D of docs/format.md: the bytes of a reader-writer lock, and of a condition variable.

use std::path::Path;

use quoit::sync::{Condvar, RwLock, SyncOptions};

use crate::common::Backing;
use crate::word;

fn words<const N: usize>(path: &Path, at: [usize; N]) -> [u64; N] {
    let bytes = std::fs::read(path).unwrap();
    at.map(|at| word(&bytes, at))
}

#[test]
fn a_reader_writer_lock_stands_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("rwlock");
        let mut lock = RwLock::create(&path, &SyncOptions::new(), &7_u64).unwrap();
        assert_eq!(words(&path, [32, 128, 136, 144]), [u64::from_le_bytes(*b"rwlock  "), 64, 8 << 32, 0]);
        // One commit, in the second cell.
        assert_eq!(words(&path, [8192, 8208, 8216, 8192 + 64, 8192 + 72]), [0, 1, 0, 0, 7]);
        let guard = lock.read().unwrap();
        assert_eq!(words(&path, [4096 + 32, 8192]), [1, 0]);
        drop(guard);
        let mut guard = lock.write().unwrap();
        assert_eq!(words(&path, [4096 + 32, 8192]), [0, 1 << 16]);
        *guard = 8;
        drop(guard);
        assert_eq!(words(&path, [8192, 8208, 8192 + 64]), [0, 2, 8]);

        let path = directory.path().join("condvar");
        let condvar = Condvar::create(&path, &SyncOptions::new()).unwrap();
        assert_eq!(words(&path, [32, 128, 136, 144]), [u64::from_le_bytes(*b"condvar "), 64, 0, 0]);
        condvar.notify_all().unwrap();
        condvar.notify_one().unwrap();
        assert_eq!(words(&path, [8192]), [0], "nobody is armed");
        let guard = lock.write().unwrap();
        drop(guard);
    }
}
