//! `quoit get`: prints a latest value.

use std::fmt::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use quoit::WaitFd;
use quoit::sync::LatestBytesReader;
use serde::Serialize;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::shown;
use crate::signals::{Signals, Woken, reader_gone};

/// Print a latest value: a byte string as it is, any other value in hexadecimal, and a line end after it.
///
/// Permission to read is enough, and nobody notices.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The value
    path: PathBuf,
    /// Print the value, and then each new one that is seen, until Ctrl-C. Of values that are replaced at once only the
    /// last is seen
    #[arg(long, short = 'f')]
    watch: bool,
    /// Stop after N values
    #[arg(long, value_name = "N", requires = "watch")]
    count: Option<u64>,
    /// Print the bytes alone, whatever the type, with no line end
    #[arg(long, conflicts_with = "json")]
    raw: bool,
    /// Print a line of JSON for each value, with its version
    #[arg(long)]
    json: bool,
}

/// How often the file is looked for, and the reader of the output.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Serialize)]
struct Line<'a> {
    /// The number of the commit.
    version: u64,
    value: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut reader = LatestBytesReader::open(&args.path)?;
    let signals = Signals::install()?;
    let mut output = Output::stdout();
    let mut left = if args.watch { args.count.unwrap_or(u64::MAX) } else { 1 };
    while left > 0 {
        if args.watch && !is_ready(args, &mut reader, signals, &output)? {
            return Ok(Exit::Done);
        }
        append(args, &mut reader, output.buffer())?;
        match output.flush(signals, &mut 0) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted && args.watch => {
                return Ok(Exit::Done);
            }
            flushed => flushed?,
        }
        left -= 1;
    }
    Ok(Exit::Done)
}

/// Waits for a value that was not printed. False: a signal came, or the reader of the output has gone.
fn is_ready(
    args: &Args,
    reader: &mut LatestBytesReader,
    signals: &Signals,
    output: &Output,
) -> anyhow::Result<bool> {
    let mut change = WaitFd::new()?;
    let mut looked = Instant::now();
    while change.arm(&mut [&mut *reader])?.is_empty() {
        if signals.readable(change.as_fd(), LOOK)? == Woken::Signal || reader_gone(output.fd()) {
            return Ok(false);
        }
        if looked.elapsed() >= LOOK {
            looked = Instant::now();
            if reader.is_stale() {
                return Err(gone(&args.path));
            }
        }
    }
    Ok(true)
}

fn gone(path: &Path) -> anyhow::Error {
    let message =
        format!("{}: the file was removed or replaced; look again at the new one", shown::path(path));
    Failure::new(Exit::RingGone, message).into()
}

fn append(args: &Args, reader: &mut LatestBytesReader, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let is_string = reader.is_string();
    let value = reader.get()?.to_vec();
    if args.raw {
        out.extend(value);
        return Ok(());
    }
    if args.json {
        let (text, encoding) = match str::from_utf8(&value) {
            Ok(text) if is_string => (text.to_owned(), None),
            _ if is_string => (BASE64_STANDARD.encode(&value), Some("base64")),
            _ => (hex(&value), Some("hex")),
        };
        let version = reader.version().unwrap_or_default();
        serde_json::to_writer(&mut *out, &Line { version, value: &text, encoding })?;
    } else if is_string {
        out.extend(value);
    } else {
        out.extend(hex(&value).into_bytes());
    }
    out.push(b'\n');
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
