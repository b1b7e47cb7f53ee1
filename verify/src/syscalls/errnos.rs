//! The errors of each system call, from the ERRORS sections of the Linux manual pages (man-pages 6), as far as they
//! apply to how the call is used here. Every call also gets ENOSYS and EPERM, as from a filter.

use nix::errno::Errno;
use nix::libc;

/// A system call that quoit, or the standard library for it, makes.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) number: i64,
    pub(crate) name: &'static str,
    /// Documented; the likeliest first, which is the one that the quick form takes.
    pub(crate) errnos: &'static [Errno],
}

/// The call of this number; `None`: not in the table, which is a failure of the check.
pub(crate) fn call(number: i64) -> Option<&'static Call> {
    CALLS.iter().find(|call| call.number == number)
}

use Errno::{
    E2BIG, EACCES, EAGAIN, EBADF, EBUSY, EDEADLK, EDQUOT, EEXIST, EFAULT, EFBIG, EHWPOISON, EINTR, EINVAL,
    EIO, EISDIR, ELOOP, EMFILE, EMLINK, ENAMETOOLONG, ENFILE, ENODEV, ENOENT, ENOLCK, ENOMEM, ENOSPC, ENOSYS,
    ENOTDIR, ENXIO, EOPNOTSUPP, EOVERFLOW, EPERM, ERANGE, EROFS, ESPIPE, ETIMEDOUT, ETXTBSY, EXDEV,
};

/// What a system-call filter answers: the commonest two.
pub(crate) const FILTERED: [Errno; 2] = [ENOSYS, EPERM];

const STAT: &[Errno] =
    &[EACCES, EBADF, EFAULT, EINVAL, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW];
const MAP: &[Errno] =
    &[ENOMEM, EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENFILE, ENODEV, EOVERFLOW, EPERM, ETXTBSY];
/// Of a descriptor: the manual's others are for paths.
const FSTAT: &[Errno] = &[EBADF, EFAULT, ENOMEM, EOVERFLOW];
const FSTATFS: &[Errno] = &[EINTR, EBADF, EFAULT, EIO, ENOMEM, EOVERFLOW];
const READ: &[Errno] = &[EIO, EINTR, EAGAIN, EBADF, EFAULT, EINVAL, EISDIR, ENXIO, EOVERFLOW, ESPIPE];
const WRITE: &[Errno] = &[EAGAIN, EINTR, EBADF, EFAULT, EINVAL, EIO];
const POLL: &[Errno] = &[EINTR, EFAULT, EINVAL, ENOMEM];
const CLONE: &[Errno] = &[EAGAIN, EINVAL, ENOMEM];
const SLEEP: &[Errno] = &[EINTR, EFAULT, EINVAL, EOPNOTSUPP];
const NEVER: &[Errno] = &[];

const OPEN: &[Errno] = &[
    EMFILE,
    EINTR,
    EACCES,
    EBADF,
    EBUSY,
    EDQUOT,
    EEXIST,
    EFAULT,
    EFBIG,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENFILE,
    ENODEV,
    ENOENT,
    ENOMEM,
    ENOSPC,
    ENOTDIR,
    ENXIO,
    EOPNOTSUPP,
    EOVERFLOW,
    EPERM,
    EROFS,
    ETXTBSY,
    EAGAIN,
];

