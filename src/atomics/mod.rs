//! All atomics come through here: `core`'s in a normal build, loom's in the models.
//!
//! Every atomic access names its site with [`at!`] and every fence with [`fence_at!`]. In a normal build a site is
//! just the constant ordering. Under loom a site can be weakened at run time (one build runs every mutant), and the
//! models can crash the thread at every store. In the build with delays a thread may be delayed before any site.
//!
//! Under `cfg(quoit_tsan)` the sites carry annotations for ThreadSanitizer, which does not understand fences.
//!
//! `docs/ordering.md` lists the sites; a test compares that list with the source.

/// The ordering of the named site.
macro_rules! at {
    ($site:ident, $ordering:ident) => {{
        #[cfg(any(quoit_delays, tampered))]
        $crate::atomics::before_access();
        #[cfg(not(any(loom, quoit_tsan)))]
        let ordering = $crate::atomics::Ordering::$ordering;
        #[cfg(quoit_tsan)]
        let ordering =
            const { $crate::atomics::told(stringify!($site), $crate::atomics::Ordering::$ordering) };
        #[cfg(loom)]
        let ordering = $crate::atomics::site(
            (stringify!($site), concat!(file!(), ":", line!())),
            $crate::atomics::Ordering::$ordering,
        );
        ordering
    }};
}

/// The fence of the named site.
macro_rules! fence_at {
    ($site:ident, $ordering:ident) => {{
        #[cfg(quoit_delays)]
        $crate::atomics::delays::fence(stringify!($site), $crate::atomics::Ordering::$ordering);
        #[cfg(not(any(loom, quoit_delays)))]
        $crate::atomics::fence($crate::atomics::Ordering::$ordering);
        #[cfg(loom)]
        $crate::atomics::fence_site(
            (stringify!($site), concat!(file!(), ":", line!())),
            $crate::atomics::Ordering::$ordering,
        );
    }};
}

pub(crate) mod copy;
#[cfg(quoit_delays)]
pub mod delays;

#[cfg(tampered)]
pub(crate) mod tamper;

pub(crate) use {at, fence_at};

pub(crate) use self::imp::*;

#[cfg(not(loom))]
mod imp {
    pub(crate) use core::sync::atomic::{
        AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering, compiler_fence, fence,
    };

    #[cfg(quoit_delays)]
    pub(crate) use crate::atomics::delays::point as before_access;
    #[cfg(tampered)]
    pub(crate) use crate::atomics::tamper::before_access;

    /// One 8-byte word of the data area. Always accessed whole and atomically: a length word of one lap is a payload
    /// word of the next, so any other access size would be a mixed-size race.
    #[repr(transparent)]
    #[derive(Debug)]
    pub(crate) struct Word(AtomicU64);

    impl Word {
        #[inline(always)]
        pub(crate) fn load(&self, ordering: Ordering) -> u64 {
            self.0.load(ordering)
        }

        /// A load by a reader that cannot be overwritten; loom checks exactly that.
        #[inline(always)]
        pub(crate) fn load_gated(&self, ordering: Ordering) -> u64 {
            self.0.load(ordering)
        }

        #[inline(always)]
        pub(crate) fn store(&self, value: u64, ordering: Ordering) {
            self.0.store(value, ordering);
        }

