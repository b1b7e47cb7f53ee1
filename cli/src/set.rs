//! `quoit set`: stores a latest value.

use std::ffi::OsString;
use std::io::{BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use quoit::Error;
use quoit::sync::{LatestBytes, LatestOptions};

use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::turn::Turn;
use crate::{shown, standard, units};

/// Store a latest value: a byte string that any number of processes read with `get`, or in a program.
///
/// The value is a file of its own, which is created if it is missing, and stays. Readers see the old value or the new
/// one, whole, whenever this is killed. One process stores at a time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The value
    path: PathBuf,
    /// What to store; without it, standard input up to its end
    #[arg(allow_negative_numbers = true, conflicts_with = "lines")]
    value: Option<OsString>,
    /// Store each line of standard input when it comes, without its end
    #[arg(long)]
    lines: bool,
    /// Create it with room for so many bytes, if it is missing
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "4KiB")]
    max: u64,
    /// Create it with so many copies, 2 to 16: a large value that changes often needs more
    #[arg(long, value_name = "N", default_value_t = 2)]
    cells: u32,
    /// Permissions of the file if it is created, in octal
    #[arg(long, value_parser = units::mode, default_value = "0600")]
    mode: u32,
    /// Wait at most this long for another writer to end; after that exit with code 9
    #[arg(long, value_name = "TIME", value_parser = units::duration, default_value = "1s")]
    timeout: Duration,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    if let Some(value) = &args.value {
        store(args, value.as_bytes())?;
        return Ok(Exit::Done);
    }
    standard::check_input()?;
    let mut input = std::io::stdin().lock();
    let mut value = Vec::new();
    if !args.lines {
        input.read_to_end(&mut value)?;
        store(args, &value)?;
        return Ok(Exit::Done);
    }
    let mut writer: Option<LatestBytes> = None;
    while input.read_until(b'\n', &mut value)? > 0 {
        value.pop_if(|last| *last == b'\n');
        match &mut writer {
            Some(writer) => set(args, writer, &value)?,
            None => writer = Some(store(args, &value)?),
        }
        value.clear();
    }
    Ok(Exit::Done)
}

/// Opens the value, and stores the first one.
fn store(args: &Args, value: &[u8]) -> anyhow::Result<LatestBytes> {
    let options = LatestOptions::new().cells(args.cells).mode(args.mode);
    // One that is too large is refused by the library.
    let max = u32::try_from(args.max).unwrap_or(u32::MAX);
    let turn = Turn { path: &args.path, ring: None, place: Some(args.timeout), quiet: true };
    let fits = value.len() as u64 <= args.max;
    let (mut writer, is_new) = turn.open(Signals::install()?, || {
        // One that is there may have more room.
        if !fits {
            return match LatestBytes::open(&args.path) {
                Err(Error::NotFound { .. }) => {
                    Err(Error::BadOption { what: "the value is longer than --max allows" })
                }
                opened => opened.map(|writer| (writer, false)),
            };
        }
        // A new one has this as its first value.
        match LatestBytes::create(&args.path, &options, max, value) {
            Err(Error::Exists { .. }) => {
                LatestBytes::open_or_create(&args.path, &options, max, value).map(|writer| (writer, false))
            }
            created => created.map(|writer| (writer, true)),
        }
    })?;
    if !is_new {
        set(args, &mut writer, value)?;
    }
    Ok(writer)
}

fn set(args: &Args, writer: &mut LatestBytes, value: &[u8]) -> anyhow::Result<()> {
    if value.len() > writer.max() {
        let (room, asked) = (units::bytes(writer.max() as u64), units::bytes(value.len() as u64));
        let message = format!(
            "{}: {asked}, and the value has room for {room}; remove it, and create it with a larger --max",
            shown::path(&args.path)
        );
        return Err(Failure::new(Exit::Usage, message).into());
    }
    writer.set(value)?;
    Ok(())
}
