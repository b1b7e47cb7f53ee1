//! What `quoit bench` does: how fast quoit is on this machine, as ratios to floors measured in the same round.
//!
//! Processes of the command, pinned to two CPUs, measure what they are told (`job`): a floor, which is what
//! the hardware or the kernel does with plain atomics or futexes in between and nothing else, and the same work
//! over rings. The parent plays rounds of a `plan` and makes medians of their ratios.

mod backoff;
mod bounce;
mod claims;
mod compare;
mod document;
mod ends;
mod fan;
mod flood;
mod follow;
mod gates;
mod hgrm;
mod html;
mod job;
mod kit;
mod large;
mod markdown;
mod open;
mod plan;
mod ratio;
mod sending;
mod sleepers;
mod stream;
mod svg;
mod table;
mod times;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use quoit_floors::crew::{self, Crew};
use quoit_floors::distance::Distance;
use quoit_floors::machine::{Machine, two_cpus};
use quoit_floors::place::Place;
use quoit_floors::rounds::{self, Rounds};
use quoit_floors::scene::Scene;

use self::document::Document;
pub use self::document::Unreadable;
use self::job::Job;
use self::plan::{Group, Workload};
pub use quoit_floors::crew::Interrupted;

/// What the names of the directories begin with that measuring processes meet in.
const PREFIX: &str = "quoit-bench-";

/// Measure speed on this machine, relative to plain atomics and futexes doing the same work.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run fewer and shorter rounds: under 20 seconds
    #[arg(long)]
    quick: bool,
    /// Run only these workloads; by default those before times
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',')]
    only: Vec<Workload>,
    /// Number of rounds, 1 to 10,000, however long they take; by default until 25 of each are kept, or after five
    /// minutes (eight with kit, 17 seconds with --quick)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// No further round that would end later than this, instead of those minutes
    #[arg(long, value_name = "N", conflicts_with = "rounds", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// The two CPUs to run on; by default two cores that share a cache
    #[arg(long, value_name = "CPU,CPU", value_parser = two_cpus)]
    cpus: Option<[usize; 2]>,
    /// Measure only while the two CPUs are near each other, or far: a hypervisor may move them; by default the rounds count in
    /// which they are as in most
    #[arg(long, value_name = "near|far")]
    distance: Option<Distance>,
    /// Print one JSON document instead of the table
    #[arg(long)]
    json: bool,
    /// Measure nothing; show the result that an earlier run wrote with --json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "rounds", "seconds", "cpus", "distance"])]
    from: Option<PathBuf>,
    /// Show what changed since an earlier run; takes its --json output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    compare: Option<PathBuf>,
    /// Write a report to this file, as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the percentiles of all latencies, in the format of HdrHistogram, to files in this directory, or with
    /// this prefix
    #[arg(long, value_name = "PREFIX")]
    hgrm: Option<PathBuf>,
    /// Write the table of targets into this page, between its two marks, and those of times, of backoff, of the kit, and of CPUs
    /// far from each other between two more each
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// One of the measuring processes.
#[derive(Debug, clap::Args)]
pub struct ChildArgs {
    /// 0 produces; all others consume.
    number: usize,
    #[arg(long)]
    cpu: usize,
    #[arg(long)]
    directory: PathBuf,
}

/// The command that this is a part of.
#[allow(missing_debug_implementations, reason = "functions")]
pub struct Caller<'a> {
    /// Its version, for the record.
    pub version: &'a str,
    /// Whether the user asked for it to end.
    pub interrupted: &'a dyn Fn() -> bool,
    /// Prints a message to the user at once.
    pub say: &'a dyn Fn(&str),
}

/// Measures, or reads an earlier result, writes the requested files, and returns the text for standard output. An
/// error may be [`Unreadable`] or [`Interrupted`].
pub fn run(args: &Args, caller: &Caller<'_>) -> Result<String> {
    // What cannot be read or written is told before minutes of measuring, not after.
    let old = args.compare.as_deref().map(Document::read).transpose()?;
    for path in [&args.html, &args.hgrm, &args.markdown].into_iter().flatten() {
        check_directory(path)?;
    }
    let earlier = args.from.as_deref().map(Document::read).transpose()?;
    let workloads = match &earlier {
        Some(document) => document.workloads(),
        None if args.only.is_empty() => Workload::usual(),
        None => args.only.clone(),
    };
    if let Some(page) = &args.markdown {
        let distance = earlier.as_ref().map_or(args.distance, |document| document.distance);
        markdown::check(page, &workloads, distance)?;
    }
    let document = match earlier {
        Some(document) => document,
        None => measure(args, &workloads, caller)?,
    };
    if let Some(path) = &args.html {
        write(path, &html::page(&document, old.as_ref()))?;
    }
    if let Some(prefix) = &args.hgrm {
        for (name, text) in hgrm::files(&document) {
            write(&hgrm::path(prefix, &name), &text)?;
        }
    }
    if let Some(page) = &args.markdown {
        markdown::renew(page, &document)?;
    }
    Ok(match &old {
        _ if args.json => serde_json::to_string_pretty(&document)? + "\n",
        Some(old) => table::table(&document) + "\n" + &compare::text(old, &document),
        None => table::table(&document),
    })
}

fn planned(workloads: &[Workload], quick: bool) -> Vec<Group> {
    let mut groups = plan::plan(workloads, quick);
    groups.extend(kit::plan(workloads, quick));
    groups
}

fn measure(args: &Args, workloads: &[Workload], caller: &Caller<'_>) -> Result<Document> {
    let machine = Machine::look(args.cpus)?;
    let seconds = match args.quick {
        true => 17,
        false if workloads.contains(&Workload::Kit) => 480,
        false => 300,
    };
    let seconds = args.seconds.unwrap_or(seconds);
    let distance = args.distance;
    let rounds = match args.rounds {
        Some(most) => Rounds { most, time: Duration::MAX, enough: usize::MAX, distance },
        None => Rounds { most: 1000, time: Duration::from_secs(seconds), enough: 25, distance },
    };
    let mut groups = planned(workloads, args.quick);
    if !gates::is_allowed() && groups.iter().any(|group| group.workload == Workload::Slots) {
        (caller.say)("left out: a thousand slots; `ulimit -Hn` allows too few open files");
        groups.retain(|group| group.workload != Workload::Slots);
    }
    let place = Place::new(PREFIX, |_| ())?;
    // Process 0 has the first CPU to itself, all others share the second.
    let arguments = |number: usize, command: &mut Command| {
        let cpu = machine.used[number.min(1)];
        command.args(["bench-child", &number.to_string(), "--cpu", &cpu.to_string(), "--directory"]);
        command.arg(place.path());
    };
    let jobs: Vec<_> = groups.iter().map(Group::jobs).collect();
    let series = rounds::play(
        &jobs,
        Job::BounceLines { bytes: 8, count: 2000 },
        rounds,
        &mut Crew::new(&arguments, caller.interrupted),
    )?;
    Ok(Document::of(machine, caller.version, args.quick, distance, &groups, &series))
}

fn check_directory(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::read_dir(directory).with_context(|| {
        format!("cannot write {}: there is no directory {}", path.display(), directory.display())
    })?;
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

/// Measures what it is told until its stdin closes. It ends with its parent, whatever happens to that one.
pub fn run_child(args: ChildArgs) -> Result<()> {
    let scene = Scene::enter(args.number, args.directory, args.cpu)?;
    crew::serve(&scene, |job: Job| job.run(&scene))
}
