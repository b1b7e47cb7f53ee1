//! The parent: starts the children, follows the script, reads their reports, and draws the view.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use quoit::Inspector;

use super::board::{Board, Presence, Row};
use super::cast::Role;
use super::clock::now_ns;
use super::evidence::Evidence;
use super::parent::{LOOK, PATIENCE, Parent};
use super::script::{Cue, Script};
use super::stage::{ActorId, Heard, Stage};
use super::text::Tone;
use super::view::View;
use super::wire::{Line, Order};
use crate::signals::Signals;

/// The running demo.
pub(crate) struct Show {
    stage: Stage,
    inspector: Inspector,
    script: Script,
    pub(crate) board: Board,
    pub(crate) view: View,
    origin: u64,
    started: Instant,
    drawn: Instant,
    /// The present process of each role.
    cast: Vec<(Role, ActorId)>,
    left: Option<Instant>,
    away: Duration,
    successor_ns: u64,
}

impl Show {
    pub(crate) fn new(stage: Stage, script: Script, total: Duration, view: View) -> Result<Self> {
        let inspector = Inspector::open(stage.ring())?;
        let snapshot = inspector.snapshot()?;
        let origin = snapshot.next_sequence;
        let board = Board::new(stage.ring(), total, stage.rate(), snapshot);
        let now = Instant::now();
        Ok(Self {
            stage,
            inspector,
            script,
            board,
            view,
            origin,
            started: now,
            drawn: now,
            cast: Vec::new(),
            left: None,
            away: Duration::ZERO,
            successor_ns: 0,
        })
    }

    /// Runs it to its end. A signal or a key ends it with a [`Failure`](crate::exit::Failure).
    pub(crate) fn play(&mut self, signals: &Signals) -> Result<()> {
        self.gather(signals)?;
        self.started = Instant::now();
        self.board.note(Tone::Plain, "all attached, the producer starts");
        loop {
            self.board.elapsed = self.started.elapsed();
            match self.script.due(self.board.elapsed) {
                Some(Cue::End) => break,
                Some(cue) => self.act(cue)?,
                None => {
                    let idle = self.script.idle(self.board.elapsed).unwrap_or(LOOK);
                    self.step(signals, idle)?;
                }
            }
        }
        self.finish(signals)?;
        self.draw()
    }

    /// Starts every child. The producer starts last, so that all the others see its first tick.
    fn gather(&mut self, signals: &Signals) -> Result<()> {
        let unwell = |show: &Self| !show.board.mishaps.is_empty();
        for role in Role::CONSUMERS {
            self.enter(role)?;
        }
        let here = |row: &Row| row.presence == Presence::Here;
        let seated = self.until(signals, |show| unwell(show) || show.board.rows.iter().all(here))?;
        self.enter(Role::Producer)?;
        let complete = self.until(signals, |show| unwell(show) || show.board.complete())?;
        if !seated || !complete || unwell(self) {
            let told: Vec<_> = self.board.log.iter().map(|entry| entry.text.as_str()).collect();
            bail!("the demo's processes did not all come: {}", told.join("; "));
        }
        Ok(())
    }

    /// Lets every child read to the end and leave.
    fn finish(&mut self, signals: &Signals) -> Result<()> {
        self.board.note(Tone::Plain, "the producer closes the ring, everybody reads to the end");
        self.order(Role::Producer, Order::End);
        let closed = self.until(signals, |show| show.board.producer != Presence::Here)?;
        for role in Role::CONSUMERS {
            self.order(role, Order::End);
        }
        let gone = |row: &Row| row.presence != Presence::Here;
        if !self.until(signals, |show| show.board.rows.iter().all(gone))? || !closed {
            self.board.mishap(format!("somebody still ran {} s after the end", PATIENCE.as_secs()));
        }
        Ok(())
    }

    /// The input of the verdict. The ring and the children end with it.
    pub(crate) fn close(self) -> Result<(Board, Evidence)> {
        let Self { stage, inspector, mut board, view, origin, away, successor_ns, .. } = self;
        drop(view);
        board.snapshot = inspector.snapshot()?;
        drop(stage);
        let first_tick = board.reigns.get(1).and_then(|reign| reign.first_tick_ns);
        let evidence = Evidence {
            origin,
            ring_records: board.snapshot.records,
            ring_bytes: board.snapshot.bytes,
            reigns: board.reigns.clone(),
            witnesses: board.rows.iter().map(|row| row.witness.clone()).collect(),
            away,
            takeover: first_tick.map(|first| Duration::from_nanos(first.saturating_sub(successor_ns))),
            mishaps: board.mishaps.clone(),
        };
        Ok((board, evidence))
    }

