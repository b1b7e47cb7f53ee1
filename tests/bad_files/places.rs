//! Paths that lead to something else, or nowhere.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::*;

/// Everybody who makes a ring.
fn creators(path: &Path, options: &Options) -> [Result<(), Error>; 2] {
    [options.create(path), Producer::create(path, options).map(drop)]
}

/// Nobody makes a ring over a file that is there.
fn exists(path: &Path) {
    for created in creators(path, &small()) {
        let error = created.unwrap_err();
        assert!(matches!(&error, Error::Exists { path: found } if found == path), "{error:?}");
        is_helpful(&error);
    }
}

/// Nor over anything else, and nobody is told to remove that.
fn is_no_file(path: &Path) {
    for created in creators(path, &small()) {
        let error = created.unwrap_err();
        assert!(matches!(&error, Error::NotRegular { path: found, .. } if found == path), "{error:?}");
        assert!(!error.to_string().contains("remove"), "{error}");
        is_helpful(&error);
    }
}

#[test]
fn symbolic_links() {
    let ring = Spoilt::new();
    let link = |name: &str, target: &Path| {
        let path = ring.directory.path().join(name);
        symlink(target, &path).unwrap();
        path
    };
    let itself = ring.directory.path().join("itself");
    let dangling = ring.directory.path().join("nothing");
    let links = [
        link("live", &ring.path),
        link("dangling", &dangling),
        link("directory", ring.directory.path()),
        link("itself", &itself),
    ];
    for path in links {
        refused!(path, Error::NotRegular { kind: "symbolic link", .. });
        is_no_file(&path);
    }
    assert!(!dangling.exists(), "something was made where a link leads");
    // A link on the way there is nobody's business.
    harmless(&ring.directory.path().join("directory/ring"), "through a link");
}

#[test]
fn what_is_no_regular_file() {
    let ring = Spoilt::new();
    let directory = ring.directory.path().join("directory");
    std::fs::create_dir(&directory).unwrap();
    refused!(directory, Error::NotRegular { kind: "directory", .. });
    is_no_file(&directory);

    let fifo = ring.directory.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    refused!(fifo, Error::NotRegular { kind: "FIFO", .. });
    is_no_file(&fifo);

    let socket = ring.directory.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    refused!(socket, Error::NotRegular { kind: "socket or device", .. });
    is_no_file(&socket);

    for device in ["/dev/null", "/dev/zero", "/dev/random"] {
        refused!(device, Error::NotRegular { kind: "device", .. });
        is_no_file(Path::new(device));
    }
}

/// A FIFO that somebody reads from, or writes into, does not make anybody wait or write either.
#[test]
fn a_fifo_with_somebody_at_the_other_end() {
    let ring = Spoilt::new();
    let fifo = ring.directory.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let both = File::options().read(true).write(true).open(&fifo).unwrap();
    refused!(fifo, Error::NotRegular { kind: "FIFO", .. });
    use std::io::Write;
    (&both).write_all(&ring.bytes()[..4096]).unwrap();
    refused!(fifo, Error::NotRegular { kind: "FIFO", .. });
}

#[test]
fn file_systems_that_are_not_coherent() {
    let readers = [Role::Observe, Role::Inspect];
    refused!(&readers; "/proc/self/status", Error::Filesystem { kind, .. } if kind == "procfs");
    for directory in ["/proc/self", "/proc", "/sys"] {
        let path = Path::new(directory).join("ring");
        for created in creators(&path, &small()) {
            let error = created.unwrap_err();
            assert!(matches!(error, Error::Filesystem { .. }), "{error:?}");
            is_helpful(&error);
        }
    }
}

#[test]
fn nothing_there() {
    let ring = Spoilt::new();
    let openers: Vec<_> = ROLES.into_iter().filter(|role| *role != Role::ProduceOrCreate).collect();
    refused!(&openers; ring.directory.path().join("nothing"), Error::NotFound { .. });
    refused!(&openers; ring.directory.path().join("no directory/ring"), Error::NotFound { .. });
    // A file in place of a directory on the way.
    refused!(&openers; ring.path.join("ring"), Error::NotFound { .. });
    // Removed, with somebody still attached.
    let consumer = Consumer::open(&ring.path, &Attach::gated()).unwrap();
    std::fs::remove_file(&ring.path).unwrap();
    refused!(&openers; ring.path, Error::NotFound { .. });
    assert!(consumer.is_stale());
}

#[test]
fn nowhere_to_create_it() {
    let ring = Spoilt::new();
    let missing = ring.directory.path().join("no directory");
    for created in creators(&missing.join("ring"), &small()) {
        let error = created.unwrap_err();
        assert!(matches!(&error, Error::NoDirectory { path } if *path == missing), "{error:?}");
        is_helpful(&error);
    }
    for created in creators(&ring.path.join("ring"), &small()) {
        let error = created.unwrap_err();
        assert!(matches!(&error, Error::NotRegular { path, .. } if *path == ring.path), "{error:?}");
        is_helpful(&error);
    }
    for path in ["", "/", "..", "/dev/shm/.."] {
        for created in creators(Path::new(path), &small()) {
            let error = created.unwrap_err();
            assert!(matches!(error, Error::BadOption { .. }), "{error:?}");
            is_helpful(&error);
        }
    }
    for name in ["x".repeat(256), "a\0b".to_owned()] {
        let path = ring.directory.path().join(name);
        for created in creators(&path, &small()).into_iter().chain(ROLES.map(|role| role.open(&path))) {
            let error = created.unwrap_err();
            assert!(matches!(error, Error::Io { .. }), "{error:?}");
            is_helpful(&error);
        }
    }
    assert_eq!(std::fs::read_dir(ring.directory.path()).unwrap().count(), 1, "something was left behind");
}

#[test]
fn something_there_already() {
    let ring = Spoilt::new();
    let before = ring.bytes();
    exists(&ring.path);
    for (name, bytes) in [("empty", &b""[..]), ("text", b"text\n")] {
        exists(&ring.other(name, bytes));
        assert_eq!(std::fs::read(ring.directory.path().join(name)).unwrap(), bytes);
    }
    assert_eq!(ring.bytes(), before, "a ring that was there was touched");
    // Who opens or creates takes what is there, and says so if it is no good.
    let empty = ring.directory.path().join("empty");
    refused!(&[Role::ProduceOrCreate]; empty, Error::TooShort { bytes: 0, .. });
}
