//! Part C of docs/format.md: the bytes of a latest value.

use quoit::sync::{Latest, LatestOptions, LatestReader};

use crate::common::Backing;
use crate::{crc, locked, word};

/// Bytes of the value, which has two cells of 256 bytes.
const BYTES: usize = 200;
const CELL: usize = 256;

#[test]
fn a_latest_value_stands_where_the_document_says() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let directory = backing.directory();
        let path = directory.path().join("value");
        let value = |version: u8| [version; BYTES];
        let mut writer = Latest::create(&path, &LatestOptions::new(), &value(1)).unwrap();
        for version in 1..=5 {
            if version > 1 {
                assert_eq!(writer.set(&value(version)).unwrap(), u64::from(version));
            }
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(bytes[32..40], *b"latest  ", "the kind");
            let head = 4224_usize.next_multiple_of(4096);
            let data = head + 128_usize.next_multiple_of(4096);
            let size = data + (2 * CELL).next_multiple_of(4096);
            assert_eq!((word(&bytes, 40), word(&bytes, 48), bytes.len()), (size as u64, 4096, size));
            // Bytes have the tag 0.
            assert_eq!([128, 136].map(|at| word(&bytes, at)), [(BYTES as u64) << 32, 2]);
            assert!(bytes[144..4096].iter().all(|byte| *byte == 0));
            assert_eq!(word(&bytes, 24), u64::from(crc(&bytes[32..256])));
            assert_eq!(word(&bytes, 4096), u64::from(version));
            assert_eq!(word(&bytes, 4104), u64::from(std::process::id()));
            let cell = data + CELL * (usize::from(version) % 2);
            assert_eq!(bytes[cell..cell + BYTES], value(version), "the cell of version {version}");
        }
        let mut reader = LatestReader::<[u8; BYTES]>::open(&path).unwrap();
        assert_eq!(reader.get().unwrap(), value(5));
        let file = std::fs::File::open(&path).unwrap();
        assert_eq!(locked(&file, 0, i64::MAX), [1 << 62], "the writer's lock alone");
    }
}
