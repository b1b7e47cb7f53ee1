//! Standard output for data, standard error for people.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::signals::{Signals, Woken};

/// Says something to the person, on standard error. Nobody being there to hear it is no failure.
pub(crate) fn say(message: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "quoit: {message}");
}

/// Standard output with a buffer whose contents are written when told, never on its own: `sub` releases records
/// only after they were written.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    buffer: Vec<u8>,
}

impl Output {
    /// Standard output without the line buffering of `io::stdout`.
    pub(crate) fn stdout() -> io::Result<Self> {
        Ok(Self { file: File::from(io::stdout().as_fd().try_clone_to_owned()?), buffer: Vec::new() })
    }

    /// Where to append; nothing is written before the next [`flush`](Self::flush).
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Hands everything buffered to the kernel.
    pub(crate) fn flush(&mut self, signals: &Signals) -> io::Result<()> {
        let mut written = 0;
        while written < self.buffer.len() {
            match self.file.write(&self.buffer[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The descriptor is shared with whoever started us, and they may have made it non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if signals.writable(self.file.as_fd())? == Woken::Signal {
                        return Err(io::ErrorKind::Interrupted.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.buffer.clear();
        Ok(())
    }
}

/// Writes a whole document to standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
