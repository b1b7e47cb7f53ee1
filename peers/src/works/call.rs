//! A request and its reply, both sides busy.

use std::hint::black_box;

use anyhow::Result;
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use quoit_floors::windows::trips;

use super::one_way::untimed;
use crate::peers::calls::{Calls, Client, Server};

/// `count` calls to a window, and so many before the first one.
pub(crate) fn call<const N: usize, P: Calls<N>>(scene: &Scene, count: u64, warm: u64) -> Result<Measured> {
    let path = scene.path("there");
    if scene.side == Side::Left {
        scene.meet();
        let mut client = P::client(&path)?;
        scene.meet();
        let mut words = [0x5a5a_u64; N];
        let mut trip = || {
            words = client.call(black_box(&words))?;
            Ok(())
        };
        (0..warm).try_for_each(|_| trip())?;
        let measured = trips(scene, count, trip)?;
        scene.meet();
        return Ok(measured);
    }
    let mut server = P::server(&path)?;
    scene.meet();
    scene.meet();
    let mut answer = || -> Result<()> {
        while !server.answer()? {}
        Ok(())
    };
    (0..warm).try_for_each(|_| answer())?;
    let measured = untimed(scene, &mut || (0..count).try_for_each(|_| answer()).map(|()| None))?;
    // Nobody leaves before the other is done.
    scene.meet();
    Ok(measured)
}
