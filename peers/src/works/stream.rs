//! As fast as it goes, to one receiver.

use std::marker::PhantomData;

use anyhow::Result;
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;

use super::one_way::{OneWay, take, timed, untimed, warmed};
use crate::ends::Receiver;
use crate::ways::Way;

/// Records of `N` words, sent in a way.
pub(crate) struct Stream<const N: usize, W> {
    count: u64,
    warm: u64,
    way: PhantomData<fn() -> W>,
}

impl<const N: usize, W> Stream<N, W> {
    /// `count` to a window, and so many before the first one.
    pub(crate) fn new(count: u64, warm: u64) -> Self {
        Self { count, warm, way: PhantomData }
    }
}

impl<const N: usize, W: Way<S>, S, V: Receiver<N>> OneWay<S, V> for Stream<N, W> {
    fn send(&self, scene: &Scene, mut sender: S) -> Result<Measured> {
        let mut way = W::new();
        scene.meet();
        way.send(&mut sender, self.warm)?;
        let measured = untimed(scene, &mut || way.send(&mut sender, self.count).map(|()| None))?;
        scene.meet();
        Ok(measured)
    }

    fn receive(&self, scene: &Scene, receiver: V) -> Result<Measured> {
        receive(scene, receiver, self.count, self.warm)
    }
}

/// The same however it was sent.
fn receive<const N: usize>(
    scene: &Scene,
    receiver: impl Receiver<N>,
    count: u64,
    warm: u64,
) -> Result<Measured> {
    warmed(scene, receiver, warm, |receiver| timed(scene, count, &mut || take(scene, receiver, count)))
}
