//! Files of mutexes: who creates, opens and joins them, and what is refused.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use quoit::sync::{Latest, LatestOptions, LatestReader, Mutex, SyncOptions};
use quoit::{Attach, Consumer, Error, ErrorKind, Kind, Options, Schema};

use super::{Scene, options, soon};

#[test]
fn a_full_table_of_seats_says_who_has_them() {
    let scene = Scene::new();
    let options = SyncOptions::new().seats(2);
    let first = Mutex::create(scene.path(), &options, &1_u64).unwrap();
    let second = Mutex::<u64>::open(scene.path()).unwrap();
    for refused in [Mutex::<u64>::open(scene.path()).unwrap_err(), first.try_clone().unwrap_err()] {
        assert!(
            matches!(&refused, Error::SeatsTaken { seats: 2, pids } if *pids == [std::process::id()]),
            "{refused}"
        );
        assert_eq!(refused.kind(), ErrorKind::InUse);
        assert!(refused.to_string().contains(&std::process::id().to_string()), "{refused}");
    }
    drop(second);
    for _ in 0..5 {
        assert_eq!(*first.try_clone().unwrap().lock().unwrap(), 1);
    }
    let local = Mutex::local(&SyncOptions::new().seats(1), &()).unwrap();
    assert!(matches!(local.try_clone().unwrap_err(), Error::SeatsTaken { seats: 1, .. }));
}

#[test]
fn files_are_created_opened_and_waited_for() {
    let scene = Scene::new();
    let path = scene.path();
    assert!(matches!(Mutex::<u64>::open(&path).unwrap_err(), Error::NotFound { .. }));
    assert!(matches!(Mutex::<u64>::open_wait(&path, Instant::now()).unwrap_err(), Error::NotFound { .. }));
    let waits = path.clone();
    let waiting =
        std::thread::spawn(move || *Mutex::<u64>::open_wait(&waits, soon()).unwrap().lock().unwrap());
    let first = Mutex::open_or_create(&path, &options(), &3_u64).unwrap();
    assert_eq!(waiting.join().unwrap(), 3);
    assert!(matches!(Mutex::create(&path, &options(), &4_u64).unwrap_err(), Error::Exists { .. }));
    let mut second = Mutex::open_or_create(&path, &options(), &4_u64).unwrap();
    assert_eq!(*second.lock().unwrap(), 3, "it was there");
    std::fs::remove_file(&path).unwrap();
    let mut clone = first.try_clone().unwrap();
    *clone.lock().unwrap() = 9;
    assert_eq!(*second.lock().unwrap(), 9, "without a name it is the same still");
    // Everybody has gone, and the file stays.
    let mut again = scene.create(&5_u64);
    *again.lock().unwrap() = 6;
    drop(again);
    assert_eq!(*Mutex::<u64>::open(&path).unwrap().lock().unwrap(), 6);
}

#[test]
fn other_types_and_kinds_are_refused_by_name() {
    let scene = Scene::new();
    let path = scene.path();
    let _mutex = scene.create(&[1_u64, 2]);
    let refused = Mutex::<u64>::open(&path).unwrap_err();
    let (wanted, there) = (Schema::of::<u64>(), Schema::of::<[u64; 2]>());
    assert!(
        matches!(refused, Error::WrongSchema { asked, found: Some(found) } if asked == wanted && found == there)
    );
    let refused = Mutex::open_or_create(&path, &options(), &1_u64).unwrap_err();
    assert!(matches!(refused, Error::WrongSchema { .. }), "{refused}");
    let not_a_ring = Consumer::open(&path, &Attach::lossy()).unwrap_err();
    assert!(not_a_ring.to_string().contains("a mutex, not a ring"), "{not_a_ring}");
    let not_latest = LatestReader::<u64>::open(&path).unwrap_err();
    assert!(not_latest.to_string().contains("a mutex, not a latest value"), "{not_latest}");

    let latest = path.with_file_name("latest");
    let _latest = Latest::create(&latest, &LatestOptions::new(), &[1_u64, 2]).unwrap();
    let ring = path.with_file_name("ring");
    Options::new().capacity(4096).create(&ring).unwrap();
    for (path, is) in [(&latest, Kind::Latest), (&ring, Kind::Ring)] {
        for refused in [
            Mutex::<[u64; 2]>::open(path).unwrap_err(),
            Mutex::open_or_create(path, &options(), &[1_u64, 2]).unwrap_err(),
        ] {
            assert!(
                matches!(refused, Error::OtherKind { found, wanted: Kind::Mutex, .. } if found == is),
                "{refused}"
            );
        }
    }
}

