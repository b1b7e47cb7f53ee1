//! A consumer or an observer.

use crate::ring::consumer::Consumer;
use crate::ring::observer::Observer;
use crate::ring::receive::Receiver;

/// A reader of a ring, of either kind.
#[derive(Debug)]
pub enum AnyReader {
    /// With a slot.
    Consumer(Consumer),
    /// Without.
    Observer(Observer),
}

impl AnyReader {
    pub(crate) fn receiver(&self) -> &Receiver {
        match self {
            Self::Consumer(consumer) => &consumer.receiver,
            Self::Observer(observer) => &observer.receiver,
        }
    }

    pub(crate) fn receiver_mut(&mut self) -> &mut Receiver {
        match self {
            Self::Consumer(consumer) => &mut consumer.receiver,
            Self::Observer(observer) => &mut observer.receiver,
        }
    }
}

impl From<Consumer> for AnyReader {
    fn from(consumer: Consumer) -> Self {
        Self::Consumer(consumer)
    }
}

impl From<Observer> for AnyReader {
    fn from(observer: Observer) -> Self {
        Self::Observer(observer)
    }
}
