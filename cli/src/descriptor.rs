//! Reads and writes that never delay the response to a signal.
//!
//! An inherited descriptor is shared with other processes, so its flags must not change: a shell would find its
//! terminal non-blocking afterwards. Polling first is not enough: a pipe with room for one byte is ready, and a
//! longer write still blocks. So this code opens pipes and terminals again, which gives a description with flags of
//! its own. Sockets take a flag with each call. Files, and devices such as /dev/null, do not block for long. A pipe
//! or terminal that cannot be opened again, because it belongs to another user, is written to in pieces that fit when
//! it is ready.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::signals::{self, Signals, Woken};

/// A pipe that is ready has room for this many bytes (`PIPE_BUF`).
const PIECE: usize = 4096;

/// After a signal, give up once the reader has taken nothing for this long. A reader that is only slow gets whole
/// records.
const GRACE: Duration = Duration::from_millis(200);

/// After a signal, give up after this long in total.
const LONGEST_GRACE: Duration = Duration::from_secs(1);

/// How a call on the descriptor is kept from blocking.
#[derive(Debug)]
enum Way {
    /// It does not block.
    Plain,
    /// The same pipe or terminal, opened again and non-blocking.
    Own(OwnedFd),
    /// By a flag with each call.
    Socket,
    /// Poll first, then transfer at most what fits.
    Pieces,
}

impl Way {
    fn of(fd: BorrowedFd<'_>, access: OFlags) -> Self {
        let kind = fstat(fd).map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            FileType::Socket => Self::Socket,
            FileType::Fifo => Self::anew(fd, access),
            FileType::CharacterDevice if rustix::termios::isatty(fd) => Self::anew(fd, access),
            _ => Self::Plain,
        }
    }

    fn anew(fd: BorrowedFd<'_>, access: OFlags) -> Self {
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        open(path, flags, Mode::empty()).map_or(Self::Pieces, Self::Own)
    }
}

fn is_ready(fd: BorrowedFd<'_>, flags: PollFlags) -> Result<(), Errno> {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&at_once))? {
        0 => Err(Errno::WOULDBLOCK),
        _ => Ok(()),
    }
}

/// Where to write.
#[derive(Debug)]
pub(crate) struct Sink {
    fd: BorrowedFd<'static>,
    way: Way,
}

impl Sink {
    pub(crate) fn new(fd: BorrowedFd<'static>) -> Self {
        Self { fd, way: Way::of(fd, OFlags::WRONLY) }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'static> {
        self.fd
    }

    /// Hands over as much as is accepted at once, and counts it.
    fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Plain => rustix::io::write(self.fd, bytes),
            Way::Own(own) => rustix::io::write(own, bytes),
            Way::Socket => send(self.fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Pieces => {
                is_ready(self.fd, PollFlags::OUT)?;
                rustix::io::write(self.fd, &bytes[..bytes.len().min(PIECE)])
            }
        }
    }

    /// Hands everything to the kernel. `taken` counts the bytes handed over, also on failure.
    ///
    /// After a signal it continues as long as the reader takes something. Once it takes nothing, the error is
    /// `Interrupted`.
    pub(crate) fn write_all(
        &self,
        bytes: &[u8],
        signals: Option<&Signals>,
        taken: &mut usize,
    ) -> io::Result<()> {
        let mut given_up_at: Option<(Instant, Instant)> = None;
        while *taken < bytes.len() {
            match self.write(&bytes[*taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    *taken += count;
                    given_up_at = given_up_at.map(|(_, last)| ((Instant::now() + GRACE).min(last), last));
                }
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => match given_up_at {
                    Some((end, _)) => {
                        let rest = end.saturating_duration_since(Instant::now());
                        if rest.is_zero() {
                            return Err(io::ErrorKind::Interrupted.into());
                        }
                        signals::writable(None, self.fd, Some(rest))?;
                    }
                    None => {
                        if signals::writable(signals, self.fd, None)? == Woken::Signal {
                            let now = Instant::now();
                            given_up_at = Some((now + GRACE, now + LONGEST_GRACE));
                        }
                    }
                },
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

/// Where to read from. Returns `WouldBlock` while there is no input.
#[derive(Debug)]
pub(crate) struct Input {
    fd: BorrowedFd<'static>,
    way: Way,
}

impl Input {
    pub(crate) fn new(fd: BorrowedFd<'static>) -> Self {
        Self { fd, way: Way::of(fd, OFlags::RDONLY) }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(match &self.way {
            Way::Plain => rustix::io::read(self.fd, buffer)?,
            Way::Own(own) => rustix::io::read(own, buffer)?,
            Way::Socket => recv(self.fd, buffer, RecvFlags::DONTWAIT)?.1,
            Way::Pieces => {
                is_ready(self.fd, PollFlags::IN)?;
                rustix::io::read(self.fd, buffer)?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, IntoRawFd};
    use std::os::unix::net::UnixStream;

    /// Keeps a descriptor for the rest of the process, so that nothing else in these tests gets its number.
    fn forever(fd: impl Into<OwnedFd>) -> BorrowedFd<'static> {
        let fd: &'static OwnedFd = Box::leak(Box::new(fd.into()));
        fd.as_fd()
    }

    fn fill(sink: &Sink) -> usize {
        let mut all = 0;
        while let Ok(count) = sink.write(&[7; 100_000]) {
            all += count;
        }
        assert_eq!(sink.write(&[7; 100_000]), Err(Errno::WOULDBLOCK));
        all
    }

    #[test]
    fn what_has_no_room_is_told_and_its_flags_stay() {
        let (reader, writer) = io::pipe().unwrap();
        let (near, far) = UnixStream::pair().unwrap();
        let pieces = Sink { fd: forever(writer.try_clone().unwrap()), way: Way::Pieces };
        let pipe = Sink::new(forever(writer));
        let socket = Sink::new(forever(near));
        assert!(matches!(pipe.way, Way::Own(_)) && matches!(socket.way, Way::Socket));
        assert!(fill(&socket) > 0);
        assert!(fill(&pipe) > 0);
        assert_eq!(fill(&pieces), 0);
        for sink in [&pipe, &socket] {
            assert!(!rustix::fs::fcntl_getfl(sink.fd).unwrap().contains(OFlags::NONBLOCK));
        }
        let mut reader = Input::new(forever(reader));
        assert!(reader.read(&mut [0; 70_000]).unwrap() > 0);
        assert!(pieces.write(&[7; 100_000]).is_ok());
        let mut far = Input::new(forever(far));
        while far.read(&mut [0; 100_000]).is_ok_and(|count| count > 0) {}
        assert_eq!(far.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_has_nothing_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        let fd = forever(reader);
        for mut input in [Input::new(fd), Input { fd, way: Way::Pieces }] {
            assert_eq!(input.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        let _ = writer.into_raw_fd();
    }
}
