//! Tables in files and on the heap: what is read, who writes a row, who sleeps, what is refused.

use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quoit::sync::{Mutex, SyncOptions, Table, TableOptions, TableReader};
use quoit::{Error, Kind, Schema, Typed, WaitSet};
use tempfile::TempDir;

struct Scene {
    directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self { directory: tempfile::tempdir_in("/dev/shm").expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("table")
    }
}

fn options(rows: u32) -> TableOptions {
    TableOptions::new(rows).seats(16)
}

/// The same table in a file and on the heap.
fn on_each<T: Typed>(rows: u32, first: &T, test: impl Fn(Table<T>)) {
    test(Table::local(&options(rows), first).expect("on the heap"));
    let scene = Scene::new();
    test(Table::create(scene.path(), &options(rows), first).expect("create"));
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

#[test]
fn rows_are_written_and_read_apart() {
    on_each(3, &[7_u32, 8, 9], |table| {
        let mut reader = table.reader().unwrap();
        assert_eq!((table.rows(), reader.rows(), reader.version(1)), (3, 3, None));
        let mut one = table.row(1).unwrap();
        let mut two = table.row(2).unwrap();
        assert_eq!((one.number(), one.version(), one.was_abandoned()), (1, 1, false));
        for number in 0..100 {
            assert_eq!(u64::from(number) + 2, one.set(&[number; 3]).unwrap());
        }
        two.set(&[5; 3]).unwrap();
        assert_eq!((one.get().unwrap(), one.version()), ([99; 3], 101));
        for (row, value, version) in [(0, [7, 8, 9], 1), (1, [99; 3], 101), (2, [5; 3], 2)] {
            assert_eq!((reader.get(row).unwrap(), table.get(row).unwrap()), (value, value));
            assert_eq!(reader.version(row), Some(version));
        }
        assert!(!reader.has_changed());
        drop((one, two));
        assert_eq!(table.set(0, &[1; 3]).unwrap(), 2);
        assert_eq!(reader.next().unwrap(), (0, [1; 3]));
    });
}

#[test]
fn a_row_has_one_writer_at_a_time() {
    on_each(2, &0_u64, |table| {
        let other = table.try_clone().unwrap();
        let reader = table.reader().unwrap();
        let mut row = table.row(0).unwrap();
        row.set(&1).unwrap();
        assert!(reader.writer_alive(0).unwrap() && !reader.writer_alive(1).unwrap());
        let writer = other.writer(0).unwrap().expect("somebody writes it");
        assert!(writer.is_alive && writer.pid == std::process::id());
        assert!(other.writer(1).unwrap().is_none());
        assert!(other.try_row(0).unwrap().is_none() && table.try_row(0).unwrap().is_none());
        assert!(matches!(table.row(0), Err(Error::Deadlock)), "through one handle");
        assert!(matches!(other.row(0), Err(Error::Deadlock)), "through two of one thread");
        assert!(other.try_row(1).unwrap().is_some(), "another row");
        let late = std::thread::spawn(move || {
            let begin = Instant::now();
            assert!(matches!(other.row_timeout(0, Duration::from_millis(20)), Err(Error::TimedOut)));
            assert!(begin.elapsed() >= Duration::from_millis(20));
            assert!(matches!(other.row_deadline(0, begin), Err(Error::TimedOut)));
            other
        });
        let other = late.join().unwrap();
        drop(row);
        assert!(!reader.writer_alive(0).unwrap());
        let row = other.try_row(0).unwrap().expect("nobody writes it");
        assert_eq!((row.version(), row.get().unwrap(), row.was_abandoned()), (2, 1, false));
    });
}

#[test]
fn who_waits_for_a_row_gets_it() {
    on_each(1, &0_u64, |table| {
        const TURNS: u64 = 500;
        let handles: Vec<_> = (0..4).map(|_| table.try_clone().unwrap()).collect();
        std::thread::scope(|scope| {
            for table in handles {
                scope.spawn(move || {
                    for _ in 0..TURNS {
                        let mut row = table.row_deadline(0, soon()).unwrap();
                        let next = row.get().unwrap() + 1;
                        row.set(&next).unwrap();
                    }
                });
            }
        });
        assert_eq!(table.get(0).unwrap(), 4 * TURNS);
        assert!(table.waiting().is_empty());
    });
}

/// Each word of a value is the same, and no value goes back, whoever writes.
#[test]
fn values_are_whole() {
    const ROWS: u32 = 3;
    on_each(ROWS, &[0_u64; 16], |table| {
        const COMMITS: u64 = 3000;
        let mut readers: Vec<_> = (0..2).map(|_| table.reader().unwrap()).collect();
        let writers: Vec<_> = (0..ROWS).map(|_| table.try_clone().unwrap()).collect();
        std::thread::scope(|scope| {
            for (row, table) in (0..ROWS).zip(writers) {
                scope.spawn(move || {
                    let mut row = table.row(row).unwrap();
                    for number in 1..=COMMITS {
                        row.set(&[number; 16]).unwrap();
                    }
                });
            }
            for reader in &mut readers {
                scope.spawn(|| {
                    let mut last = [0; ROWS as usize];
                    while last.iter().any(|number| *number < COMMITS) {
                        match reader.next_deadline(soon()) {
                            Ok(Some((row, value))) => {
                                let last = &mut last[row as usize];
                                assert!(value.iter().all(|word| *word == value[0]), "half a value");
                                assert!(value[0] >= *last, "it went back");
                                *last = value[0];
                            }
                            Ok(None) => panic!("a change was slept through"),
                            Err(Error::Busy) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
    });
}

/// One row that changes all the time does not hide another one.
#[test]
fn rows_take_turns() {
    on_each(4, &0_u64, |table| {
        let mut reader = table.reader().unwrap();
        let at_first: Vec<_> = (0..4).map(|_| reader.next().unwrap().0).collect();
        assert_eq!(at_first, [0, 1, 2, 3]);
        assert!(reader.next_deadline(Instant::now()).unwrap().is_none());
        table.set(3, &1).unwrap();
        let mut returned = Vec::new();
        for number in 0..6 {
            table.set(0, &number).unwrap();
            returned.push(reader.next().unwrap());
        }
        assert_eq!(returned[..3], [(0, 0), (3, 1), (0, 2)]);
    });
}

/// A wait set wakes for a table, and says which of the things it was.
#[test]
fn a_wait_set_waits_for_tables() {
    on_each(2, &0_u64, |table| {
        let mut reader = table.reader().unwrap();
        let idle = Table::local(&options(1), &0_u64).unwrap();
        let mut idle = idle.reader().unwrap();
        while reader.has_changed() {
            reader.next().unwrap();
        }
        idle.next().unwrap();
        let writing = table.try_clone().unwrap();
        let writer = std::thread::spawn(move || writing.set(1, &9).unwrap());
        let mut set = WaitSet::new();
        let tokens: Vec<usize> = set.wait(&mut [&mut idle, &mut reader]).into_iter().collect();
        assert_eq!(tokens, [1]);
        assert_eq!(reader.next().unwrap(), (1, 9));
        writer.join().unwrap();
    });
}

#[test]
fn forgotten_rows_are_given_back_with_their_handle() {
    on_each(2, &0_u64, |table| {
        let other = table.try_clone().unwrap();
        std::mem::forget(table.row(1).unwrap());
        assert!(other.try_row(1).unwrap().is_none());
        assert!(matches!(table.row(1), Err(Error::Deadlock)));
        drop(table);
        assert!(!other.row(1).unwrap().was_abandoned());
    });
}

#[test]
fn a_reader_needs_no_right_to_write() {
    let scene = Scene::new();
    let table = Table::create(scene.path(), &options(2), &0_u64).unwrap();
    std::fs::set_permissions(scene.path(), PermissionsExt::from_mode(0o444)).unwrap();
    let mut reader = TableReader::<u64>::open(scene.path()).unwrap();
    while reader.has_changed() {
        reader.next().unwrap();
    }
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        table.set(1, &4).unwrap();
        table
    });
    assert_eq!(reader.next_deadline(soon()).unwrap(), Some((1, 4)));
    writer.join().unwrap();
}

#[test]
fn files_are_created_opened_and_refused() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(Table::<u64>::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Table::<u64>::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(TableReader::<u64>::open_wait(&path, Instant::now()), Err(Error::NotFound { .. })));
    let table = Table::open_or_create(&path, &options(5), &3_u64).unwrap();
    assert!(matches!(Table::create(&path, &options(5), &3_u64).unwrap_err(), Error::Exists { .. }));
    assert_eq!(Table::open_or_create(&path, &options(5), &4_u64).unwrap().get(4).unwrap(), 3);
    assert!(matches!(Table::open_or_create(&path, &options(6), &4_u64), Err(Error::BadOption { .. })));
    let refused = Table::<u32>::open(&path).unwrap_err();
    assert!(matches!(refused, Error::WrongSchema { asked, found: Some(found) }
            if asked == Schema::of::<u32>() && found == Schema::of::<u64>()));
    assert!(matches!(TableReader::<u32>::open(&path).unwrap_err(), Error::WrongSchema { .. }));
    let refused = Mutex::<u64>::open(&path).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { found: Kind::Table, wanted: Kind::Mutex, .. }));
    assert!(refused.to_string().contains("a table, not a mutex"), "{refused}");
    let _mutex = Mutex::create(path.with_extension("mutex"), &SyncOptions::new(), &0_u64).unwrap();
    let refused = TableReader::<u64>::open(path.with_extension("mutex")).unwrap_err();
    assert!(matches!(refused, Error::OtherKind { found: Kind::Mutex, wanted: Kind::Table, .. }));

    // Rows that are not there.
    let mut reader = table.reader().unwrap();
    for row in [5, u32::MAX] {
        let none = table.row(row).unwrap_err();
        assert!(matches!(none, Error::BadOption { .. }) && none.to_string().contains("count from 0"));
        assert!(table.try_row(row).is_err() && table.get(row).is_err() && table.set(row, &0).is_err());
        assert!(reader.get(row).is_err() && reader.writer_alive(row).is_err() && table.writer(row).is_err());
        assert!(reader.version(row).is_none());
    }
    for bad in
        [options(0), options((1 << 20) + 1), options(1).cells(1), options(1).cells(17), options(1).seats(0)]
    {
        assert!(matches!(Table::local(&bad, &0_u64), Err(Error::BadOption { .. })), "{bad:?}");
    }
    assert!(Table::local(&options(1 << 20).cells(16), &()).is_ok());
}

#[test]
fn damaged_words_are_told_or_worked_with() {
    let scene = Scene::new();
    let path = scene.path();
    let table = Table::create(&path, &options(2).cells(3), &3_u64).unwrap();
    let mut reader = TableReader::<u64>::open(&path).unwrap();
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let poke = |byte: u64, word: u64| file.write_all_at(&word.to_le_bytes(), 8192 + byte).unwrap();
    // The writer of row 1 cannot exist; then it is one who has died.
    poke(128 + 64, !(3 << 62));
    assert!(matches!(table.row(1), Err(Error::Garbage { .. })));
    assert!(matches!(table.writer(1), Err(Error::Garbage { .. })));
    assert!(matches!(reader.writer_alive(1), Err(Error::Garbage { .. })));
    assert_eq!(reader.get(1).unwrap(), 3, "reading takes no word");
    poke(128 + 64, 77 << 16 | 9 << 2);
    assert!(!reader.writer_alive(1).unwrap());
    let writer = table.writer(1).unwrap().expect("it has the row");
    assert_eq!((writer.pid, writer.is_alive), (0, false));
    assert!(table.row_deadline(1, soon()).unwrap().was_abandoned());
    // One that is gone, and had many rows, is asked about once.
    drop(table.try_clone().unwrap());
    poke(128, 1 << 16 | 1 << 2);
    poke(128 + 64, 1 << 16 | 1 << 2);
    for row in [0, 1] {
        assert!(table.try_row(row).unwrap().expect("the dead keep no row").was_abandoned());
    }
    // A version just before the numbers wrap: a value of some commit, and the next commit is read.
    poke(128 + 64 + 16, u64::MAX);
    table.row(1).unwrap().set(&8).unwrap();
    assert_eq!(reader.get(1).unwrap(), 8);
    drop((table, reader));

    let whole = std::fs::read(&path).unwrap();
    for (at, word) in [(144, 3), (144, 2 << 32), (144, 17 << 32 | 2), (144, 2 << 32 | 1 << 21), (152, 1)] {
        let mut bytes = whole[..4096].to_vec();
        bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(word));
        let crc = crc32c::crc32c(&bytes[32..256]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        let error = TableReader::<u64>::open(&path).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{at}, {word}: {error}");
    }
}
