//! What a pair of processes can be asked to measure.

use anyhow::{Result, bail};
use quoit_floors::copies::copies;
use quoit_floors::figures::Figures;
use quoit_floors::scene::Scene;
use quoit_floors::{bounce, crew, stream};
use serde::{Deserialize, Serialize};

use crate::peers::{RightSide, System, Work, measure};
use crate::work::BATCH;

/// One measurement. `system`: `None` is the floor. `count`: round trips or records in a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) system: Option<System>,
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) count: u64,
}

impl crew::Job for Job {}

impl Job {
    /// One side's part of it. Who has nothing to tell tells zeros.
    pub(crate) fn run(self, scene: &Scene, right: RightSide<'_>) -> Result<Figures> {
        match self.bytes {
            8 => self.run_words::<1>(scene, right),
            64 => self.run_words::<8>(scene, right),
            256 => self.run_words::<32>(scene, right),
            1024 => self.run_words::<128>(scene, right),
            bytes => bail!("nothing is made for records of {bytes} bytes"),
        }
    }

    fn run_words<const N: usize>(self, scene: &Scene, right: RightSide<'_>) -> Result<Figures> {
        if let Some(system) = self.system {
            return measure::<N>(scene, right, system, self.work, self.count);
        }
        let floor = match self.work {
            Work::Pingpong => bounce::lines(scene, self.bytes, self.count)?,
            Work::Stream { batched: false } => stream::slots(scene, self.bytes, self.count)?,
            Work::Stream { batched: true } => stream::cursors(scene, self.bytes, self.count, BATCH)?,
            Work::Flood => copies::<N>(scene, self.count)?,
        };
        Ok(floor.figures)
    }
}
