//! Sealed rings: anonymous memory, shared by descriptor with peers that are not trusted.
//!
//! Two memfds replace the file. The *records* (head and data area) are sealed against shrinking, growing, and every
//! write except through the map that the producer made before sealing. The kernel prevents every other process from
//! writing them, punching holes into them, and mapping them for writing. The *control* area (sleep words and slots)
//! is a second memfd, sealed against shrinking and growing, which every consumer can write.
//!
//! A consumer of such a ring treats the control area as hints. It checks every record as if it could be overwritten,
//! even behind a gate.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{self, MemfdFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;

use crate::error::{Error, Shortage};
use crate::memory::draft::allocate;
use crate::memory::file;
use crate::memory::filesystem::Store;
use crate::memory::fork::Descriptor;
use crate::memory::format::Format;
use crate::memory::identity::{FileNumber, Identity};
use crate::memory::permissions::Access;
use crate::memory::room::Wanted;
use crate::ring::Region;
use crate::ring::geometry::Geometry;
use crate::ring::locks;
use crate::ring::options::Options;
use crate::ring::producer::Producer;

/// Replaces the path of the ring in errors.
const NAME: &str = "sealed ring";

fn control_seals() -> SealFlags {
    SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL
}

fn records_seals() -> SealFlags {
    control_seals() | SealFlags::FUTURE_WRITE
}

/// A sealed ring: two descriptors, from which handles are opened.
pub(crate) struct Sealed {
    records: OwnedFd,
    control: OwnedFd,
    identity: Identity<Geometry>,
}

impl Sealed {
    /// Makes a sealed ring and becomes its producer: [`Ring::sealed`](crate::Ring::sealed).
    pub(crate) fn create(options: &Options) -> Result<(Producer, Self), Error> {
        let geometry = Geometry { sealed: true, ..options.geometry()? };
        if geometry.gated_only {
            return Err(Error::BadOption {
                what: "a sealed ring is not for gated consumers only: each could open the others' gates",
            });
        }
        let largest_file = records_bytes(&geometry).max(geometry.extents().control_bytes);
        let wanted = Wanted { path: NAME.as_ref(), shape: &geometry, store: Store::Memory, largest_file };
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
        let region =
            Region::create_sealed(records, control, identity.clone(), control_file, locks::PRODUCER)?;
        // Only after the producer's map exists, which the seal leaves writable, and after the lock is held.
        region.seal(records_seals(), control_seals()).map_err(|errno| {
            let action = "seal the memory of the ring (Linux 5.1 or newer)";
            Error::Io { path: NAME.into(), action, source: errno.into() }
        })?;
        Ok((Producer::take_over(region)?, Self { records: reader, control: writer, identity }))
    }

    /// A ring whose descriptors another process handed over: [`Ring::from_descriptors`](crate::Ring::from_descriptors).
    pub(crate) fn from_descriptors(records: OwnedFd, control: OwnedFd) -> Result<Self, Error> {
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
        // Only the producer can have changed it since it was sealed, and it is read only here.
        let (mut identity, control_file) = file::sealed_identity::<Geometry>(records.as_fd(), path, bytes)?;
        identity.shape.sealed = true;
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
    pub(crate) fn records(&self) -> BorrowedFd<'_> {
        self.records.as_fd()
    }

    /// The descriptor of the control area, open for reading and writing.
    pub(crate) fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Each handle locks through an open file description of its own, even if several processes received the same
    /// one. Otherwise the kernel would treat them as one participant.
    pub(crate) fn region(&self, access: Access) -> Result<Region, Error> {
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

/// Size of the memfd with head and data area.
fn records_bytes(geometry: &Geometry) -> u64 {
    geometry.extents().head_bytes + geometry.extents().data_bytes
}

/// An empty memfd. `mode` applies to processes that reopen its descriptor.
fn memory(name: &std::ffi::CStr, mode: u32, wanted: &Wanted<'_, Geometry>) -> Result<Descriptor, Error> {
    let refused = |errno| match errno {
        Errno::NOSPC | Errno::NOMEM => wanted.no_space(Shortage::Memory, None),
        errno => io_error("make memory that can be sealed", errno),
    };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = Descriptor::open(|| {
        // Not executable; kernels before 6.3 do not know the flag.
        let made = match fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            Err(Errno::INVAL) => fs::memfd_create(name, flags),
            made => made,
        };
        made.map_err(refused)
    })?;
    fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(refused)?;
    Ok(file)
}

fn reopened(file: BorrowedFd<'_>, rights: OFlags) -> Result<OwnedFd, Error> {
    file::reopened(file, rights).map_err(|errno| io_error("open its memory anew (is /proc mounted?)", errno))
}

fn check_seals(file: BorrowedFd<'_>, wanted: SealFlags, what: &'static str) -> Result<(), Error> {
    // A file that is not a memfd has no seals.
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
