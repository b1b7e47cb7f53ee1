//! `quoit pub`: publishes standard input to the ring.

mod publisher;
mod waiting;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValue;
use quoit::{Options, Producer};

use self::publisher::{Publisher, Stop};
use self::waiting::Waiting;
use crate::exit::{Exit, Failure};
use crate::framing::{Framing, TooLong};
use crate::memory::Wishes;
use crate::output::say;
use crate::signals::Signals;
use crate::turn::Turn;
use crate::{shown, standard, units};

/// Publish standard input, by default one record per line.
///
/// Ends when the input has ended and everything is published, and closes the ring cleanly. Records that arrive
/// together are published in batches; a record that arrives alone is published at once. On a failure, all records
/// before the one that failed are published. After a signal, and when the ring's file has gone, complete records that
/// were read are published as far as there is room. Records that were read and not published are counted on standard
/// error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring; no other producer may be alive
    path: PathBuf,
    /// Create a ring of this capacity if none exists; an existing ring is used as it is
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    create: Option<u64>,
    /// Permissions of the file if it is created, in octal
    #[arg(long, value_parser = units::mode, default_value = "0600", requires = "create")]
    mode: u32,
    /// If it is created: store with each record the time at which it is published
    #[arg(long, requires = "create")]
    times: bool,
    /// Also use a ring that another user created, who can read the records and truncate the file; by default only a
    /// ring of this user or of root
    #[arg(long, requires = "create")]
    any_owner: bool,
    /// Wait at most this long for another producer to end; without this exit with code 9 at once
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    wait_for_turn: Option<Duration>,
    /// Wait until N consumers are attached before reading the input
    #[arg(long, value_name = "N")]
    wait_for: Option<u32>,
    /// Wait until a consumer is attached under this name before reading the input
    #[arg(long, value_name = "NAME")]
    wait_for_name: Option<String>,
    /// Split the input into records of SIZE bytes; the last may be shorter
    #[arg(long, value_name = "SIZE", value_parser = chunk, conflicts_with = "length_prefixed")]
    chunk: Option<usize>,
    /// Read each record after its length, four bytes, little-endian
    #[arg(long)]
    length_prefixed: bool,
    /// What to do with a line or record that is longer than the ring allows
    #[arg(long, value_enum, default_value_t, conflicts_with = "chunk")]
    too_long: TooLong,
    /// Wait for gated consumers when the ring is full, at most TIME for each record if given; without this exit with
    /// code 6
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = units::duration)]
    wait: Option<Option<Duration>>,
    /// Continue after the ring's file was removed or replaced, for the consumers that are attached; no other process
    /// can attach any more. Without this exit with code 8
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    memory: Wishes,
    /// Print no summary
    #[arg(long, short)]
    quiet: bool,
}

impl clap::ValueEnum for TooLong {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Fail, Self::Skip, Self::Cut, Self::Split]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Fail => ("fail", "Fail"),
            Self::Skip => ("skip", "Skip the record"),
            Self::Cut => ("cut", "Publish as much of it as fits, and drop the rest"),
            Self::Split => ("split", "Split it into several records"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

fn chunk(text: &str) -> Result<usize, String> {
    let size = units::size(text)?;
    usize::try_from(size).ok().filter(|size| *size > 0).ok_or_else(|| "a chunk has at least one byte".into())
}

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    standard::check_input()?;
    let signals = Signals::install()?;
    let producer = open(&args, signals)?;
    args.memory.tell(args.quiet, |memory| producer.prepare(memory));
    if let Some(size) = args.chunk.filter(|size| *size > producer.max_len()) {
        let max = producer.max_len();
        let message = format!(
            "chunks of {size} bytes: this ring takes records of up to {max}; give a smaller --chunk, or create the \
             ring with a larger capacity"
        );
        return Err(Failure::new(Exit::Failed, message).into());
    }
    let framing = match args.chunk {
        Some(size) => Framing::Chunks(size),
        None if args.length_prefixed => Framing::LengthPrefixed,
        None => Framing::Lines,
    };
    let waiting = Waiting { limit: args.wait, quiet: args.quiet };
    let mut publisher = Publisher::new(producer, signals, waiting, args.keep_going);
    let stop = match publisher.wait_for_consumers(args.wait_for, args.wait_for_name.as_deref())? {
        Some(stop) => Some(stop),
        None => publisher.run(framing, args.too_long)?,
    };
    publisher.tell(args.quiet, args.too_long);
    match stop {
        None => Ok(Exit::Done),
        Some(Stop::Signal) => {
            publisher.left().into_iter().for_each(say);
            Ok(signals.exit())
        }
        Some(stop) => Err(publisher.failure(stop).into()),
    }
}

fn open(args: &Args, signals: &Signals) -> anyhow::Result<Producer> {
    let turn = Turn { path: &args.path, ring: None, place: args.wait_for_turn, quiet: args.quiet };
    let producer = turn.open(signals, || match args.create {
        Some(capacity) => {
            let options = Options::new()
                .capacity(capacity)
                .mode(args.mode)
                .times(args.times)
                .huge_pages(args.memory.huge)
                .any_owner(args.any_owner);
            Producer::open_or_create(&args.path, &options)
        }
        None => Producer::open(&args.path),
    })?;
    if let Some(asked) = args.create.filter(|asked| *asked != producer.capacity()) {
        let (there, asked) = (units::bytes(producer.capacity()), units::bytes(asked));
        say(format_args!(
            "{}: the ring that is there holds {there}, not {asked}; it is used as it is",
            shown::path(&args.path)
        ));
    }
    Ok(producer)
}
