//! A producer that never waits, and at most one receiver, which is busy.

use std::hint::black_box;
use std::marker::PhantomData;

use anyhow::Result;
use quoit_floors::figures::Measured;
use quoit_floors::scene::Scene;

use super::one_way::{OneWay, timed, untimed};
use crate::ends::Receiver;
use crate::record::sum;
use crate::ways::Way;

/// Records of `N` words, sent in a way.
pub(crate) struct Flood<const N: usize, W> {
    count: u64,
    way: PhantomData<fn() -> W>,
}

impl<const N: usize, W> Flood<N, W> {
    /// `count` to a window.
    pub(crate) fn new(count: u64) -> Self {
        Self { count, way: PhantomData }
    }
}

impl<const N: usize, W: Way<S>, S, V: Receiver<N>> OneWay<S, V> for Flood<N, W> {
    fn send(&self, scene: &Scene, mut sender: S) -> Result<Measured> {
        let mut way = W::new();
        let mut parts = 0;
        let finished = scene.ground.finished();
        finished.set(0);
        scene.meet();
        let mut send = || -> Result<()> {
            way.send(&mut sender, self.count)?;
            parts += 1;
            finished.release(parts);
            Ok(())
        };
        send()?;
        let measured = timed(scene, self.count, &mut send)?;
        scene.meet();
        Ok(measured)
    }

    /// Adds up every word it gets, and counts the records.
    fn receive(&self, scene: &Scene, mut receiver: V) -> Result<Measured> {
        let mut parts = 0;
        scene.meet();
        let mut receive = || -> Result<f64> {
            let (mut total, mut received) = (0_u64, 0);
            parts += 1;
            loop {
                let over = scene.ground.finished().acquire() >= parts;
                let some = receiver.receive(|words| total = total.wrapping_add(sum(words)))?;
                received += some;
                // Nothing was there after the last was sent.
                if over && some == 0 {
                    break;
                }
            }
            black_box(total);
            Ok(received as f64 / self.count as f64)
        };
        receive()?;
        let measured = untimed(scene, &mut || receive().map(Some))?;
        scene.meet();
        Ok(measured)
    }

    fn ignore(&self, scene: &Scene) -> Result<Measured> {
        scene.meet();
        let measured = untimed(scene, &mut || Ok(None))?;
        scene.meet();
        Ok(measured)
    }
}
