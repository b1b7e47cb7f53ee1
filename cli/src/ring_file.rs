//! Detects whether a file is a ring, for verbs that meet files of every kind. The ring need not be usable.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use quoit::Error;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};

/// What every ring and every other kind of object begins with, in any version: `docs/format.md`.
const MAGIC: [u8; 8] = *b"quoit\r\n\x1a";

/// Opens the file if it is a regular one; never a device, a FIFO, or the target of a link.
///
/// # Errors
///
/// As for [`quoit::Inspector::open`]: no such file, not a regular file, not a ring; `None` for missing permission.
pub(crate) fn open_ring(path: &Path, rights: OFlags) -> Result<Option<File>, Error> {
    let flags = rights | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let not_regular = |kind| Error::NotRegular { path: path.into(), kind };
    let failed = |source| Error::Io { path: path.into(), action: "read it", source };
    let file = match retry_on_intr(|| open(path, flags, Mode::empty())) {
        Ok(file) => File::from(file),
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS) => return Ok(None),
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(Error::NotFound { path: path.into() }),
        Err(Errno::LOOP) => return Err(not_regular("symbolic link")),
        Err(Errno::ISDIR) => return Err(not_regular("directory")),
        Err(Errno::NXIO | Errno::NODEV) => return Err(not_regular("socket or device")),
        Err(errno) => return Err(failed(errno.into())),
    };
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(not_regular("directory"));
    }
    if !kind.is_file() {
        return Err(not_regular("special file"));
    }
    let mut magic = [0; MAGIC.len()];
    match file.read_exact_at(&mut magic, 0) {
        Ok(()) if magic == MAGIC => Ok(Some(file)),
        Ok(()) => Err(Error::NotARing { path: path.into(), wanted: None }),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            Err(Error::NotARing { path: path.into(), wanted: None })
        }
        Err(error) => Err(failed(error)),
    }
}