        #[inline(always)]
        pub(crate) fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.0.compare_exchange(current, new, success, failure)
        }
    }

    /// A 32-bit word that processes sleep on. Never half of a 64-bit cursor: that would be a mixed-size access.
    #[repr(transparent)]
    #[derive(Debug)]
    pub(crate) struct FutexWord(pub(crate) AtomicU32);

    /// An 8-byte word whose low half processes sleep on. The kernel alone accesses that half by itself.
    #[repr(transparent)]
    #[derive(Debug)]
    pub(crate) struct OwnedWord(pub(crate) AtomicU64);

    /// The light side of the `Membarrier` pair: keeps the compiler from moving the check of the sleep word above the
    /// publishing store. The heavy side forces the same on the processor.
    #[inline(always)]
    pub(crate) fn light_barrier(_word: &FutexWord) {
        compiler_fence(Ordering::SeqCst);
    }

    /// Between accesses that may raise a signal and the check of what its handler stored: keeps the compiler from
    /// moving the check up. A fault is precise, and its handler runs on the same thread, so the processor needs no
    /// fence.
    #[inline(always)]
    pub(crate) fn signal_barrier() {
        compiler_fence(Ordering::SeqCst);
    }

    /// One turn of a busy wait.
    #[inline(always)]
    pub(crate) fn spin() {
        core::hint::spin_loop();
    }

    /// Loads that a later fence turns into acquire loads, together with the fence: annotated for ThreadSanitizer at
    /// the load.
    ///
    /// ThreadSanitizer detects non-atomic accesses that nothing orders: records lent and filled in place. The edges
    /// of a seqlock (W1 and R1, W3 and R3, I1) order atomics among atomics and are left out. Otherwise every word of
    /// the ring would become an acquire load, and hide an edge that is missing elsewhere.
    #[cfg(quoit_tsan)]
    const ACQUIRED: [(&str, &str); 6] = [
        ("R4_PUBLISHED", "R4_FENCE"),
        ("R4_EPOCH", "R7_FENCE"),
        ("R8_PUBLISHED", "R8_FENCE"),
        ("G2_PUBLISHED", "G5_FENCE"),
        ("I2_READ", "I2_READ_FENCE"),
        ("A_CURSOR", "A1_FENCE"),
    ];

    /// The ordering of a site as annotated for ThreadSanitizer. `QUOIT_WEAKEN`, at compile time, names a site that
    /// orders nothing, to see a test fail.
    #[cfg(quoit_tsan)]
    pub(crate) const fn told(site: &str, ordering: Ordering) -> Ordering {
        let weakened = match option_env!("QUOIT_WEAKEN") {
            Some(site) => site,
            None => "",
        };
        if same(site, weakened) {
            return Ordering::Relaxed;
        }
        let mut at = 0;
        while at < ACQUIRED.len() {
            let (load, fence) = ACQUIRED[at];
            if same(site, load) && !same(fence, weakened) {
                return Ordering::Acquire;
            }
            at += 1;
        }
        ordering
    }

    #[cfg(quoit_tsan)]
    const fn same(a: &str, b: &str) -> bool {
        let (a, b) = (a.as_bytes(), b.as_bytes());
        let mut at = 0;
        while at < a.len() && at < b.len() && a[at] == b[at] {
            at += 1;
        }
        at == a.len() && at == b.len()
    }

    /// Another process's read of a word, and its garbage in it.
    #[cfg(tampered)]
    pub(crate) fn peek(word: &AtomicU64) -> u64 {
        word.load(Ordering::Relaxed)
    }

    #[cfg(tampered)]
    pub(crate) fn poke(word: &AtomicU64, value: u64) {
        word.store(value, Ordering::Relaxed);
    }
}

#[cfg(loom)]
mod imp {
    pub(crate) use loom::sync::atomic::Ordering;

    use std::cell::Cell;

    /// Loom's integer with a crash point before every store: a killed process has done a prefix of its stores. Past
    /// that point the thread runs on as a ghost, whose stores no thread sees. So a crash needs no unwinding, and the
    /// code after it is exercised as well.
    macro_rules! crashable {
        ($name:ident, $inner:ty, $int:ty) => {
            #[derive(Debug)]
            pub(crate) struct $name($inner);

            #[allow(dead_code, reason = "one wrapper serves both widths")]
            impl $name {
                pub(crate) fn new(value: $int) -> Self {
                    Self(<$inner>::new(value))
                }

                pub(crate) fn load(&self, ordering: Ordering) -> $int {
                    self.0.load(ordering)
                }

                pub(crate) fn store(&self, value: $int, ordering: Ordering) {
                    if still_alive() {
                        self.0.store(value, ordering);
                    }
                }

                pub(crate) fn fetch_or(&self, value: $int, ordering: Ordering) -> $int {
                    if !still_alive() {
                        return self.0.load(Ordering::Relaxed);
                    }
                    self.0.fetch_or(value, ordering)
                }

                pub(crate) fn fetch_and(&self, value: $int, ordering: Ordering) -> $int {
                    if !still_alive() {
                        return self.0.load(Ordering::Relaxed);
                    }
                    self.0.fetch_and(value, ordering)
                }

                pub(crate) fn fetch_add(&self, value: $int, ordering: Ordering) -> $int {
                    if !still_alive() {
                        return self.0.load(Ordering::Relaxed);
                    }
                    self.0.fetch_add(value, ordering)
                }

                pub(crate) fn compare_exchange(
                    &self,
                    current: $int,
                    new: $int,
                    success: Ordering,
                    failure: Ordering,
                ) -> Result<$int, $int> {
                    if !still_alive() {
                        return Ok(current);
                    }
                    self.0.compare_exchange(current, new, success, failure)
                }
            }
        };
    }

