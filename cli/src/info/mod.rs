//! `quoit info`: shows the state of a ring, or of another object. It maps the file read-only.

mod document;
mod groups;
mod look;
mod object;
mod policy;
mod rates;
mod ring;
mod service;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use quoit::Kind;

use crate::exit::Exit;
use crate::units;

/// Show a ring's geometry, cursors, producer and consumers; of a service, its server, clients and calls; of any other
/// object, who holds it, who waits, and who died with something of it. Nobody notices.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring, or another object
    path: PathBuf,
    /// Print one JSON document; with --watch, one per line
    #[arg(long)]
    json: bool,
    /// Show a line at this interval until Ctrl-C, of a ring with rates
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    watch: Option<Duration>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    match quoit::kind_of(&args.path)? {
        Kind::Ring => look::run::<ring::Ring>(args),
        Kind::Service => look::run::<quoit::service::Inspector>(args),
        _ => look::run::<quoit::sync::Inspector>(args),
    }
}
