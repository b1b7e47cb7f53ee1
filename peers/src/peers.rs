//! The systems compared, each used as its own documentation recommends for speed.

mod bcast;
mod iceoryx;
mod inside;
mod kernel;
mod outcry;
mod quoit;
mod ringfire;
mod shaq;

use std::path::Path;

use anyhow::{Result, bail};
use clap::ValueEnum;
use quoit_floors::figures::{Figures, Measured};
use quoit_floors::scene::{Scene, Side};
use serde::{Deserialize, Serialize};

use crate::work::{Receiver, Sender, Shape, Stream, flood, follow, give, pingpong, take};

/// One that works between processes: what one side makes at a path, the other one finds there.
pub(crate) trait Peer<const N: usize> {
    type Sender: Sender<N>;
    type Receiver: Receiver<N>;

    /// Comes first.
    fn sender(path: &Path, shape: Shape) -> Result<Self::Sender>;
    fn receiver(path: &Path, shape: Shape) -> Result<Self::Receiver>;
}

/// One that works between the threads of a process.
pub(crate) trait Inside<const N: usize> {
    type Sender: Sender<N> + Send;
    type Receiver: Receiver<N> + Send;

    fn pair(shape: Shape) -> Result<(Self::Sender, Self::Receiver)>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum System {
    Quoit,
    Shaq,
    Ringfire,
    Outcry,
    Bcast,
    Iceoryx2,
    Rtrb,
    Disruptor,
    #[value(name = "crossbeam-channel")]
    #[serde(rename = "crossbeam-channel")]
    Crossbeam,
    Pipe,
    Socket,
}

impl System {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Quoit => "quoit",
            Self::Shaq => "shaq",
            Self::Ringfire => "ringfire",
            Self::Outcry => "outcry",
            Self::Bcast => "bcast",
            Self::Iceoryx2 => "iceoryx2",
            Self::Rtrb => "rtrb",
            Self::Disruptor => "disruptor",
            Self::Crossbeam => "crossbeam-channel",
            Self::Pipe => "pipe",
            Self::Socket => "Unix socket",
        }
    }

    /// Both ends in one process.
    pub(crate) fn threads(self) -> bool {
        matches!(self, Self::Rtrb | Self::Disruptor | Self::Crossbeam)
    }

    /// It only overwrites: streams get credits from this program.
    pub(crate) fn overwrites(self) -> bool {
        matches!(self, Self::Outcry | Self::Bcast)
    }

    /// It has something for several records at once.
    pub(crate) fn batches(self) -> bool {
        !self.overwrites() && !matches!(self, Self::Iceoryx2 | Self::Crossbeam)
    }

    /// Its producer can go on without waiting for the consumer.
    pub(crate) fn floods(self) -> bool {
        matches!(self, Self::Quoit | Self::Ringfire | Self::Outcry | Self::Bcast | Self::Iceoryx2)
    }

    fn syscalls(self) -> bool {
        matches!(self, Self::Pipe | Self::Socket)
    }
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Work {
    Pingpong,
    Stream { batched: bool },
    Flood,
}

/// Enters the right side's scene, for the systems that have both sides in the left one's process.
pub(crate) type RightSide<'a> = &'a (dyn Fn() -> Result<Scene> + Sync);

/// One side's part of a measurement. `count`: round trips or records in a window.
pub(crate) fn measure<const N: usize>(
    scene: &Scene,
    right: RightSide<'_>,
    system: System,
    work: Work,
    count: u64,
) -> Result<Figures> {
    let task = Task { system, work, count };
    match system {
        System::Quoit => between::<N, quoit::Quoit>(scene, task),
        System::Shaq => between::<N, shaq::Shaq>(scene, task),
        System::Ringfire => between::<N, ringfire::Ringfire>(scene, task),
        System::Outcry => between::<N, outcry::Outcry>(scene, task),
        System::Bcast => between::<N, bcast::Bcast>(scene, task),
        System::Iceoryx2 => between::<N, iceoryx::Iceoryx>(scene, task),
        System::Pipe => between::<N, kernel::Pipe>(scene, task),
        System::Socket => between::<N, kernel::Socket>(scene, task),
        System::Rtrb => within::<N, inside::Rtrb>(scene, right, task),
        System::Disruptor => within::<N, inside::Disruptor>(scene, right, task),
        System::Crossbeam => within::<N, inside::Crossbeam>(scene, right, task),
    }
}

