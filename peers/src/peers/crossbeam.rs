//! crossbeam-channel: bounded, two threads of a process.

use anyhow::{Result, bail};
use crossbeam_channel::{TryRecvError, TrySendError, bounded};

use super::Inside;
use crate::ends::{Receiver, Sender, Shape};
use crate::record::{Bytes, Record, Words};

pub(crate) enum Crossbeam {}

impl<const N: usize, R: Record<N>> Inside<N, R> for Crossbeam {
    type Sender = crossbeam_channel::Sender<R>;
    type Receiver = crossbeam_channel::Receiver<R>;

    fn ends(_: Shape) -> Result<(Self::Sender, Vec<Self::Receiver>)> {
        let (sender, receiver) = bounded(Shape::slots(N * 8));
        Ok((sender, vec![receiver]))
    }
}

impl<R: Bytes> Sender<R> for crossbeam_channel::Sender<R> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        loop {
            match self.try_send(*record) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => std::hint::spin_loop(),
                Err(TrySendError::Disconnected(_)) => bail!("the receiver is gone"),
            }
        }
    }
}

impl<const N: usize, R: Record<N>> Receiver<N> for crossbeam_channel::Receiver<R> {
    #[inline(always)]
    fn receive(&mut self, mut each: impl FnMut(&Words<N>)) -> Result<usize> {
        match self.try_recv() {
            Ok(record) => {
                each(record.words());
                Ok(1)
            }
            Err(TryRecvError::Empty) => Ok(0),
            Err(TryRecvError::Disconnected) => bail!("the sender is gone"),
        }
    }
}
