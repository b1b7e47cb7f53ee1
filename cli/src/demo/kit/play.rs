//! The parent: makes the objects, starts the children, kills three of them, and reads what they say.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;
use quoit::Options;
use quoit::service::{Server, ServiceOptions};

use super::account::{Account, Witness};
use super::board::{Board, Presence};
use super::cast::{CAST, NEWCOMER, PARTY, Part, REPLACEMENT, RESETS, Role, SERVER, SUCCESSOR, WORKER};
use super::lines::Line;
use super::notes::Notes;
use super::serving::SERVICE;
use super::view::View;
use super::working::RING;
use crate::demo::clock::now_ns;
use crate::demo::parent::{LOOK, PATIENCE, Parent};
use crate::demo::room::Room;
use crate::demo::text::Tone;
use crate::demo::troupe::{ActorId, Heard, Troupe};
use crate::demo::wire::Order;
use crate::signals::Signals;

/// An action of the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cue {
    Kill(Part),
    Enter(Part),
    /// Once the replacement is there.
    Reset,
    End,
}

/// When what happens.
fn script(total: Duration) -> VecDeque<(Duration, Cue)> {
    let at = |part: f64| total.mul_f64(part);
    [
        (at(0.22), Cue::Kill(SERVER)),
        (at(0.26), Cue::Enter(SUCCESSOR)),
        (at(0.45), Cue::Kill(WORKER)),
        (at(0.49), Cue::Enter(NEWCOMER)),
        (at(0.68), Cue::Kill(PARTY)),
        (at(0.72), Cue::Enter(REPLACEMENT)),
        (at(0.76), Cue::Reset),
        (at(1.0), Cue::End),
    ]
    .into()
}

/// The running demo.
pub(crate) struct Show {
    troupe: Troupe<Part, Line>,
    room: Room,
    pub(crate) board: Board,
    pub(crate) view: View,
    cues: VecDeque<(Duration, Cue)>,
    actors: Vec<(Part, ActorId)>,
    drawn: Instant,
    end_ns: u64,
}

impl Show {
    pub(crate) fn new(total: Duration, view: View) -> Result<Self> {
        let room = Room::furnish(|directory| {
            Options::new().capacity(1 << 18).create(directory.join(RING))?;
            // The server comes later; a file of its own is what it needs.
            let options = ServiceOptions::new().clients(4).request_bytes(1 << 14).reply_bytes(1 << 14);
            Server::create(directory.join(SERVICE), &options).map(drop)
        })?;
        let board = Board::new(room.path().to_owned(), total);
        Ok(Self {
            troupe: Troupe::new(),
            room,
            board,
            view,
            cues: script(total),
            actors: Vec::new(),
            drawn: Instant::now(),
            end_ns: 0,
        })
    }

    /// Runs it to its end. A signal or a key ends it with a [`Failure`](crate::exit::Failure).
    pub(crate) fn play(&mut self, signals: &Signals) -> Result<()> {
        self.draw()?;
        for part in CAST {
            self.enter(part)?;
        }
        let is_complete = self.until(signals, |show| {
            show.board.nobody_is(Presence::Coming) || !show.board.mishaps.is_empty()
        })?;
        if !is_complete || !self.board.mishaps.is_empty() {
            let told: Vec<_> = self.board.log.iter().map(|entry| entry.text.as_str()).collect();
            bail!("the demo's processes did not all come: {}", told.join("; "));
        }
        self.board.note(Tone::Plain, "all are there: calls, records and phases begin");
        let began = Instant::now();
        loop {
            self.board.elapsed = began.elapsed();
            let Some((at, cue)) = self.cues.front().copied() else { break };
            match at.checked_sub(self.board.elapsed).filter(|idle| !idle.is_zero()) {
                Some(idle) => self.step(signals, idle)?,
                None => {
                    self.cues.pop_front();
                    self.act(signals, cue)?;
                }
            }
        }
        self.draw()
    }

    fn act(&mut self, signals: &Signals, cue: Cue) -> Result<()> {
        match cue {
            Cue::Kill(part) => self.kill(part),
            Cue::Enter(part) => {
                self.board.note(Tone::Good, format!("{} comes instead", part.name()));
                self.enter(part)
            }
            Cue::Reset => {
                let is_told =
                    |show: &Self| show.board.parts.get(&RESETS).is_some_and(|state| state.figures.other > 0);
                let is_here = |show: &Self| show.board.presence(REPLACEMENT) != Some(Presence::Coming);
                if !self.until(signals, |show| is_told(show) && is_here(show))? {
                    self.board.mishap("the barrier cannot be reset: somebody is missing".into());
                }
                self.board.note(Tone::Good, format!("{} resets the barrier", RESETS.name()));
                self.order(RESETS, Order::GoOn);
                Ok(())
            }
            Cue::End => self.finish(signals),
        }
    }

