//! As fast as it goes, to several receivers that share a CPU, while the producer has one to itself.

use std::marker::PhantomData;

use anyhow::Result;
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;

use super::one_way::{OneWay, take, timed, untimed, warmed};
use crate::ends::Receiver;
use crate::ways::Way;

/// Records of `N` words, sent in a way.
pub(crate) struct Fan<const N: usize, W> {
    count: u64,
    warm: u64,
    way: PhantomData<fn() -> W>,
}

impl<const N: usize, W> Fan<N, W> {
    /// `count` to a window, and so many before the first one.
    pub(crate) fn new(count: u64, warm: u64) -> Self {
        Self { count, warm, way: PhantomData }
    }
}

impl<const N: usize, W: Way<S>, S, V: Receiver<N>> OneWay<S, V> for Fan<N, W> {
    fn send(&self, scene: &Scene, mut sender: S) -> Result<Measured> {
        let mut way = W::new();
        scene.meet();
        way.send(&mut sender, self.warm)?;
        // The last consumer's last record ends the window.
        let measured = timed(scene, self.count, &mut || {
            way.send(&mut sender, self.count)?;
            scene.meet();
            Ok(())
        })?;
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
    warmed(scene, receiver, warm, |receiver| {
        untimed(scene, &mut || {
            take(scene, receiver, count)?;
            scene.meet();
            Ok(None)
        })
    })
}