#[test]
fn damaged_files_are_refused() {
    let scene = Scene::new();
    drop(scene.create(&1_u64));
    let whole = std::fs::read(scene.path()).unwrap();
    let file = std::fs::File::options().write(true).open(scene.path()).unwrap();
    let refused = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = whole[..4096].to_vec();
        change(&mut bytes);
        let crc = crc32c::crc32c(&bytes[32..256]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        file.write_all_at(&bytes, 0).unwrap();
        Mutex::<u64>::open(scene.path()).unwrap_err()
    };
    let put =
        |at: usize, word: u64| move |bytes: &mut [u8]| bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    // No seats, too many, other seats than the size has room for, a value too large, a word that is not used.
    for (at, word) in
        [(128, 0), (128, 4097), (128, 1000), (136, (1 << 30 | 1) << 32), (136, u64::MAX), (152, 1), (248, 1)]
    {
        let error = refused(&put(at, word));
        assert!(matches!(error, Error::Damaged { .. }), "{at}: {error}");
    }
    file.write_all_at(&whole, 0).unwrap();
    assert!(Mutex::<u64>::open(scene.path()).is_ok(), "nothing else was wrong");
    // The checksum itself.
    file.write_all_at(&[whole[24] ^ 1], 24).unwrap();
    assert!(matches!(Mutex::<u64>::open(scene.path()).unwrap_err(), Error::Damaged { .. }));
}

/// In a directory that everybody may write to, anybody can be there first.
#[test]
fn another_users_file_is_not_opened_or_created() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: this takes root");
        return;
    }
    let scene = Scene::new();
    drop(scene.create(&1_u64));
    std::os::unix::fs::chown(scene.path(), Some(12345), None).expect("give it away");
    let refused = Mutex::open_or_create(scene.path(), &options(), &2_u64).unwrap_err();
    assert!(matches!(refused, Error::ForeignOwner { .. }), "{refused}");
    assert_eq!(*Mutex::<u64>::open(scene.path()).expect("asked for by name").lock().unwrap(), 1);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    for options in [
        SyncOptions::new().seats(0),
        SyncOptions::new().seats(4097),
        SyncOptions::new().mode(0o700),
        SyncOptions::new().mode(0o400),
    ] {
        let refused = Mutex::local(&options, &0_u64).unwrap_err();
        assert!(matches!(refused, Error::BadOption { .. }), "{options:?}: {refused}");
    }
    assert!(Mutex::local(&SyncOptions::new().seats(4096), &0_u64).is_ok());
}

fn is_refused(path: &Path) -> bool {
    matches!(Mutex::<u64>::open(path).unwrap_err(), Error::ReadLocked { what: "a seat" })
}

/// Whoever may read the file can take read locks, and keep others from sitting down.
#[test]
fn a_read_lock_on_the_seats_is_told() {
    use nix::fcntl::{FcntlArg, fcntl};
    let scene = Scene::new();
    let mutex = scene.create(&1_u64);
    let reader = std::fs::File::open(scene.path()).unwrap();
    let mut lock = nix::libc::flock {
        l_type: nix::libc::F_RDLCK as i16,
        l_whence: 0,
        l_start: (1 << 62) + 4096 + 1,
        l_len: 15,
        l_pid: 0,
    };
    fcntl(&reader, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    assert!(is_refused(&scene.path()));
    lock.l_type = nix::libc::F_UNLCK as i16;
    fcntl(&reader, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
    assert!(Mutex::<u64>::open(scene.path()).is_ok());
    drop(mutex);
}

#[test]
fn a_handle_knows_whether_its_file_has_gone() {
    let scene = Scene::new();
    let mutex = scene.create(&1_u64);
    assert!(!mutex.is_stale());
    assert!(mutex.proof_of_life().is_ok());
    std::fs::remove_file(scene.path()).unwrap();
    assert!(mutex.is_stale());
    let local = Mutex::local(&options(), &1_u64).unwrap();
    assert!(!local.is_stale());
    let refused = local.proof_of_life().unwrap_err();
    assert!(matches!(refused, Error::BadOption { .. }), "{refused}");
}

#[test]
fn a_handle_knows_whether_its_file_was_replaced() {
    let scene = Scene::new();
    let mut mutex = scene.create(&1_u64);
    let next = scene.path().with_extension("next");
    let mut new = Mutex::create(&next, &options(), &7_u64).unwrap();
    std::fs::rename(&next, scene.path()).unwrap();
    // The new one was opened where it is no more.
    assert!(mutex.is_stale() && new.is_stale());
    let mut found = Mutex::<u64>::open(scene.path()).unwrap();
    assert!(!found.is_stale());
    // It goes on with those that have the old file open.
    *mutex.lock().unwrap() = 2;
    assert_eq!(*mutex.try_clone().unwrap().lock().unwrap(), 2);
    assert_eq!(*new.lock().unwrap(), 7);
    assert_eq!(*found.lock().unwrap(), 7);
}
