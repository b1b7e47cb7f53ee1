//! `quoit sub --group`: a member of a group. A record is acknowledged once it was written to standard output, or once a command
//! has done it.

use std::io::Write;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use quoit::{Group, GroupError, GroupEvent, GroupMember, Hold, JobId, Lost, Options, RecvError, Ring};

use super::args::Args;
use super::format::{Format, Notice};
use super::{NO_PRODUCER, SLICE};
use crate::exit::{Exit, Failure};
use crate::output::{Output, say};
use crate::signals::{self, Signals, Woken};
use crate::turn::Turn;
use crate::units::{self, plain};

/// Records that are written and acknowledged together.
const TOGETHER: u32 = 32;

/// After a command has failed, before the next record is taken: it may be the same one.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// How often a record that cannot be put aside is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

pub(super) fn run(args: &Args, signals: &Signals, name: &str) -> anyhow::Result<Exit> {
    let group = group(args, name)?;
    let turn =
        Turn { path: &args.path, ring: args.wait_for_ring, place: args.wait_for_turn, quiet: args.quiet };
    let member = turn.open(signals, || GroupMember::join(&args.path, &group))?;
    let mut worker = Worker {
        args,
        signals,
        member,
        out: Output::stdout(),
        format: Format::of(args),
        done: 0,
        back: 0,
        lost: 0,
        idle_since: Instant::now(),
        has_told_end: false,
        told_aside: None,
    };
    let result = worker.run();
    if !args.quiet {
        worker.summary();
    }
    result
}

/// The group, as the command line says.
fn group(args: &Args, name: &str) -> anyhow::Result<Group> {
    let mut group = Group::new(name).start(args.start());
    if let Some(budget) = args.gated_for {
        group = group.gated_for(budget);
    } else if args.lossy {
        group = group.lossy();
    }
    group = match args.hold {
        None => group,
        Some(Hold::For(time)) => group.hold(time),
        Some(_) => group.hold_forever(),
    };
    if let (Some(most), Some(path)) = (args.max_deliveries, &args.dead_letters) {
        let dead = Ring::open_or_create(path, &Options::new())?;
        group = group.max_deliveries(most.get(), &dead);
    }
    Ok(group)
}

struct Worker<'a> {
    args: &'a Args,
    signals: &'a Signals,
    member: GroupMember,
    out: Output,
    format: Format,
    done: u64,
    back: u64,
    lost: u64,
    idle_since: Instant,
    has_told_end: bool,
    told_aside: Option<Instant>,
}

/// A record to be done.
struct Task {
    id: JobId,
    deliveries: u32,
    payload: Vec<u8>,
}

