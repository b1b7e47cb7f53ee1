//! Copies of rings are no rings: they may hold a record that was half written when they were taken. What only gives the
//! file another name is harmless.

use std::os::unix::fs::MetadataExt;
use std::process::Command;

use quoit::Event;

use super::*;

fn run(program: &str, arguments: &[&str], paths: [&Path; 2]) {
    let status = Command::new(program).args(arguments).args(paths).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status:?}");
}

#[test]
fn every_way_to_copy() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        let mut producer = Producer::open(&ring.path).unwrap();
        producer.send(b"one").unwrap();
        let copy = ring.directory.path().join("copy");
        for arguments in
            [&["--sparse=never"][..], &["-a", "--sparse=never"], &["--reflink=auto", "--sparse=never"]]
        {
            run("cp", arguments, [&ring.path, &copy]);
            refused!(copy, Error::Copied { .. });
            std::fs::remove_file(&copy).unwrap();
        }
        // Over itself, with the bytes of a ring of the same shape: the file stays, and is that ring no more.
        let other = Spoilt::on(backing);
        let mut observer = Observer::open(&ring.path, Start::Oldest).unwrap();
        assert!(!observer.is_stale() && !producer.is_stale());
        ring.write(0, &other.bytes());
        refused!(ring.path, Error::Copied { .. });
        assert!(observer.is_stale() && producer.is_stale() && observer.try_recv().is_ok());
    }
}

/// A restored copy may get the very inode that the ring had: file systems give those of removed files away again.
#[test]
fn a_restored_backup() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        let bytes = ring.bytes();
        let inode = std::fs::metadata(&ring.path).unwrap().ino();
        let directory = ring.directory;
        std::fs::remove_file(&ring.path).unwrap();
        drop(ring.file);
        let mut same = 0;
        for _ in 0..20 {
            std::fs::write(&ring.path, &bytes).unwrap();
            same += u32::from(std::fs::metadata(&ring.path).unwrap().ino() == inode);
            refused!(ring.path, Error::Copied { .. });
            std::fs::remove_file(&ring.path).unwrap();
        }
        note(&format!("{backing:?}: 20 backups restored, {same} of them to the inode of the ring"));
        drop(directory);
    }
}

#[test]
fn across_file_systems() {
    let (ring, elsewhere) = (Spoilt::on(Backing::Tmpfs), Backing::Disk.directory());
    let moved = elsewhere.path().join("moved");
    run("mv", &[], [&ring.path, &moved]);
    refused!(moved, Error::Copied { .. });
}

#[test]
fn other_names_for_the_ring_itself() {
    for backing in [Backing::Tmpfs, Backing::Disk] {
        let ring = Spoilt::on(backing);
        let mut producer = Producer::open(&ring.path).unwrap();
        producer.send(b"one").unwrap();
        let (linked, moved) = (ring.directory.path().join("linked"), ring.directory.path().join("moved"));
        run("cp", &["-l"], [&ring.path, &linked]);
        let observer = Observer::open(&linked, Start::Oldest).unwrap();
        assert!(!observer.is_stale() && !producer.is_stale());
        run("mv", &[], [&ring.path, &moved]);
        assert!(producer.is_stale(), "newcomers at its path find nothing");
        assert!(!observer.is_stale(), "theirs leads there still");
        for path in [&linked, &moved] {
            let mut observer = Observer::open(path, Start::Oldest).unwrap();
            assert!(matches!(observer.try_recv(), Ok(Some(Event::Record(_)))));
        }
        assert!(matches!(Producer::open(&moved), Err(Error::ProducerAlive { .. })));
        drop(producer);
        harmless(&linked, "a hard link");
    }
}

/// Whoever has a handle is told that the ring is gone: by `is_stale`, and without touching it.
#[test]
fn a_ring_that_is_gone_is_stale() {
    type Change = fn(&Spoilt);
    let changes: [(&str, Change); 7] = [
        ("removed", |ring| std::fs::remove_file(&ring.path).unwrap()),
        ("renamed", |ring| std::fs::rename(&ring.path, ring.directory.path().join("away")).unwrap()),
        ("removed, with a link left", |ring| {
            std::fs::hard_link(&ring.path, ring.directory.path().join("link")).unwrap();
            std::fs::remove_file(&ring.path).unwrap();
        }),
        ("replaced by a link", |ring| {
            std::fs::rename(&ring.path, ring.directory.path().join("away")).unwrap();
            std::os::unix::fs::symlink("away", &ring.path).unwrap();
        }),
        ("replaced by a ring", |ring| {
            let new = ring.directory.path().join("new");
            small().create(&new).unwrap();
            std::fs::rename(new, &ring.path).unwrap();
        }),
        ("cut short", |ring| ring.file.set_len(FILE_BYTES - PAGE).unwrap()),
        ("emptied", |ring| ring.file.set_len(0).unwrap()),
    ];
    for backing in [Backing::Tmpfs, Backing::Disk] {
        for (what, change) in changes {
            let ring = Spoilt::on(backing);
            let producer = Producer::open(&ring.path).unwrap();
            let consumer = Consumer::open(&ring.path, &Attach::lossy()).unwrap();
            let observer = Observer::open(&ring.path, Start::Newest).unwrap();
            let inspector = Inspector::open(&ring.path).unwrap();
            let stale =
                || [producer.is_stale(), consumer.is_stale(), observer.is_stale(), inspector.is_stale()];
            assert_eq!(stale(), [false; 4], "not yet {what}");
            change(&ring);
            assert_eq!(stale(), [true; 4], "{what}");
            // Or they would touch what is gone.
            ring.file.set_len(FILE_BYTES).unwrap();
        }
    }
}

/// As a directory above it goes by another name.
#[test]
fn a_directory_that_was_renamed() {
    let ring = Spoilt::new();
    let (home, away) = (ring.directory.path().join("home"), ring.directory.path().join("away"));
    std::fs::create_dir(&home).unwrap();
    let path = home.join("ring");
    let producer = Producer::create(&path, &small()).unwrap();
    std::fs::rename(&home, &away).unwrap();
    assert!(producer.is_stale());
    std::fs::write(&home, "a file in place of the directory").unwrap();
    assert!(producer.is_stale());
    std::fs::remove_file(&home).unwrap();
    std::fs::rename(&away, &home).unwrap();
    assert!(!producer.is_stale());
}
