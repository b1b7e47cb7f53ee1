//! How a wait set sleeps.

use std::fmt;

/// How the last sleep of a [`WaitSet`](crate::WaitSet), a [`Watch`](crate::Watch) or a [`WaitFd`](crate::WaitFd) was made.
/// `Display` says it in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitMethod {
    /// It has not slept yet.
    None,
    /// On one futex; or only until a time, if all that is waited for are ticks.
    Futex,
    /// On several futexes in one system call (`futex_waitv`).
    Futexes,
    /// By a helper thread for each futex, since the kernel, or a system-call filter, refuses `futex_waitv` with this error
    /// number. Linux has it from 5.16 on.
    Threads(i32),
    /// In naps of a millisecond, since it waits for more things than one system call can: 128.
    TooMany,
    /// In naps of a millisecond, since `futex_waitv` is refused with this error number, and it waits for more things than
    /// there are helper threads, 64 in a process, or no thread could be started.
    Refused(i32),
    /// In naps of 0.2 ms, since the kernel, or a system-call filter, refuses `futex` with this error number.
    NoFutex(i32),
    /// On futexes, but for 1 to 20 ms at a time, since a waker looks at the word only if this process makes a `membarrier`, and the
    /// kernel, or a system-call filter, refuses that.
    NoBarrier,
    /// On futexes, but for 1 to 20 ms at a time, since nobody wakes for one of the things: an observer, a reader that may not write
    /// the file, a ring in the mode [`Spin`](crate::WaitMode::Spin).
    Naps,
}

impl WaitMethod {
    /// The method, if a sleep on futexes is cut short because of `nap`.
    pub(super) fn or_nap(self, nap: Option<Self>) -> Self {
        match self {
            Self::Futex | Self::Futexes | Self::Threads(_) => nap.unwrap_or(self),
            _ => self,
        }
    }
}

impl fmt::Display for WaitMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("has not slept yet"),
            Self::Futex => f.write_str("sleeps on a futex, or until a time"),
            Self::NoFutex(errno) => write!(
                f,
                "sleeps 0.2 ms at a time, since futex is refused ({}): use a system-call filter that allows it",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::NoBarrier => f.write_str(
                "sleeps for 1 to 20 ms at a time, since membarrier is refused to this process: use a system-call filter that \
                 allows it, or create the ring to wait by fences (WaitMode::Fence)",
            ),
            Self::Naps => f.write_str(
                "sleeps for 1 to 20 ms at a time, since nobody wakes it for one of the things: an observer, a reader \
                 without permission to write, or a ring that waits by spinning; attach as a consumer, or give the file a mode \
                 that lets this user write",
            ),
            Self::Futexes => f.write_str("sleeps on all futexes in one system call, futex_waitv"),
            Self::TooMany => f.write_str(
                "sleeps a millisecond at a time: one system call sleeps on 128 things at most; wait for fewer, \
                 or from several threads",
            ),
            Self::Threads(errno) => write!(
                f,
                "has a helper thread sleep on each futex, since futex_waitv is refused ({}): use Linux 5.16 or newer, \
                 and a system-call filter that allows it",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::Refused(errno) => write!(
                f,
                "sleeps a millisecond at a time, since futex_waitv is refused ({}) and there are not enough helper \
                 threads: use Linux 5.16 or newer, and a system-call filter that allows it",
                std::io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}
