//! `Watch`: another thread waits, and tells this one.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::source::Waitable;
use crate::wait::clock;
use crate::wait::doorbell::SLICE_NS;
use crate::waitset::helpers::Helped;
use crate::waitset::method::WaitMethod;
use crate::waitset::ready::Ready;
use crate::waitset::round::{self, Round};

/// Waits for many things, as a [`WaitSet`](crate::WaitSet) does, without blocking: a helper thread of this library sleeps, and
/// calls a function when one of them may be ready. For event loops and async runtimes; [`WaitFd`](crate::WaitFd) is a `Watch`
/// with a descriptor.
///
/// [`arm`](Self::arm) says what is ready already, and otherwise sends a helper. The function is called when something may be
/// ready, or at the end of a slice, as those of a set, or of a nap of 1 to 20 ms where nobody wakes. Then try, and arm again. It may be
/// called more often, also between two calls of `arm`, and for what was armed before.
///
/// A handle is never used by the helper: it sleeps on the word alone, and takes a share of its memory, so handles may be used
/// or dropped meanwhile. One helper thread serves up to 127 things, whoever arms them. Helpers block all signals, and end after a
/// second without work.
///
/// One thread at a time uses a watch; it may move between threads. After a `fork` only the parent may use it.
///
/// ```
/// use std::sync::mpsc::channel;
/// use quoit::{Attach, Options, Ring, Watch};
///
/// let ring = Ring::heap(&Options::new().capacity(4096))?;
/// let mut consumer = ring.consumer(&Attach::gated())?;
/// let mut producer = ring.producer()?;
///
/// // Any event loop; here, a channel.
/// let (events, event_loop) = channel();
/// let mut watch = Watch::new(move || drop(events.send("try again")))?;
///
/// assert!(watch.arm(&mut [&mut consumer])?.is_empty());
/// producer.send(b"x")?;
/// assert_eq!(event_loop.recv()?, "try again");
/// assert!(consumer.try_recv()?.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Watch {
    round: Round,
    helped: Helped,
    /// Since when nothing was ready, ns on the monotonic clock.
    quiet_since: Option<u64>,
    method: WaitMethod,
}

impl Watch {
    /// A watch that calls `ring`, on a helper's thread. It should only pass the message on: meanwhile the helper does not
    /// serve others. A panic in it is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the process's forks cannot be guarded.
    pub fn new(ring: impl Fn() + Send + Sync + 'static) -> Result<Self, Error> {
        let helped = Helped::new(Arc::new(ring))?;
        Ok(Self { round: Round::default(), helped, quiet_since: None, method: WaitMethod::None })
    }

    /// What is ready. If that is nothing, a helper sleeps for these things from now on, in the place of those armed before.
    /// An empty list ends what was armed before.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if no helper thread could be started; [`Error::Forked`].
    pub fn arm(&mut self, things: &mut [&mut dyn Waitable]) -> Result<Ready<'_>, Error> {
        if self.helped.is_forked() {
            return Err(Error::Forked);
        }
        let mut sources: Vec<_> = things.iter_mut().map(|thing| thing.source()).collect();
        self.round.begin(&mut sources);
        if sources.is_empty() {
            self.helped.leave();
            return Ok(Ready::new(self.round.ready()));
        }
        let began_ns = *self.quiet_since.get_or_insert_with(clock::monotonic_ns);
        let armed = match self.round.probe(&mut sources) {
            true => None,
            false => self.round.arm(&mut sources, began_ns),
        };
        match armed {
            Some(sleep) => {
                let words = self.round.share_words(&sources);
                let method = self.helped.watch(words, together(sleep.slice_end), sleep.nap_end)?;
                self.method = method.or_nap(sleep.nap);
            }
            None => {
                self.quiet_since = None;
                round::disarm(&mut sources);
            }
        }
        Ok(Ready::new(self.round.ready()))
    }

    /// How helpers sleep since the last [`arm`](Self::arm).
    pub fn method(&self) -> WaitMethod {
        self.method
    }

    pub(super) fn is_forked(&self) -> bool {
        self.helped.is_forked()
    }
}

/// The end of a slice, up to a quarter earlier, where the ends of others are too: one turn of the helper serves them all.
/// Short sleeps end when they should.
fn together(slice_end: u64) -> u64 {
    let left = slice_end.saturating_sub(clock::monotonic_ns());
    // Slices of about the same length end at multiples of the same time.
    let length =
        [8, 4, 2, 1].into_iter().map(|slices| slices * SLICE_NS).find(|length| left >= length - length / 10);
    length.map_or(slice_end, |length| slice_end - slice_end % (length / 4))
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("method", &self.method).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_ends_with_others_and_never_later() {
        for ms in [0, 1, 89, 99, 100, 150, 250, 999, 1000] {
            let length = ms * 1_000_000;
            let slice_end = clock::monotonic_ns() + length;
            let end = together(slice_end);
            assert!(end <= slice_end && slice_end - end <= length * 10 / 36, "{ms} ms");
            let grain = SLICE_NS / 4;
            assert!(end == slice_end || end.is_multiple_of(grain), "{ms} ms");
        }
    }
}
