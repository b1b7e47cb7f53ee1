//! Part D of docs/format.md: the bytes of a table.

use std::path::Path;

use quoit::sync::{Table, TableOptions};

use crate::common::Backing;
use crate::word;

fn words<const N: usize>(path: &Path, at: [usize; N]) -> [u64; N] {
    let bytes = std::fs::read(path).unwrap();
    at.map(|at| word(&bytes, at))
}

#[test]
fn a_table_stands_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("table");
        // Five words: three cells of a row are 15 words, and take 16.
        let table = Table::create(&path, &TableOptions::new(3).cells(3), &[7_u64; 5]).unwrap();
        let identity = [u64::from_le_bytes(*b"table   "), 64, 40 << 32, 3 << 32 | 3, 0];
        assert_eq!(words(&path, [32, 128, 136, 144, 152]), identity);
        let row = |number: usize| 8192 + 128 + 64 * number;
        let cells = |number: usize| row(3) + 128 * number;
        for number in 0..3 {
            // Version 1 is in cell 1.
            assert_eq!(words(&path, [row(number), row(number) + 8, row(number) + 16]), [0, 0, 1]);
            assert_eq!(words(&path, [cells(number), cells(number) + 40, cells(number) + 72]), [0, 7, 7]);
        }
        let mut second = table.row(1).unwrap();
        second.set(&[8; 5]).unwrap();
        assert_eq!(words(&path, [row(0), row(1), row(1) + 16, row(2)]), [0, 1 << 16, 2, 0]);
        assert_eq!(
            words(&path, [cells(1) + 40, cells(1) + 80, cells(1) + 112, cells(1) + 120]),
            [7, 8, 8, 0]
        );
        drop(second);
        assert_eq!(words(&path, [row(1)]), [0]);
        assert_eq!(words(&path, [8192]), [0], "nobody is armed");
    }
}
