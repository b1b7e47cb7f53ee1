//! Latest values in files and on the heap: what is read, what is refused, who sleeps.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quoit::sync::{Latest, LatestOptions, LatestReader};
use quoit::zerocopy::{FromBytes, Immutable, IntoBytes};
use quoit::{Attach, Consumer, Error, Kind, Options, Schema, Typed};
use tempfile::TempDir;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[zerocopy(crate = "quoit::zerocopy")]
#[repr(C)]
struct Quote {
    bid: u64,
    ask: u64,
}

impl Typed for Quote {
    const TAG: u32 = 5;
}

fn quote(number: u64) -> Quote {
    Quote { bid: number, ask: !number }
}

struct Scene {
    _directory: TempDir,
    path: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
        Self { path: directory.path().join("quote"), _directory: directory }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn reader(path: &Path) -> LatestReader<Quote> {
    LatestReader::open(path).expect("open to read")
}

#[test]
fn the_latest_value_is_read() {
    let scene = Scene::new();
    let options = LatestOptions::new();
    let mut latest = Latest::create(&scene.path, &options, &quote(7)).expect("create");
    let mut reader = reader(&scene.path);
    assert!(reader.has_changed() && reader.version().is_none());
    assert_eq!(reader.get().unwrap(), quote(7));
    assert_eq!((reader.version(), reader.has_changed()), (Some(1), false));
    for number in 0..100 {
        assert_eq!(latest.set(&quote(number)).unwrap(), 2 + number);
    }
    assert_eq!((latest.get().unwrap(), latest.version()), (quote(99), 101));
    assert_eq!((reader.get().unwrap(), reader.version()), (quote(99), Some(101)));
}

#[test]
fn versions_go_on_from_writer_to_writer() {
    let scene = Scene::new();
    let options = LatestOptions::new();
    let mut first = Latest::open_or_create(&scene.path, &options, &quote(1)).expect("create");
    first.set(&quote(2)).unwrap();
    let refused = Latest::<Quote>::open(&scene.path).unwrap_err();
    assert!(matches!(refused, Error::WriterAlive { pid } if pid == std::process::id()), "{refused}");
    assert!(matches!(Latest::create(&scene.path, &options, &quote(3)).unwrap_err(), Error::Exists { .. }));
    let mut reader = reader(&scene.path);
    assert!(reader.writer_alive());
    drop(first);
    assert!(!reader.writer_alive());
    assert_eq!(reader.get().unwrap(), quote(2), "it stays");
    let mut second = Latest::open_or_create(&scene.path, &options, &quote(9)).expect("open");
    assert_eq!((second.version(), second.get().unwrap()), (2, quote(2)));
    assert_eq!(second.set(&quote(4)).unwrap(), 3);
    assert_eq!(reader.get().unwrap(), quote(4));
}

#[test]
fn values_of_every_size_are_whole() {
    fn of<const N: usize>() {
        for cells in [2, 3, 16] {
            let options = LatestOptions::new().cells(cells);
            let mut latest = Latest::local(&options, &[1_u8; N]).expect("make");
            let mut reader = latest.reader().expect("a reader");
            for number in 2..40 {
                for _ in 0..2 {
                    assert_eq!(reader.get().unwrap(), [number - 1; N]);
                }
                latest.set(&[number; N]).unwrap();
            }
        }
    }
    of::<0>();
    of::<1>();
    of::<7>();
    of::<8>();
    of::<64>();
    of::<65>();
    of::<127>();
    of::<128>();
    of::<129>();
    of::<5000>();
}

#[test]
fn other_types_and_kinds_are_refused_by_name() {
    let scene = Scene::new();
    let options = LatestOptions::new();
    let latest = Latest::create(&scene.path, &options, &quote(1)).expect("create");
    let other_tag = LatestReader::<[u64; 2]>::open(&scene.path).unwrap_err();
    let is_told = |error: &Error, asked: Schema| {
        matches!(error, Error::WrongSchema { asked: told, found: Some(found) }
            if *told == asked && *found == Schema::of::<Quote>())
    };
    assert!(is_told(&other_tag, Schema::of::<[u64; 2]>()), "{other_tag}");
    let other_size = LatestReader::<u64>::open(&scene.path).unwrap_err();
    assert!(is_told(&other_size, Schema::of::<u64>()), "{other_size}");
    let not_a_ring = Consumer::open(&scene.path, &Attach::lossy()).unwrap_err();
    let is_told = matches!(not_a_ring, Error::OtherKind { found: Kind::Latest, wanted: Kind::Ring, .. });
    assert!(is_told && not_a_ring.to_string().contains("a latest value, not a ring"), "{not_a_ring}");
    drop(latest);
    assert!(matches!(Latest::<u64>::open(&scene.path).unwrap_err(), Error::WrongSchema { .. }));

    let ring = scene.path.with_file_name("ring");
    Options::new().capacity(4096).create(&ring).expect("a ring");
    for refused in [
        LatestReader::<Quote>::open(&ring).unwrap_err(),
        Latest::<Quote>::open(&ring).unwrap_err(),
        Latest::open_or_create(&ring, &options, &quote(1)).unwrap_err(),
    ] {
        assert!(
            matches!(refused, Error::OtherKind { found: Kind::Ring, wanted: Kind::Latest, .. }),
            "{refused}"
        );
    }
    let plain = scene.path.with_file_name("plain");
    std::fs::write(&plain, vec![0; 8192]).unwrap();
    assert!(matches!(LatestReader::<Quote>::open(&plain).unwrap_err(), Error::NotARing { .. }));
}

/// In a directory that everybody may write to, anybody can be there first.
#[test]
fn another_users_file_is_not_opened_or_created() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this takes root");
        return;
    }
    let scene = Scene::new();
    let options = LatestOptions::new();
    drop(Latest::create(&scene.path, &options, &quote(1)).expect("create"));
    std::os::unix::fs::chown(&scene.path, Some(12345), None).expect("give it away");
    let refused = Latest::open_or_create(&scene.path, &options, &quote(2)).unwrap_err();
    assert!(matches!(refused, Error::ForeignOwner { .. }), "{refused}");
    assert_eq!(Latest::<Quote>::open(&scene.path).expect("asked for by name").get().unwrap(), quote(1));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        LatestOptions::new().cells(1),
        LatestOptions::new().cells(17),
        LatestOptions::new().mode(0o700),
        LatestOptions::new().mode(0o400),
    ] {
        let refused = Latest::local(&options, &0_u64).unwrap_err();
        assert!(matches!(refused, Error::BadOption { .. }), "{options:?}: {refused}");
    }
}

