//! Creators interrupted: the result is no ring or a complete one, and never anything else in the directory.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use nix::unistd::Pid;
use quoit::{Attach, Consumer, Error, Event, Inspector, Producer};
use support::offsets;

use super::Points;
use super::notes::Notes;
use super::ops::{Act, Op};
use super::plan::Plan;
use super::scene::known;
use super::stage::{Stage, Word, entries};
use super::states::State;
use super::sweep::{Totals, Track};
use super::victim::Victim;
use crate::adopt::adopt;
use crate::tracee::{Stop, Tracee};

const OP: &str = "create";

pub(crate) fn sweep(stage: &Stage, state: &State, points: Points, totals: &mut Totals) -> Result<()> {
    let births = Births { stage, state };
    let mut child = births.begin()?;
    let path = stage.nursery().join("ring");
    let (pid, mut unborn, mut bytes) = (child.pid(), None, Vec::new());
    let track = Track::follow(&mut child, || {
        // Through the maker's descriptor, since nobody else sees a file without a name; and with the name, since
        // getting it is a change.
        let mut now = vec![u8::from(path.exists())];
        unborn = unborn.take().or_else(|| births.unborn(pid));
        if let Some(mut file) = unborn.as_ref() {
            file.seek(SeekFrom::Start(0))?;
            file.read_to_end(&mut now)?;
        }
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

    /// The file that the victim has made, named or not, opened through its descriptor.
    fn unborn(&self, pid: Pid) -> Option<File> {
        let nursery = self.stage.nursery();
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        descriptors
            .flatten()
            .filter(|entry| {
                let target = std::fs::read_link(entry.path()).unwrap_or_default();
                target.parent() == Some(&nursery)
            })
            .find_map(|entry| File::open(entry.path()).ok())
    }

    /// Whoever came upon the file that the victim holds, with a name or without, may take it for a ring only if it
    /// is one, whole: the magic number comes last.
    fn half_made(&self, pid: Pid, totals: &mut Totals) -> Result<()> {
        let Some(file) = self.unborn(pid) else { return Ok(()) };
        let mut magic = [0; 8];
        let begun = file.read_at(&mut magic, 0)? == magic.len() && magic != [0; 8];
        // A copy, which has a name and no locks: what the file says of itself is judged, and nothing else.
        let copy = self.stage.nursery().with_extension("unborn");
        std::io::copy(&mut &file, &mut File::create(&copy)?)?;
        // What the file says of its own place has to be right; the copy has another.
        let (own, mut said) = (file.metadata()?, [0; 16]);
        let says =
            file.read_at(&mut said, offsets::FILE)? == said.len() && said[..8] == own.dev().to_le_bytes();
        if begun && says && said[8..] == own.ino().to_le_bytes() {
            adopt(&copy)?;
        }
        let judged = match (begun, Inspector::open(&copy).map(drop)) {
            (false, Err(_)) => Ok(()),
            (false, Ok(())) => Err(anyhow!("a half-made file is a ring without its magic number")),
            (true, Err(error)) => Err(error).context("a half-made file has its magic number"),
            (true, Ok(())) => self.works(&copy).context("a half-made file is accepted as a ring"),
        };
        std::fs::remove_file(&copy)?;
        totals.checks += 1;
        judged
    }

    /// A ring of this state's shape in which nothing was ever published.
    fn works(&self, path: &Path) -> Result<()> {
        let mut producer = Producer::open(path)?;
        let first = self.state.shape.origin.1;
        ensure!(producer.next_sequence() == first, "it begins with {:#x}", producer.next_sequence());
        let mut consumer = Consumer::open(path, &Attach::gated())?;
        ensure!(producer.try_send(b"the first") == Ok(first), "the first record");
        let received =
            matches!(consumer.try_recv()?, Some(Event::Record(record)) if record.to_vec() == b"the first");
        ensure!(received, "the first record comes out");
        Ok(())
    }

    fn aftermath(&self, totals: &mut Totals) -> Result<()> {
        let nursery = self.stage.nursery();
        let path = nursery.join("ring");
        let before = entries(&nursery)?;
        ensure!(before.is_empty() || before == ["ring"], "stray files: {before:?}");
        if before.is_empty() {
            drop(Producer::create(&path, &self.state.shape.options())?);
        }
        self.works(&path)?;
        std::fs::remove_file(&path)?;
        let after = entries(&nursery)?;
        ensure!(after.is_empty(), "stray files: {after:?}");
        totals.checks += 5;
        Ok(())
    }
}
