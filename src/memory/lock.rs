//! Which participants are alive: one lock per participant. Only the lock decides, whatever the ring's memory says.
//!
//! In a file these are byte-range locks of the open file description (`F_OFD_SETLK`), far beyond the end of the file.
//! The kernel drops them when the description is closed, however its process ended. They work across PID and time
//! namespaces and between two handles of one process. On the heap a table replaces the kernel.
//!
//! Which byte stands for what is part of the format of each kind.

use std::collections::BTreeMap;
use std::sync::PoisonError;

#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(not(loom))]
use std::sync::Mutex;

#[cfg(not(loom))]
pub(crate) use ofd::{
    Attempt, has_participants, is_read_locked, locked_by_other, try_lock, try_lock_all, unlock, unlock_all,
};

/// One byte that participants lock, numbered from the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lock(u64);

/// The first lockable byte. The first 4096 are the writer's, for what only the writer may do.
const FIRST_BYTE: u64 = 1 << 62;
const WRITERS: u64 = 4096;

impl Lock {
    /// The lock of byte `2^62 + number`; below `2^62`.
    pub(crate) const fn of(number: u64) -> Self {
        Self(number & (FIRST_BYTE - 1))
    }

    /// Whether only the writer may take it.
    #[cfg(not(loom))]
    pub(crate) fn is_writers(self) -> bool {
        self.0 < WRITERS
    }

    /// The byte of the file that represents it.
    #[cfg(not(loom))]
    pub(crate) fn byte(self) -> u64 {
        FIRST_BYTE + self.0
    }
}

/// The locks of an object on the heap. Like the kernel's, they order what holders did: a thread that finds a lock
/// free sees everything its holder wrote before releasing it.
#[derive(Debug)]
pub(crate) struct Table {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    owners: u64,
    by: BTreeMap<Lock, u64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { held: Mutex::new(Held::default()) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        // ThreadSanitizer does not see what orders two threads if one of them waits inside the standard library,
        // which was compiled without it.
        while cfg!(quoit_tsan) {
            if let Ok(mut held) = self.held.try_lock() {
                return work(&mut held);
            }
            std::thread::yield_now();
        }
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number for another handle.
    pub(crate) fn join(&self) -> u64 {
        self.with(|held| {
            held.owners += 1;
            held.owners
        })
    }

    /// True: `owner` has the lock now, or had it already.
    pub(crate) fn try_lock(&self, owner: u64, lock: Lock) -> bool {
        self.with(|held| *held.by.entry(lock).or_insert(owner) == owner)
    }

    pub(crate) fn unlock(&self, owner: u64, lock: Lock) {
        self.with(|held| {
            if held.by.get(&lock) == Some(&owner) {
                held.by.remove(&lock);
            }
        });
    }

    pub(crate) fn unlock_all(&self, owner: u64) {
        self.with(|held| held.by.retain(|_, holder| *holder != owner));
    }

    /// Whether another owner has one of `count` locks from `first` on.
    pub(crate) fn locked_by_other(&self, owner: u64, first: Lock, count: u64) -> bool {
        let end = Lock(first.0.saturating_add(count));
        self.with(|held| held.by.range(first..end).any(|(_, holder)| *holder != owner))
    }
}

#[cfg(not(loom))]
mod ofd {
    use std::io;
    use std::os::fd::BorrowedFd;

    use nix::errno::Errno;
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    use super::{FIRST_BYTE, Lock};

    /// A lock of `bytes` bytes from `start` on; 0 bytes: the rest of the file.
    fn range(kind: libc::c_int, start: u64, bytes: u64) -> libc::flock {
        libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: start as libc::off_t,
            l_len: bytes as libc::off_t,
            // The kernel requires 0: an open file description is not a process.
            l_pid: 0,
        }
    }

