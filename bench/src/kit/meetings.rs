//! Barriers between processes, by that of the C library.

use std::path::Path;

use anyhow::Result;
use quoit::sync::{Barrier, SyncOptions};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::{partner, records};
use serde::{Deserialize, Serialize};

use super::{object, posix};

/// Which barrier.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Meeting {
    Quoit,
    /// The C library's, for several processes.
    Posix,
}

/// All members meet, again and again.
pub(super) fn barrier(scene: &Scene, meeting: Meeting, count: u64) -> Result<Measured> {
    match meeting {
        Meeting::Posix => {
            let barrier = posix::Barrier::of_all(scene)?;
            rounds(scene, count, || barrier.wait())
        }
        Meeting::Quoit => {
            let parties = scene.members() as u32;
            let make = |path: &Path| Barrier::create(path, &SyncOptions::new(), parties);
            let barrier = object(scene, make, |path| Barrier::open(path))?;
            rounds(scene, count, || {
                barrier.wait()?;
                Ok(())
            })
        }
    }
}

fn rounds(scene: &Scene, count: u64, mut wait: impl FnMut() -> Result<()>) -> Result<Measured> {
    // Two have a CPU each.
    let _roaming = if scene.members() > 2 { Some(scene.roam()?) } else { None };
    scene.meet();
    let mut again = || (0..count).try_for_each(|_| wait());
    again()?;
    let measured = match scene.side {
        Side::Left => records(scene, count, again)?,
        Side::Right => partner(scene, || again().map(|()| None))?,
    };
    scene.meet();
    Ok(measured)
}
