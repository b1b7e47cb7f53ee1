//! The kit: everything besides rings, measured by what others have for it. `plan` has what, the other files how.

mod calls;
mod groups;
mod latest;
mod locks;
mod meetings;
mod plan;
mod posix;
mod sleeping;
mod waits;

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context, Result};
use quoit_floors::figures::Measured;
use quoit_floors::scene::{Scene, Side};
use serde::{Deserialize, Serialize};

use self::calls::Route;
use self::groups::Sharing;
use self::latest::{Kept, Writing};
use self::locks::Lock;
use self::meetings::Meeting;
pub(crate) use self::plan::plan;
use self::sleeping::Sleeping;
use self::waits::Waiter;

/// One measurement. `count`: what one process does in a window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Lock and unlock, with a change of the value or without, nobody else there.
    Alone { lock: Lock, changes: bool, count: u64 },
    /// The same by so many at once.
    Contended { lock: Lock, members: usize, count: u64 },
    /// From unlocking until one who slept has the lock.
    HandOver { lock: Lock, count: u64 },
    /// What each of so many gets who want the lock all the time.
    Fairness { lock: Lock, members: usize, millis: u64 },
    /// So many meet at a barrier.
    Barrier { meeting: Meeting, members: usize, count: u64 },
    /// Reads of a value of which there is one writer.
    Read { kept: Kept, writing: Writing, count: u64 },
    /// A round trip of a record whose receiver waits in this way.
    Wake { waiter: Waiter, count: u64 },
    /// Processor time of a set of so many rings from which nothing comes.
    Idle { rings: usize, millis: u64 },
    /// Calls of one process with so many clients, in turn; both sides busy.
    InTurn { route: Route, clients: usize, bytes: usize, count: u64 },
    /// Calls of so many clients, a process each, that have so many in flight.
    Crowd { route: Route, clients: usize, flight: usize, count: u64 },
    /// A round trip whose sides sleep.
    Asleep { sleeping: Sleeping, count: u64 },
    /// Requests of 1 MiB.
    LargeCalls { count: u64 },
    /// Records, each for one of so many.
    HandOut { sharing: Sharing, members: usize, count: u64 },
}

impl Task {
    /// How many processes it takes.
    pub(crate) fn members(self) -> usize {
        match self {
            Self::Contended { members, .. }
            | Self::Fairness { members, .. }
            | Self::Barrier { members, .. } => members,
            Self::Crowd { clients: others, .. } | Self::HandOut { members: others, .. } => 1 + others,
            _ => 2,
        }
    }

    pub(crate) fn run(self, scene: &Scene) -> Result<Measured> {
        match self {
            Self::Alone { lock, changes, count } => locks::alone(scene, lock, changes, count),
            Self::Contended { lock, count, .. } => locks::contended(scene, lock, count),
            Self::HandOver { lock, count } => locks::hand_over(scene, lock, count),
            Self::Fairness { lock, millis, .. } => locks::fairness(scene, lock, millis),
            Self::Barrier { meeting, count, .. } => meetings::barrier(scene, meeting, count),
            Self::Read { kept, writing, count } => latest::read(scene, kept, writing, count),
            Self::Wake { waiter, count } => waits::wake(scene, waiter, count),
            Self::Idle { rings, millis } => waits::idle(scene, rings, millis),
            Self::InTurn { route, clients, bytes, count } => {
                calls::in_turn(scene, route, clients, bytes, count)
            }
            Self::Crowd { route, clients, flight, count } => {
                calls::crowd(scene, route, clients, flight, count)
            }
            Self::Asleep { sleeping, count } => sleeping::trips(scene, sleeping, count),
            Self::LargeCalls { count } => calls::large(scene, count),
            Self::HandOut { sharing, count, .. } => groups::hand_out(scene, sharing, count),
        }
    }
}

/// A handle of each on one object: the left side makes it, the others open it. Nothing is left of its file.
fn object<T>(
    scene: &Scene,
    make: impl FnOnce(&Path) -> Result<T, quoit::Error>,
    open: impl FnOnce(&Path) -> Result<T, quoit::Error>,
) -> Result<T> {
    named_object(scene, "object", make, open)
}

fn named_object<T>(
    scene: &Scene,
    name: &str,
    make: impl FnOnce(&Path) -> Result<T, quoit::Error>,
    open: impl FnOnce(&Path) -> Result<T, quoit::Error>,
) -> Result<T> {
    let path = scene.path(name);
    let handle = if scene.side == Side::Left {
        let handle = make(&path)?;
        scene.meet();
        handle
    } else {
        scene.meet();
        open(&path)?
    };
    scene.meet();
    if scene.side == Side::Left {
        std::fs::remove_file(&path).context("could not remove an object")?;
    }
    Ok(handle)
}

/// How those that go on until a window is over learn that it is.
struct Take<'a> {
    scene: &'a Scene,
    window: Cell<u64>,
}

impl<'a> Take<'a> {
    /// Before all meet.
    fn new(scene: &'a Scene) -> Self {
        if scene.side == Side::Left {
            scene.ground.finished().set(0);
        }
        Self { scene, window: Cell::new(1) }
    }

    /// The left side: this window is over.
    fn finish(&self) {
        self.scene.ground.finished().release(self.window.get());
        self.next();
    }

    /// The others: whether it is.
    fn is_over(&self) -> bool {
        self.scene.ground.finished().acquire() >= self.window.get()
    }

    /// The next one counts.
    fn next(&self) {
        self.window.set(self.window.get() + 1);
    }
}
