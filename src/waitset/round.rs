//! One round of a wait for many things: look, arm, make the barriers, look again. The sleep is the caller's.

use crate::atomics::FutexWord;
use crate::source::{Arming, Source, Waker};
use crate::wait::clock;
use crate::wait::doorbell::{self, NAP_NS, SLICE_NS};
use crate::wait::futex;
use crate::waitset::method::WaitMethod;

/// What a wait remembers of the things that it waits for.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Tokens of what is ready.
    ready: Vec<usize>,
    armings: Vec<Arming>,
    /// When all were last probed, ns on the monotonic clock.
    probed_ns: u64,
}

/// How long to sleep, as points on the monotonic clock, ns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sleep {
    /// If every word is slept on.
    pub(super) slice_end: u64,
    /// If not.
    pub(super) nap_end: u64,
    /// Why it is short, if nobody wakes for one of the things.
    pub(super) nap: Option<WaitMethod>,
}

/// The thread is awake again.
pub(super) fn disarm(sources: &mut [&mut dyn Source]) {
    for source in sources {
        source.disarm();
    }
}

impl Round {
    pub(super) fn ready(&self) -> &[usize] {
        &self.ready
    }

    /// Begins a wait, for nothing so far.
    pub(super) fn begin(&mut self, sources: &mut [&mut dyn Source]) {
        self.ready.clear();
        for source in sources {
            source.settle();
        }
    }

    /// Looks at all, with system calls where it is time for that. Returns whether something is ready.
    pub(super) fn probe(&mut self, sources: &mut [&mut dyn Source]) -> bool {
        let now = clock::monotonic_ns();
        // The models have no time, so they always check.
        let is_time = cfg!(loom) || now.saturating_sub(self.probed_ns) >= SLICE_NS;
        if is_time {
            self.probed_ns = now;
        }
        self.collect(sources, |source| match is_time || source.longest_ns() < SLICE_NS {
            true => source.probe(),
            false => source.look(),
        })
    }

    pub(super) fn look(&mut self, sources: &mut [&mut dyn Source]) -> bool {
        self.collect(sources, |source| source.look())
    }

    fn collect(
        &mut self,
        sources: &mut [&mut dyn Source],
        is_ready: impl Fn(&mut dyn Source) -> bool,
    ) -> bool {
        let sources = sources.iter_mut().enumerate();
        let ready = sources.filter_map(|(token, source)| is_ready(*source).then_some(token));
        self.ready.clear();
        self.ready.extend(ready);
        !self.ready.is_empty()
    }

    /// Arms all, and looks again. `None`: something is ready. `began_ns`: when the wait began.
    pub(super) fn arm(&mut self, sources: &mut [&mut dyn Source], began_ns: u64) -> Option<Sleep> {
        self.armings.clear();
        self.armings.extend(sources.iter_mut().map(|source| source.arm()));
        let nap = self.make_barriers(sources);
        let is_ready = self.look(sources);
        (!is_ready).then(|| self.sleep(sources, nap, began_ns))
    }

    /// The barriers of all words, each kind once. `None`: every word is woken. Otherwise why one is not.
    fn make_barriers(&self, sources: &[&mut dyn Source]) -> Option<WaitMethod> {
        let has = |waker| self.armings.iter().any(|arming| arming.waker == waker);
        if has(Waker::Fences) || has(Waker::InEitherMode) {
            doorbell::full_fence();
        }
        let is_needy = |waker| matches!(waker, Waker::NeedsBarrier | Waker::InEitherMode);
        let needy = self.armings.iter().zip(sources).filter(|(arming, _)| is_needy(arming.waker));
        // [S2] Pairs with [S1], of every ring in the mode `Membarrier`.
        let happened = futex::heavy_barrier_of(needy.filter_map(|(_, source)| Some(source.bell()?.0)));
        let nap = match (happened, has(Waker::Missing)) {
            (false, _) => Some(WaitMethod::NoBarrier),
            (true, true) => Some(WaitMethod::Naps),
            (true, false) => None,
        };
        #[cfg(quoit_delays)]
        crate::atomics::delays::count(|sleeps| sleeps.unbarriered += u64::from(nap.is_some()));
        nap
    }

    fn sleep(&self, sources: &[&mut dyn Source], nap: Option<WaitMethod>, began_ns: u64) -> Sleep {
        let now = clock::monotonic_ns();
        let idle_ns = now.saturating_sub(began_ns);
        let longest_ns = sources.iter().map(|source| source.longest_ns()).min();
        let longest_ns = longest_ns.unwrap_or(u64::MAX).min(doorbell::slice_ns(idle_ns, sources.len()));
        let nap_ns = longest_ns.min(doorbell::nap_ns(idle_ns));
        let slice_ns = if nap.is_none() { doorbell::armed_ns(longest_ns) } else { nap_ns };
        let due_ns = self.armings.iter().map(|arming| arming.due_ns).min().unwrap_or(u64::MAX);
        let end = |ns: u64| now.saturating_add(ns).min(due_ns);
        Sleep { slice_end: end(slice_ns), nap_end: end(slice_ns.min(NAP_NS)), nap }
    }

    /// The words of the last arming, and what they are expected to hold.
    pub(super) fn words<'a>(&self, sources: &'a [&mut dyn Source]) -> Vec<(&'a FutexWord, u32)> {
        let armed = sources.iter().zip(&self.armings);
        armed.filter_map(|(source, arming)| Some((source.bell()?.0, arming.expected))).collect()
    }

    /// The same, for another thread.
    #[cfg(not(loom))]
    pub(super) fn share_words(&self, sources: &[&mut dyn Source]) -> Vec<super::helpers::Watched> {
        let armed = sources.iter().zip(&self.armings);
        armed
            .filter_map(|(source, arming)| {
                Some(super::helpers::Watched { word: source.share_bell()?.0, expected: arming.expected })
            })
            .collect()
    }
}
