//! Both sides busy: a record there and a copy of it back.

use std::hint::black_box;

use anyhow::Result;
use quoit::zerocopy::IntoBytes;
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::trips;

use super::one_way::untimed;
use crate::ends::{Receiver, Sender};

/// `count` round trips to a window, and so many before the first one.
pub(crate) fn pingpong<const N: usize>(
    scene: &Scene,
    mut sender: impl Sender<[u64; N]>,
    mut receiver: impl Receiver<N>,
    count: u64,
    warm: u64,
) -> Result<Measured> {
    let mut record = [0x5a5a_u64; N];
    scene.meet();
    let measured = if scene.side == Side::Left {
        let mut trip = || {
            sender.send(black_box(&record))?;
            one(&mut receiver, &mut record)
        };
        (0..warm).try_for_each(|_| trip())?;
        trips(scene, count, trip)?
    } else {
        let mut answer = || {
            one(&mut receiver, &mut record)?;
            sender.send(black_box(&record))
        };
        (0..warm).try_for_each(|_| answer())?;
        untimed(scene, &mut || (0..count).try_for_each(|_| answer()).map(|()| None))?
    };
    // Nobody leaves before the other is done: what leaving does to a queue is no part of this.
    scene.meet();
    Ok(measured)
}

#[inline(always)]
fn one<const N: usize>(receiver: &mut impl Receiver<N>, record: &mut [u64; N]) -> Result<()> {
    while receiver.receive(|words| record.as_mut_bytes().copy_from_slice(words.as_flattened()))? == 0 {}
    Ok(())
}
