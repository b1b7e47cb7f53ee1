//! Disks of every size, from nothing to enough. Making a ring fails with `NoSpace` and leaves nothing, or the ring
//! has all its blocks and no later access can fault.

use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};

use super::*;

const PAGE: u64 = 4096;

/// Runs `work` on a thread that has its mounts to itself. False: it may not.
pub(crate) fn with_own_mounts(work: impl FnOnce() + Send + 'static) -> bool {
    let entered = std::thread::spawn(move || {
        match unshare(CloneFlags::CLONE_NEWNS) {
            Ok(()) => {}
            Err(Errno::EPERM) => return false,
            Err(errno) => panic!("{errno}"),
        }
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("keep mounts to ourselves");
        work();
        true
    });
    entered.join().expect("the work on small disks")
}

/// A tmpfs that goes with its owner.
struct Disk(PathBuf);

impl Disk {
    fn new(directory: &std::path::Path, options: &str) -> Self {
        mount(Some("quoit"), directory, Some("tmpfs"), MsFlags::empty(), Some(options))
            .expect("mount a tmpfs");
        Self(directory.to_owned())
    }

    /// Bytes and files that it still takes.
    fn free(&self) -> (u64, u64) {
        let stat = rustix::fs::statvfs(&self.0).expect("ask for free space");
        (stat.f_bfree * stat.f_frsize, stat.f_ffree)
    }

    fn files(&self) -> usize {
        std::fs::read_dir(&self.0).expect("list").count()
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut filler = File::create(self.0.join("filler")).expect("a file more");
        while let Ok(count @ 1..) = filler.write(&[1; PAGE as usize]) {
            assert!(count <= PAGE as usize);
        }
        assert_eq!(self.free().0, 0, "not full");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        umount(&self.0).expect("umount");
    }
}

/// Every page of every area is written and read, by everybody, on a disk that has no block left.
pub(crate) fn uses_every_page(ring: &std::path::Path, slots: u32) {
    let mut producer = Producer::open(ring).unwrap();
    let consumers: Vec<_> = (0..slots)
        .map(|number| Consumer::open(ring, &Attach::lossy().name(format!("kin {number}"))).unwrap())
        .collect();
    let mut observer = Observer::open(ring, Start::Newest).unwrap();
    let records = 3 * producer.capacity() / 256;
    for _ in 0..records {
        let sequence = producer.next_sequence();
        producer.try_send(&payload(sequence, 200)).unwrap();
        match observer.try_recv().unwrap() {
            Some(Event::Record(record)) => assert!(record.to_vec() == payload(sequence, 200)),
            other => panic!("{other:?}"),
        }
    }
    for mut consumer in consumers {
        while consumer.try_recv().unwrap().is_some() {}
        assert_eq!(consumer.next_sequence(), records);
    }
    quoit::Inspector::open(ring).unwrap().snapshot().unwrap();
}

/// The largest capacity that was named fits, and no larger one does.
fn fits(ring: &std::path::Path, options: &Options, largest: Option<u64>) {
    let create = |capacity| options.clone().capacity(capacity).create(ring);
    match largest {
        Some(largest) => {
            create(largest).expect("the capacity that was named");
            std::fs::remove_file(ring).unwrap();
            assert!(matches!(create(2 * largest), Err(Error::NoSpace { .. })));
        }
        None => assert!(matches!(create(4096), Err(Error::NoSpace { largest: None, .. }))),
    }
}

/// Tries every size up to the first that will do; returns how many would not.
fn every_size(directory: &std::path::Path, options: &Options, slots: u32, needed: u64) -> u64 {
    let ring = directory.join("ring");
    for pages in 1.. {
        let disk = Disk::new(directory, &format!("size={}", pages * PAGE));
        let free = disk.free();
        let created = match pages % 2 {
            0 => options.create(&ring),
            _ => Producer::open_or_create(&ring, options).map(drop),
        };
        match created {
            Err(Error::NoSpace { path, bytes, free: told, largest, .. }) => {
                assert_eq!((&path, bytes, told), (&ring, needed, Some(free.0)));
                fits(&ring, options, largest);
                // A child that another test forks holds what was open then, until it has closed it.
                let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
                while (disk.files(), disk.free()) != (0, free) {
                    assert!(std::time::Instant::now() < end, "{pages} pages: something is left behind");
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            Err(error) => panic!("{pages} pages: {error}"),
            Ok(()) => {
                assert!(pages * PAGE >= needed && pages * PAGE <= needed + 4 * PAGE, "{pages} for {needed}");
                disk.fill();
                uses_every_page(&ring, slots);
                return pages - 1;
            }
        }
    }
    unreachable!()
}

#[test]
fn every_size_from_nothing_to_enough() {
    let _watchdog = Watchdog::new();
    let home = Backing::Tmpfs.directory();
    let directory = home.path().join("mount");
    std::fs::create_dir(&directory).unwrap();
    let entered = with_own_mounts(move || {
        let (mut refused, mut made) = (0, 0);
        // Small, many slots, a large one: different areas end on the last page that is missing.
        for (capacity, slots) in [(4096, 1), (1 << 14, 4), (4096, 64), (1 << 18, 16)] {
            let options = Options::new().capacity(capacity).slots(slots);
            let head = 8192;
            let needed = head + (256 + 512 * u64::from(slots)).next_multiple_of(PAGE) + capacity;
            refused += every_size(&directory, &options, slots, needed);
            made += 1;
        }
        // Space enough, and no inode for one file more: the root of the disk has the only one.
        let disk = Disk::new(&directory, "size=1m,nr_inodes=1");
        let refusal = options().create(directory.join("ring"));
        assert!(matches!(refusal, Err(Error::NoSpace { .. })), "{refusal:?}");
        assert_eq!(disk.files(), 0);
        note(&format!(
            "{refused} disks too small: nothing left behind; {made} just large enough: every page used"
        ));
        assert!(refused > 80, "{refused}");
    });
    if !entered {
        note("SKIPPED, no privilege for a mount namespace: disks of every size");
    }
}