    crashable!(AtomicU32, loom::sync::atomic::AtomicU32, u32);
    crashable!(AtomicU64, loom::sync::atomic::AtomicU64, u64);

    /// One word of the data area, with a tracked cell. The writer and gated readers access it, so a missing edge
    /// between them is reported as a race even where every value happens to be right.
    #[derive(Debug)]
    pub(crate) struct Word {
        value: AtomicU64,
        owned: loom::cell::UnsafeCell<()>,
    }

    impl Word {
        pub(crate) fn new() -> Self {
            Self { value: AtomicU64::new(0), owned: loom::cell::UnsafeCell::new(()) }
        }

        pub(crate) fn load(&self, ordering: Ordering) -> u64 {
            self.value.load(ordering)
        }

        pub(crate) fn load_gated(&self, ordering: Ordering) -> u64 {
            if is_ghost() {
                return self.value.load(ordering);
            }
            self.owned.with(|_| self.value.load(ordering))
        }

        pub(crate) fn store(&self, value: u64, ordering: Ordering) {
            if still_alive() {
                self.owned.with_mut(|_| self.value.0.store(value, ordering));
            }
        }

        /// Both sides may change the word, so loom does not watch for races.
        pub(crate) fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.value.compare_exchange(current, new, success, failure)
        }
    }

    /// A futex word, with what a model needs to sleep on it.
    #[derive(Debug)]
    pub(crate) struct FutexWord(
        pub(crate) AtomicU32,
        pub(crate) loom::sync::Mutex<()>,
        pub(crate) loom::sync::Condvar,
        loom::sync::atomic::AtomicU32,
        // Only ever locked between two steps of the model.
        std::sync::Mutex<Vec<std::sync::Arc<Sleeper>>>,
    );

    /// A thread that sleeps on several words.
    #[derive(Debug)]
    pub(crate) struct Sleeper {
        pub(crate) woken: loom::sync::Mutex<bool>,
        pub(crate) wake: loom::sync::Condvar,
    }

    impl Sleeper {
        pub(crate) fn new() -> Self {
            Self { woken: loom::sync::Mutex::new(false), wake: loom::sync::Condvar::new() }
        }
    }

    impl FutexWord {
        pub(crate) fn new() -> Self {
            let meeting = loom::sync::atomic::AtomicU32::new(0);
            let sleepers = std::sync::Mutex::default();
            Self(AtomicU32::new(0), loom::sync::Mutex::new(()), loom::sync::Condvar::new(), meeting, sleepers)
        }

        /// The sleeper is woken with the word from now on.
        pub(crate) fn add(&self, sleeper: &std::sync::Arc<Sleeper>) {
            self.4.lock().unwrap().push(sleeper.clone());
        }

        pub(crate) fn remove(&self, sleeper: &std::sync::Arc<Sleeper>) {
            self.4.lock().unwrap().retain(|other| !std::sync::Arc::ptr_eq(other, sleeper));
        }

        pub(crate) fn sleepers(&self) -> Vec<std::sync::Arc<Sleeper>> {
            self.4.lock().unwrap().clone()
        }

        /// What `membarrier` gives the two sides of a pair: one of them comes first, and the other sees everything
        /// before it. It is not a fence, so that a sleeper that uses the wrong barrier is caught.
        pub(crate) fn meet(&self, site: Site) {
            if weakened(site).is_none() && !is_ghost() {
                self.3.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// An 8-byte word, with what a model needs to sleep on it.
    #[derive(Debug)]
    pub(crate) struct OwnedWord(
        pub(crate) AtomicU64,
        pub(crate) loom::sync::Mutex<()>,
        pub(crate) loom::sync::Condvar,
    );

    impl OwnedWord {
        pub(crate) fn new() -> Self {
            Self(AtomicU64::new(0), loom::sync::Mutex::new(()), loom::sync::Condvar::new())
        }
    }

    pub(crate) fn light_barrier(word: &FutexWord) {
        word.meet(("S1_LIGHT", concat!(file!(), ":", line!())));
    }

    pub(crate) fn spin() {
        loom::thread::yield_now();
    }

    /// Its name, and the file and line of the access.
    pub(crate) type Site = (&'static str, &'static str);

    /// The weakened site, from the environment, so that one build runs every mutant: `SITE`, or `SITE:Ordering` for a
    /// fence that is kept as a weaker one. `?` weakens nothing and prints every site that is reached, with the places.
    struct Weakened {
        site: String,
        to: Option<Ordering>,
        reached: Option<std::sync::Mutex<std::collections::BTreeSet<Site>>>,
    }

    fn weakening() -> Option<&'static Weakened> {
        static WEAKENED: std::sync::OnceLock<Option<Weakened>> = std::sync::OnceLock::new();
        let read = || {
            let text = std::env::var("QUOIT_WEAKEN").ok()?;
            let reached = (text == "?").then(Default::default);
            let (site, to) =
                text.split_once(':').map_or((text.as_str(), None), |(site, to)| (site, Some(to)));
            let to = to.map(|to| match to {
                "AcqRel" => Ordering::AcqRel,
                "Acquire" => Ordering::Acquire,
                "Release" => Ordering::Release,
                _ => panic!("QUOIT_WEAKEN: no ordering is called {to}"),
            });
            Some(Weakened { site: site.to_owned(), to, reached })
        };
        WEAKENED.get_or_init(read).as_ref()
    }

    /// The ordering of this site if it is the weakened one; `None`: no ordering at all.
    fn weakened(site: Site) -> Option<Option<Ordering>> {
        let weakened = weakening()?;
        let (name, place) = site;
        if let Some(reached) = &weakened.reached
            && reached.lock().unwrap().insert(site)
        {
            println!("site {name} at {place}");
        }
        (weakened.site == name).then_some(weakened.to)
    }

    pub(crate) fn site(site: Site, ordering: Ordering) -> Ordering {
        match (weakened(site), ordering) {
            (None, ordering) => ordering,
            (Some(Some(to)), _) => to,
            (Some(None), Ordering::SeqCst) => Ordering::AcqRel,
            (Some(None), _) => Ordering::Relaxed,
        }
    }

    pub(crate) fn fence_site(site: Site, ordering: Ordering) {
        let kept = weakened(site).unwrap_or(Some(ordering));
        if let Some(ordering) = kept
            && !is_ghost()
        {
            loom::sync::atomic::fence(ordering);
        }
    }

    loom::thread_local! {
        /// Remaining stores of this thread before it crashes.
        static STORES_LEFT: Cell<Option<usize>> = Cell::new(None);
    }

    /// Runs `work` on this thread, killed just before its `stores`-th store (from 0). `None`: it died. Its result was
    /// dropped, and only the release of its locks had an effect.
    pub(crate) fn crash_after<T>(stores: usize, work: impl FnOnce() -> T) -> Option<T> {
        STORES_LEFT.with(|left| left.set(Some(stores)));
        let result = work();
        // The ghost's result is dropped here, while the thread still is a ghost.
        let survived = (!is_ghost()).then_some(result);
        STORES_LEFT.with(|left| left.set(None));
        survived
    }

    /// Has this thread crashed?
    pub(crate) fn is_ghost() -> bool {
        STORES_LEFT.with(|left| left.get() == Some(0))
    }

    /// A crash point: counts the store that is about to happen. False: the thread died before it.
    fn still_alive() -> bool {
        STORES_LEFT.with(|left| match left.get() {
            Some(0) => false,
            Some(stores) => {
                left.set(Some(stores - 1));
                true
            }
            None => true,
        })
    }
}
