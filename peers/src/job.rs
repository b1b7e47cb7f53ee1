//! What a pair of processes can be asked to measure. Orders go down a child's stdin as lines of JSON, figures come up
//! its stdout.

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::floors;
use crate::peers::{System, Work, measure};
use crate::scene::Scene;
use crate::work::BATCH;

/// One measurement. `system`: `None` is the floor. `count`: round trips or records in a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) system: Option<System>,
    pub(crate) work: Work,
    pub(crate) bytes: usize,
    pub(crate) count: u64,
}

impl Job {
    /// One side's part of it. Who has nothing to tell tells zeros.
    pub(crate) fn run(self, scene: &Scene) -> Result<Figures> {
        match self.bytes {
            8 => self.run_words::<1>(scene),
            64 => self.run_words::<8>(scene),
            256 => self.run_words::<32>(scene),
            1024 => self.run_words::<128>(scene),
            bytes => bail!("nothing is made for records of {bytes} bytes"),
        }
    }

    fn run_words<const N: usize>(self, scene: &Scene) -> Result<Figures> {
        if let Some(system) = self.system {
            return measure::<N>(scene, system, self.work, self.count);
        }
        match self.work {
            Work::Pingpong => floors::bounce::<N>(scene, self.count),
            Work::Stream { batched: false } => floors::slots::<N>(scene, self.count),
            Work::Stream { batched: true } => floors::cursors::<N>(scene, self.count, BATCH),
            Work::Flood => floors::copies::<N>(scene, self.count),
        }
    }
}
