//! `quoit forget`: a named consumer that will not come back.

use std::path::PathBuf;

use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring
    path: PathBuf,
    /// The name; its cursor, its hold and its loss account go
    name: String,
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    quoit::forget(&args.path, &args.name)?;
    Ok(Exit::Done)
}
