//! Credits, for systems whose producer would overwrite what was not received: each consumer says in a word of its own how
//! far it is, and the producer stays within half the queue of the slowest.

use anyhow::Result;
use quoit_floors::building::Builder;
use quoit_floors::ground::{APART, Ground, Word};
use quoit_floors::stream::capacity;

use crate::ends::{Placing, Receiver, Sender};
use crate::record::Words;

/// In the floors' memory, which nobody else uses while a system is measured.
fn word(ground: &Ground, consumer: usize) -> &Word {
    &ground.room(8 * APART * (consumer + 1))[APART * consumer]
}

/// A producer that waits for its credits.
pub(crate) struct Credited<'a, S> {
    sender: S,
    ground: &'a Ground,
    consumers: usize,
    /// Records that may be sent and not yet received.
    window: u64,
    sent: u64,
    received: u64,
}

impl<'a, S> Credited<'a, S> {
    /// Comes before all meet.
    pub(crate) fn new(ground: &'a Ground, consumers: usize, bytes: usize, sender: S) -> Self {
        (0..consumers).for_each(|consumer| word(ground, consumer).set(0));
        // A record has a header besides: a queue of bytes holds fewer.
        let window = (capacity(bytes) / (bytes + 16) / 2) as u64;
        Self { sender, ground, consumers, window, sent: 0, received: 0 }
    }

    #[inline(always)]
    fn wait(&mut self) {
        self.sent += 1;
        while self.sent - self.received > self.window {
            let received = (0..self.consumers).map(|consumer| word(self.ground, consumer).acquire());
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
    pub(crate) fn new(ground: &'a Ground, consumer: usize, receiver: V) -> Self {
        Self { receiver, word: word(ground, consumer), received: 0 }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::place::Place;

    /// How much was sent, and how much each consumer has received.
    #[derive(Default)]
    struct Queue {
        sent: AtomicU64,
        received: [AtomicU64; 2],
    }

    struct End<'a>(&'a Queue, u64);

    impl Sender<u64> for End<'_> {
        fn send(&mut self, number: &u64) -> Result<()> {
            let Self(queue, window) = *self;
            for received in &queue.received {
                assert!(number + 1 - received.load(SeqCst) <= window, "record {number} overwrites another");
            }
            queue.sent.store(number + 1, SeqCst);
            Ok(())
        }
    }

    /// Receives so many at a time, at most.
    struct Reader<'a>(&'a Queue, usize, u64);

    impl Receiver<1> for Reader<'_> {
        fn receive(&mut self, mut each: impl FnMut(&Words<1>)) -> Result<usize> {
            let Self(queue, consumer, most) = *self;
            let received = &queue.received[consumer];
            let some = most.min(queue.sent.load(SeqCst) - received.load(SeqCst));
            (0..some).for_each(|_| each(&[[0; 8]]));
            received.fetch_add(some, SeqCst);
            Ok(some as usize)
        }
    }

    #[test]
    fn the_slowest_consumer_is_waited_for() {
        let place = Place::new().unwrap();
        let path = place.path().join("credits");
        Ground::create(&path).unwrap();
        let (ground, queue) = (Ground::open(&path).unwrap(), Queue::default());
        // As one that was measured before has left it.
        word(&ground, 1).set(u64::MAX);
        let mut sender = Credited::new(&ground, 2, 4096, End(&queue, 0));
        let window = sender.window;
        sender.sender = End(&queue, window);
        let count = 20 * window;
        thread::scope(|scope| {
            let sent = scope.spawn(move || (0..count).try_for_each(|number| sender.send(&number)));
            let mut fast = Crediting::new(&ground, 0, Reader(&queue, 0, u64::MAX));
            let mut slow = Crediting::new(&ground, 1, Reader(&queue, 1, window / 2));
            loop {
                let (over, sent) = (sent.is_finished(), queue.sent.load(SeqCst));
                if over && slow.received == sent {
                    break;
                }
                fast.receive(|_| ()).unwrap();
                if over || sent - slow.received == window {
                    // A producer that did not wait would go on in this time.
                    thread::sleep(Duration::from_millis(1));
                    slow.receive(|_| ()).unwrap();
                }
            }
            sent.join().unwrap().unwrap();
            assert_eq!(slow.received, count);
        });
    }
}
