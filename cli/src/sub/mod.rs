//! `quoit sub`: the ring to standard output.

mod args;
mod attached;
mod format;
mod group;
mod latency;
mod source;
mod tally;

use std::io;
use std::time::{Duration, Instant};

use quoit::{Event, RecvError, Rfc3339, Start};

pub(crate) use self::args::Args;
use self::args::Follow;
use self::attached::{Attached, Whereabouts};
use self::format::{Format, Notice};
use self::latency::Latency;
use self::tally::Tally;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::signals::{self, Signals, Woken};
use crate::units;

/// Poll this often for signals and for a reader that has gone.
const SLICE: Duration = Duration::from_millis(50);

/// Without a producer, poll this often for the next one.
const NO_PRODUCER: Duration = Duration::from_millis(10);

/// Write at least this much at once while there is more to receive.
const WRITE: u64 = 256 << 10;

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    if let Some(name) = &args.group {
        return group::run(&args, signals, name);
    }
    let mut sub = Sub {
        args: &args,
        signals,
        attached: Attached::open(&args, signals)?,
        out: Output::stdout(),
        format: Format::of(&args),
        tally: Tally::new(),
        latency: if args.stats { Some(Latency::new()?) } else { None },
        idle_since: Instant::now(),
    };
    let result = sub.run();
    sub.tally.tell();
    // The reader has gone, so it needs no messages either.
    let enough = result.as_ref().is_err_and(|error| Exit::of(error) == Exit::Done);
    if !args.quiet && !enough {
        sub.tally.summary();
    }
    if let Some(latency) = sub.latency.filter(|_| !enough) {
        latency.tell();
    }
    result
}

/// The state of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Records are ready, or may be.
    Streaming,
    /// Everything received is written and released; waiting for more.
    Waiting,
    /// As before, and there is no producer.
    NoProducer { died: bool },
}

/// The result of writing the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Everything was written and released.
    All,
    /// A signal asked for the end, and the reader takes nothing. Records that were not written are not released.
    Cut,
}

struct Sub<'a> {
    args: &'a Args,
    signals: &'a Signals,
    attached: Attached,
    out: Output,
    format: Format,
    tally: Tally,
    latency: Option<Latency>,
    idle_since: Instant,
}

