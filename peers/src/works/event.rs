//! There and back by events, both sides asleep.

use std::path::PathBuf;

use anyhow::Result;
use quoit_floors::asleep::{answering, asking};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};

use crate::peers::events::{Events, Listener, Notifier};

/// `count` trips to a window. This side listens at the first of the paths, and notifies at the second.
pub(crate) fn event<P: Events>(scene: &Scene, [own, other]: [PathBuf; 2], count: u64) -> Result<Measured> {
    let mut listener = P::listener(&own)?;
    scene.meet();
    let mut notifier = P::notifier(&other)?;
    scene.meet();
    let measured = match scene.side {
        Side::Left => asking(scene, count, || {
            notifier.notify()?;
            listener.wait()
        }),
        Side::Right => answering(scene, count, || {
            listener.wait()?;
            notifier.notify()
        }),
    }?;
    // Nobody leaves before the other is done.
    scene.meet();
    Ok(measured)
}