static CALLS: &[Call] = &[
    Call { number: libc::SYS_open, name: "open", errnos: OPEN },
    Call { number: libc::SYS_openat, name: "openat", errnos: OPEN },
    Call {
        number: libc::SYS_linkat,
        name: "linkat",
        errnos: &[
            EEXIST,
            ENOSPC,
            EACCES,
            EBADF,
            EDQUOT,
            EFAULT,
            EINVAL,
            EIO,
            ELOOP,
            EMLINK,
            ENAMETOOLONG,
            ENOENT,
            ENOMEM,
            ENOTDIR,
            EPERM,
            EROFS,
            EXDEV,
        ],
    },
    Call {
        number: libc::SYS_readlink,
        name: "readlink",
        errnos: &[EACCES, EFAULT, EINVAL, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR, EPERM],
    },
    Call {
        number: libc::SYS_unlink,
        name: "unlink",
        errnos: &[
            EACCES,
            EBUSY,
            EFAULT,
            EIO,
            EISDIR,
            ELOOP,
            ENAMETOOLONG,
            ENOENT,
            ENOMEM,
            ENOTDIR,
            EPERM,
            EROFS,
        ],
    },
    Call {
        number: libc::SYS_fallocate,
        name: "fallocate",
        errnos: &[ENOSPC, EINTR, EOPNOTSUPP, EBADF, EFBIG, EINVAL, EIO, ENODEV, EPERM, ESPIPE, ETXTBSY],
    },
    Call { number: libc::SYS_fstat, name: "fstat", errnos: FSTAT },
    Call { number: libc::SYS_newfstatat, name: "newfstatat", errnos: STAT },
    Call { number: libc::SYS_statx, name: "statx", errnos: STAT },
    Call { number: libc::SYS_fstatfs, name: "fstatfs", errnos: FSTATFS },
    Call {
        number: libc::SYS_fcntl,
        name: "fcntl (locks)",
        errnos: &[ENOLCK, EAGAIN, EINTR, EACCES, EBADF, EDEADLK, EFAULT, EINVAL],
    },
    Call { number: libc::SYS_mmap, name: "mmap", errnos: MAP },
    Call { number: libc::SYS_munmap, name: "munmap", errnos: &[ENOMEM, EINVAL] },
    Call { number: libc::SYS_mprotect, name: "mprotect", errnos: &[ENOMEM, EACCES, EFAULT, EINVAL] },
    Call {
        number: libc::SYS_madvise,
        name: "madvise",
        errnos: &[ENOMEM, EACCES, EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EIO, EPERM, EHWPOISON],
    },
    Call { number: libc::SYS_mbind, name: "mbind", errnos: &[ENOMEM, EFAULT, EINVAL, EIO, EPERM] },
    Call { number: libc::SYS_mlock, name: "mlock", errnos: &[ENOMEM, EPERM, EAGAIN, EINVAL] },
    Call { number: libc::SYS_membarrier, name: "membarrier", errnos: &[EPERM, EINVAL, ENOSYS] },
    Call {
        number: libc::SYS_futex,
        name: "futex",
        errnos: &[EINTR, EAGAIN, EACCES, EFAULT, EINVAL, ENFILE, ENOMEM, ENOSYS, ETIMEDOUT],
    },
    Call {
        number: libc::SYS_futex_waitv,
        name: "futex_waitv",
        errnos: &[EAGAIN, EINTR, EFAULT, EINVAL, ENOMEM, ENOSYS, ETIMEDOUT],
    },
    Call { number: libc::SYS_eventfd2, name: "eventfd", errnos: &[EMFILE, EINVAL, ENFILE, ENODEV, ENOMEM] },
    Call { number: libc::SYS_write, name: "write", errnos: WRITE },
    Call { number: libc::SYS_poll, name: "poll", errnos: POLL },
    Call { number: libc::SYS_ppoll, name: "ppoll", errnos: POLL },
    // Threads that sleep in the place of one.
    Call { number: libc::SYS_clone3, name: "clone", errnos: CLONE },
    Call { number: libc::SYS_clone, name: "clone", errnos: CLONE },
    Call { number: libc::SYS_rt_sigprocmask, name: "rt_sigprocmask", errnos: &[EINVAL, EFAULT] },
    Call { number: libc::SYS_read, name: "read", errnos: READ },
    Call { number: libc::SYS_pread64, name: "pread", errnos: READ },
    Call {
        number: libc::SYS_pwrite64,
        name: "pwrite",
        errnos: &[
            ENOSPC, EINTR, EAGAIN, EBADF, EDQUOT, EFAULT, EFBIG, EINVAL, EIO, ENXIO, EOVERFLOW, EPERM, ESPIPE,
        ],
    },
    Call {
        number: libc::SYS_fchmod,
        name: "fchmod",
        errnos: &[EPERM, EACCES, EBADF, EINVAL, EIO, EOPNOTSUPP, EROFS],
    },
    Call { number: libc::SYS_getrandom, name: "getrandom", errnos: &[EINTR, EAGAIN, EFAULT, EINVAL, ENOSYS] },
    Call { number: libc::SYS_close, name: "close", errnos: &[EIO, EINTR, EBADF, EDQUOT, ENOSPC] },
    Call {
        number: libc::SYS_getcwd,
        name: "getcwd",
        errnos: &[ENOENT, EACCES, EFAULT, EINVAL, ENAMETOOLONG, ENOMEM, ERANGE],
    },
    Call { number: libc::SYS_lseek, name: "lseek", errnos: &[ESPIPE, EBADF, EINVAL, ENXIO, EOVERFLOW] },
    Call { number: libc::SYS_nanosleep, name: "nanosleep", errnos: SLEEP },
    Call { number: libc::SYS_clock_nanosleep, name: "clock_nanosleep", errnos: SLEEP },
    Call {
        number: libc::SYS_memfd_create,
        name: "memfd_create",
        errnos: &[EMFILE, EFAULT, EINVAL, ENFILE, ENOMEM],
    },
    Call { number: libc::SYS_rt_sigaction, name: "rt_sigaction", errnos: &[EINVAL, EFAULT] },
    Call { number: libc::SYS_prctl, name: "prctl", errnos: &[EINVAL, EFAULT, E2BIG] },
    Call { number: libc::SYS_getpid, name: "getpid", errnos: NEVER },
    Call { number: libc::SYS_geteuid, name: "geteuid", errnos: NEVER },
    Call { number: libc::SYS_prlimit64, name: "prlimit64", errnos: &[EFAULT, EINVAL, EPERM] },
    Call {
        number: libc::SYS_fdatasync,
        name: "fdatasync",
        errnos: &[EIO, EINTR, EBADF, EDQUOT, EINVAL, ENOSPC, EROFS],
    },
    Call { number: libc::SYS_sched_yield, name: "sched_yield", errnos: NEVER },
    Call { number: libc::SYS_brk, name: "brk", errnos: &[ENOMEM] },
];
