//! What the errors of each kind of object say of a file that is none of that kind: its own name, and no other.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use quoit::service::{Client, Server, ServiceOptions};
use quoit::sync::{
    Barrier, Condvar, Event, Latch, Latest, LatestOptions, LatestReader, Mutex, Once, Reset, RwLock,
    Semaphore, SyncOptions, Table, TableOptions, TableReader,
};
use quoit::{Attach, Consumer, Error, ErrorKind, Kind, Observer, Options, Producer, Start, kind_of};
use tempfile::TempDir;

type Open = fn(&Path) -> Result<(), Error>;

/// How a handle of each kind is opened.
const OPEN: [(Kind, Open); 17] = [
    (Kind::Ring, |path| Producer::open(path).map(drop)),
    (Kind::Ring, |path| Consumer::open(path, &Attach::gated()).map(drop)),
    (Kind::Ring, |path| Observer::open(path, Start::Oldest).map(drop)),
    (Kind::Latest, |path| Latest::<u64>::open(path).map(drop)),
    (Kind::Latest, |path| LatestReader::<u64>::open(path).map(drop)),
    (Kind::Mutex, |path| Mutex::<u64>::open(path).map(drop)),
    (Kind::Semaphore, |path| Semaphore::open(path).map(drop)),
    (Kind::Event, |path| Event::open(path).map(drop)),
    (Kind::Barrier, |path| Barrier::open(path).map(drop)),
    (Kind::Latch, |path| Latch::open(path).map(drop)),
    (Kind::Once, |path| Once::open(path).map(drop)),
    (Kind::Condvar, |path| Condvar::open(path).map(drop)),
    (Kind::RwLock, |path| RwLock::<u64>::open(path).map(drop)),
    (Kind::Table, |path| Table::<u64>::open(path).map(drop)),
    (Kind::Table, |path| TableReader::<u64>::open(path).map(drop)),
    (Kind::Service, |path| Server::open(path).map(drop)),
    (Kind::Service, |path| Client::open(path).map(drop)),
];

/// An object of each kind.
fn create(kind: Kind, path: &Path) {
    let options = SyncOptions::new();
    let created = match kind {
        Kind::Ring => Producer::create(path, &Options::new()).map(drop),
        Kind::Latest => Latest::create(path, &LatestOptions::new(), &1_u64).map(drop),
        Kind::Mutex => Mutex::create(path, &options, &1_u64).map(drop),
        Kind::Semaphore => Semaphore::create(path, &options, 1).map(drop),
        Kind::Event => Event::create(path, &options, Reset::Manual).map(drop),
        Kind::Barrier => Barrier::create(path, &options, 1).map(drop),
        Kind::Latch => Latch::create(path, &options, 1).map(drop),
        Kind::Once => Once::create(path, &options).map(drop),
        Kind::Condvar => Condvar::create(path, &options).map(drop),
        Kind::RwLock => RwLock::create(path, &options, &1_u64).map(drop),
        Kind::Table => Table::create(path, &TableOptions::new(1), &1_u64).map(drop),
        Kind::Service => Server::create(path, &ServiceOptions::new()).map(drop),
        other => panic!("nobody creates a {other} alone"),
    };
    created.unwrap_or_else(|error| panic!("{kind}: {error}"));
}

/// The refusal, which is one line and speaks of no kind but the one asked for and the one found.
fn refusal(path: &Path, (kind, open): (Kind, Open), found: Option<Kind>) -> Error {
    let error = open(path).expect_err("it was opened");
    let text = error.to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    let speaks_of_rings = text
        .split(|letter: char| !letter.is_alphanumeric())
        .any(|word| matches!(word, "ring" | "rings" | "Ring") && !text.contains("rings: Options::any_owner"));
    let may = kind == Kind::Ring || found == Some(Kind::Ring);
    assert!(may || !speaks_of_rings, "of a {kind}: {text}");
    error
}

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir_in("/dev/shm").expect("a directory"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[test]
fn what_is_no_object_is_no_object_of_the_kind_asked_for() {
    let scene = Scene::new();
    let file = scene.file("file");
    for (kind, open) in OPEN {
        let handle = (kind, open);
        std::fs::write(&file, vec![b'x'; 10_000]).unwrap();
        let refused = refusal(&file, handle, None);
        assert!(matches!(refused, Error::NotARing { wanted, .. } if wanted == Some(kind)), "{refused:?}");
        assert_eq!(refused.kind(), ErrorKind::NotARing);
        assert!(refused.to_string().contains(&format!("{kind}; check the path")), "{refused}");
        std::fs::write(&file, "short").unwrap();
        let refused = refusal(&file, handle, None);
        assert!(
            matches!(refused, Error::TooShort { bytes: 5, wanted, .. } if wanted == Some(kind)),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(&format!("{kind}: check the path")), "{refused}");
        let refused = refusal(&scene.file("nothing"), handle, None);
        assert!(matches!(refused, Error::NotFound { .. }), "{refused:?}");
        assert!(matches!(refusal(scene.0.path(), handle, None), Error::NotRegular { .. }));
        let link = scene.file("link");
        symlink(&file, &link).unwrap();
        assert!(matches!(refusal(&link, handle, None), Error::NotRegular { .. }));
        std::fs::remove_file(link).unwrap();
    }
    // Nobody asked for a kind.
    let refused = kind_of(&file).unwrap_err();
    assert!(matches!(refused, Error::TooShort { wanted: None, .. }), "{refused:?}");
    assert!(refused.to_string().contains("is not a file of quoit"), "{refused}");
}

#[test]
fn another_kind_is_told_by_both_names() {
    let scene = Scene::new();
    let file = scene.file("file");
    for (made, _) in OPEN {
        let _ = std::fs::remove_file(&file);
        create(made, &file);
        for (kind, open) in OPEN.into_iter().filter(|(kind, _)| *kind != made) {
            let refused = refusal(&file, (kind, open), Some(made));
            let is_told =
                matches!(refused, Error::OtherKind { found, wanted, .. } if (found, wanted) == (made, kind));
            assert!(is_told, "{refused:?}");
            assert_eq!(refused.kind(), ErrorKind::NotARing);
            let text = refused.to_string();
            assert!(
                text.contains(&format!(" {made}, not a")) && text.contains(&format!(" {kind};")),
                "{text}"
            );
        }
    }
}

#[test]
fn damage_and_copies_are_told_without_a_wrong_name() {
    let scene = Scene::new();
    let (file, copy) = (scene.file("file"), scene.file("copy"));
    for (kind, open) in OPEN {
        let handle = (kind, open);
        let _ = std::fs::remove_file(&file);
        create(kind, &file);
        open(&file).unwrap_or_else(|error| panic!("a good {kind}: {error}"));
        let good = std::fs::read(&file).unwrap();
        let refused = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = good.clone();
            change(&mut bytes);
            std::fs::write(&copy, bytes).unwrap();
            refusal(&copy, handle, None)
        };
        let error = refused(&|_| {});
        assert!(matches!(error, Error::Copied { .. }), "{error:?}");
        let error = refused(&|bytes| bytes[24] ^= 1);
        assert!(matches!(error, Error::Damaged { what: "checksum", .. }), "{error:?}");
        let error = refused(&|bytes| bytes[8] ^= 64);
        assert!(matches!(error, Error::Version { .. }), "{error:?}");
        let error = refused(&|bytes| bytes[16..24].reverse());
        assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
        let error = refused(&|bytes| bytes.truncate(bytes.len() - 4096));
        assert!(matches!(error, Error::WrongSize { .. }), "{error:?}");
    }
}
