//! Signals for a command that runs under this process.
//!
//! Until the command runs, each has its default effect. From then on this process lives as long as the command, and
//! passes on what it gets. What a terminal sends by a key it sends to the command as well, so that is not passed on.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Signal, getpgrp};
use rustix::termios::tcgetpgrp;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::signals::{Woken, is_ignored};

/// The signals, and whether a key of the terminal sends them.
const PASSED_ON: [(i32, Signal, bool); 6] = [
    (SIGHUP, Signal::HUP, false),
    (SIGINT, Signal::INT, true),
    (SIGQUIT, Signal::QUIT, true),
    (SIGTERM, Signal::TERM, false),
    (SIGUSR1, Signal::USR1, false),
    (SIGUSR2, Signal::USR2, false),
];

#[derive(Debug)]
pub(crate) struct Relay {
    /// No command runs yet.
    is_idle: Arc<AtomicBool>,
    caught: Vec<Caught>,
    /// Readable once a signal came.
    pipe: UnixStream,
}

#[derive(Debug)]
struct Caught {
    signal: Signal,
    is_key: bool,
    came: Arc<AtomicBool>,
}

impl Relay {
    /// Catches the signals from here on, for the rest of the process.
    pub(crate) fn install() -> io::Result<Self> {
        let is_idle = Arc::new(AtomicBool::new(true));
        let (pipe, write) = UnixStream::pair()?;
        pipe.set_nonblocking(true)?;
        let mut caught = Vec::new();
        // What this process was started to ignore, so does the command.
        for (number, signal, is_key) in PASSED_ON.into_iter().filter(|(number, ..)| !is_ignored(*number)) {
            let came = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register_conditional_default(number, Arc::clone(&is_idle))?;
            signal_hook::flag::register(number, Arc::clone(&came))?;
            signal_hook::low_level::pipe::register(number, write.try_clone()?)?;
            caught.push(Caught { signal, is_key, came });
        }
        Ok(Self { is_idle, caught, pipe })
    }

    /// What is held is held for a command from here on: no signal ends this process any more.
    pub(crate) fn begin(&self) {
        self.is_idle.store(false, Ordering::Relaxed);
    }

    /// The signals have their default effect again.
    pub(crate) fn end(&self) {
        self.is_idle.store(true, Ordering::Relaxed);
    }

    /// Waits until a signal comes, or the descriptor can be read.
    pub(super) fn wait(&self, fd: BorrowedFd<'_>) -> io::Result<Woken> {
        let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let mut fds = [readable(fd), readable(self.pipe.as_fd())];
        match poll(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => Ok(Woken::Ready),
            Ok(_) | Err(Errno::INTR) => Ok(Woken::Signal),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The signals to pass on that have come since the last call.
    pub(super) fn take(&self) -> Vec<Signal> {
        // First empty the pipe: a signal that comes meanwhile makes it readable again.
        while (&self.pipe).read(&mut [0; 64]).is_ok_and(|count| count > 0) {}
        let came = self.caught.iter().filter(|caught| caught.came.swap(false, Ordering::Relaxed));
        came.filter(|caught| !caught.is_key || !is_in_foreground()).map(|caught| caught.signal).collect()
    }
}

/// Whether this process is one of those that the keys of its terminal reach. The command is then another.
fn is_in_foreground() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}
