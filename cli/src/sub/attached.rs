//! One ring while it is read: how it was found, and whether the path still leads to it.

use std::time::{Duration, Instant};

use quoit::{Error, Inspector, Snapshot, Start};
use rustix::fs::{Access, access};

use super::WRITE;
use super::args::Args;
use super::source::{self, Source};
use crate::exit::{Exit, Failure};
use crate::output::say;
use crate::signals::Signals;
use crate::turn::{Turn, is_missing};

/// How often to check whether the path still leads to the ring.
const LOOK: Duration = Duration::from_secs(1);

/// Leave a ring that no other process can open once its living producer has published nothing for this long.
const QUIET: Duration = Duration::from_secs(1);

/// Where the path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// To the ring that is read.
    There,
    /// Elsewhere, but a producer has the ring open and may publish more.
    Gone,
    /// Elsewhere, and no more records will come.
    Over,
}

pub(crate) struct Attached {
    pub(crate) source: Source,
    /// Write and release when this much is buffered.
    pub(crate) write_at: usize,
    /// Without `--follow` and `--until-closed`: where to end, the next sequence at the time of attaching.
    until: Option<u64>,
    /// Was the end of the producer reported?
    pub(crate) told_end: bool,
    /// Has there ever been a producer?
    pub(crate) had_producer: bool,
    /// The producer whose end is awaited has not come yet.
    awaits_next: bool,
    /// Nothing can come any more; one last poll is due.
    pub(crate) last_look: bool,
    looked: Instant,
    gone: bool,
    inspector: Inspector,
    /// How many producers there had been when this consumer attached.
    epoch: u64,
    looked_for_next: Instant,
}

impl Attached {
    /// Attaches as the command line says, and prints what differs from what the user may expect.
    pub(crate) fn open(args: &Args, signals: &Signals) -> anyhow::Result<Self> {
        Self::open_from(args, signals, args.start(), args.wait_for_ring)
    }

    fn open_from(
        args: &Args,
        signals: &Signals,
        start: Start,
        ring: Option<Option<Duration>>,
    ) -> anyhow::Result<Self> {
        let turn = Turn { path: &args.path, ring, place: args.wait_for_turn, quiet: args.quiet };
        let attach = args.attach().map(|attach| attach.start(start));
        let opened = turn.open(signals, || {
            let inspector = Inspector::open(&args.path)?;
            Ok((inspector, source::open(&args.path, attach.as_ref(), start)?))
        });
        let (inspector, source) = opened.map_err(|error| refused(error, args))?;
        args.memory.tell(args.quiet, |memory| source.prepare(memory));
        let snapshot = inspector.snapshot()?;
        if (args.times || args.stats) && !snapshot.times {
            let message = "the records of this ring carry no times, which --times and --stats need; create a ring with \
                           quoit create --times";
            return Err(Failure::new(Exit::Failed, message).into());
        }
        let there = snapshot.producer_alive;
        if !args.quiet {
            tell(args, &snapshot);
        }
        Ok(Self {
            source,
            // Buffered records are not released yet: leave most of the ring to the producer meanwhile.
            write_at: WRITE.min(snapshot.capacity / 8) as usize,
            // If the ring contradicts itself its end is not known. Records before that place are intact and are
            // received; then the corruption is reported.
            until: snapshot.corruption.is_none().then_some(snapshot.next_sequence),
            told_end: false,
            had_producer: snapshot.epoch > 0,
            // The first producer of a ring is not reported as a change.
            awaits_next: args.next && !there && snapshot.epoch > 0,
            last_look: false,
            looked: Instant::now(),
            gone: false,
            inspector,
            epoch: snapshot.epoch,
            looked_for_next: Instant::now(),
        })
    }

    /// As [`open`](Self::open), from the oldest record of another ring. `None`: there is none yet, or not the stage in it.
    pub(crate) fn open_again(args: &Args, signals: &Signals) -> anyhow::Result<Option<Self>> {
        match Self::open_from(args, signals, Start::Oldest, None) {
            Err(error) if matches!(Exit::of(&error), Exit::NotFound) => {
                let missing = error.chain().any(|cause| cause.downcast_ref().is_some_and(is_missing));
                if missing { Ok(None) } else { Err(error) }
            }
            other => other.map(Some),
        }
    }

    /// The source, and what tells the time of day of its records meanwhile.
    pub(crate) fn split(&mut self) -> (&mut Source, &Inspector) {
        (&mut self.source, &self.inspector)
    }

    /// Was everything received that was published when this consumer attached?
    pub(crate) fn caught_up(&self) -> bool {
        let next = self.source.next_sequence();
        self.until.is_some_and(|until| until.wrapping_sub(next) as i64 <= 0)
    }

    /// A producer has opened the ring.
    pub(crate) fn producer_came(&mut self) {
        (self.told_end, self.had_producer, self.awaits_next) = (false, true, false);
    }

    /// Is this end of another producer than the awaited one? A producer that publishes nothing causes no event, so
    /// this asks the ring, once a second.
    pub(crate) fn is_early(&mut self) -> bool {
        if self.awaits_next && self.looked_for_next.elapsed() >= LOOK {
            self.looked_for_next = Instant::now();
            self.awaits_next = self.inspector.snapshot().is_ok_and(|snapshot| snapshot.epoch == self.epoch);
        }
        self.awaits_next
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Checks where the path leads, at most once a second. With `--until-closed`, waits as long as a producer has the
    /// ring open.
    pub(crate) fn whereabouts(&mut self, idle_since: Instant, told_the_end: bool) -> Whereabouts {
        if !self.gone {
            if self.looked.elapsed() < LOOK {
                return Whereabouts::There;
            }
            self.looked = Instant::now();
            self.gone = self.source.is_stale();
        }
        match self.gone {
            false => Whereabouts::There,
            // No other producer can open a removed file.
            true if !self.source.producer_alive() => Whereabouts::Over,
            true if !told_the_end && idle_since.max(self.looked).elapsed() >= QUIET => Whereabouts::Over,
            true => Whereabouts::Gone,
        }
    }
}

fn tell(args: &Args, snapshot: &Snapshot) {
    let there = snapshot.producer_alive;
    if args.goes_on() && snapshot.epoch == 0 {
        say("no producer has opened the ring yet; waiting for one");
    } else if args.next && !there {
        say("waiting for the next producer");
    } else if args.until_closed && !there && snapshot.closed {
        say("closed already: this is what the last producer left; --next waits for the next one");
    }
}

/// Suggests what a reader can do without permission to write.
fn refused(error: anyhow::Error, args: &Args) -> anyhow::Error {
    let denied = matches!(error.downcast_ref(), Some(Error::Permission { .. }));
    if denied && args.attach().is_some() && access(&args.path, Access::READ_OK).is_ok() {
        let name = if args.name.is_some() { ", without a name," } else { "" };
        let message = format!(
            "{error}; a consumer writes its place into the ring: to read without that{name} use --observe"
        );
        return Failure::new(Exit::of(&error), message).into();
    }
    error
}
