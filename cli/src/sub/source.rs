//! A consumer or an observer: what differs is who may be overwritten and who has something to release.

use std::path::Path;
use std::time::Instant;

use quoit::{Attach, Consumer, Error, Event, Memory, MemoryReport, Observer, RecvError, Resumed, Start};

#[derive(Debug)]
pub(crate) enum Source {
    Consumer(Consumer),
    Observer(Observer),
}

impl Source {
    /// Attaches; nothing that is received is released before [`release`](Self::release).
    pub(crate) fn open(path: &Path, attach: Option<&Attach>, start: Start) -> Result<Self, Error> {
        Ok(match attach {
            None => Self::Observer(Observer::open(path, start)?),
            Some(attach) => {
                let mut consumer = Consumer::open(path, attach)?;
                consumer.keep(true);
                Self::Consumer(consumer)
            }
        })
    }

    pub(crate) fn prepare(&self, memory: &Memory) -> MemoryReport {
        match self {
            Self::Consumer(consumer) => consumer.prepare(memory),
            Self::Observer(observer) => observer.prepare(memory),
        }
    }

    pub(crate) fn try_recv(&mut self) -> Result<Option<Event<'_>>, RecvError> {
        match self {
            Self::Consumer(consumer) => consumer.try_recv(),
            Self::Observer(observer) => observer.try_recv(),
        }
    }

    pub(crate) fn recv_deadline(&mut self, deadline: Instant) -> Result<Option<Event<'_>>, RecvError> {
        match self {
            Self::Consumer(consumer) => consumer.recv_deadline(deadline),
            Self::Observer(observer) => observer.recv_deadline(deadline),
        }
    }

    pub(crate) fn release(&mut self) {
        if let Self::Consumer(consumer) = self {
            consumer.release();
        }
    }

    /// Is there anything to release?
    pub(crate) fn releases(&self) -> bool {
        matches!(self, Self::Consumer(_))
    }

    pub(crate) fn resumed(&self) -> Option<Resumed> {
        match self {
            Self::Consumer(consumer) => consumer.resumed(),
            Self::Observer(_) => None,
        }
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        match self {
            Self::Consumer(consumer) => consumer.next_sequence(),
            Self::Observer(observer) => observer.next_sequence(),
        }
    }

    pub(crate) fn producer_alive(&self) -> bool {
        match self {
            Self::Consumer(consumer) => consumer.producer_alive(),
            Self::Observer(observer) => observer.producer_alive(),
        }
    }

    pub(crate) fn is_stale(&self) -> bool {
        match self {
            Self::Consumer(consumer) => consumer.is_stale(),
            Self::Observer(observer) => observer.is_stale(),
        }
    }
}
