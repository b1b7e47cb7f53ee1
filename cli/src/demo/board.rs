//! The state of the demo so far: input of the views and of the verdict.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use hdrhistogram::Histogram;
use quoit::Snapshot;

use super::cast::{DEADLINE, Role};
use super::evidence::{Life, Reign, Witness};
use super::ledger::Ledger;
use super::text::{Tone, histogram};
use super::tick;
use super::wire::{Line, Reading};
use crate::units::{bytes, count};

/// Reports that make up a shown rate or percentile: about one second.
const WINDOW: usize = 10;

/// The phase of a process's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Coming,
    Here,
    Killed,
    Ended,
}

/// Progress over the last second.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    marks: VecDeque<(u64, u64)>,
}

impl Meter {
    fn mark(&mut self, at_ns: u64, total: u64) {
        self.marks.push_back((at_ns, total));
        if self.marks.len() > WINDOW + 1 {
            self.marks.pop_front();
        }
    }

    pub(crate) fn per_second(&self) -> u64 {
        let (Some((from_ns, from)), Some((to_ns, to))) = (self.marks.front(), self.marks.back()) else {
            return 0;
        };
        let nanos = u128::from(to_ns.saturating_sub(*from_ns));
        (u128::from(to.saturating_sub(*from)) * 1_000_000_000).checked_div(nanos).unwrap_or(0) as u64
    }

    /// The same over the last two reports.
    fn latest(&self) -> u64 {
        let marks = self.marks.iter().rev().take(2).rev().copied().collect();
        Self { marks }.per_second()
    }

    fn clear(&mut self) {
        self.marks.clear();
    }
}

/// A consumer as shown.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) witness: Witness,
    pub(crate) presence: Presence,
    pub(crate) gate_lost: bool,
    pub(crate) rate: Meter,
    pub(crate) lag: u64,
    recent: VecDeque<Vec<(u64, u64)>>,
    /// Ages over all lives.
    pub(crate) ages: Histogram<u64>,
}

impl Row {
    fn new(role: Role) -> Self {
        Self {
            witness: Witness { role, lives: Vec::new() },
            presence: Presence::Coming,
            gate_lost: false,
            rate: Meter::default(),
            lag: 0,
            recent: VecDeque::new(),
            ages: histogram(),
        }
    }

    /// Ages over the last second.
    pub(crate) fn recent_ages(&self) -> Histogram<u64> {
        let mut ages = histogram();
        for (age, times) in self.recent.iter().flatten() {
            ages.saturating_record_n(*age, *times);
        }
        ages
    }

    fn read(&mut self, reading: Reading) {
        self.rate.mark(reading.at_ns, reading.ledger.delivered);
        self.lag = reading.lag;
        for (age, times) in &reading.ages {
            self.ages.saturating_record_n(*age, *times);
        }
        self.recent.push_back(reading.ages);
        if self.recent.len() > WINDOW {
            self.recent.pop_front();
        }
        if let Some(life) = self.witness.lives.last_mut() {
            life.ledger = reading.ledger;
            life.finished = reading.done;
        }
        if reading.done {
            self.presence = Presence::Ended;
        }
    }
}

/// An event worth reporting.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Duration,
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) ring: PathBuf,
    pub(crate) total: Duration,
    /// Ticks per second that the producer is asked for.
    pub(crate) asked_rate: u64,
    pub(crate) elapsed: Duration,
    pub(crate) snapshot: Snapshot,
    pub(crate) producer: Presence,
    pub(crate) rate: Meter,
    pub(crate) reigns: Vec<Reign>,
    pub(crate) rows: Vec<Row>,
    pub(crate) log: Vec<Entry>,
    pub(crate) mishaps: Vec<String>,
}

impl Board {
    /// Children at a time.
    pub(crate) const PROCESSES: usize = 5;

