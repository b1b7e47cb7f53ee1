//! Every file system that a ring may be made on, as a real one in a file: once it is full, no write to a ring on it may
//! fail any more. And those that cannot promise it are refused.

use std::path::Path;
use std::process::{Command, Stdio};

use super::disks::{uses_every_page, with_own_mounts};
use super::*;

/// A file system of so many MiB, mounted until its owner goes.
struct Mount {
    directory: PathBuf,
}

/// Runs a command; its complaints, if it fails.
fn run(command: &[&str]) -> Result<(), String> {
    let ran = Command::new(command[0]).args(&command[1..]).stdin(Stdio::null()).output();
    let output = ran.map_err(|error| format!("{}: {error}", command[0]))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    if output.status.success() { Ok(()) } else { Err(format!("{}: {said}", command[0])) }
}

impl Mount {
    /// `None`, with a note: this machine cannot make or mount such a file system.
    fn new(home: &Path, name: &str, make: &[&str], mib: u64, options: &str) -> Option<Self> {
        let (image, directory) = (home.join(format!("{name}.image")), home.join(name));
        File::create(&image).unwrap().set_len(mib << 20).unwrap();
        std::fs::create_dir(&directory).unwrap();
        let (image, at) = (image.to_str().unwrap(), directory.to_str().unwrap());
        let made = run(&[make, &[image]].concat());
        let options = format!("loop{options}");
        match made.and_then(|()| run(&["mount", "-o", &options, image, at])) {
            Ok(()) => Some(Self { directory }),
            Err(why) => {
                note(&format!("SKIPPED, {name} cannot be had here: {why}"));
                None
            }
        }
    }

    fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.directory).unwrap()).expect("sync");
    }

    /// Takes all the space there is, also what writing back what is there gives free.
    fn fill(&self) {
        for round in 0..3 {
            // Not even an inode is left.
            let filler = File::create(self.directory.join(format!("filler-{round}")));
            let Ok(mut filler) = filler else { break };
            for block in [1 << 20, 4096, 512] {
                let bytes = vec![1; block];
                while filler.write_all(&bytes).is_ok() {}
            }
            self.sync();
        }
        let refusal = large().create(self.directory.join("one more"));
        assert!(matches!(refusal, Err(Error::NoSpace { .. })), "not full: {refusal:?}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(&["umount", self.directory.to_str().unwrap()]);
        let _ = std::fs::remove_file(self.directory.with_extension("image"));
    }
}

const SLOTS: u32 = 4;

fn large() -> Options {
    Options::new().capacity(1 << 20).slots(2 * SLOTS)
}

