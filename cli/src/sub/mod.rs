//! `quoit sub`: the ring to standard output.

mod args;
mod format;
mod source;
mod tally;

use std::io;
use std::time::{Duration, Instant};

use quoit::{Event, Inspector, RecvError};

pub(crate) use self::args::Args;
use self::format::{Format, Notice};
use self::source::Source;
use self::tally::Tally;
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::signals::{self, Signals};

/// Somebody who waits looks this often for signals and for a reader that has gone.
const SLICE: Duration = Duration::from_millis(50);

/// Without a producer, how often to look for the next one.
const NO_PRODUCER: Duration = Duration::from_millis(10);

/// Write at least so much at once while there is more to receive.
const WRITE: u64 = 256 << 10;

const REMOVED: &str =
    "the ring's file was removed or replaced, and no producer has it open; start again on the new one";

pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let signals = Signals::install()?;
    let mut sub = Sub::open(&args, &signals)?;
    let result = sub.run();
    sub.tally.tell();
    // A reader that has seen enough wants no words about it either.
    let enough = result.as_ref().is_err_and(|error| Exit::of(error) == Exit::Done);
    if !args.quiet && !enough {
        sub.tally.summary();
    }
    result
}

/// How the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Records are at hand, or may be.
    Streaming,
    /// Everything received is written and released; waiting for more.
    Waiting,
    /// As before, and there is no producer.
    NoProducer { died: bool },
}

struct Sub<'a> {
    args: &'a Args,
    signals: &'a Signals,
    source: Source,
    out: Output,
    format: Format,
    tally: Tally,
    /// Write and release when so much is buffered.
    write_at: usize,
    /// Without `--follow` and its like: the end, the sequence that came next when we attached.
    until: Option<u64>,
    idle_since: Instant,
    /// Whether the end of the producer was told already.
    told_end: bool,
    /// Nothing can come any more; one last look is to be taken.
    last_look: bool,
}

impl<'a> Sub<'a> {
    fn open(args: &'a Args, signals: &'a Signals) -> anyhow::Result<Self> {
        let out = Output::stdout()?;
        let inspector = Inspector::open(&args.path)?;
        let source = Source::open(&args.path, args.attach().as_ref(), args.from)?;
        args.memory.tell(args.quiet, |memory| source.prepare(memory));
        let snapshot = inspector.snapshot()?;
        if args.goes_on() && snapshot.epoch == 0 && !args.quiet {
            say("no producer has opened the ring yet; waiting for one");
        }
        Ok(Self {
            args,
            signals,
            source,
            out,
            format: Format::of(args),
            tally: Tally::new(),
            // What is buffered is not released: the producer must have the better part of the ring meanwhile.
            write_at: WRITE.min(snapshot.capacity / 8) as usize,
            // Where the ring contradicts itself its end is not known; what is intact before that place is received
            // all the same, and then it is told.
            until: snapshot.corruption.is_none().then_some(snapshot.next_sequence),
            idle_since: Instant::now(),
            told_end: false,
            last_look: false,
        })
    }

    fn run(&mut self) -> anyhow::Result<Exit> {
        self.resumed();
        let mut flow = Flow::Streaming;
        loop {
            if let Some(exit) = self.ended(flow)? {
                self.write()?;
                return Ok(exit);
            }
            let now = match self.receive(flow) {
                Ok(true) => Flow::Streaming,
                Ok(false) => Flow::Waiting,
                Err(RecvError::Closed) => Flow::NoProducer { died: false },
                Err(RecvError::ProducerGone) => Flow::NoProducer { died: true },
                Err(error) => {
                    self.write()?;
                    return Err(error.into());
                }
            };
            if now != Flow::Streaming || self.out.buffered() >= self.write_at {
                self.write()?;
            }
            if (flow, now) == (Flow::Streaming, Flow::Waiting) {
                self.idle_since = Instant::now();
            }
            flow = now;
        }
    }

