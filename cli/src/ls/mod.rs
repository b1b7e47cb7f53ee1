//! `quoit ls`: the rings of a directory.

mod document;
mod found;
mod table;

use std::path::PathBuf;

use crate::exit::Exit;
use crate::output;
use crate::shown;

/// List the rings in a directory: alive or dead, capacity, producer, consumers, and what is published just now.
///
/// Files that are no rings are left out. What may be one and cannot be read is shown as that, and so is a ring that cannot
/// be used. This looks twice at a ring whose producer lives, a fifth of a second apart, and shows what was published in
/// between. Where that is nothing the last record is at most so old as is shown: a producer notes the time once in each 64th
/// of the ring, and not with each record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, not those in it; or a single ring
    #[arg(default_value = "/dev/shm", value_name = "DIR")]
    directory: PathBuf,
    /// One document of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let files = found::look(&args.directory)?;
    if args.json {
        let mut text = serde_json::to_string_pretty(&document::Document::of(&args.directory, &files))?;
        text.push('\n');
        output::print(&text)?;
    } else if files.is_empty() {
        output::say(format_args!("no rings in {}", shown::path(&args.directory)));
    } else {
        output::print(&table::table(&files))?;
    }
    Ok(Exit::Done)
}