#[derive(Clone, Copy)]
struct Task {
    system: System,
    work: Work,
    count: u64,
}

impl Task {
    fn shape(self) -> Shape {
        Shape { lossy: self.work == Work::Flood, alternating: self.work == Work::Pingpong }
    }

    /// Records before the first that counts: once round the queue, or, where each takes a system call, enough.
    fn warm<const N: usize>(self) -> u64 {
        if self.system.syscalls() { 1000 } else { Shape::slots(N * 8).clamp(1000, 20_000) as u64 }
    }

    fn stream<const N: usize>(self, batched: bool) -> Stream {
        let credits = self.system.overwrites();
        Stream { batched, credits, count: self.count, warm: self.warm::<N>() }
    }
}

/// The names of the two directions.
const NAMES: [&str; 2] = ["there", "back"];

/// Either side in its process.
fn between<const N: usize, P: Peer<N>>(scene: &Scene, task: Task) -> Result<Figures> {
    let shape = task.shape();
    let [mine, other] = [NAMES[scene.side as usize], NAMES[1 - scene.side as usize]];
    let (mine, other) = (scene.path(mine), scene.path(other));
    let measured = if task.work == Work::Pingpong {
        let sender = P::sender(&mine, shape)?;
        scene.meet();
        let receiver = P::receiver(&other, shape)?;
        scene.meet();
        pingpong(scene, sender, receiver, task.count, task.warm::<N>())?
    } else if scene.side == Side::Left {
        let sender = P::sender(&mine, shape)?;
        scene.meet();
        scene.meet();
        send(scene, sender, task)?
    } else {
        scene.meet();
        let receiver = P::receiver(&other, shape)?;
        scene.meet();
        receive(scene, receiver, task)?
    };
    // Nothing is left when the next one begins. Some have removed it themselves, or have no such file.
    scene.meet();
    for path in [mine, other] {
        if let Err(error) = std::fs::remove_file(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error.into());
        }
    }
    scene.meet();
    Ok(measured.figures)
}

/// Both sides in the left one's process; the other process has nothing to do.
fn within<const N: usize, P: Inside<N>>(scene: &Scene, right: RightSide<'_>, task: Task) -> Result<Figures> {
    if scene.side == Side::Right {
        return Ok(Figures::default());
    }
    let [there, back] = [P::pair(task.shape())?, P::pair(task.shape())?];
    let (members, turn) = (scene.members(), scene.turn());
    std::thread::scope(|scope| {
        let right = scope.spawn(move || -> Result<Measured> {
            let scene = right()?;
            scene.begin(members, turn);
            match task.work {
                Work::Pingpong => pingpong(&scene, back.0, there.1, task.count, task.warm::<N>()),
                _ => receive(&scene, there.1, task),
            }
        });
        let left = match task.work {
            Work::Pingpong => pingpong(scene, there.0, back.1, task.count, task.warm::<N>()),
            _ => send(scene, there.0, task),
        };
        match right.join() {
            Ok(right) => Ok(left?.figures.joined(right?.figures)),
            Err(_) => bail!("the right side panicked"),
        }
    })
}

fn send<const N: usize>(scene: &Scene, sender: impl Sender<N>, task: Task) -> Result<Measured> {
    match task.work {
        Work::Stream { batched } => give(scene, sender, task.stream::<N>(batched)),
        _ => flood(scene, sender, task.count),
    }
}

fn receive<const N: usize>(scene: &Scene, receiver: impl Receiver<N>, task: Task) -> Result<Measured> {
    match task.work {
        Work::Stream { batched } => take(scene, receiver, task.stream::<N>(batched)),
        _ => follow(scene, receiver, task.count),
    }
}

/// Hands on a record's bytes as its words, where they are if they are aligned. They have the length of one: this
/// program has written them.
#[inline(always)]
pub(crate) fn view<const N: usize>(bytes: &[u8], mut each: impl FnMut(&[u64; N])) {
    match bytemuck::try_from_bytes(bytes) {
        Ok(record) => each(record),
        Err(_) => each(&bytemuck::pod_read_unaligned(bytes)),
    }
}

#[cfg(test)]
mod tests;