    fn enter(&mut self, role: Role) -> Result<()> {
        let id = self.stage.enter(role)?;
        self.cast.retain(|(other, _)| *other != role);
        self.cast.push((role, id));
        Ok(())
    }

    fn player(&self, role: Role) -> Option<ActorId> {
        self.cast.iter().find(|(other, _)| *other == role).map(|(_, id)| *id)
    }

    fn order(&mut self, role: Role, order: Order) {
        if let Some(id) = self.player(role) {
            self.stage.order(id, order);
        }
    }

    fn act(&mut self, cue: Cue) -> Result<()> {
        match cue {
            Cue::StallDeadline => {
                self.order(Role::Deadline, Order::Stall);
                let name = Role::Deadline.name();
                self.board.note(
                    Tone::Plain,
                    format!("{name} is made to stand still, and the ring fills up behind it"),
                );
            }
            Cue::DeadlineGoesOn => self.order(Role::Deadline, Order::GoOn),
            Cue::KillGated => self.kill(Role::Gated)?,
            Cue::ResumeGated => self.enter(Role::Gated)?,
            Cue::FlatOut => {
                self.order(Role::Producer, Order::FlatOut);
                self.board.note(Tone::Plain, "the producer goes flat out");
            }
            Cue::KillProducer => self.kill(Role::Producer)?,
            Cue::Successor => {
                self.successor_ns = now_ns();
                self.enter(Role::Producer)?;
            }
            Cue::End => {}
        }
        Ok(())
    }

    /// Kills a child, and reads what it had reported before it counts as dead.
    fn kill(&mut self, role: Role) -> Result<()> {
        let here = match role {
            Role::Producer => self.board.producer == Presence::Here,
            _ => self.board.row(role).is_some_and(|row| row.presence == Presence::Here),
        };
        // A child that is gone already is an error, and is noted.
        let (true, Some(id)) = (here, self.player(role)) else {
            return Ok(());
        };
        let pid = self.stage.pid(id);
        self.stage.kill(id)?;
        let dead = Instant::now();
        while dead.elapsed() < PATIENCE {
            match self.stage.hear(LOOK) {
                Some((other, Heard::Ended)) if other == id => break,
                Some((other, heard)) => self.heard(other, heard),
                None => {}
            }
        }
        if role == Role::Gated {
            self.left = Some(dead);
        }
        self.board.killed(role, pid, self.stage.journal(id));
        Ok(())
    }

    fn heard(&mut self, id: ActorId, heard: Heard) {
        let role = self.stage.role(id);
        match heard {
            Heard::Line(line) => {
                let attached = matches!(line, Line::Attached { .. });
                self.board.hear(role, line);
                if attached && let Some(left) = self.left.take() {
                    self.away = left.elapsed();
                }
            }
            Heard::Complaint(text) => self.board.note(Tone::Dim, format!("{}: {text}", role.name())),
            Heard::Ended => {
                let well = self.stage.farewell(id);
                let said_so = match role {
                    Role::Producer => self.board.producer == Presence::Ended,
                    _ => self.board.row(role).is_some_and(|row| row.presence == Presence::Ended),
                };
                if !well || !said_so {
                    self.board.mishap(format!("{} ended by itself", role.name()));
                    self.left = (role == Role::Gated).then(Instant::now).or(self.left);
                    self.board.gone(role, self.stage.journal(id));
                }
            }
        }
    }
}

impl Parent for Show {
    fn is_quit(&mut self) -> Result<bool> {
        Ok(self.view.quit()?)
    }

    fn hear_one(&mut self, time: Duration) {
        if let Some((id, heard)) = self.stage.hear(time) {
            self.heard(id, heard);
        }
    }

    fn drawn(&self) -> Instant {
        self.drawn
    }

    fn draw(&mut self) -> Result<()> {
        self.drawn = Instant::now();
        if self.board.look(self.inspector.snapshot()?) {
            self.script.gate_lost(self.board.elapsed, self.board.total);
        }
        self.view.draw(&self.board)?;
        Ok(())
    }
}
