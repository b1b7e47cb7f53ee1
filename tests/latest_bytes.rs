//! Byte strings as latest values: of any length up to a maximum, whole, and the same with a type or without.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::sync::{
    Bytes, Latest, LatestBytes, LatestBytesReader, LatestOptions, LatestReader, Mutex, SyncOptions,
};
use quoit::{Error, ErrorKind, Typed, WaitSet};
use tempfile::TempDir;

fn scene() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = directory.path().join("value");
    (directory, path)
}

fn options() -> LatestOptions {
    LatestOptions::new()
}

#[test]
fn strings_of_every_length_come_back() {
    let (_directory, path) = scene();
    for max in [0, 1, 7, 8, 9, 1000] {
        let mut writer = LatestBytes::create(&path, &options(), max, b"").unwrap();
        assert_eq!(writer.max(), max as usize);
        let mut reader = LatestBytesReader::open(&path).unwrap();
        assert_eq!(reader.get().unwrap(), b"");
        assert_eq!((reader.version(), reader.is_string()), (Some(1), true));
        let mut lengths: Vec<usize> = (0..=max as usize).rev().step_by(3).collect();
        lengths.push(max as usize);
        for length in lengths {
            let string = vec![b'a' + (length % 26) as u8; length];
            assert_eq!(writer.set(&string).unwrap(), writer.version());
            assert_eq!(reader.get().unwrap(), string);
        }
        let refused = writer.set(&vec![1; max as usize + 1]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        assert_eq!(reader.get().unwrap().len(), max as usize, "what was refused changed nothing");
        drop(writer);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn with_a_type_and_without() {
    let (_directory, path) = scene();
    let mut typed = Latest::create(&path, &options(), &Bytes::<5>::new(b"one").unwrap()).unwrap();
    let mut plain = LatestBytesReader::open(&path).unwrap();
    assert_eq!(plain.get().unwrap(), b"one");
    assert_eq!((plain.schema().size, plain.schema().tag), (13, Bytes::<5>::TAG));
    let alive = LatestBytes::open(&path).unwrap_err();
    assert!(matches!(alive, Error::WriterAlive { .. }), "{alive}");
    typed.set(&Bytes::new(b"three").unwrap()).unwrap();
    assert!(plain.writer_alive() && plain.has_changed());
    drop(typed);
    assert!(!plain.writer_alive());
    // The maximum of the one that is there counts.
    let mut writer = LatestBytes::open_or_create(&path, &options(), 77, b"first").unwrap();
    assert_eq!((writer.max(), writer.version()), (5, 2));
    writer.set(b"4").unwrap();
    let mut typed = LatestReader::<Bytes<5>>::open(&path).unwrap();
    let value = typed.get().unwrap();
    assert_eq!((&value[..], format!("{value:?}")), (&b"4"[..], "b\"4\"".to_owned()));
    assert!(value == Bytes::new(b"4").unwrap() && value != Bytes::new(b"").unwrap());
    assert!(Bytes::<3>::new(b"four").is_none());
    assert!(matches!(LatestReader::<Bytes<6>>::open(&path), Err(Error::WrongSchema { .. })));
}

#[test]
fn changes_are_waited_for() {
    let mut writer = LatestBytes::local(&options(), 8, b"a").unwrap();
    let mut reader = writer.reader().unwrap();
    let soon = || Instant::now() + Duration::from_secs(20);
    assert_eq!(reader.next_deadline(soon()).unwrap(), Some(&b"a"[..]));
    assert_eq!(reader.next_deadline(Instant::now()).unwrap(), None);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        writer.set(b"b").unwrap();
        writer
    });
    assert_eq!(WaitSet::new().wait(&mut [&mut reader]).into_iter().collect::<Vec<_>>(), [0]);
    assert_eq!(reader.next_deadline(soon()).unwrap(), Some(&b"b"[..]));
    drop(thread.join().unwrap());
}

#[test]
fn other_values_are_bytes_and_other_kinds_are_refused() {
    let (_directory, path) = scene();
    drop(Latest::create(&path, &options(), &0x0102_u16).unwrap());
    let mut reader = LatestBytesReader::open(&path).unwrap();
    assert_eq!(reader.get().unwrap(), [2, 1]);
    assert!(!reader.is_string());
    let refused = LatestBytes::open(&path).unwrap_err();
    assert!(matches!(refused, Error::WrongSchema { .. }), "{refused}");
    std::fs::remove_file(&path).unwrap();
    assert!(!reader.has_changed() && reader.is_stale());
    drop(Mutex::create(&path, &SyncOptions::new(), &()).unwrap());
    assert!(matches!(LatestBytesReader::open(&path), Err(Error::OtherKind { .. })));
    assert!(matches!(LatestBytes::open(&path), Err(Error::OtherKind { .. })));
    for max in [(1 << 30) - 7, u32::MAX] {
        let refused = LatestBytes::local(&options(), max, b"").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    }
    assert_eq!(LatestBytes::local(&options(), 2, b"abc").unwrap_err().kind(), ErrorKind::Invalid);
}

/// A length that another process overwrote is an error, and never bytes from elsewhere.
#[test]
fn a_length_that_cannot_be_is_told() {
    let (_directory, path) = scene();
    let writer = LatestBytes::create(&path, &options(), 8, b"abc").unwrap();
    let mut plain = LatestBytesReader::open(&path).unwrap();
    let mut typed = LatestReader::<Bytes<8>>::open(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    // The second cell of 128 bytes, behind a head of two pages and a control area of one.
    let cell = std::fs::metadata(&path).unwrap().len() - 4096 + 128;
    for (length, is_right) in [(8_u64, true), (9, false), (u64::MAX, false), (3, true)] {
        file.write_all_at(&length.to_le_bytes(), cell).unwrap();
        match plain.get() {
            Ok(string) => assert!(is_right && string.len() as u64 == length),
            Err(error) => assert!(!is_right && matches!(error, Error::Garbage { .. }), "{error}"),
        }
        assert_eq!(typed.get().unwrap().len() as u64, length.min(8));
    }
    drop(writer);
}
