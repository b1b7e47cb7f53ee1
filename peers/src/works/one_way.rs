//! Records that go one way: what either side does.

use std::hint::black_box;

use anyhow::{Result, bail};
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;
use quoit_floors::windows::{partner, records};

use crate::ends::Receiver;
use crate::record::sum;

pub(crate) trait OneWay<S, V> {
    fn send(&self, scene: &Scene, sender: S) -> Result<Measured>;

    fn receive(&self, scene: &Scene, receiver: V) -> Result<Measured>;

    /// The part of a process that could receive, where nobody does.
    fn ignore(&self, _scene: &Scene) -> Result<Measured> {
        bail!("this takes a receiver")
    }
}

/// Times windows of so many records. A part is called once for a window, so nothing is lost by having one code for all.
pub(crate) fn timed(scene: &Scene, count: u64, part: &mut dyn FnMut() -> Result<()>) -> Result<Measured> {
    records(scene, count, part)
}

/// The same for the side that is not timed.
pub(crate) fn untimed(scene: &Scene, part: &mut dyn FnMut() -> Result<Option<f64>>) -> Result<Measured> {
    partner(scene, part)
}

/// Receives so many records, and adds up every word. In a crowd it lets the others run whenever nothing is there.
pub(crate) fn take<const N: usize>(scene: &Scene, receiver: &mut impl Receiver<N>, count: u64) -> Result<()> {
    let crowded = scene.is_crowded();
    let (mut total, mut received) = (0_u64, 0);
    while received < count {
        let some = receiver.receive(|words| total = total.wrapping_add(sum(words)))?;
        received += some as u64;
        if some == 0 && crowded {
            scene.pass();
        }
    }
    black_box(total);
    Ok(())
}

/// All of a receiver's part: so many records that do not count, and then windows. All meet before and after: what leaving
/// does to a queue is no part of this.
pub(crate) fn warmed<const N: usize, V: Receiver<N>>(
    scene: &Scene,
    mut receiver: V,
    warm: u64,
    windows: impl FnOnce(&mut V) -> Result<Measured>,
) -> Result<Measured> {
    scene.meet();
    take(scene, &mut receiver, warm)?;
    let measured = windows(&mut receiver)?;
    scene.meet();
    Ok(measured)
}
