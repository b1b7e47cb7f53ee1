//! SIGINT, SIGTERM and SIGHUP: a flag to check, and a descriptor to wait on.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// The first signal requests a clean end. A second one has its default effect.
#[derive(Debug)]
pub(crate) struct Signals {
    caught: Arc<AtomicUsize>,
    /// Permanently readable once a signal came. A flag alone would not end a read, since handlers restart system
    /// calls.
    pipe: UnixStream,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The descriptor is ready, or has an error or its end to report.
    Ready,
    /// A signal was caught.
    Signal,
    /// The time is over.
    Timeout,
}

static INSTALLED: OnceLock<Signals> = OnceLock::new();

impl Signals {
    /// Catches the signals from here on, for the rest of the process.
    pub(crate) fn install() -> io::Result<&'static Self> {
        if let Some(signals) = INSTALLED.get() {
            return Ok(signals);
        }
        let caught = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        let (pipe, write) = UnixStream::pair()?;
        let hangup = Some(SIGHUP).filter(|signal| !is_ignored(*signal));
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            // Keep this order: read what a second signal does before the first one is noted.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&again))?;
            signal_hook::flag::register(signal, Arc::clone(&again))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(INSTALLED.get_or_init(|| Self { caught, pipe }))
    }

    /// The signals of this process, if it catches any.
    pub(crate) fn installed() -> Option<&'static Self> {
        INSTALLED.get()
    }

    pub(crate) fn caught(&self) -> bool {
        self.last() != 0
    }

    /// The last one caught; 0: none.
    pub(crate) fn last(&self) -> i32 {
        self.caught.load(Ordering::Relaxed) as i32
    }

    /// Sleeps until the time is over or a signal comes.
    pub(crate) fn sleep(&self, time: Duration) -> io::Result<Woken> {
        wait(Some(self), None, Some(time))
    }

    /// Waits until `fd` can be read without blocking, or the time is over.
    pub(crate) fn readable(&self, fd: BorrowedFd<'_>, time: Duration) -> io::Result<Woken> {
        wait_for(Some(self), fd, time)
    }
}

/// Waits until `fd` can be read without blocking, the time is over, or one of the `signals` comes.
pub(crate) fn wait_for(signals: Option<&Signals>, fd: BorrowedFd<'_>, time: Duration) -> io::Result<Woken> {
    wait(signals, Some((fd, PollFlags::IN)), Some(time))
}

/// Waits until `fd` can be written to, the time is over, or one of the `signals` comes.
pub(crate) fn writable(
    signals: Option<&Signals>,
    fd: BorrowedFd<'_>,
    time: Option<Duration>,
) -> io::Result<Woken> {
    wait(signals, Some((fd, PollFlags::OUT)), time)
}

fn wait(
    signals: Option<&Signals>,
    fd: Option<(BorrowedFd<'_>, PollFlags)>,
    time: Option<Duration>,
) -> io::Result<Woken> {
    let time = time.and_then(|time| Timespec::try_from(time).ok());
    let mut fds: Vec<_> = fd.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).into_iter().collect();
    fds.extend(signals.map(|signals| PollFd::from_borrowed_fd(signals.pipe.as_fd(), PollFlags::IN)));
    let caught = || signals.is_some_and(Signals::caught);
    match poll(&mut fds, time.as_ref()) {
        Ok(0) => Ok(Woken::Timeout),
        Ok(_) if caught() => Ok(Woken::Signal),
        Ok(_) => Ok(Woken::Ready),
        Err(rustix::io::Errno::INTR) => Ok(if caught() { Woken::Signal } else { Woken::Timeout }),
        Err(errno) => Err(errno.into()),
    }
}

/// Turns a write past the file size limit (`ulimit -f`) into an error. By default SIGXFSZ would end the process.
pub(crate) fn survive_file_size_limit() -> io::Result<()> {
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// Was this process started with the signal ignored? If so, as nohup does with SIGHUP, it stays ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Has the reader at the other end of this pipe or socket gone? False for files and terminals.
pub(crate) fn reader_gone(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&at_once)).is_ok() && fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_without_reader_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!reader_gone(writer.as_fd()));
        drop(reader);
        assert!(reader_gone(writer.as_fd()));
    }
}
