//! Credits, for systems whose producer would overwrite what was not received: each consumer says in a word of its own how
//! far it is, and the producer stays within half the queue of the slowest.

use anyhow::Result;
use quoit_floors::building::Builder;
use quoit_floors::ground::{APART, Word};
use quoit_floors::scene::Scene;
use quoit_floors::stream::capacity;

use crate::ends::{Placing, Receiver, Sender};
use crate::record::Words;

/// In the floors' memory, which nobody else uses while a system is measured.
fn word(scene: &Scene, consumer: usize) -> &Word {
    &scene.ground.room(8 * APART * (consumer + 1))[APART * consumer]
}

/// A producer that waits for its credits.
pub(crate) struct Credited<'a, S> {
    sender: S,
    scene: &'a Scene,
    consumers: usize,
    /// Records that may be sent and not yet received.
    window: u64,
    sent: u64,
    received: u64,
}

impl<'a, S> Credited<'a, S> {
    /// Comes before all meet.
    pub(crate) fn new(scene: &'a Scene, consumers: usize, bytes: usize, sender: S) -> Self {
        (0..consumers).for_each(|consumer| word(scene, consumer).set(0));
        // A record has a header besides: a queue of bytes holds fewer.
        let window = (capacity(bytes) / (bytes + 16) / 2) as u64;
        Self { sender, scene, consumers, window, sent: 0, received: 0 }
    }

    #[inline(always)]
    fn wait(&mut self) {
        self.sent += 1;
        while self.sent - self.received > self.window {
            let received = (0..self.consumers).map(|consumer| word(self.scene, consumer).acquire());
            self.received = received.min().unwrap_or(self.sent);
        }
    }
}

impl<R, S: Sender<R>> Sender<R> for Credited<'_, S> {
    #[inline(always)]
    fn send(&mut self, record: &R) -> Result<()> {
        self.wait();
        self.sender.send(record)
    }
}

impl<const N: usize, S: Placing<N>> Placing<N> for Credited<'_, S> {
    #[inline(always)]
    fn fill(&mut self, builder: &mut impl Builder<N>) -> Result<()> {
        self.wait();
        self.sender.fill(builder)
    }
}

/// A consumer that gives them: once for everything that one call has returned.
pub(crate) struct Crediting<'a, V> {
    receiver: V,
    word: &'a Word,
    received: u64,
}

impl<'a, V> Crediting<'a, V> {
    pub(crate) fn new(scene: &'a Scene, consumer: usize, receiver: V) -> Self {
        Self { receiver, word: word(scene, consumer), received: 0 }
    }
}

impl<const N: usize, V: Receiver<N>> Receiver<N> for Crediting<'_, V> {
    #[inline(always)]
    fn receive(&mut self, each: impl FnMut(&Words<N>)) -> Result<usize> {
        let some = self.receiver.receive(each)?;
        if some > 0 {
            self.received += some as u64;
            self.word.release(self.received);
        }
        Ok(some)
    }
}