/// A ring that was used, written back and copied; then the disk fills up, and all of it is used again.
fn holds_when_full(mount: &Mount, name: &str, copies: bool) {
    let ring = mount.directory.join("ring");
    // A lap that is written back, and one ring that nobody has written yet.
    let untouched = mount.directory.join("untouched");
    large().create(&untouched).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut producer = Producer::create(&ring, &large()).unwrap_or_else(|error| panic!("{name}: {error}"));
    for sequence in 0..3 * producer.capacity() / 1024 {
        producer.send(&payload(sequence, 1000)).unwrap();
    }
    drop(producer);
    std::fs::remove_file(&ring).unwrap();
    large().create(&ring).unwrap();
    uses_every_page(&ring, SLOTS);
    mount.sync();
    if copies {
        run(&["cp", ring.to_str().unwrap(), mount.directory.join("copy").to_str().unwrap()]).unwrap();
        mount.sync();
    }
    mount.fill();
    for ring in [&ring, &untouched] {
        let mut producer = Producer::open(ring).unwrap();
        let mut gated = Consumer::open(ring, &Attach::gated()).unwrap();
        let records = 3 * producer.capacity() / 1024;
        for round in 0..2 {
            for _ in 0..records {
                let sequence = producer.next_sequence();
                producer.try_send(&payload(sequence, 1000)).unwrap();
                match gated.try_recv().unwrap() {
                    Some(Event::Record(record)) => assert!(record.to_vec() == payload(sequence, 1000)),
                    other => panic!("{name}, round {round}: {other:?}"),
                }
            }
            // What is clean has to be made dirty again.
            mount.sync();
        }
    }
    // And what is told of the room there is: it fits.
    std::fs::remove_file(mount.directory.join("filler-0")).unwrap();
    mount.sync();
    let too_large = mount.directory.join("too large");
    match Options::new().capacity(1 << 32).slots(1).create(&too_large) {
        Err(Error::NoSpace { largest: Some(largest), free: Some(free), .. }) => {
            assert!(largest < free, "{name}: {largest} of {free}");
            let options = Options::new().capacity(largest).slots(1);
            options.create(&too_large).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        other => panic!("{name}: {other:?}"),
    }
    note(&format!("{name}: full, and every page of two rings used twice"));
}

/// The name, how to make one, its size in MiB, how to mount it, and whether a copy shares blocks with its original.
type Kind = (&'static str, &'static [&'static str], u64, &'static str, bool);

const ADMITTED: [Kind; 10] = [
    ("ext4", &["mkfs.ext4", "-q", "-F"], 48, "", true),
    ("ext4-1k", &["mkfs.ext4", "-q", "-F", "-b", "1024"], 32, "", true),
    ("ext4-bigalloc", &["mkfs.ext4", "-q", "-F", "-O", "bigalloc"], 64, "", true),
    ("ext4-without-extents", &["mkfs.ext4", "-q", "-F", "-O", "^extents,^64bit"], 32, "", true),
    ("ext4-journal", &["mkfs.ext4", "-q", "-F"], 48, ",data=journal", true),
    ("ext4-small-inodes", &["mkfs.ext4", "-q", "-F", "-I", "128"], 32, "", true),
    ("ext3", &["mkfs.ext3", "-q", "-F"], 32, "", true),
    ("ext2", &["mkfs.ext2", "-q", "-F"], 32, "", true),
    ("xfs-without-reflink", &["mkfs.xfs", "-q", "-m", "reflink=0"], 300, "", true),
    // With it a copy shares the ring's blocks, and the documents say what that means.
    ("xfs", &["mkfs.xfs", "-q"], 300, "", false),
];

#[test]
fn no_write_fails_once_the_disk_is_full() {
    let home = Backing::Tmpfs.directory();
    let path = home.path().to_owned();
    let entered = with_own_mounts(move || {
        let mut tried = 0;
        for (name, make, mib, options, copies) in ADMITTED {
            let Some(mount) = Mount::new(&path, name, make, mib, options) else { continue };
            holds_when_full(&mount, name, copies);
            tried += 1;
        }
        assert!(tried > 0 || run(&["mkfs.ext4", "-V"]).is_err(), "none could be mounted");
    });
    if !entered {
        note("SKIPPED, no privilege for a mount namespace: full disks of every kind");
    }
}

#[test]
fn what_needs_room_for_every_write_is_refused() {
    let home = Backing::Tmpfs.directory();
    let path = home.path().to_owned();
    let entered = with_own_mounts(move || {
        let Some(mount) = Mount::new(&path, "btrfs", &["mkfs.btrfs", "-q"], 128, "") else { return };
        let ring = mount.directory.join("ring");
        for refusal in [large().create(&ring), Producer::open_or_create(&ring, &large()).map(drop)] {
            let error = refusal.unwrap_err();
            assert!(matches!(&error, Error::Filesystem { kind, .. } if kind == "Btrfs"), "{error:?}");
            let text = error.to_string();
            assert!(text.contains("SIGBUS") && text.contains("put the file on tmpfs"), "{text}");
        }
        // A file without copy on write is no way out: a snapshot or a copy of it brings that back.
        std::fs::write(&ring, "").unwrap();
        assert_eq!(std::fs::read_dir(&mount.directory).unwrap().count(), 1);
        let error = Producer::open(&ring).unwrap_err();
        assert!(matches!(&error, Error::Filesystem { kind, .. } if kind == "Btrfs"), "{error:?}");
    });
    if !entered {
        note("SKIPPED, no privilege for a mount namespace: Btrfs");
    }
}
