//! `quoit ls`: lists the rings and other objects of a directory.

mod document;
mod found;
mod table;

use std::path::PathBuf;

use crate::exit::Exit;
use crate::output;
use crate::shown;

/// List the rings in a directory, with state, capacity, producer, consumers, and current rate; then locks, services and
/// other objects, with who holds or serves them.
///
/// Other files are left out. Rings and objects that cannot be used, and files that cannot be read, are listed as
/// such. A ring with a living producer is read twice, 0.2 s apart, to show its rate. If nothing was published in
/// between, the age shown is the most that the last record can have: the producer notes the time once per 64th of the
/// ring, not with each record.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory (subdirectories are not searched), or a single file
    #[arg(default_value = "/dev/shm", value_name = "DIR")]
    directory: PathBuf,
    /// Print one JSON document
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
        output::say(format_args!("no rings and no other objects in {}", shown::path(&args.directory)));
    } else {
        output::print(&table::table(&files))?;
    }
    Ok(Exit::Done)
}
