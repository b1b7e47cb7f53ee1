//! `quoit demo`: real processes on one ring; kills two of its own processes and checks the result.
//!
//! The parent creates a ring and starts children that publish and receive ([`produce`], [`consume`]). It follows a
//! [`script`], kills two of them, and reads their reports over pipes ([`wire`]). Every consumer keeps its own account
//! ([`ledger`]) of ticks that carry checksums ([`tick`]), so the [`verdict`] does not depend on the ring's own
//! counters.

mod board;
mod cast;
mod clock;
mod closing;
mod consume;
mod evidence;
mod history;
mod kit;
mod ledger;
mod live;
mod parent;
mod play;
mod produce;
mod room;
mod script;
mod stage;
mod table;
mod text;
mod tick;
mod troupe;
mod verdict;
mod view;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Signal, set_parent_process_death_signal};

use self::cast::Role;
pub(crate) use self::kit::{ChildArgs as KitChildArgs, run_child as run_kit_child};
use self::play::Show;
use self::script::Script;
use self::stage::Stage;
use self::verdict::Kept;
use self::view::View;
use crate::exit::Exit;
use crate::output;
use crate::signals::Signals;
use crate::units;

/// Run a demonstration: several processes on one ring, two of them killed, and a check that every loss was reported. With
/// --kit, a service, a work group and a barrier.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Duration: 4 to 3,600 seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(4..=3600))]
    seconds: u64,
    /// Capacity of the ring, a power of two from 4 KiB to 1 TiB; by default fitted to the rate
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    capacity: Option<u64>,
    /// Ticks per second: 1,000 to 20,000,000
    #[arg(long, value_name = "N", default_value_t = 250_000, value_parser = clap::value_parser!(u64).range(1_000..=20_000_000))]
    rate: u64,
    /// Print lines instead of a screen, even on a terminal
    #[arg(long)]
    plain: bool,
    /// Instead of a ring, show a service, a work group and a barrier: kill one process of each, and check what became of
    /// its work and what the others were told
    #[arg(long, conflicts_with_all = ["capacity", "rate"])]
    kit: bool,
}

/// One of the demo's own processes.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    role: Role,
    #[arg(long)]
    ring: PathBuf,
    #[arg(long)]
    rate: u64,
    #[arg(long)]
    journal: Option<PathBuf>,
}

/// Runs the demo and returns an exit code: 0 if every guarantee held.
pub(crate) fn run(args: Args) -> Result<u8> {
    if args.kit {
        return kit::run(args.seconds, args.plain);
    }
    let signals = Signals::install()?;
    let total = Duration::from_secs(args.seconds);
    let capacity = args.capacity.unwrap_or_else(|| script::capacity(total, args.rate));
    let stage = Stage::new(capacity, args.rate)?;
    let script = Script::new(total, script::ring_time(capacity, args.rate));
    let mut show = Show::new(stage, script, total, View::choose(args.plain))?;
    show.play(signals)?;
    let events = show.view.forgets();
    let (board, evidence) = show.close()?;
    let promises = verdict::judge(&evidence);
    let colours = view::colours();
    let mut page = String::new();
    let width = view::width();
    for line in closing::lines(&board, &evidence, &promises, events, width) {
        page.push_str(&text::paint(&line, colours));
        page.push('\n');
    }
    output::print(&page)?;
    let broken = promises.iter().any(|promise| promise.kept == Kept::No);
    Ok(if broken { Exit::Failed } else { Exit::Done } as u8)
}

/// Runs one child. It ends with its parent, however the parent ends.
pub(crate) fn run_child(args: ChildArgs) -> Result<u8> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    match args.role {
        Role::Producer => produce::produce(&args)?,
        role => consume::consume(role, &args)?,
    }
    Ok(Exit::Done as u8)
}