    /// Receives one event into the buffer; false when there is none.
    fn receive(&mut self, flow: Flow) -> Result<bool, RecvError> {
        let event = match flow {
            Flow::Streaming => self.source.try_recv()?,
            Flow::Waiting | Flow::NoProducer { .. } => self.source.recv_deadline(Instant::now() + SLICE)?,
        };
        let notice = match event {
            None => return Ok(false),
            Some(Event::Record(record)) => {
                self.tally.record(record.len());
                self.format.record(&record, self.out.buffer());
                return Ok(true);
            }
            Some(Event::Lost(loss)) => {
                self.tally.loss(&loss);
                Notice::lost(&loss)
            }
            Some(Event::Evicted) => {
                say("held the producer up for too long, and is lossy from here on");
                Notice::Evicted(true)
            }
            Some(Event::ProducerChanged { epoch }) => {
                if !self.args.quiet {
                    let which = if epoch == 1 { "a" } else { "another" };
                    say(format_args!("{which} producer has opened the ring (epoch {epoch})"));
                }
                self.told_end = false;
                Notice::ProducerChanged { epoch }
            }
        };
        self.format.notice(&notice, self.out.buffer());
        Ok(true)
    }

    /// Writes what is buffered, and only then lets go of it.
    fn write(&mut self) -> io::Result<()> {
        self.out.flush(self.signals)?;
        self.source.release();
        Ok(())
    }

    /// Whether to end now, and with which code.
    fn ended(&mut self, flow: Flow) -> anyhow::Result<Option<Exit>> {
        if self.signals.caught() {
            return Ok(Some(if self.args.follow { Exit::Done } else { self.signals.exit() }));
        }
        if self.args.fail_on_loss && self.tally.lost > 0 {
            self.write()?;
            let message = format!("lost {} records, and --fail-on-loss was given", self.tally.lost);
            return Err(Failure::new(Exit::Loss, message).into());
        }
        if self.args.count.is_some_and(|count| self.tally.records >= count) {
            return Ok(Some(Exit::Done));
        }
        if !self.args.goes_on() {
            let next = self.source.next_sequence();
            let caught_up = self.until.is_some_and(|until| until.wrapping_sub(next) as i64 <= 0);
            return Ok((caught_up || flow != Flow::Streaming).then_some(Exit::Done));
        }
        if flow == Flow::Streaming {
            return Ok(None);
        }
        self.tally.tell();
        if signals::reader_gone(self.out.fd()) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        if let Some(limit) = self.args.timeout
            && self.idle_since.elapsed() >= limit
        {
            let message = format!("nothing was received for {}", crate::units::time(limit));
            return Err(Failure::new(Exit::Timeout, message).into());
        }
        if let Flow::NoProducer { died } = flow {
            self.tell_end(died);
            match died {
                _ if !self.args.until_closed => {}
                true => return Err(RecvError::ProducerGone.into()),
                false => return Ok(Some(Exit::Done)),
            }
            self.signals.sleep(NO_PRODUCER)?;
        }
        // No other producer can open a file that has gone.
        if self.last_look {
            return match flow {
                Flow::NoProducer { died: false } => Ok(Some(Exit::Done)),
                _ => Err(Failure::new(Exit::ProducerGone, REMOVED).into()),
            };
        }
        self.last_look = self.source.is_stale() && !self.source.producer_alive();
        Ok(None)
    }

    fn tell_end(&mut self, died: bool) {
        if !self.told_end && !self.args.quiet {
            say(match died {
                true => "the producer has died; everything it had published was received",
                false => "the producer has closed the ring; everything was received",
            });
        }
        self.told_end = true;
    }

    fn resumed(&mut self) {
        let Some(resumed) = self.source.resumed() else { return };
        if !self.args.quiet {
            say(format_args!("resumed at sequence {}", resumed.sequence));
        }
        // What was lost meanwhile comes as the first event.
        self.format.notice(&Notice::Resumed { sequence: resumed.sequence }, self.out.buffer());
    }
}
