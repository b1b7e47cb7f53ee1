//! Store buffering alone: each of two processes stores one word and then reads the other's. The sleep protocol
//! requires that not both read the old value. `WaitMode::Membarrier` saves the fence on one side.
//!
//! The light side alone must fail. Otherwise this machine and this program could not detect the fault.

use std::sync::atomic::{Ordering, compiler_fence};
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::thread::{MembarrierCommand, membarrier};
use support::dice::Dice;

use super::board::Board;
use super::watch::{processors, start, was_good};
use crate::child::Shared;

/// What stands between the store and the look of the second side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heavy {
    /// A compiler fence, as on the light side.
    Nothing,
    /// `membarrier`.
    Membarrier,
}

/// Rounds, and those of them in which both sides saw the old value. So many rounds, or so long.
pub(crate) fn both_missed(heavy: Heavy, rounds: u64, longest: Duration) -> Result<(u64, u64)> {
    let board = Shared::<Board>::new()?;
    let cpus = processors();
    let cpu = |side: usize| (cpus.len() >= 2).then(|| cpus[side]);
    let mut light = start(cpu(0), || side(&board, 0, rounds, Heavy::Nothing, true))?;
    let mut other = start(cpu(1), || side(&board, 1, rounds, heavy, false))?;
    if light.ends_within(longest)?.is_none() {
        board.stop.set_fenced(1);
    }
    for child in [&mut light, &mut other] {
        match child.ends_within(Duration::from_secs(600))? {
            Some(status) if was_good(status) => {}
            ended => bail!("store buffering with {heavy:?}: {ended:?}"),
        }
    }
    Ok((board.seen[1].get(), board.seen[0].get()))
}

fn side(board: &Board, side: usize, rounds: u64, heavy: Heavy, judges: bool) {
    if side == 0 {
        membarrier(MembarrierCommand::RegisterGlobalExpedited).expect("register for membarrier");
    }
    let (mine, theirs) = (&board.litmus[side], &board.litmus[1 - side]);
    let mut dice = Dice(side as u64);
    let (mut done, mut missed) = (0, 0);
    for round in 1..=rounds {
        // Both begin a round at about the same time, and not always the same one first.
        meet(board, side, 2 * round - 1);
        for _ in 0..dice.roll() % 16 {
            std::hint::black_box(());
        }
        let last = board.begun.get();
        if last != 0 && round > last {
            break;
        }
        mine.set(round);
        compiler_fence(Ordering::SeqCst);
        if heavy == Heavy::Membarrier {
            membarrier(MembarrierCommand::GlobalExpedited).expect("membarrier");
        }
        let saw = theirs.get();
        board.received[side].set(saw);
        // Both see this at the next meeting, and go home after the same round.
        if judges && board.stop.get() == 1 {
            board.begun.set(round);
        }
        meet(board, side, 2 * round);
        done += 1;
        if judges && board.received[0].get() < round && board.received[1].get() < round {
            missed += 1;
        }
    }
    if judges {
        board.seen[0].set_fenced(missed);
        board.seen[1].set_fenced(done);
    }
}

fn meet(board: &Board, side: usize, stage: u64) {
    board.rounds[side].set_fenced(stage);
    let mut turns = 0_u64;
    while board.rounds[1 - side].get() < stage {
        turns += 1;
        if turns.is_multiple_of(5_000) {
            std::thread::yield_now();
        }
        std::hint::spin_loop();
    }
    // Whoever was here first goes on at once; the look above ordered nothing.
    std::sync::atomic::fence(Ordering::SeqCst);
}
