//! Standard output for data, standard error for people.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use rustix::stdio::{stderr, stdout};

use crate::descriptor::Sink;
use crate::shown;
use crate::signals::Signals;

/// Prints one line to the user on standard error. It ignores a failed write. A reader that takes nothing does not
/// delay an end that a signal asks for.
pub(crate) fn say(message: impl fmt::Display) {
    static SINK: OnceLock<Sink> = OnceLock::new();
    let line = format!("quoit: {}\n", shown::text(&message.to_string()));
    let _ = SINK.get_or_init(|| Sink::new(stderr())).write_all(line.as_bytes(), Signals::installed(), &mut 0);
}

/// Standard output with a buffer that is written only on request: `sub` releases records only after they were
/// written.
#[derive(Debug)]
pub(crate) struct Output {
    sink: Sink,
    buffer: Vec<u8>,
}

impl Output {
    /// Standard output without the line buffering of `io::stdout`.
    pub(crate) fn stdout() -> Self {
        Self { sink: Sink::new(stdout()), buffer: Vec::new() }
    }

    /// The buffer to append to. Nothing is written before the next [`flush`](Self::flush).
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.sink.fd()
    }

    /// Hands everything buffered to the kernel. The error is `Interrupted` if a signal came and the reader takes
    /// nothing. `taken` is how much of the buffer was handed over, also on failure.
    pub(crate) fn flush(&mut self, signals: &Signals, taken: &mut usize) -> io::Result<()> {
        *taken = 0;
        self.sink.write_all(&self.buffer, Some(signals), taken)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes a whole document to standard output.
pub(crate) fn print(text: &str) -> io::Result<()> {
    static SINK: OnceLock<Sink> = OnceLock::new();
    let sink = SINK.get_or_init(|| Sink::new(stdout()));
    sink.write_all(text.as_bytes(), Signals::installed(), &mut 0)
}
