//! The systems compared, each used as its own documentation recommends for speed.

pub(crate) mod bcast;
pub(crate) mod calls;
pub(crate) mod crossbeam;
pub(crate) mod disruptor;
pub(crate) mod events;
pub(crate) mod iceoryx;
pub(crate) mod kernel;
pub(crate) mod outcry;
pub(crate) mod quoit;
pub(crate) mod ringfire;
pub(crate) mod rtrb;
pub(crate) mod shaq;

use std::path::Path;

use anyhow::Result;

use crate::ends::{Receiver, Sender, Shape};
use crate::record::Record;

/// One that works between processes: what one side makes at a path, the other one finds there.
pub(crate) trait Peer<const N: usize, R: Record<N>> {
    type Sender: Sender<R>;
    type Receiver: Receiver<N>;

    /// Comes first.
    fn sender(path: &Path, shape: Shape) -> Result<Self::Sender>;
    fn receiver(path: &Path, shape: Shape) -> Result<Self::Receiver>;
}

/// One that works between the threads of a process.
pub(crate) trait Inside<const N: usize, R: Record<N>> {
    type Sender: Sender<R> + Send;
    type Receiver: Receiver<N> + Send;

    /// As many receivers as the shape has consumers.
    fn ends(shape: Shape) -> Result<(Self::Sender, Vec<Self::Receiver>)>;
}

#[cfg(test)]
mod tests;
