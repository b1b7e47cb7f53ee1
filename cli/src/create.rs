//! `quoit create`: creates a ring that has no producer yet.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use quoit::{Error, Inspector, Options, Snapshot, WaitMode};

use crate::exit::Exit;
use crate::output::say;
use crate::{shown, units};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Path of the ring, best on a tmpfs such as /dev/shm
    path: PathBuf,
    /// Capacity in bytes: a power of two from 4 KiB to 1 TiB
    #[arg(long, value_name = "SIZE", value_parser = units::size, default_value = "16MiB")]
    capacity: u64,
    /// Maximum number of consumers, 1 to 1,024; names whose consumers are away count
    #[arg(long, value_name = "N", default_value_t = 32)]
    slots: u32,
    /// How a waiting process is woken
    #[arg(long, value_parser = wait(), default_value_t)]
    wait: WaitMode,
    /// Keep no inline copy of small records: higher throughput for streams, higher latency for single records
    #[arg(long)]
    no_inline: bool,
    /// Limit how long any gated consumer may block the producer
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    hard_limit: Option<Duration>,
    /// Refuse every consumer that can be overwritten: lossy consumers, observers, and gates with a budget
    #[arg(long, conflicts_with = "hard_limit")]
    gated_only: bool,
    /// Store with each record the time at which it is published, for sub --times, --stats and --from TIME; takes 8 bytes
    /// a record
    #[arg(long)]
    times: bool,
    /// Align the file to huge pages of 2 MiB, for pub --huge and sub --huge; adds up to 6 MiB to the file
    #[arg(long)]
    huge: bool,
    /// Permissions of the file, in octal
    #[arg(long, value_parser = units::mode, default_value = "0600")]
    mode: u32,
    /// Succeed if a ring exists at the path; leave it unchanged and print how it differs from what was asked for
    #[arg(long)]
    if_missing: bool,
    /// Print nothing on success
    #[arg(long, short)]
    quiet: bool,
}

fn wait() -> impl TypedValueParser<Value = WaitMode> {
    let words = [
        ("membarrier", "The sleeper issues the barrier; publishing costs nothing extra"),
        ("fence", "The producer issues a fence per publish; no sleeper ever interrupts it"),
        ("spin", "No wake-ups: consumers poll"),
    ];
    let values = words.map(|(word, help)| PossibleValue::new(word).help(help));
    PossibleValuesParser::new(values).try_map(|word| word.parse())
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let mut options = Options::new()
        .capacity(args.capacity)
        .slots(args.slots)
        .inline(!args.no_inline)
        .wait(args.wait)
        .gated_only(args.gated_only)
        .times(args.times)
        .huge_pages(args.huge)
        .mode(args.mode);
    if let Some(limit) = args.hard_limit {
        options = options.hard_limit(limit);
    }
    for attempt in 0.. {
        match options.create(&args.path) {
            Ok(()) => {
                if !args.quiet {
                    let (capacity, slots) =
                        (units::bytes(args.capacity), units::counted(args.slots.into(), "slot"));
                    say(format_args!("created {}: {capacity}, {slots}", shown::path(&args.path)));
                }
                break;
            }
            Err(Error::Exists { .. }) if args.if_missing => match Inspector::open(&args.path) {
                Ok(inspector) => {
                    leave(&args, &inspector.snapshot()?);
                    break;
                }
                // Removed in between: the path is free now.
                Err(Error::NotFound { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Exit::Done)
}

/// Attempts. Another process that creates and removes rings at this path all the time does not keep this busy
/// forever.
const ATTEMPTS: u32 = 100;

/// Prints which ring exists, and how it differs from the one asked for.
fn leave(args: &Args, ring: &Snapshot) {
    let differences = differences(args, ring);
    if differences.is_empty() && args.quiet {
        return;
    }
    let differs = if differences.is_empty() {
        String::new()
    } else {
        format!("; not what was asked for: {}", differences.join(", "))
    };
    let path = shown::path(&args.path);
    say(format_args!("{path}: there is a ring already, left as it is{differs}"));
}

fn differences(args: &Args, ring: &Snapshot) -> Vec<String> {
    let limit = |limit: Option<Duration>| limit.map_or_else(|| "no hard limit".into(), units::time);
    let wait = |mode: WaitMode| format!("wait by {}", mode);
    let yes = |yes: bool, words: &str| if yes { words.to_owned() } else { format!("not {words}") };
    let pairs = [
        (units::bytes(ring.capacity), units::bytes(args.capacity)),
        (units::counted(ring.slots.into(), "slot"), units::counted(args.slots.into(), "slot")),
        (limit(ring.hard_limit), limit(args.hard_limit)),
        (yes(ring.gated_only, "for gated consumers only"), yes(args.gated_only, "for gated consumers only")),
        (yes(ring.times, "with times"), yes(args.times, "with times")),
        (yes(ring.inline, "inline"), yes(!args.no_inline, "inline")),
        (wait(ring.wait), wait(args.wait)),
    ];
    let differ = pairs.into_iter().filter(|(there, asked)| there != asked);
    differ.map(|(there, asked)| format!("{there} where {asked} was asked for")).collect()
}
