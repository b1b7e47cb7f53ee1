//! What the types of this module promise about threads, compiled with the doc tests: a handle moves between threads, no two
//! threads use it at a time, and a guard stays with its thread.
//!
//! For each type there is code that has to compile, and code that must not. A stable compiler does not look at the error
//! number; the code that compiles shows that the type is there, and that nothing but the promise is in the way.

/// A type in the form of an item, for the tests in its documentation.
macro_rules! handle {
    ($name:ident: $type:literal) => {
        #[doc = concat!("```\nfn is_send<T: Send>() {}\nis_send::<quoit::sync::", $type, ">();\n```\n")]
        #[doc = concat!(
                            "```compile_fail,E0277\nfn is_sync<T: Sync>() {}\nis_sync::<quoit::sync::",
                            $type,
                            ">();\n```\n"
                        )]
        pub struct $name;
    };
}

/// The same, for what is held by a handle.
macro_rules! guard {
    ($name:ident: $type:literal) => {
        #[doc = concat!("```\nfn exists<T>() {}\nexists::<quoit::sync::", $type, ">();\n```\n")]
        #[doc = concat!(
                            "```compile_fail,E0277\nfn is_send<T: Send>() {}\nis_send::<quoit::sync::",
                            $type,
                            ">();\n```\n"
                        )]
        #[doc = concat!(
                            "```compile_fail,E0277\nfn is_sync<T: Sync>() {}\nis_sync::<quoit::sync::",
                            $type,
                            ">();\n```\n"
                        )]
        pub struct $name;
    };
}

handle!(Mutex: "Mutex<u64>");
handle!(Semaphore: "Semaphore");
handle!(Event: "Event");
handle!(Barrier: "Barrier");
handle!(Latch: "Latch");
handle!(LatchParty: "LatchParty");
handle!(Once: "Once");
handle!(Condvar: "Condvar");
handle!(RwLock: "RwLock<u64>");
handle!(Latest: "Latest<u64>");
handle!(LatestReader: "LatestReader<u64>");
handle!(LatestBytes: "LatestBytes");
handle!(LatestBytesReader: "LatestBytesReader");
handle!(Table: "Table<u64>");
handle!(TableReader: "TableReader<u64>");
handle!(Inspector: "Inspector");

guard!(MutexGuard: "MutexGuard<'static, u64>");
guard!(ReadGuard: "ReadGuard<'static, u64>");
guard!(WriteGuard: "WriteGuard<'static, u64>");
guard!(Permit: "Permit<'static>");
guard!(TableRow: "TableRow<'static, u64>");
