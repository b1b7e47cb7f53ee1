//! Sealed rings: memory without a name, handed over by descriptor to peers that are not trusted.
//!
//! Two memfds take the place of the file. The *records* (head and data area) are sealed against shrinking, growing,
//! and every write but through the map that the producer made before: the kernel keeps everybody else from writing
//! them, from punching holes into them, and from mapping them to write. The *control* area is another file, sealed
//! against shrinking and growing, which every consumer can write: sleep words and slots.
//!
//! What is written there, a consumer of such a ring takes for a hint. It checks every record as one that can be
//! overwritten, even behind a gate.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, Shortage};
use crate::memory::draft::allocate;
use crate::memory::file;
use crate::memory::filesystem::Store;
use crate::memory::fork::Descriptor;
use crate::memory::identity::{FileNumber, Identity};
use crate::memory::region::Access;
use crate::memory::room::Wanted;
use crate::ring::Region;
use crate::ring::attach::{Attach, Start};
use crate::ring::consumer::Consumer;
use crate::ring::inspect::Inspector;
use crate::ring::layout::Geometry;
use crate::ring::observer::Observer;
use crate::ring::options::Options;
use crate::ring::producer::Producer;

/// Stands where an error tells the path of a ring.
const NAME: &str = "sealed ring";

fn control_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

fn records_seals() -> SealFlags {
    control_seals() | SealFlags::FUTURE_WRITE
}

/// A sealed ring to be handed over: two descriptors, from which handles are made.
///
/// Send both to the other process, over a Unix socket (`SCM_RIGHTS`) or by inheritance: [`records`](Self::records),
/// which it can only read, and [`control`](Self::control). There [`from_descriptors`](Self::from_descriptors) checks
/// them. It may be used from any thread, and in a child after `fork`; so may its copies. No handle is needed to keep
/// the ring in memory: it goes with the last descriptor and the last map.
///
/// What a consumer that means harm cannot do: change, cut, or punch holes into what was published, or into what the
/// producer tells about it, so make another consumer receive a wrong record; or crash anybody. What it still can do,
/// since everybody writes the control area and locks it:
///
/// * hold the producer up while it lives, as any gated consumer may: for good without a [hard limit](Options::hard_limit),
///   so set one. With one, for that long in each lap of the ring and for each slot whose lock it holds, whatever it writes there.
///   A slot that has used up its time gates nothing until the lap is over, also if another consumer has it by then;
/// * slow others down, by marking the sleep words as if somebody slept there all the time: every publish then makes a
///   system call, and takes a few hundred nanoseconds in place of a few; every gated consumer takes its long way for each record;
/// * move or open another consumer's gate: that one is told a loss in place of being waited for, never a wrong record;
/// * tell another consumer that it was evicted, keep it from being woken for up to a tenth of a second, wake it for
///   nothing, lock all the slots so that nobody else can attach, and write nonsense for an [`Inspector`] to show;
/// * with the producer's user id: change the mode of the files and lock the producer's byte once the producer is dead,
///   so that it looks alive.
///
/// ```
/// use quoit::{Attach, Event, Options, Sealed};
/// use std::time::Duration;
///
/// let options = Options::new().capacity(1 << 16).hard_limit(Duration::from_millis(5));
/// let (mut producer, ring) = options.sealed()?;
/// // Here they would go through a socket.
/// let (records, control) = (ring.records().try_clone_to_owned()?, ring.control().try_clone_to_owned()?);
///
/// let ring = Sealed::from_descriptors(records, control)?;
/// let mut consumer = ring.consumer(&Attach::gated())?;
/// producer.send(b"for anybody")?;
/// match consumer.recv()? {
///     Event::Record(record) => assert_eq!(record.to_vec(), b"for anybody"),
///     other => panic!("{other:?}"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sealed {
    records: OwnedFd,
    control: OwnedFd,
    identity: Identity,
}