impl Worker<'_> {
    fn run(&mut self) -> anyhow::Result<Exit> {
        loop {
            if self.signals.caught() {
                return Ok(self.cut_short());
            }
            if self.args.fail_on_loss && self.lost > 0 {
                let message = format!("lost {}, and --fail-on-loss was given", plain(self.lost, "record"));
                return Err(Failure::new(Exit::Loss, message).into());
            }
            let left = self.args.count.map_or(u64::MAX, |count| count.saturating_sub(self.done));
            if left == 0 {
                return Ok(Exit::Done);
            }
            let received = match &self.args.ack_after {
                Some(command) => self.do_one(command),
                None => self.write_some(left),
            };
            let error = match received {
                Ok(()) => {
                    self.idle_since = Instant::now();
                    continue;
                }
                Err(error) => error,
            };
            if let Some(exit) = self.ended(error)? {
                return Ok(exit);
            }
        }
    }

    /// Writes what there is, and acknowledges it.
    fn write_some(&mut self, left: u64) -> anyhow::Result<()> {
        let most = left.min(TOGETHER.into()) as u32;
        let (mut ids, mut lost) = (Vec::new(), None);
        let (format, buffer) = (self.format, self.out.buffer());
        self.member.recv_up_to_deadline(most, Instant::now() + SLICE, |event| match event {
            GroupEvent::Job(job) => {
                format.record(job.record(), None, buffer);
                ids.push(job.id());
            }
            GroupEvent::Lost(told) => lost = Some(told),
            _ => {}
        })?;
        if let Some(lost) = lost {
            self.tell_loss(lost);
        }
        // What is not written is not acknowledged, and given back when this member leaves.
        self.out.flush(self.signals, &mut 0).context("could not write standard output")?;
        for id in ids {
            self.acknowledge(id)?;
        }
        Ok(())
    }

    /// Lets the command do the next record.
    fn do_one(&mut self, command: &str) -> anyhow::Result<()> {
        let task = match self.member.recv_deadline(Instant::now() + SLICE)? {
            GroupEvent::Job(job) => {
                Task { id: job.id(), deliveries: job.deliveries(), payload: job.record().to_vec() }
            }
            GroupEvent::Lost(lost) => {
                self.tell_loss(lost);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let status = perform(command, &task)?;
        if status.success() {
            return self.acknowledge(task.id);
        }
        if !self.args.quiet {
            let times = units::counted(task.deliveries.into(), "time");
            say(format_args!(
                "record {}, handed out {times}: the command ended with {status}; given back",
                task.id.sequence()
            ));
        }
        match self.member.nack(task.id) {
            Ok(()) => self.back += 1,
            Err(error) => self.tell_late(task.id, error)?,
        }
        if self.signals.sleep(AFTER_FAILURE)? == Woken::Signal {
            return Ok(());
        }
        Ok(())
    }

    fn acknowledge(&mut self, id: JobId) -> anyhow::Result<()> {
        match self.member.ack(id) {
            Ok(()) => self.done += 1,
            Err(error) => self.tell_late(id, error)?,
        }
        Ok(())
    }

    /// The record is not this member's any more, or something is wrong.
    fn tell_late(&self, id: JobId, error: GroupError) -> anyhow::Result<()> {
        match error {
            GroupError::NotLeased { .. } => {
                say(format_args!(
                    "record {}: its lease time was over, and others may do it, too",
                    id.sequence()
                ));
                Ok(())
            }
            error => Err(error.into()),
        }
    }

    fn tell_loss(&mut self, lost: Lost) {
        self.lost += lost.records;
        say(format_args!(
            "the group lost {} between sequences {} and {}",
            plain(lost.records, "record"),
            lost.first,
            lost.next
        ));
        let notice = Notice::GroupLost { records: lost.records, first: lost.first, next: lost.next };
        self.format.notice(&notice, self.out.buffer());
    }

    /// Whether to end now, since nothing was received.
    fn ended(&mut self, error: anyhow::Error) -> anyhow::Result<Option<Exit>> {
        let Some(told) = error.downcast_ref::<GroupError>() else { return Err(error) };
        let died = match told {
            GroupError::TimedOut => None,
            GroupError::Closed => Some(false),
            GroupError::ProducerGone => Some(true),
            GroupError::DeadLetter { .. } => {
                if self.told_aside.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                    say(told);
                    self.told_aside = Some(Instant::now());
                }
                return Ok(None);
            }
            _ => return Err(error),
        };
        if signals::reader_gone(self.out.fd()) {
            return Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into());
        }
        if !self.args.goes_on() {
            return Ok(Some(Exit::Done));
        }
        if let Some(limit) = self.args.timeout
            && self.idle_since.elapsed() >= limit
        {
            let message = format!("nothing was received for {}", units::time(limit));
            return Err(Failure::new(Exit::Timeout, message).into());
        }
        match died {
            None => return Ok(None),
            Some(true) if self.args.until_closed => return Err(RecvError::ProducerGone.into()),
            Some(false) if self.args.until_closed => return Ok(Some(Exit::Done)),
            Some(died) if !std::mem::replace(&mut self.has_told_end, true) && !self.args.quiet => {
                let how = if died { "died" } else { "closed the ring" };
                say(format_args!(
                    "the producer has {how}; everything it had published is done, or with this member"
                ));
            }
            Some(_) => {}
        }
        let woken = self.signals.sleep(NO_PRODUCER)?;
        Ok((woken == Woken::Signal).then(|| self.cut_short()))
    }

    /// The exit code for a signal.
    fn cut_short(&self) -> Exit {
        if self.args.follow.is_some() { Exit::Done } else { self.signals.exit() }
    }

    fn summary(&self) {
        let lost =
            if self.lost > 0 { format!("; lost {}", plain(self.lost, "record")) } else { String::new() };
        let back =
            if self.back > 0 { format!(", gave back {}", plain(self.back, "record")) } else { String::new() };
        say(format_args!("acknowledged {}{back}{lost}", plain(self.done, "record")));
    }
}

/// Runs the command with the record as its input. A signal to quoit does not end it.
fn perform(command: &str, task: &Task) -> anyhow::Result<ExitStatus> {
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env("QUOIT_SEQUENCE", task.id.sequence().to_string())
        .env("QUOIT_DELIVERIES", task.deliveries.to_string())
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(Exit::CannotRun, format!("/bin/sh: could not run it: {error}")))?;
    if let Some(mut input) = child.stdin.take() {
        // A command may end without reading all of it: its exit code says whether that is well.
        let _ = input.write_all(&task.payload);
    }
    child.wait().context("could not wait for the command")
}
