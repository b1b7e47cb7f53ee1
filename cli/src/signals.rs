//! Ctrl-C and SIGTERM as something to look at, and as something to wake from.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::exit::Exit;

/// The first signal asks for a clean end, a second one ends the process as if nobody had caught it.
#[derive(Debug)]
pub(crate) struct Signals {
    caught: Arc<AtomicUsize>,
    /// Readable for good once a signal came: a handler restarts system calls, so a flag alone would not end a read.
    pipe: UnixStream,
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// The descriptor has what was asked for, or an error or end to tell.
    Ready,
    /// A signal was caught.
    Signal,
    /// The time is over.
    Timeout,
}

impl Signals {
    pub(crate) fn install() -> io::Result<Self> {
        let caught = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        let (pipe, write) = UnixStream::pair()?;
        for signal in [SIGINT, SIGTERM] {
            // In this order: what a second signal does is looked up before the first one is noted.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&again))?;
            signal_hook::flag::register(signal, Arc::clone(&again))?;
            signal_hook::flag::register_usize(signal, Arc::clone(&caught), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { caught, pipe })
    }

    pub(crate) fn caught(&self) -> bool {
        self.caught.load(Ordering::Relaxed) != 0
    }

    /// The exit code for work that a signal cut short.
    pub(crate) fn exit(&self) -> Exit {
        match self.caught.load(Ordering::Relaxed) as i32 {
            SIGTERM => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }

    /// Sleeps until the time is over or a signal comes.
    pub(crate) fn sleep(&self, time: Duration) -> io::Result<Woken> {
        self.poll(None, Some(time))
    }

    /// Waits until `fd` can be read without blocking.
    pub(crate) fn readable(&self, fd: BorrowedFd<'_>) -> io::Result<Woken> {
        self.poll(Some((fd, PollFlags::IN)), None)
    }

    /// Waits until `fd` can be written to.
    pub(crate) fn writable(&self, fd: BorrowedFd<'_>) -> io::Result<Woken> {
        self.poll(Some((fd, PollFlags::OUT)), None)
    }

    fn poll(&self, fd: Option<(BorrowedFd<'_>, PollFlags)>, time: Option<Duration>) -> io::Result<Woken> {
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        let mut fds = vec![PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN)];
        fds.extend(fd.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        match poll(&mut fds, time.as_ref()) {
            Ok(0) => Ok(Woken::Timeout),
            Ok(_) if fds[0].revents().is_empty() => Ok(Woken::Ready),
            Ok(_) | Err(rustix::io::Errno::INTR) => {
                Ok(if self.caught() { Woken::Signal } else { Woken::Timeout })
            }
            Err(errno) => Err(errno.into()),
        }
    }
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