impl Sub<'_> {
    fn run(&mut self) -> anyhow::Result<Exit> {
        self.arrived();
        let mut flow = Flow::Streaming;
        loop {
            // However it ends, everything received is written first.
            let end = match self.ended(flow) {
                Ok(None) => match self.receive(flow) {
                    Ok(now) => Ok(now),
                    Err(error) => Err(Err(error.into())),
                },
                Ok(Some(exit)) => Err(Ok(exit)),
                Err(error) => Err(Err(error)),
            };
            let now = match end {
                Ok(now) => now,
                Err(end) => {
                    return match self.write()? {
                        Written::All => end,
                        Written::Cut => Ok(self.cut_short()),
                    };
                }
            };
            if (now != Flow::Streaming || self.out.buffered() >= self.attached.write_at)
                && self.write()? == Written::Cut
            {
                return Ok(self.cut_short());
            }
            if (flow, now) == (Flow::Streaming, Flow::Waiting) {
                self.idle_since = Instant::now();
            }
            if now != Flow::Streaming || flow != Flow::Streaming {
                self.tally.absence(!self.attached.had_producer || matches!(now, Flow::NoProducer { .. }));
            }
            flow = now;
        }
    }

    /// The exit code for a signal.
    fn cut_short(&self) -> Exit {
        if self.args.follow.is_some() { Exit::Done } else { self.signals.exit() }
    }

    /// Receives one event into the buffer, if there is one.
    fn receive(&mut self, flow: Flow) -> Result<Flow, RecvError> {
        let (source, inspector) = self.attached.split();
        let event = match flow {
            Flow::Streaming => source.try_recv(),
            Flow::Waiting | Flow::NoProducer { .. } => source.recv_deadline(Instant::now() + SLICE).map(Some),
        };
        let notice = match event {
            Ok(None) | Err(RecvError::TimedOut) => return Ok(Flow::Waiting),
            Err(RecvError::Closed) => return Ok(Flow::NoProducer { died: false }),
            Err(RecvError::ProducerGone) => return Ok(Flow::NoProducer { died: true }),
            Err(error) => return Err(error),
            Ok(Some(Event::Record(record))) => {
                if let (Some(latency), Some(published)) = (&mut self.latency, record.time()) {
                    latency.received(published);
                }
                let wall_time = |published| inspector.wall_time(published);
                let time = record.time().filter(|_| self.args.times).and_then(wall_time).map(Rfc3339);
                let buffer = self.out.buffer();
                self.format.record(&record, time, buffer);
                self.tally.record(record.len(), buffer.len());
                self.attached.had_producer = true;
                return Ok(Flow::Streaming);
            }
            Ok(Some(Event::Lost(loss))) => {
                self.tally.loss(&loss);
                Notice::lost(&loss)
            }
            Ok(Some(Event::Evicted)) => {
                say("held the producer up for too long, and is lossy from here on");
                Notice::Evicted(true)
            }
            Ok(Some(Event::ProducerChanged { epoch })) => {
                if !self.args.quiet {
                    let which = if epoch == 1 { "a" } else { "another" };
                    say(format_args!("{which} producer has opened the ring (epoch {epoch})"));
                }
                self.attached.producer_came();
                Notice::ProducerChanged { epoch }
            }
            Ok(Some(other)) => {
                say(other);
                return Ok(Flow::Streaming);
            }
        };
        self.format.notice(&notice, self.out.buffer());
        Ok(Flow::Streaming)
    }

    /// Writes the buffer, then releases its records.
    fn write(&mut self) -> anyhow::Result<Written> {
        let mut taken = 0;
        let flushed = self.out.flush(self.signals, &mut taken);
        let left = self.tally.written(taken);
        let error = match flushed {
            Ok(()) => {
                self.attached.source.release();
                return Ok(Written::All);
            }
            Err(error) => error,
        };
        let released = if self.attached.source.slot().is_some() { ", and are not released" } else { "" };
        let left = format!("{left} records were received and not written{released}");
        match error.kind() {
            io::ErrorKind::Interrupted => {
                say(left);
                Ok(Written::Cut)
            }
            io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => {
                let message = format!("could not write standard output: {error}; {left}");
                Err(Failure::new(Exit::Failed, message).into())
            }
        }
    }

    /// Whether to end now, and with which code.
    fn ended(&mut self, flow: Flow) -> anyhow::Result<Option<Exit>> {
        if self.signals.caught() {
            return Ok(Some(self.cut_short()));
        }
        if self.args.fail_on_loss && self.tally.lost > 0 {
            let message =
                format!("lost {}, and --fail-on-loss was given", units::plain(self.tally.lost, "record"));
            return Err(Failure::new(Exit::Loss, message).into());
        }
        if self.args.count.is_some_and(|count| self.tally.received() >= count) {
            return Ok(Some(Exit::Done));
        }
        if !self.args.goes_on() {
            let caught_up = self.attached.caught_up();
            return Ok((caught_up || flow != Flow::Streaming).then_some(Exit::Done));
        }
        if flow == Flow::Streaming {
            self.attached.last_look = false;
            return Ok(None);
        }
        self.tally.tell();
        if signals::reader_gone(self.out.fd()) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        self.check_patience()?;
        if let Flow::NoProducer { died } = flow {
            match (self.args.until_closed && !self.attached.is_early(), died) {
                // The error reports it.
                (true, true) => return Err(RecvError::ProducerGone.into()),
                (true, false) => {
                    self.tell_end(died);
                    return Ok(Some(Exit::Done));
                }
                (false, _) => self.tell_end(died),
            }
            self.signals.sleep(NO_PRODUCER)?;
        }
        self.whereabouts(flow)
    }

    /// Ends, or follows the name, when the path no longer leads to this ring and no more records can come from it.
    fn whereabouts(&mut self, flow: Flow) -> anyhow::Result<Option<Exit>> {
        let told = !self.attached.is_gone();
        match self.attached.whereabouts(self.idle_since, self.args.until_closed) {
            Whereabouts::There => Ok(None),
            Whereabouts::Gone => {
                if told && !self.args.quiet && flow == Flow::Waiting {
                    say("the ring's file was removed or replaced");
                }
                Ok(None)
            }
            // One more poll receives what was published before the check.
            Whereabouts::Over if !std::mem::replace(&mut self.attached.last_look, true) => Ok(None),
            Whereabouts::Over if self.args.follow == Some(Follow::Name) => self.follow_name(),
            Whereabouts::Over => {
                let message = "the ring's file was removed or replaced, and nothing more comes of it; start again \
                               on the new one, or give --follow=name";
                Err(Failure::new(Exit::RingGone, message).into())
            }
        }
    }

    /// Continues with the ring at the path, or waits for one.
    fn follow_name(&mut self) -> anyhow::Result<Option<Exit>> {
        if !self.args.quiet {
            say("the ring's file was removed or replaced; following the name");
        }
        loop {
            if let Some(attached) = Attached::open_again(self.args, self.signals)? {
                self.attached = attached;
                break;
            }
            self.tally.absence(true);
            self.check_patience()?;
            if signals::reader_gone(self.out.fd()) {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
            }
            if self.signals.sleep(SLICE)? == Woken::Signal {
                return Ok(Some(self.cut_short()));
            }
        }
        self.format.notice(&Notice::RingChanged(true), self.out.buffer());
        self.arrived();
        self.idle_since = Instant::now();
        Ok(None)
    }

    fn check_patience(&self) -> anyhow::Result<()> {
        match self.args.timeout {
            Some(limit) if self.idle_since.elapsed() >= limit => {
                let message = format!("nothing was received for {}", units::time(limit));
                Err(Failure::new(Exit::Timeout, message).into())
            }
            _ => Ok(()),
        }
    }

    fn tell_end(&mut self, died: bool) {
        if !self.attached.told_end && !self.args.quiet {
            say(match died {
                true => "the producer has died; everything it had published was received",
                false => "the producer has closed the ring; everything was received",
            });
        }
        self.attached.told_end = true;
    }

    /// Prints where reading starts, unless that is the beginning.
    fn arrived(&mut self) {
        let source = &self.attached.source;
        let Some(resumed) = source.resumed() else {
            let first = source.next_sequence();
            if self.args.is_gated() && self.args.start() == Start::Oldest && first != 0 && !self.args.quiet {
                say(format_args!("starting at sequence {first}: what was before is gone"));
            }
            return;
        };
        if !self.args.quiet {
            say(format_args!("resumed at sequence {}", resumed.sequence));
        }
        // What was lost meanwhile comes as the first event.
        self.format.notice(&Notice::Resumed { sequence: resumed.sequence }, self.out.buffer());
    }
}
