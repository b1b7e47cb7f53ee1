//! An open loop: a record is due every so often, and its latency counts from when it was due.

use std::hint::black_box;

use anyhow::Result;
use quoit_floors::figures::Measured;
use quoit_floors::open::{paced, since};
use quoit_floors::scene::Scene;
use quoit_floors::windows::{clock_cost, latencies};

use super::one_way::{OneWay, untimed, warmed};
use crate::ends::{Receiver, Sender};

/// Records of `N` words.
pub(crate) struct Open<const N: usize> {
    /// Records of a window.
    pub(crate) count: u64,
    /// Before the first window, as fast as it goes.
    pub(crate) warm: u64,
    /// Nanoseconds.
    pub(crate) interval: u64,
}

impl<const N: usize, S: Sender<[u64; N]>, V: Receiver<N>> OneWay<S, V> for Open<N> {
    fn send(&self, scene: &Scene, mut sender: S) -> Result<Measured> {
        let mut record = [0x5a5a_u64; N];
        scene.meet();
        (0..self.warm).try_for_each(|_| sender.send(black_box(&record)))?;
        let measured = untimed(scene, &mut || {
            paced(self.count, self.interval, |due| {
                record[0] = due;
                sender.send(black_box(&record))
            })?;
            Ok(None)
        })?;
        scene.meet();
        Ok(measured)
    }

    fn receive(&self, scene: &Scene, receiver: V) -> Result<Measured> {
        let clock = clock_cost();
        let mut record = [[0; 8]; N];
        warmed(scene, receiver, self.warm, |receiver| {
            latencies(scene, clock, || {
                let mut samples = Vec::with_capacity(self.count as usize);
                while samples.len() < self.count as usize {
                    receiver.receive(|words| {
                        record = *words;
                        samples.push(since(u64::from_le_bytes(black_box(&record)[0])));
                    })?;
                }
                Ok(samples)
            })
        })
    }
}
