//! Who of several sleepers watches: asks every millisecond whether those live that all of them wait for. The others ask
//! after as long again as they have waited, and at most after 100 ms; so a watcher that is killed or stopped costs that.

use crate::atomics::{AtomicU64, at};
use crate::sync::member::Member;
use crate::sync::owner::{owner_of, to_word};
use crate::sync::shape::Content;
use crate::wait::doorbell;

/// First sleep, ns, and how long a sleeper waits before newcomers let it pass. The clock of the models counts
/// readings.
pub(crate) const PATIENCE_NS: u64 = if cfg!(loom) { 1 } else { 1_000_000 };

/// One sleeper's view of it.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    /// Who watches, in the form of an owned word.
    word: &'a AtomicU64,
    is_watching: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(word: &'a AtomicU64) -> Self {
        Self { word, is_watching: false }
    }

    /// How long this sleeper may sleep after it has waited for so long.
    pub(crate) fn slice_ns<K: Content>(&mut self, member: &Member<K>, waited_ns: u64) -> u64 {
        match waited_ns {
            ..PATIENCE_NS => PATIENCE_NS,
            _ if self.watches(member) => doorbell::PROBE_NS,
            _ => waited_ns.min(doorbell::SLICE_NS),
        }
    }

    /// Whether this is the sleeper that watches, from now on at the latest.
    fn watches<K: Content>(&mut self, member: &Member<K>) -> bool {
        if !self.is_watching {
            let seen = self.word.load(at!(O_WATCH_LOOK, Relaxed));
            let is_free =
                owner_of(seen).is_none_or(|other| !member.could_exist(other) || !member.is_alive(other));
            self.is_watching = is_free && self.change(seen, to_word(member.me()));
        }
        self.is_watching
    }

    fn change(&self, seen: u64, watch: u64) -> bool {
        let changed =
            self.word.compare_exchange(seen, watch, at!(O_WATCH, Relaxed), at!(O_WATCH_FAILED, Relaxed));
        changed.is_ok()
    }

    /// It waits no longer. Whether it has watched: then another one should.
    pub(crate) fn end<K: Content>(&mut self, member: &Member<K>) -> bool {
        if self.is_watching {
            self.change(to_word(member.me()), 0);
        }
        std::mem::take(&mut self.is_watching)
    }
}