#[test]
fn a_sleeper_is_woken() {
    let scene = Scene::new();
    let mut latest = Latest::create(&scene.path, &LatestOptions::new(), &quote(0)).expect("create");
    let mut reader = reader(&scene.path);
    assert_eq!(reader.next_deadline(soon()).unwrap(), Some(quote(0)));
    let sleeper = std::thread::spawn(move || {
        for number in 1..200 {
            let value = reader.next_deadline(soon()).unwrap().expect("a change");
            assert_eq!(value.ask, !value.bid);
            if value.bid == 200 {
                return;
            }
            assert!(value.bid >= number);
        }
    });
    for number in 1..=200 {
        std::thread::sleep(Duration::from_micros(300));
        latest.set(&quote(number)).unwrap();
    }
    sleeper.join().unwrap();
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let scene = Scene::new();
    let _latest = Latest::create(&scene.path, &LatestOptions::new(), &quote(0)).expect("create");
    let mut reader = reader(&scene.path);
    reader.get().unwrap();
    let begin = Instant::now();
    assert_eq!(reader.next_deadline(begin + Duration::from_millis(30)).unwrap(), None);
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert_eq!(reader.next_deadline(begin).unwrap(), None, "a deadline that has passed is one look");
}

#[test]
fn a_value_that_comes_later_is_waited_for() {
    let scene = Scene::new();
    let early = LatestReader::<Quote>::open_wait(&scene.path, Instant::now()).unwrap_err();
    assert!(matches!(early, Error::NotFound { .. }));
    let path = scene.path.clone();
    let waiting =
        std::thread::spawn(move || LatestReader::<Quote>::open_wait(&path, soon()).unwrap().get().unwrap());
    std::thread::sleep(Duration::from_millis(20));
    let _latest = Latest::create(&scene.path, &LatestOptions::new(), &quote(3)).expect("create");
    assert_eq!(waiting.join().unwrap(), quote(3));
}

/// The file is the reader's to read alone: it naps in place of being woken.
#[test]
fn who_may_only_read_reads() {
    let scene = Scene::new();
    let mut latest = Latest::create(&scene.path, &LatestOptions::new(), &quote(0)).expect("create");
    std::fs::set_permissions(&scene.path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let mut reader = reader(&scene.path);
    assert_eq!(reader.next_deadline(soon()).unwrap(), Some(quote(0)));
    let sleeper = std::thread::spawn(move || reader.next_deadline(soon()).unwrap());
    std::thread::sleep(Duration::from_millis(30));
    latest.set(&quote(1)).unwrap();
    assert_eq!(sleeper.join().unwrap(), Some(quote(1)));
}

/// A reader never waits for the writer: however fast that commits, it gets whole values, or is told.
#[test]
fn a_reader_beside_a_fast_writer() {
    let options = LatestOptions::new().cells(4);
    let mut latest = Latest::local(&options, &[0_u64; 64]).expect("make");
    let mut reader = latest.reader().expect("a reader");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = stop.clone();
    let writer = std::thread::spawn(move || {
        let mut number = 0;
        while !told.load(std::sync::atomic::Ordering::Relaxed) {
            number += 1;
            latest.set(&[number; 64]).unwrap();
        }
        number
    });
    let (mut got, mut last) = (0, 0);
    while got < 20_000 {
        match reader.get() {
            Ok(value) => {
                assert!(value.iter().all(|word| *word == value[0]), "half a value");
                assert!(value[0] >= last, "it went back");
                last = value[0];
                got += 1;
            }
            Err(Error::Busy) => {}
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let sent = writer.join().unwrap();
    assert_eq!(reader.get().unwrap(), [sent; 64]);
}
