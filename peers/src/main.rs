//! The same workloads over quoit and over other ways to hand records from one process to another, side by side: what
//! each takes is shown as a ratio to what plain atomics take in the same round. These floors, and how both sides measure,
//! are those of `quoit bench`.

mod about;
mod credits;
mod document;
mod ends;
mod job;
mod measure;
mod member;
mod peers;
mod picture;
mod place;
mod plan;
mod points;
mod ratio;
mod record;
mod report;
mod sides;
mod source;
mod system;
mod table;
mod titles;
mod ways;
mod work;
mod works;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use quoit_floors::crew::{self, Crew};
use quoit_floors::distance::Distance;
use quoit_floors::machine::{Machine, two_cpus};
use quoit_floors::rounds::{self, Rounds};
use quoit_floors::scene::Scene;

use crate::document::Document;
use crate::job::Job;
use crate::member::Member;
use crate::place::Place;
use crate::system::System;
use crate::work::{Work, Workload};

/// The same workloads over quoit and over its peers.
#[derive(Debug, Parser)]
struct Args {
    /// A first look: a few short rounds, less than two minutes
    #[arg(long)]
    quick: bool,
    /// These workloads only
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',')]
    only: Vec<Workload>,
    /// These systems only
    #[arg(long, value_name = "SYSTEM", value_delimiter = ',')]
    systems: Vec<System>,
    /// Exactly so many rounds; otherwise until every row has 20 that count, for 24 minutes at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// No further round that would end later than this
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// The two CPUs to run on; otherwise two cores that share a cache
    #[arg(long, value_name = "CPU,CPU", value_parser = two_cpus)]
    cpus: Option<[usize; 2]>,
    /// While the two CPUs are near each other, or far; otherwise the rounds count in which they are as in most
    #[arg(long, value_name = "near|far")]
    distance: Option<Distance>,
    /// Writes what was found into docs/benchmarks.md and docs/peers.svg, in the place of what is there
    #[arg(long, conflicts_with_all = ["quick", "only", "systems", "rounds", "seconds"])]
    write: bool,
    /// One document of JSON
    #[arg(long)]
    json: bool,
    /// Measures nothing: shows such documents, which have a part each, as one; with --write it becomes the documentation
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["quick", "only", "systems", "rounds", "seconds", "distance"])]
    report: Vec<PathBuf>,
    /// The measuring process of this number
    #[arg(long, hide = true, requires_all = ["directory", "cpus"])]
    member: Option<usize>,
    #[arg(long, hide = true)]
    directory: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let (Some(member), Some(directory), Some(cpus)) = (args.member, &args.directory, args.cpus) {
        // The sender has the first CPU to itself, all others share the second.
        let enter = |number: usize| Scene::enter(number, directory.clone(), cpus[number.min(1)]);
        let scene = enter(member)?;
        let member = Member { number: member, scene: &scene, enter: &enter };
        return crew::serve(&scene, |job: Job| job.run(member));
    }
    let document = if args.report.is_empty() {
        measure(&args)?
    } else {
        let documents: Result<Vec<Document>> = args.report.iter().map(read).collect();
        Document::joined(documents?).context("no documents")?
    };
    if args.write {
        report::write(&document)?;
    }
    print(&args, &document)
}

fn measure(args: &Args) -> Result<Document> {
    let machine = Machine::look(args.cpus)?;
    let (scale, rounds) = rounds(args);
    let groups: Vec<_> = plan::plan(&args.only, scale)
        .into_iter()
        .map(|group| (group, group.systems(&args.systems, System::value_variants())))
        .filter(|(_, systems)| !systems.is_empty())
        .collect();
    let place = Place::new()?;
    let cpus = machine.used.map(|cpu| cpu.to_string()).join(",");
    let arguments = |number: usize, command: &mut Command| {
        command.args(["--member", &number.to_string(), "--cpus", &cpus, "--directory"]).arg(place.path());
    };
    let jobs: Vec<_> = groups.iter().map(|(group, systems)| group.jobs(systems)).collect();
    let bounce = Job { system: None, work: Work::Pingpong, bytes: 8, count: 2000 };
    let series = rounds::play(&jobs, bounce, rounds, &mut Crew::new(&arguments, &|| false))?;
    let about = about::about(&machine, rounds::usual_bounce(&series), System::value_variants());
    Ok(Document::of(about, &groups, &series))
}

/// How large the windows are, and how many rounds are played.
fn rounds(args: &Args) -> (f64, Rounds) {
    let (scale, most, seconds, enough) =
        if args.quick { (0.5, QUICK, 110, usize::MAX) } else { (1.0, u32::MAX, 24 * 60, ENOUGH) };
    let time = args.seconds.or(args.rounds.is_none().then_some(seconds));
    let rounds = Rounds {
        most: args.rounds.unwrap_or(most),
        time: time.map_or(Duration::MAX, Duration::from_secs),
        enough: if args.rounds.is_some() { usize::MAX } else { enough },
        distance: args.distance,
    };
    (scale, rounds)
}

/// Rounds of a first look, at most.
const QUICK: u32 = 5;
/// Rounds kept that make a measurement.
const ENOUGH: usize = 20;

fn read(path: &PathBuf) -> Result<Document> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no document of this program", path.display()))
}

fn print(args: &Args, document: &Document) -> Result<()> {
    if args.json {
        println!("{}", serde_json::to_string_pretty(document)?);
        return Ok(());
    }
    for (what, value) in &document.about {
        println!("{what:18} {value}");
    }
    for table in table::tables(document) {
        println!("\n{}", table.plain().trim_end());
    }
    Ok(())
}
