//! There and back by events, both sides asleep.

use anyhow::Result;
use quoit_floors::asleep::{answering, asking};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};

use crate::peers::events::{Events, Listener, Notifier};
use crate::sides::NAMES;

/// `count` trips to a window.
pub(crate) fn event<P: Events>(scene: &Scene, count: u64) -> Result<Measured> {
    let [mine, other] = if scene.side == Side::Left { [NAMES[1], NAMES[0]] } else { NAMES };
    let mut listener = P::listener(&scene.path(mine))?;
    scene.meet();
    let mut notifier = P::notifier(&scene.path(other))?;
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
