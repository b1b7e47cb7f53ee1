//! Creators interrupted: either there is no ring, or a whole one; and never anything else in the directory.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use nix::unistd::Pid;
use quoit::{Attach, Consumer, Error, Event, Inspector, Producer};

use super::Points;
use super::ops::{Act, Op, Plan, Victim};
use super::scene::known;
use super::stage::{Stage, Word, entries};
use super::states::{Notes, State};
use super::sweep::{Totals, Track};
use crate::tracee::{Stop, Tracee};

const OP: &str = "create";

pub(crate) fn sweep(stage: &Stage, state: &State, points: Points, totals: &mut Totals) -> Result<()> {
    let births = Births { stage, state };
    let mut child = births.begin()?;
    let path = stage.nursery().join("ring");
    let (pid, mut unborn, mut bytes) = (child.pid(), None, Vec::new());
    let track = Track::follow(&mut child, || {
        let mut now = std::fs::read(&path).unwrap_or_default();
        // The file without a name is seen by nobody, but its first page tells how far it is.
        unborn = unborn.take().or_else(|| births.unborn(pid));
        let mut page = [0; 4096];
        if let Some(file) = &unborn {
            file.read_at(&mut page, 0)?;
        }
        now.extend_from_slice(&page);
        let changed = now != bytes;
        bytes = now;
        Ok(changed)
    })?;
    // Victims inherit what is open here, and would be taken for the makers of this one.
    drop(unborn);
    ensure!(child.resume()? == Stop::Mark, "the second mark");
    ensure!(child.resume()? == Stop::Mark, "the creation did not end as it should");
    child.kill()?;
    ensure!(path.exists(), "nothing was created");
    births.aftermath(totals)?;
    totals.swept(OP, track.instructions, track.groups.len() as u64);
    totals.steps += track.instructions;
    let again = |point: u64| format!("--only {OP}:{}:{point}", state.name);
    for point in track.points(points) {
        let killed = births.begin().and_then(|mut child| {
            totals.steps += track.advance(&mut child, point)?;
            births.half_made(child.pid(), totals)?;
            child.kill()?;
            births.aftermath(totals)
        });
        totals.killed(OP);
        if let Err(error) = killed {
            totals.failures.push(format!("killed: {error:#}; {}", again(point)));
        }
    }
    for point in if matches!(points, Points::Count) { Vec::new() } else { track.groups.clone() } {
        let stopped = births.begin().and_then(|mut child| {
            totals.steps += track.advance(&mut child, point)?;
            stage.board.set(Word::LetGo, 1);
            let child = child.leave_stopped()?;
            if path.exists() {
                let refused = matches!(Producer::open(&path), Err(Error::ProducerAlive { .. }));
                ensure!(refused, "a stopped creator was taken over");
            }
            child.go_on()?;
            child.finish()?;
            ensure!(path.exists(), "nothing was created after SIGCONT");
            births.aftermath(totals)
        });
        totals.stopped(OP);
        if let Err(error) = stopped {
            totals.failures.push(format!("stopped: {error:#}; {}", again(point)));
        }
    }
    Ok(())
}

struct Births<'a> {
    stage: &'a Stage,
    state: &'a State,
}

impl Births<'_> {
    fn begin(&self) -> Result<Tracee> {
        let path = self.stage.nursery().join("ring");
        let _ = std::fs::remove_file(&path);
        self.stage.board.set(Word::LetGo, 0);
        let (notes, sent) = (Notes::default(), known(self.state, &Notes::default()));
        let op = Op { name: OP, act: Act::Create };
        let Some(plan) = op.plan(self.state, &notes, &sent) else { anyhow::bail!("no plan") };
        let plan: Plan = plan;
        let board = &self.stage.board;
        let shape = self.state.shape;
        Tracee::start(move || {
            Victim { op, plan: &plan, notes: &notes, shape, sent, blocked: false, path, board }.play();
        })
    }

    /// The file that the victim has made and not named, opened through its descriptor.
    fn unborn(&self, pid: Pid) -> Option<File> {
        let nursery = self.stage.nursery();
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        descriptors
            .flatten()
            .filter(|entry| {
                let target = std::fs::read_link(entry.path()).unwrap_or_default();
                target.starts_with(&nursery) && target.to_string_lossy().ends_with("(deleted)")
            })
            .find_map(|entry| File::open(entry.path()).ok())
    }

    /// Whoever came upon a file that has no name yet would take it for a ring only if it is one, whole: the magic
    /// number comes last.
    fn half_made(&self, pid: Pid, totals: &mut Totals) -> Result<()> {
        let Some(file) = self.unborn(pid) else { return Ok(()) };
        let mut magic = [0; 8];
        if file.read_at(&mut magic, 0)? < magic.len() || magic == [0; 8] {
            return Ok(());
        }
        let copy = self.stage.nursery().with_extension("unborn");
        std::io::copy(&mut &file, &mut File::create(&copy)?)?;
        let opened = Inspector::open(&copy).map(drop);
        std::fs::remove_file(&copy)?;
        totals.checks += 1;
        opened.context("a half-made file has its magic number")
    }

    fn aftermath(&self, totals: &mut Totals) -> Result<()> {
        let nursery = self.stage.nursery();
        let path = nursery.join("ring");
        let before = entries(&nursery)?;
        ensure!(before.is_empty() || before == ["ring"], "stray files: {before:?}");
        let options = self.state.shape.options();
        let mut producer = match before.is_empty() {
            true => Producer::create(&path, &options)?,
            false => Producer::open(&path)?,
        };
        let first = self.state.shape.origin.1;
        ensure!(producer.next_sequence() == first, "it begins with {:#x}", producer.next_sequence());
        let mut consumer = Consumer::open(&path, &Attach::gated())?;
        ensure!(producer.try_send(b"the first") == Ok(first), "the first record");
        let received =
            matches!(consumer.try_recv()?, Some(Event::Record(record)) if record.to_vec() == b"the first");
        ensure!(received, "the first record comes out");
        drop(consumer);
        drop(producer);
        std::fs::remove_file(&path)?;
        let after = entries(&nursery)?;
        ensure!(after.is_empty(), "stray files: {after:?}");
        totals.checks += 5;
        Ok(())
    }
}
