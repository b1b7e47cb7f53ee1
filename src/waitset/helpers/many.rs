//! A thread that sleeps on many words in one system call, and on one more, by which it is called.

use std::sync::{Arc, Mutex, OnceLock};

use super::called::Called;
use super::{Errand, IDLE, Ring, lock, nap_end, ring_all, start};
use crate::error::Error;
use crate::wait::clock;
use crate::wait::futex::{self, Ended, MANY, Refused};

pub(super) struct Many {
    /// Called after `state` was given something new for the thread.
    called: Called,
    state: Mutex<State>,
    /// Why no thread of this process sleeps on several words, once that is known.
    refused: &'static OnceLock<Refused>,
}

#[derive(Default)]
struct State {
    errands: Vec<Errand>,
    /// The thread is gone, and takes nothing any more.
    ended: bool,
}

impl State {
    /// Takes out all errands of these owners. Returns their bells.
    fn take_out(&mut self, owners: &[u64]) -> Vec<Ring> {
        let (mut rings, mut rung) = (Vec::new(), Vec::new());
        self.errands.retain(|errand| {
            let is_over = owners.contains(&errand.owner);
            if is_over && !rung.contains(&errand.owner) {
                rung.push(errand.owner);
                rings.push(Arc::clone(&errand.ring));
            }
            !is_over
        });
        rings
    }
}

impl Many {
    /// A new thread, with as many of the errands as it takes.
    pub(super) fn start(
        refused: &'static OnceLock<Refused>,
        owner: u64,
        errands: &mut Vec<Errand>,
    ) -> Result<Arc<Self>, Error> {
        let many = Arc::new(Self { called: Called::new(), state: Mutex::default(), refused });
        many.give(owner, errands);
        let own = Arc::clone(&many);
        start(move || own.run())?;
        Ok(many)
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// Takes as many of the errands as there is room for, in the place of those it has of the owner. Returns whether it
    /// took any.
    pub(super) fn give(&self, owner: u64, errands: &mut Vec<Errand>) -> bool {
        let mut state = lock(&self.state);
        if state.ended {
            return false;
        }
        let before = state.errands.len();
        state.errands.retain(|errand| errand.owner != owner);
        let is_less = state.errands.len() < before;
        // One word is the thread's own.
        let taken = (MANY - 1 - state.errands.len()).min(errands.len());
        state.errands.extend(errands.drain(..taken));
        // Without the lock, which the thread takes first.
        drop(state);
        if taken > 0 || is_less {
            self.called.call();
        }
        taken > 0
    }

    /// Forgets the errands of an owner, and their words.
    pub(super) fn leave(&self, owner: u64) {
        self.give(owner, &mut Vec::new());
    }

    fn run(&self) {
        let mut idle_until = None;
        loop {
            let mut state = lock(&self.state);
            let over: Vec<u64> =
                state.errands.iter().filter(|errand| errand.is_over()).map(|errand| errand.owner).collect();
            if !over.is_empty() {
                let rings = state.take_out(&over);
                drop(state);
                ring_all(rings);
                continue;
            }
            if state.errands.is_empty() {
                let now = clock::monotonic_ns();
                let until = *idle_until.get_or_insert(now.saturating_add(clock::duration_ns(IDLE)));
                if now >= until {
                    state.ended = true;
                    return;
                }
            } else {
                idle_until = None;
            }
            // Under the lock: whoever gives something later calls after this, and the sleep does not begin, or ends.
            let count = self.called.count();
            let errands = state.errands.clone();
            drop(state);
            let ended = self.sleep(count, &errands, idle_until);
            let over = self.changed(ended, &errands);
            if !over.is_empty() {
                let rings = lock(&self.state).take_out(&over);
                ring_all(rings);
            }
        }
    }

    fn sleep(&self, count: u32, errands: &[Errand], idle_until: Option<u64>) -> Ended {
        let mut words = vec![(self.called.word(), count)];
        words.extend(errands.iter().filter_map(|errand| {
            let watched = errand.watched.as_ref()?;
            Some((watched.word.word()?, watched.expected))
        }));
        let until = errands.iter().map(|errand| errand.until_ns).chain(idle_until).min().unwrap_or(u64::MAX);
        if words.len() == 1 {
            let _ = self.called.wait(count, until);
            return Ended::Quiet;
        }
        match futex::wait_any(&words, until) {
            Ok(ended) => ended,
            Err(refused) => {
                let _ = self.refused.set(refused);
                let _ = self.called.wait(count, until.min(nap_end()));
                Ended::Changed
            }
        }
    }

    /// The owners of the words that were woken.
    fn changed(&self, ended: Ended, errands: &[Errand]) -> Vec<u64> {
        // All are to come again, and get other helpers.
        let is_refused = self.refused.get().is_some();
        let with_words = || errands.iter().filter(|errand| errand.watched.is_some());
        match ended {
            Ended::Quiet | Ended::Woken(0) => Vec::new(),
            Ended::Woken(place) => {
                with_words().nth(place - 1).map(|errand| errand.owner).into_iter().collect()
            }
            Ended::Changed => {
                let changed = with_words().filter(|errand| is_refused || errand.has_changed());
                changed.map(|errand| errand.owner).collect()
            }
        }
    }
}
