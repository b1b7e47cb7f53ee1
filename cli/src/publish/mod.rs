//! `quoit pub`: standard input to the ring.

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

/// Publish standard input: each line a record, unless told otherwise.
///
/// Ends when its input has ended and everything is published, and closes the ring cleanly. What is at hand goes in
/// batches; a record that arrives alone goes at once. On a failure everything before the record that failed is
/// published. After a signal, and when the ring's file has gone, what was read whole is published as far as there is
/// room; records that were read and not published are counted on standard error.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ring; another producer must have ended
    path: PathBuf,
    /// Make a ring of this capacity if there is none; one that is there is used as it is
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    create: Option<u64>,
    /// Permissions of a ring that is made
    #[arg(long, value_parser = units::mode, default_value = "0600", requires = "create")]
    mode: u32,
    /// Use a ring that is there also if another user made it, who can read along and cut it short; without this, only
    /// one of this user or of root
    #[arg(long, requires = "create")]
    any_owner: bool,
    /// Wait at most so long for another producer to end; without this that is a failure at once (code 9)
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    wait_for_turn: Option<Duration>,
    /// Read nothing before so many consumers are attached
    #[arg(long, value_name = "N")]
    wait_for: Option<u32>,
    /// Read nothing before a consumer is attached under this name
    #[arg(long, value_name = "NAME")]
    wait_for_name: Option<String>,
    /// A record for each so many bytes, whatever is in them; the last has what is left
    #[arg(long, value_name = "SIZE", value_parser = chunk, conflicts_with = "length_prefixed")]
    chunk: Option<usize>,
    /// Each record stands behind its length, four bytes, little-endian
    #[arg(long)]
    length_prefixed: bool,
    /// What to do with a line or record that is longer than the ring takes
    #[arg(long, value_enum, default_value_t, conflicts_with = "chunk")]
    too_long: TooLong,
    /// Wait for gated consumers when the ring is full, at most so long for a record if a time is given; without
    /// this a full ring is a failure (code 6)
    #[arg(long, value_name = "TIME", num_args = 0..=1, require_equals = true, value_parser = units::duration)]
    wait: Option<Option<Duration>>,
    /// Go on when the ring's file was removed or replaced: for those who are attached, nobody else gets in any more;
    /// without this it is a failure (code 8)
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    memory: Wishes,
    /// No summary
    #[arg(long, short)]
    quiet: bool,
}

impl clap::ValueEnum for TooLong {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Fail, Self::Skip, Self::Cut, Self::Split]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Fail => ("fail", "It is a failure"),
            Self::Skip => ("skip", "It is left out"),
            Self::Cut => ("cut", "As much of it as fits is a record, the rest is left out"),
            Self::Split => ("split", "It becomes several records"),
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
