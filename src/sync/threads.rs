//! Which thread of this process holds what, so that a thread which would wait for itself is told. Nothing else rests
//! on it: what other processes hold is not known here.

#[cfg(not(loom))]
mod imp {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex, TryLockError};

    use crate::atomics::{AtomicU64, at};
    use crate::seats::Incarnation;

    /// An object and a handle on it.
    type Key = (u128, Incarnation);

    #[derive(Debug)]
    struct Entry {
        /// The process whose handle it is: a forked child has a copy of the table, and of its parent's handles.
        pid: u32,
        /// 0: none.
        thread: Arc<AtomicU64>,
    }

    static HANDLES: Mutex<BTreeMap<Key, Entry>> = Mutex::new(BTreeMap::new());

    /// The table, unless it cannot be had: a thread of the parent may have had it when this child was forked, and then
    /// nobody ever gives it back.
    fn with<T>(work: impl FnOnce(&mut BTreeMap<Key, Entry>) -> T) -> Option<T> {
        for _ in 0..1000 {
            match HANDLES.try_lock() {
                Ok(mut handles) => return Some(work(&mut handles)),
                Err(TryLockError::Poisoned(handles)) => return Some(work(&mut handles.into_inner())),
                Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            }
        }
        None
    }

    /// A number of the calling thread that no other living thread of this process has.
    #[inline]
    fn here() -> u64 {
        std::thread_local! {
            static PLACE: u8 = const { 0 };
        }
        PLACE.with(|place| std::ptr::from_ref(place).addr() as u64)
    }

    /// Which thread uses what a handle holds.
    #[derive(Debug)]
    pub(crate) struct Holder {
        key: Key,
        thread: Arc<AtomicU64>,
    }

    impl Holder {
        pub(crate) fn new(object: u128, handle: Incarnation) -> Self {
            let (key, thread) = ((object, handle), Arc::new(AtomicU64::new(0)));
            let entry = Entry { pid: std::process::id(), thread: Arc::clone(&thread) };
            with(|handles| handles.insert(key, entry));
            Self { key, thread }
        }

        /// The calling thread holds something through the handle. A thread only ever recognises what it stored itself.
        #[inline(always)]
        pub(crate) fn enter(&self) {
            self.thread.store(here(), at!(HOLDER_SET, Relaxed));
        }

        #[inline(always)]
        pub(crate) fn leave(&self) {
            self.thread.store(0, at!(HOLDER_SET, Relaxed));
        }

        /// Does the calling thread hold what this handle on this object holds?
        pub(crate) fn is_here(object: u128, handle: Incarnation) -> bool {
            let find = |handles: &mut BTreeMap<Key, Entry>| {
                let entry = handles.get(&(object, handle))?;
                (entry.pid == std::process::id()).then(|| entry.thread.load(at!(HOLDER_LOOK, Relaxed)))
            };
            with(find).flatten() == Some(here())
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            with(|handles| handles.remove(&self.key));
        }
    }
}

/// All threads of a model are one.
#[cfg(loom)]
mod imp {
    use crate::seats::Incarnation;

    #[derive(Debug)]
    pub(crate) struct Holder;

    impl Holder {
        pub(crate) fn new(_: u128, _: Incarnation) -> Self {
            Self
        }

        pub(crate) fn enter(&self) {}

        pub(crate) fn leave(&self) {}

        pub(crate) fn is_here(_: u128, _: Incarnation) -> bool {
            false
        }
    }
}

pub(crate) use imp::Holder;
