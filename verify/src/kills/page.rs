//! What victims record outside the ring: a page shared with their supervisor. A killed process has done every store
//! it had executed, so the page shows how far it came.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::child::Shareable;

/// Roles that one scene can have.
pub(super) const ROLES: usize = 16;
const LOSSES: usize = 255;
const FAILURE_BYTES: usize = 2048;

/// How far a life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Forked, and not yet told to have done anything.
    Born = 0,
    /// Opening its ring: a producer takes over, a consumer attaches.
    Opening = 1,
    /// In its loop.
    Working = 2,
    /// Through with everything.
    Done = 3,
}

/// The call into the library that a victim is in. [`NAMES`] has their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Nothing = 0,
    Send = 1,
    Batch = 2,
    Claim = 3,
    Receive = 4,
    Release = 5,
    Attach = 6,
    Detach = 7,
    Create = 8,
    TakeOver = 9,
    Close = 10,
}

/// What each value of [`Inside`] is called in the counts.
pub(super) const NAMES: [&str; 11] = [
    "between calls",
    "send",
    "batch",
    "claim",
    "receive",
    "release",
    "attach",
    "detach",
    "create",
    "take over",
    "close",
];

/// Losses that a named consumer was told, with the account at the place where it began: what its next life must
/// find in its account follows from them.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Journal {
    pub(super) base: AtomicU64,
    pub(super) losses: AtomicU64,
    pub(super) next: [AtomicU64; LOSSES],
    pub(super) records: [AtomicU64; LOSSES],
}

impl Journal {
    /// Records lost below `place`, by this life's account; `None`: more losses than the journal has room for.
    pub(super) fn lost_below(&self, place: u64) -> Option<u64> {
        let losses = self.losses.load(Relaxed) as usize;
        if losses > LOSSES {
            return None;
        }
        let told = self.next.iter().zip(&self.records).take(losses);
        let below = told.filter(|(next, _)| next.load(Relaxed) <= place);
        Some(self.base.load(Relaxed) + below.map(|(_, records)| records.load(Relaxed)).sum::<u64>())
    }

    pub(super) fn begin(&self, base: u64) {
        self.base.store(base, Relaxed);
        self.losses.store(0, Relaxed);
    }

    pub(super) fn note(&self, next: u64, records: u64) {
        let at = self.losses.load(Relaxed) as usize;
        if at < LOSSES {
            self.next[at].store(next, Relaxed);
            self.records[at].store(records, Relaxed);
        }
        self.losses.store(at as u64 + 1, Relaxed);
    }
}

/// One role's part of the page. What outlives a life is for the next one of the same role, and the supervisor.
#[derive(Debug)]
#[repr(C, align(128))]
pub(super) struct Role {
    pub(super) phase: AtomicU32,
    pub(super) inside: AtomicU32,
    /// Producer: everything below may be published, since a call that would publish it had begun.
    pub(super) begun: AtomicU64,
    /// Producer: everything below must be published, since the call that published it had returned.
    pub(super) acknowledged: AtomicU64,
    /// Producer: where the supervisor says that the last one left off.
    pub(super) expected: AtomicU64,
    pub(super) epoch: AtomicU64,
    /// Consumer: one more than the first record not yet processed; 0: no life came to process anything.
    pub(super) processed: AtomicU64,
    /// Named consumer: everything below was released, since `release` had returned.
    pub(super) released: AtomicU64,
    /// Which of the two journals counts.
    pub(super) journal: AtomicU32,
    pub(super) journals: [Journal; 2],
    /// Events of all lives.
    pub(super) events: AtomicU64,
    /// Losses in them.
    pub(super) gaps: AtomicU64,
    /// Accounts held against the journal of the life before.
    pub(super) accounts: AtomicU64,
    /// Times that it came back to the place it had left.
    pub(super) resumed: AtomicU64,
}

impl Role {
    pub(super) fn reach(&self, phase: Phase) {
        self.phase.store(phase as u32, Relaxed);
    }

    pub(super) fn reached(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) >= phase as u32
    }

    /// Runs `call`, and lets it be known that it runs.
    #[inline(always)]
    pub(super) fn inside<T>(&self, inside: Inside, call: impl FnOnce() -> T) -> T {
        self.inside.store(inside as u32, Relaxed);
        let result = call();
        self.inside.store(Inside::Nothing as u32, Relaxed);
        result
    }
}

/// Everything that a scene's processes share but the ring.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Page {
    pub(super) roles: [Role; ROLES],
    /// The steady ones are to finish.
    pub(super) stop: AtomicBool,
    failure_len: AtomicU32,
    failure: [AtomicU8; FAILURE_BYTES],
}

// SAFETY: it consists of atomic integers and a flag.
unsafe impl Shareable for Page {}

impl Page {
    /// In a child: says what went wrong.
    pub(super) fn fail(&self, text: &str) {
        let bytes = &text.as_bytes()[..text.len().min(FAILURE_BYTES)];
        for (place, byte) in self.failure.iter().zip(bytes) {
            place.store(*byte, Relaxed);
        }
        self.failure_len.store(bytes.len() as u32, Relaxed);
    }

    /// What a child said that went wrong.
    pub(super) fn failure(&self) -> Option<String> {
        let len = self.failure_len.load(Relaxed) as usize;
        let bytes: Vec<u8> = self.failure[..len].iter().map(|byte| byte.load(Relaxed)).collect();
        (len > 0).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}