    pub(crate) fn new(ring: PathBuf, total: Duration, asked_rate: u64, snapshot: Snapshot) -> Self {
        Self {
            ring,
            total,
            asked_rate,
            elapsed: Duration::ZERO,
            snapshot,
            producer: Presence::Coming,
            rate: Meter::default(),
            reigns: Vec::new(),
            rows: Role::CONSUMERS.map(Row::new).into(),
            log: Vec::new(),
            mishaps: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, role: Role) -> Option<&mut Row> {
        self.rows.iter_mut().find(|row| row.witness.role == role)
    }

    pub(crate) fn note(&mut self, tone: Tone, text: impl Into<String>) {
        self.log.push(Entry { at: self.elapsed, tone, text: text.into() });
    }

    /// An event that breaks a guarantee by itself.
    pub(crate) fn mishap(&mut self, what: String) {
        self.note(Tone::Bad, what.clone());
        self.mishaps.push(what);
    }

    /// Is the producer publishing, and is every consumer attached?
    pub(crate) fn complete(&self) -> bool {
        self.rows.iter().all(|row| row.presence == Presence::Here) && self.producer == Presence::Here
    }

    /// Processes a line from a child.
    pub(crate) fn hear(&mut self, role: Role, line: Line) {
        match line {
            Line::Opened { next, epoch } => self.opened(next, epoch),
            Line::Writing(writing) => {
                self.rate.mark(writing.at_ns, writing.next);
                if writing.done {
                    self.producer = Presence::Ended;
                }
                if let Some(reign) = self.reigns.last_mut() {
                    reign.next = writing.next;
                    reign.longest_wait = Duration::from_nanos(writing.longest_wait_ns);
                    reign.finished = writing.done;
                    if writing.first_ns != 0 {
                        reign.first_tick_ns = Some(writing.first_ns);
                    }
                }
            }
            Line::Attached { next, resumed } => self.attached(role, next, resumed),
            Line::Reading(reading) => {
                if let Some(row) = self.row(role) {
                    row.read(reading);
                }
            }
            Line::Evicted { lost } => {
                if let Some(row) = self.row(role) {
                    row.gate_lost = true;
                    if let Some(life) = row.witness.lives.last_mut() {
                        life.evictions += 1;
                    }
                }
                self.note(
                    Tone::Warn,
                    format!(
                        "{} goes on and is told: its gate is lost, and {} ticks",
                        role.name(),
                        count(lost)
                    ),
                );
            }
            Line::Changed(change) => {
                if let Some(life) = self.row(role).and_then(|row| row.witness.lives.last_mut()) {
                    life.changes.push(change);
                }
            }
            Line::Broken { what } => self.mishap(format!("{}: {what}", role.name())),
        }
    }

    fn opened(&mut self, next: u64, epoch: u64) {
        self.producer = Presence::Here;
        if !self.reigns.is_empty() {
            self.note(
                Tone::Good,
                format!("a new producer took over: epoch {epoch}, the sequence goes on at {}", count(next)),
            );
        }
        self.reigns.push(Reign { epoch, first: next, next, ..Reign::default() });
    }

    fn attached(&mut self, role: Role, next: u64, resumed: Option<u64>) {
        let Some(row) = self.row(role) else {
            return;
        };
        row.presence = Presence::Here;
        let before = row.witness.lives.last().map(|life| life.ledger.next);
        row.witness.lives.push(Life::starting_at(next, resumed));
        if let Some(before) = before {
            let missed = next.saturating_sub(before);
            let (tone, fate) = if missed == 0 {
                (Tone::Good, "nothing missed".to_owned())
            } else {
                (Tone::Bad, format!("{} missed", count(missed)))
            };
            self.note(tone, format!("{} resumed under its name at {}: {fate}", role.name(), count(next)));
        }
    }

    /// Where the ring is, how large it is, and its file system.
    pub(crate) fn place(&self) -> String {
        format!("{}, {}", self.ring.display(), bytes(self.snapshot.capacity))
    }

    /// About how many ticks the ring holds.
    pub(crate) fn capacity_ticks(&self) -> u64 {
        self.snapshot.capacity / tick::mean_footprint()
    }

    /// Processes the ring's present state. True: the consumer with a budget has lost its gate.
    pub(crate) fn look(&mut self, snapshot: Snapshot) -> bool {
        let gate_lost = snapshot.evictions > self.snapshot.evictions;
        if gate_lost {
            let (held, name) = (DEADLINE.as_millis(), Role::Deadline.name());
            self.note(
                Tone::Warn,
                format!("{name} had held the producer up for {held} ms: it went on without {name}"),
            );
        }
        self.snapshot = snapshot;
        gate_lost
    }

    /// A process has ended. A consumer's journal says what it had received.
    pub(crate) fn gone(&mut self, role: Role, journal: Option<Ledger>) {
        let Some(row) = self.row(role) else {
            self.producer = Presence::Killed;
            self.rate.clear();
            return;
        };
        row.presence = Presence::Killed;
        row.rate.clear();
        row.recent.clear();
        if let (Some(life), Some(ledger)) = (row.witness.lives.last_mut(), journal) {
            life.ledger = ledger;
        }
    }

    /// Reports a kill that the script requested.
    pub(crate) fn killed(&mut self, role: Role, pid: u32, journal: Option<Ledger>) {
        let what = match self.row(role).and_then(|row| row.witness.lives.last()) {
            Some(life) => {
                let seen = journal.map_or(life.ledger.next, |ledger| ledger.next);
                format!("{}, the gated one; its journal ends at {}", role.name(), count(seen))
            }
            None => format!("the producer, in the middle of {} ticks/s", count(self.rate.latest())),
        };
        self.note(Tone::Bad, format!("kill -9 {pid}: {what}"));
        self.gone(role, journal);
    }
}
