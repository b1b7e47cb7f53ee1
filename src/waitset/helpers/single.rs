//! A thread that sleeps on one word, where no thread can sleep on several. Nobody can call it while it sleeps: it comes
//! back when the word changes, or after a slice.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::{Errand, IDLE, lock, ring_all, start};
use crate::error::Error;
use crate::wait::clock;
use crate::wait::doorbell::SLICE_NS;
use crate::wait::futex;

pub(super) struct Single {
    state: Mutex<State>,
    given: Condvar,
}

struct State {
    errand: Option<Errand>,
    /// What it sleeps on.
    asleep: Option<Key>,
    ended: bool,
}

/// The address of a word, and what it is expected to hold.
type Key = (usize, u32);

fn key(errand: &Errand) -> Option<Key> {
    let watched = errand.watched.as_ref()?;
    Some((std::ptr::from_ref(watched.word.word()?).addr(), watched.expected))
}

impl Single {
    pub(super) fn start(errand: Errand) -> Result<Arc<Self>, Error> {
        let state = State { errand: Some(errand), asleep: None, ended: false };
        let single = Arc::new(Self { state: Mutex::new(state), given: Condvar::new() });
        let own = Arc::clone(&single);
        start(move || own.run())?;
        Ok(single)
    }

    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// Takes the errand, if it has none and is awake. Returns whether it took it.
    pub(super) fn give(&self, errand: &Errand) -> bool {
        self.take(errand, |asleep| asleep.is_none())
    }

    /// Takes the errand, if it has none and sleeps on that very word.
    pub(super) fn adopt(&self, errand: &Errand) -> bool {
        self.take(errand, |asleep| asleep.is_some() && asleep == key(errand))
    }

    fn take(&self, errand: &Errand, suits: impl FnOnce(Option<Key>) -> bool) -> bool {
        let mut state = lock(&self.state);
        if state.ended || state.errand.is_some() || !suits(state.asleep) {
            return false;
        }
        state.errand = Some(errand.clone());
        self.given.notify_one();
        true
    }

    /// Forgets the errand of an owner. The thread may sleep on until the end of the slice.
    pub(super) fn leave(&self, owner: u64) {
        let mut state = lock(&self.state);
        state.errand.take_if(|errand| errand.owner == owner);
    }

    fn run(&self) {
        loop {
            let mut state = lock(&self.state);
            let Some(errand) = state.errand.clone() else {
                let waited = self.given.wait_timeout(state, IDLE);
                let (mut state, time) = waited.unwrap_or_else(PoisonError::into_inner);
                if time.timed_out() && state.errand.is_none() {
                    state.ended = true;
                    return;
                }
                continue;
            };
            state.asleep = key(&errand);
            drop(state);
            if let Some(watched) = &errand.watched
                && let Some(word) = watched.word.word()
            {
                futex::wait(word, watched.expected, clock::monotonic_ns().saturating_add(SLICE_NS));
            }
            let has_changed = errand.has_changed();
            let mut state = lock(&self.state);
            state.asleep = None;
            // Given to another owner meanwhile, for the same word.
            let over = state.errand.take_if(|given| has_changed && key(given) == key(&errand));
            drop(state);
            ring_all(over.map(|errand| errand.ring));
        }
    }
}