    fn set(file: BorrowedFd<'_>, range: &libc::flock) -> Result<(), Errno> {
        loop {
            match fcntl(file, FcntlArg::F_OFD_SETLK(range)) {
                Err(Errno::EINTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// True: this description has the lock now, or had it already. False: another one has it.
    pub(crate) fn try_lock(file: BorrowedFd<'_>, lock: Lock) -> io::Result<bool> {
        match set(file, &range(libc::F_WRLCK, lock.byte(), 1)) {
            Ok(()) => Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The result of an attempt to take every lock at once.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Attempt {
        Locked,
        /// Another description has one of them, or all.
        Held,
        /// A reader's lock blocks it.
        ReadLocked,
    }

    /// Takes every lock that participants take. No participant can exist meanwhile, and none takes this lock for that
    /// of a participant.
    pub(crate) fn try_lock_all(file: BorrowedFd<'_>) -> io::Result<Attempt> {
        match set(file, &range(libc::F_WRLCK, FIRST_BYTE, 0)) {
            Ok(()) => Ok(Attempt::Locked),
            Err(Errno::EAGAIN | Errno::EACCES) => {
                // The blocking lock may be released by now, so report a read lock only if it is still there.
                let any = in_the_way(file, range(libc::F_WRLCK, FIRST_BYTE, 0))?;
                let writer = in_the_way(file, range(libc::F_RDLCK, FIRST_BYTE, 0))?;
                let by_readers = libc::c_int::from(any.l_type) == libc::F_RDLCK
                    && libc::c_int::from(writer.l_type) == libc::F_UNLCK;
                Ok(if by_readers { Attempt::ReadLocked } else { Attempt::Held })
            }
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether any description but this one has a lock of a participant.
    pub(crate) fn has_participants(file: BorrowedFd<'_>) -> io::Result<bool> {
        // One call, since a process that locks all of it could release between two. While such a process holds them,
        // no other lock exists.
        let found = in_the_way(file, range(libc::F_RDLCK, FIRST_BYTE, 0))?;
        let is_all = found.l_start as u64 == FIRST_BYTE && found.l_len == 0;
        Ok(libc::c_int::from(found.l_type) != libc::F_UNLCK && !is_all)
    }

    /// Whether a lock was refused only because a process holds a read lock there. Any process that may read the file
    /// can take one; participants never do.
    pub(crate) fn is_read_locked(file: BorrowedFd<'_>, lock: Lock) -> bool {
        let found = in_the_way(file, range(libc::F_WRLCK, lock.byte(), 1));
        found.is_ok_and(|found| libc::c_int::from(found.l_type) == libc::F_RDLCK)
    }

    pub(crate) fn unlock(file: BorrowedFd<'_>, lock: Lock) {
        // A refusal can be ignored: the lock goes with the descriptor.
        let _ = set(file, &range(libc::F_UNLCK, lock.byte(), 1));
    }

    pub(crate) fn unlock_all(file: BorrowedFd<'_>) {
        let _ = set(file, &range(libc::F_UNLCK, 0, 0));
    }

    /// Whether another description has one of `count` locks from `first` on. Through the description that holds it, the
    /// kernel reports "free". This queries as for a read lock: participants hold write locks, and a process that may
    /// only read the file cannot pass for one of them.
    pub(crate) fn locked_by_other(file: BorrowedFd<'_>, first: Lock, count: u64) -> io::Result<bool> {
        let found = in_the_way(file, range(libc::F_RDLCK, first.byte(), count))?;
        Ok(libc::c_int::from(found.l_type) != libc::F_UNLCK)
    }

    /// The lock of another description that blocks this one; its type is `F_UNLCK` if there is none.
    fn in_the_way(file: BorrowedFd<'_>, wanted: libc::flock) -> io::Result<libc::flock> {
        let mut found = wanted;
        loop {
            match fcntl(file, FcntlArg::F_OFD_GETLK(&mut found)) {
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok(_) => return Ok(found),
            }
        }
    }
}
