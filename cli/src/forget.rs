//! `quoit forget`: a named consumer that will not come back.

use std::path::PathBuf;

use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring
    path: PathBuf,
    /// The name; its cursor, its hold and its loss account go
    #[arg(required_unless_present = "slot")]
    name: Option<String>,
    /// Whatever name the slot of this number is kept for, as `info` shows it
    #[arg(long, value_name = "N", conflicts_with = "name")]
    slot: Option<u32>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    match (&args.name, args.slot) {
        (Some(name), _) => quoit::forget(&args.path, name)?,
        (None, Some(slot)) => quoit::forget_slot(&args.path, slot)?,
        (None, None) => unreachable!("clap asks for one of them"),
    }
    Ok(Exit::Done)
}
