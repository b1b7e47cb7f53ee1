//! The parties of the barrier: each works a while, then all meet.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use quoit::Error;
use quoit::sync::{Barrier, SyncOptions};

use super::ChildArgs;
use super::cast::PARTIES;
use super::lines::{Figures, Line, Reporter, tell};
use super::notes::{self, Notes};
use crate::demo::clock::now_ns;
use crate::demo::wire::{Order, orders};

pub(super) const BARRIER: &str = "barrier";

/// Between two looks whether a broken barrier was reset.
const LOOK: Duration = Duration::from_millis(5);

/// Meets the others round after round. If one of them dies, waits until the barrier is reset, or resets it if asked to.
pub(super) fn meet(args: &ChildArgs, mut notes: Notes) -> Result<()> {
    let orders = orders();
    // Whoever made it and did not stay would break its first phase.
    let barrier = Barrier::open_or_create(args.directory.join(BARRIER), &SyncOptions::new(), PARTIES)?;
    tell(&Line::Here)?;
    let (mut figures, mut reporter) = (Figures::default(), Reporter::new());
    let mut turn = u64::from(args.number);
    while orders.try_recv().ok() != Some(Order::End) {
        // Their phases differ.
        turn = turn.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        thread::sleep(Duration::from_micros(2000 + (turn >> 40) % 4000));
        notes.add(notes::ARRIVES, [now_ns(), 0, 0])?;
        match barrier.wait() {
            Ok(pass) => {
                notes.add(notes::PASSED, [now_ns(), pass.round, pass.is_leader.into()])?;
                figures.done += 1;
            }
            Err(Error::Broken) => {
                notes.add(notes::BROKEN, [now_ns(), 0, 0])?;
                figures.other += 1;
                tell(&Line::Progress(figures))?;
                tell(&Line::Told { what: "its phase is broken: a party died".into() })?;
                if !is_whole_again(&barrier, &orders)? {
                    break;
                }
            }
            Err(error) => return Err(error.into()),
        }
        reporter.report(figures)?;
    }
    drop(barrier);
    tell(&Line::Progress(figures))?;
    Ok(tell(&Line::Done)?)
}

/// Waits until the barrier is reset. `false`: it is to end instead.
fn is_whole_again(barrier: &Barrier, orders: &Receiver<Order>) -> Result<bool> {
    loop {
        match orders.recv_timeout(LOOK) {
            Ok(Order::GoOn) => barrier.reset()?,
            Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return Ok(false),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
        }
        if !barrier.is_broken()? {
            return Ok(true);
        }
    }
}