    /// Lets everybody end: first those that make work, then those that do it.
    fn finish(&mut self, signals: &Signals) -> Result<()> {
        self.board.note(Tone::Plain, "callers and feed stop, and what is left is done");
        self.board.is_ending = true;
        self.end_ns = now_ns();
        let is_gone = |show: &Self, role: Role| {
            let mut parts = show.board.parts.iter().filter(|(part, _)| part.role == role);
            parts.all(|(_, state)| matches!(state.presence, Presence::Killed | Presence::Done))
        };
        // Workers end with the ring.
        let mut is_well = true;
        for roles in [&[Role::Caller, Role::Feed, Role::Party][..], &[Role::Worker], &[Role::Server]] {
            let parts: Vec<Part> = self.actors.iter().map(|(part, _)| *part).collect();
            for part in parts.into_iter().filter(|part| roles.contains(&part.role)) {
                self.order(part, Order::End);
            }
            is_well &= self.until(signals, |show| roles.iter().all(|role| is_gone(show, *role)))?;
        }
        if !is_well {
            self.board.mishap(format!("somebody still ran {} s after the end", PATIENCE.as_secs()));
        }
        Ok(())
    }

    /// What everybody has noted. The objects and the children end with this.
    pub(crate) fn close(self) -> (Board, Account) {
        let Self { troupe, room, mut board, view, actors, end_ns, .. } = self;
        drop(view);
        drop(troupe);
        let mut witnesses = Vec::new();
        for (part, id) in actors {
            let notes = Notes::read(&notes_of(&room, id)).unwrap_or_else(|error| {
                board.mishap(format!("the notes of {} cannot be read: {error}", part.name()));
                Vec::new()
            });
            let presence = board.presence(part);
            witnesses.push(Witness {
                part,
                notes,
                was_killed: presence == Some(Presence::Killed),
                is_done: presence == Some(Presence::Done),
            });
        }
        let account = Account { witnesses, mishaps: board.mishaps.clone(), end_ns };
        (board, account)
    }

    fn enter(&mut self, part: Part) -> Result<()> {
        let notes = notes_of(&self.room, self.troupe.next());
        let role = part.role.to_possible_value();
        let role = role.as_ref().map_or("", |role| role.get_name()).to_owned();
        let directory = self.room.path().to_owned();
        let id = self.troupe.enter(part, "kit-child", |command| {
            command.args([role.as_str(), "--number", &part.number.to_string(), "--directory"]);
            command.arg(directory).arg("--notes").arg(notes);
        })?;
        self.actors.push((part, id));
        self.board.enter(part);
        Ok(())
    }

    fn actor(&self, part: Part) -> Option<ActorId> {
        self.actors.iter().find(|(other, _)| *other == part).map(|(_, id)| *id)
    }

    fn order(&mut self, part: Part, order: Order) {
        if let Some(id) = self.actor(part) {
            self.troupe.order(id, order);
        }
    }

    /// Kills a child, and reads what it had said before it counts as dead.
    fn kill(&mut self, part: Part) -> Result<()> {
        // A child that is gone already is an error, and is noted.
        let (Some(Presence::Here), Some(id)) = (self.board.presence(part), self.actor(part)) else {
            return Ok(());
        };
        let pid = self.troupe.pid(id);
        self.troupe.kill(id)?;
        self.board.note(Tone::Bad, format!("kill -9 {pid}: {}, in the middle of its work", part.name()));
        let dead = Instant::now();
        while dead.elapsed() < PATIENCE {
            match self.troupe.hear(LOOK) {
                Some((other, Heard::Ended)) if other == id => break,
                Some((other, heard)) => self.heard(other, heard),
                None => {}
            }
        }
        self.board.set(part, Presence::Killed);
        Ok(())
    }

    fn heard(&mut self, id: ActorId, heard: Heard<Line>) {
        let part = self.troupe.role(id);
        match heard {
            Heard::Line(line) => self.board.hear(part, line),
            Heard::Complaint(text) => self.board.note(Tone::Dim, format!("{}: {text}", part.name())),
            Heard::Ended => {
                let is_well = self.troupe.farewell(id);
                if !is_well || self.board.presence(part) != Some(Presence::Done) {
                    self.board.mishap(format!("{} ended by itself", part.name()));
                    self.board.set(part, Presence::Done);
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
        if let Some((id, heard)) = self.troupe.hear(time) {
            self.heard(id, heard);
        }
    }

    fn drawn(&self) -> Instant {
        self.drawn
    }

    fn draw(&mut self) -> Result<()> {
        self.drawn = Instant::now();
        Ok(self.view.draw(&self.board)?)
    }
}

fn notes_of(room: &Room, id: ActorId) -> std::path::PathBuf {
    room.path().join(format!("notes-{}", id.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::kit::cast::FEED;

    #[test]
    fn who_is_killed_is_there_and_replaced() {
        let script = script(Duration::from_secs(20));
        assert!(script.iter().zip(script.iter().skip(1)).all(|((before, _), (after, _))| before < after));
        for (_, cue) in &script {
            match cue {
                Cue::Kill(part) => assert!(CAST.contains(part)),
                Cue::Enter(part) => assert!(!CAST.contains(part)),
                Cue::Reset | Cue::End => {}
            }
        }
        let kills = script.iter().filter(|(_, cue)| matches!(cue, Cue::Kill(_))).count();
        let comes = script.iter().filter(|(_, cue)| matches!(cue, Cue::Enter(_))).count();
        assert_eq!((kills, comes, CAST.last()), (3, 3, Some(&FEED)));
    }
}
