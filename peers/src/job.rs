//! What processes can be asked to measure together.

use anyhow::Result;
use quoit_floors::copies::copies;
use quoit_floors::figures::Figures;
use quoit_floors::{asleep, bounce, crew, open, stream};
use serde::{Deserialize, Serialize};

use crate::ends::BATCH;
use crate::measure::{INTERVAL, measure};
use crate::member::Member;
use crate::system::System;
use crate::work::Work;

/// One measurement. `system`: `None` is the floor. `count`: round trips or records in a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) system: Option<System>,
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) count: u64,
}

impl crew::Job for Job {
    fn members(self) -> usize {
        if self.system.is_some() { self.work.members() } else { 2 }
    }
}

impl Job {
    /// One process's part of it. A process that has measured nothing returns zeros.
    pub(crate) fn run(self, member: Member<'_>) -> Result<Figures> {
        let Self { work, bytes, count, .. } = self;
        if let Some(system) = self.system {
            return measure(member, system, work, bytes, count);
        }
        let scene = member.scene;
        let floor = match work {
            Work::Pingpong | Work::Call => bounce::lines(scene, bytes, count),
            Work::Stream { building } => stream::slots_built(scene, bytes, count, building),
            Work::Batch | Work::Fanout { batched: true, .. } => stream::cursors(scene, bytes, count, BATCH),
            Work::Fanout { batched: false, .. } => stream::slots(scene, bytes, count),
            Work::Flood { .. } => copies::<8>(scene, count),
            Work::Event => asleep::futexes(scene, count),
            Work::Open => open::lines(scene, count, INTERVAL),
        };
        Ok(floor?.figures)
    }
}
