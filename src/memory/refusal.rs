//! Turns refusals of the operating system into errors that say what to do.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use crate::error::{Error, Rights};

/// The type of a file that is not a regular one.
pub(crate) fn kind_name(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "directory",
        FileType::Fifo => "FIFO",
        FileType::Socket => "socket",
        FileType::CharacterDevice | FileType::BlockDevice => "device",
        FileType::Symlink => "symbolic link",
        _ => "special file",
    }
}

/// The error for missing permission. `stat` is that of the file, or of its directory.
pub(crate) fn denied(path: &Path, action: &'static str, stat: Result<Stat, Errno>) -> Error {
    Error::Permission { path: path.into(), action, rights: stat.ok().map(|stat| rights(&stat)) }
}

pub(crate) fn rights(stat: &Stat) -> Rights {
    Rights { user: stat.st_uid, group: stat.st_gid, mode: stat.st_mode & 0o7777 }
}

/// The error for a refusal of the operating system to do `action` at `path`.
pub(crate) fn refusal(path: &Path, action: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::NOENT | Errno::NOTDIR => Error::NotFound { path: path.into() },
        Errno::ACCESS | Errno::PERM => denied(path, action, Err(errno)),
        Errno::ROFS => Error::ReadOnly { path: path.into() },
        Errno::OPNOTSUPP => Error::Filesystem {
            path: path.into(),
            kind: "this file system".to_owned(),
            why: "has no nameless files, or no locks of an open file",
        },
        _ => Error::Io { path: path.into(), action, source: io::Error::from(errno) },
    }
}
