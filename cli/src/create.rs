//! `quoit create`: a ring with no producer yet.

use std::path::PathBuf;
use std::time::Duration;

use quoit::{Options, WaitMode};

use crate::exit::Exit;
use crate::output::say;
use crate::units;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where: best on a tmpfs such as /dev/shm
    path: PathBuf,
    /// Bytes of records the ring holds: a power of two
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "16MiB")]
    capacity: u64,
    /// How many consumers there can be at once, named ones that are away included
    #[arg(long, value_name = "N", default_value_t = 32)]
    slots: u32,
    /// How the two sides agree about sleeping
    #[arg(long, value_enum, default_value_t = Wait::Membarrier)]
    wait: Wait,
    /// Do without the express copy of small records: better for streams, worse for latency
    #[arg(long)]
    no_express: bool,
    /// No gated consumer may hold the producer up for longer than this
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    hard_limit: Option<Duration>,
    /// Refuse every consumer that could be overwritten: lossy ones, observers, deadlines
    #[arg(long, conflicts_with = "hard_limit")]
    gated_only: bool,
    /// Align the file to huge pages of 2 MiB, for pub --huge and sub --huge; it grows by up to 6 MiB
    #[arg(long)]
    huge: bool,
    /// Permissions of the file
    #[arg(long, value_parser = units::mode, default_value = "0600")]
    mode: u32,
    /// Say nothing on success
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Wait {
    /// Sleepers pay; publishing costs nothing extra
    Membarrier,
    /// Each publish pays a fence; nothing ever interrupts the producer
    Fence,
    /// Nobody is woken: pure busy polling
    Spin,
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let mut options = Options::new()
        .capacity(args.capacity)
        .slots(args.slots)
        .express(!args.no_express)
        .wait(match args.wait {
            Wait::Membarrier => WaitMode::Membarrier,
            Wait::Fence => WaitMode::Fence,
            Wait::Spin => WaitMode::Spin,
        })
        .gated_only(args.gated_only)
        .huge_pages(args.huge)
        .mode(args.mode);
    if let Some(limit) = args.hard_limit {
        options = options.hard_limit(limit);
    }
    options.create(&args.path)?;
    if !args.quiet {
        let capacity = units::bytes(args.capacity);
        say(format_args!("created {}: {capacity}, {} slots", args.path.display(), args.slots));
    }
    Ok(Exit::Done)
}