impl Options {
    /// Makes a sealed ring and becomes its producer. Other processes get at it by the descriptors in [`Sealed`] alone.
    ///
    /// No producer takes over from this one: nobody, not even this process, can map the records to write a second time.
    /// When it has ended or died, consumers receive what is left, and the next producer makes a new ring. What a consumer
    /// that means harm can still do is listed at [`Sealed`]: make each publish a system call, for one. The
    /// [mode](Self::mode) has no say: whoever was handed the descriptors may use them.
    ///
    /// # Errors
    ///
    /// [`Error::Capacity`]; [`Error::BadOption`], also for [`gated_only`](Self::gated_only), whose consumers would have
    /// to trust each other; [`Error::NoSpace`]; [`Error::FileSizeLimit`]; [`Error::Io`] where the kernel has no such seals (they came with Linux
    /// 5.1) or `/proc` is not mounted.
    pub fn sealed(&self) -> Result<(Producer, Sealed), Error> {
        let geometry = self.geometry()?;
        if geometry.gated_only {
            return Err(Error::BadOption {
                what: "a sealed ring is not for gated consumers only: each could open the others' gates",
            });
        }
        let largest_file = records_bytes(&geometry).max(geometry.extents().control_bytes);
        let wanted = Wanted { path: NAME.as_ref(), geometry: &geometry, store: Store::Memory, largest_file };
        let records = memory(c"quoit-records", 0o444, &wanted)?;
        let control = memory(c"quoit-control", 0o666, &wanted)?;
        wanted.check(records.as_fd())?;
        allocate(records.as_fd(), records_bytes(&geometry), &wanted)?;
        allocate(control.as_fd(), geometry.extents().control_bytes, &wanted)?;
        let reader = reopened(records.as_fd(), OFlags::RDONLY)?;
        let writer = reopened(control.as_fd(), OFlags::RDWR)?;
        let number = file_number(records.as_fd())?;
        let identity = Identity::new(geometry, file::boot_id(), number);
        let control_file = file_number(control.as_fd())?;
        let control_file = [control_file.device, control_file.inode];
        let region = Region::create_sealed(records, control, identity.clone(), control_file)?;
        // Not before the map that the seal leaves alone, and not before the lock is held.
        region.seal(records_seals(), control_seals()).map_err(|errno| {
            let action = "seal the memory of the ring (Linux 5.1 or newer)";
            Error::Io { path: NAME.into(), action, source: errno.into() }
        })?;
        Ok((Producer::take_over(region)?, Sealed { records: reader, control: writer, identity }))
    }
}

impl Sealed {
    /// A ring whose descriptors another process handed over.
    ///
    /// # Errors
    ///
    /// [`Error::NotSealed`] if a seal is missing, or the two do not belong together; whatever keeps the contents from
    /// being those of a ring.
    pub fn from_descriptors(records: OwnedFd, control: OwnedFd) -> Result<Self, Error> {
        check_seals(
            records.as_fd(),
            records_seals(),
            "the records are not sealed against every later write",
        )?;
        check_seals(
            control.as_fd(),
            control_seals(),
            "the control area is not sealed against changes of its size",
        )?;
        let path = Path::new(NAME);
        let bytes = file_bytes(records.as_fd())?;
        // Nobody but the producer can have changed it since it was sealed, and this is the only look at it.
        let (identity, control_file) = file::sealed_identity(records.as_fd(), path, bytes)?;
        let geometry = &identity.shape;
        let found = file_number(control.as_fd())?;
        if control_file != [found.device, found.inode] {
            return Err(Error::NotSealed { what: "the control area is another ring's" });
        }
        if !identity.file.is_of(&file_number(records.as_fd())?) {
            return Err(Error::NotSealed { what: "the records are a copy of another ring's" });
        }
        if geometry.gated_only {
            return Err(Error::Damaged { path: path.into(), what: "options of a ring that is not sealed" });
        }
        for (file, expected) in
            [(&records, records_bytes(geometry)), (&control, geometry.extents().control_bytes)]
        {
            let bytes = file_bytes(file.as_fd())?;
            if bytes != expected {
                return Err(Error::WrongSize { path: path.into(), bytes, expected });
            }
        }
        Ok(Self { records, control, identity })
    }

    /// The descriptor of the records, open for reading only.
    pub fn records(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }

    /// The descriptor of the control area, open for reading and writing.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// As [`Consumer::open`]. Gated or not, every record is checked for having been overwritten, and copied.
    ///
    /// # Errors
    ///
    /// As [`Consumer::open`], without those of files; [`Error::BadOption`] for a name: what a ring keeps under one, every
    /// consumer of this ring could write; [`Error::Io`] if `/proc` is not mounted.
    pub fn consumer(&self, attach: &Attach) -> Result<Consumer, Error> {
        Consumer::attach(self.region(Access::Participant)?, attach)
    }

    /// As [`Observer::open`].
    ///
    /// # Errors
    ///
    /// As [`Observer::open`], without those of files; [`Error::Io`] if `/proc` is not mounted.
    pub fn observer(&self, start: Start) -> Result<Observer, Error> {
        Observer::attach(self.region(Access::Reader)?, start)
    }

    /// As [`Inspector::open`].
    ///
    /// # Errors
    ///
    /// As [`Inspector::open`], without those of files; [`Error::Io`] if `/proc` is not mounted.
    pub fn inspector(&self) -> Result<Inspector, Error> {
        Ok(Inspector::attach(self.region(Access::Reader)?))
    }

    /// Each handle locks through an open file description of its own, also where several processes were handed the same
    /// one: else they would be one participant to the kernel.
    fn region(&self, access: Access) -> Result<Region, Error> {
        let rights = if access == Access::Reader { OFlags::RDONLY } else { OFlags::RDWR };
        let records = Descriptor::open(|| reopened(self.records.as_fd(), OFlags::RDONLY))?;
        let control = Descriptor::open(|| reopened(self.control.as_fd(), rights))?;
        Region::open_sealed(records, control, self.identity.clone(), access)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, control, .. } = self;
        f.debug_struct("Sealed").field("records", records).field("control", control).finish_non_exhaustive()
    }
}

/// Bytes of the file with head and data area.
fn records_bytes(geometry: &Geometry) -> u64 {
    geometry.extents().head_bytes + geometry.extents().data_bytes
}

/// Memory without a name, and without a byte so far. `mode` is for those who reopen its descriptor.
fn memory(name: &std::ffi::CStr, mode: u32, wanted: &Wanted<'_>) -> Result<Descriptor, Error> {
    let refused = |errno| match errno {
        Errno::NOSPC | Errno::NOMEM => wanted.no_space(Shortage::Memory, None),
        errno => io_error("make memory that can be sealed", errno),
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = Descriptor::open(|| {
        // Never to be run; kernels before 6.3 do not know the flag.
        let made = match fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => fs::memfd_create(name, flags),
            made => made,
        };
        made.map_err(refused)
    })?;
    fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(refused)?;
    Ok(file)
}

/// Another open file description of the same file.
fn reopened(file: BorrowedFd<'_>, rights: OFlags) -> Result<OwnedFd, Error> {
    let path = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
    let opened = retry_on_intr(|| fs::open(&path, rights | OFlags::CLOEXEC, Mode::empty()));
    opened.map_err(|errno| io_error("open its memory anew (is /proc mounted?)", errno))
}

fn check_seals(file: BorrowedFd<'_>, wanted: SealFlags, what: &'static str) -> Result<(), Error> {
    // What is no memfd has no seals.
    let seals = fs::fcntl_get_seals(file).unwrap_or(SealFlags::empty());
    if seals.contains(wanted) { Ok(()) } else { Err(Error::NotSealed { what }) }
}

fn file_bytes(file: BorrowedFd<'_>) -> Result<u64, Error> {
    let stat = fs::fstat(file).map_err(|errno| io_error("ask for the size of its memory", errno))?;
    Ok(stat.st_size as u64)
}

fn file_number(file: BorrowedFd<'_>) -> Result<FileNumber, Error> {
    FileNumber::of(file).map_err(|errno| io_error("ask which memory it is", errno))
}

fn io_error(action: &'static str, errno: Errno) -> Error {
    Error::Io { path: NAME.into(), action, source: errno.into() }
}
