//! The private directory with the ring in it, and the child processes. Both are removed on drop.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use quoit::Options;

use super::cast::Role;
use super::ledger::{Journal, Ledger};
use super::room::Room;
pub(crate) use super::troupe::ActorId;
use super::troupe::{self, Troupe};
use super::wire::{Line, Order};

/// Output of a child.
pub(crate) type Heard = troupe::Heard<Line>;

/// Children first, then the directory.
pub(crate) struct Stage {
    troupe: Troupe<Role, Line>,
    room: Room,
    rate: u64,
}

impl Stage {
    /// Creates the directory and the ring.
    pub(crate) fn new(capacity: u64, rate: u64) -> Result<Self> {
        let ring = Options::new().capacity(capacity);
        let room = Room::furnish(|directory| ring.create(directory.join(RING)).map(drop))?;
        Ok(Self { troupe: Troupe::new(), room, rate })
    }

    pub(crate) fn ring(&self) -> PathBuf {
        self.room.path().join(RING)
    }

    pub(crate) fn rate(&self) -> u64 {
        self.rate
    }

    fn journal_of(&self, id: ActorId) -> PathBuf {
        self.room.path().join(format!("journal-{}", id.0))
    }

    /// Starts a child of this binary in the role.
    pub(crate) fn enter(&mut self, role: Role) -> Result<ActorId> {
        let journal = self.journal_of(self.troupe.next());
        let value = role.to_possible_value().context("the role has no name")?;
        let (rate, ring) = (self.rate.to_string(), self.ring());
        self.troupe.enter(role, "demo-child", |command| {
            command.args([value.get_name(), "--rate", &rate, "--ring"]).arg(ring);
            if role == Role::Gated {
                command.arg("--journal").arg(&journal);
            }
        })
    }

    /// What a child reported within that time, if anything.
    pub(crate) fn hear(&self, time: Duration) -> Option<(ActorId, Heard)> {
        self.troupe.hear(time)
    }

    pub(crate) fn role(&self, id: ActorId) -> Role {
        self.troupe.role(id)
    }

    pub(crate) fn pid(&self, id: ActorId) -> u32 {
        self.troupe.pid(id)
    }

    /// Sends an order. Ignores a child that is gone; its end is noticed elsewhere.
    pub(crate) fn order(&mut self, id: ActorId, order: Order) {
        self.troupe.order(id, order);
    }

    /// `kill -9`, then waits for the process to end.
    pub(crate) fn kill(&mut self, id: ActorId) -> Result<()> {
        self.troupe.kill(id)
    }

    /// Waits for a child that has sent its last report. Returns whether it ended well.
    pub(crate) fn farewell(&mut self, id: ActorId) -> bool {
        self.troupe.farewell(id)
    }

    /// What the child had written into its journal.
    pub(crate) fn journal(&self, id: ActorId) -> Option<Ledger> {
        Journal::read(&self.journal_of(id))
    }
}

const RING: &str = "ticks.ring";
