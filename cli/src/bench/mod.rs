//! `quoit bench`: how fast it is on this machine, as ratios to floors measured in the same round.
//!
//! Two processes of this binary, pinned to a CPU each, measure what they are told ([`job`]): a floor, which is what
//! the hardware or the kernel does with plain atomics or futexes in between and nothing else, and the same work
//! over rings. The parent plays [`rounds`] of a [`plan`] and makes medians of their ratios.

mod bounce;
mod document;
mod figures;
mod flood;
mod ground;
mod job;
mod machine;
mod pair;
mod place;
mod plan;
mod rounds;
mod scene;
mod sleepers;
mod stats;
mod stream;
mod table;
mod windows;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use rustix::process::{Signal, set_parent_process_death_signal};

use self::document::Document;
use self::job::Job;
use self::machine::Machine;
use self::place::Place;
use self::plan::Workload;
use self::rounds::Rounds;
use self::scene::{Scene, Side};
use crate::exit::Exit;
use crate::output;
use crate::signals::Signals;

/// Measure it on this machine, as ratios to what plain atomics and futexes do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Fewer and shorter rounds: under 20 seconds
    #[arg(long)]
    quick: bool,
    /// These workloads only
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',')]
    only: Vec<Workload>,
    /// How many rounds, however long they take; otherwise 101, or 25 with --quick, or fewer if time runs out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// The two CPUs to run on; otherwise two cores that share a cache
    #[arg(long, value_name = "CPU,CPU", value_delimiter = ',', num_args = 2)]
    cpus: Option<Vec<usize>>,
    /// One document of JSON
    #[arg(long)]
    json: bool,
}

/// One of the two processes.
#[derive(Debug, clap::Args)]
pub(crate) struct ChildArgs {
    side: Side,
    #[arg(long)]
    cpu: usize,
    #[arg(long)]
    directory: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<Exit> {
    let signals = Signals::install()?;
    let wanted = args.cpus.as_deref().and_then(|cpus| <[usize; 2]>::try_from(cpus).ok());
    let machine = Machine::look(wanted)?;
    let (scale, most, seconds) = if args.quick { (0.5, 25, 18) } else { (1.0, 101, 80) };
    let rounds = match args.rounds {
        Some(most) => Rounds { most, time: Duration::MAX },
        None => Rounds { most, time: Duration::from_secs(seconds) },
    };
    let groups = plan::plan(&args.only, scale);
    let place = Place::new()?;
    let series = rounds::play(&groups, rounds, place.path(), machine.used, &signals)?;
    let document = Document::of(machine, &groups, &series);
    if args.json {
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        output::print(&text)?;
    } else {
        output::print(&table::table(&document))?;
    }
    Ok(Exit::Done)
}

/// Measures what it is told until its stdin closes. It ends with its parent, whatever happens to that one.
pub(crate) fn run_child(args: ChildArgs) -> Result<Exit> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let scene = Scene::enter(args.side, args.directory, args.cpu)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let figures = job.run(&scene)?;
        writeln!(out, "{}", serde_json::to_string(&figures)?)?;
        out.flush()?;
    }
    Ok(Exit::Done)
}
