//! Sleeps without losing a wake, at no cost to the waker while no process sleeps.
//!
//! Each futex word has an armed bit (bit 0) and a count of wakes (the rest).
//!
//! ```text
//! waker                                    sleeper
//! make it true (publish, release) [W4,R5]  word |= 1                      [S2]
//! light barrier                   [S1]     heavy barrier                  [S2]
//! bit 0 set? clear it and count,           is it true? then do not sleep
//! then wake everybody                      sleep while the word is as it was
//! ```
//!
//! Either the sleeper sees that the condition is true, or the waker sees the bit: the pair of barriers excludes that
//! both miss each other. If the waker comes between the sleeper's check and its sleep, it has changed the word, and
//! the sleep does not begin. The waker clears the bit, so a sleeper killed in its sleep costs one system call once.
//! The space word has only one sleeper, the producer, and the consumers that could wake it may be gone. So the
//! producer clears its own bit when it is awake, and the bit of the producer before it.
//!
//! No barrier helps against a producer killed between publishing and waking, nor against 2^32 wakes in between. So
//! every sleep has a time limit (a slice), and on waking the caller checks everything again, the producer's lock
//! included.
//!
//! Barrier pairs, by the mode that the *producer* runs in:
//!
//! | mode | light | heavy |
//! |---|---|---|
//! | `Membarrier` | compiler fence | `membarrier` system call, which fences the producer's processor |
//! | `Fence` | full fence | full fence |
//! | `Spin` | none, and no check | none: no process sleeps armed |
//!
//! A new producer stores its mode, then changes the word with Release whatever its state [S5]. A sleeper reads the
//! mode after arming with Acquire [S2]. So a sleeper that the change does not wake sleeps by the new mode.

use crate::atomics::{FutexWord, at, fence_at, light_barrier};
use crate::wait::clock;
use crate::wait::futex;
use crate::wait::mode::WaitMode;

/// Longest armed sleep, ns: the delay of a sleeper whose producer dies before it could wake it.
pub(crate) const SLICE_NS: u64 = 100_000_000;
/// The same for a sleeper on many words, or after a long silence.
const LONG_SLICE_NS: u64 = 10 * SLICE_NS;
/// A sleep on many words may last so long for each of them, ns, within these limits.
const WORD_SLICE_NS: u64 = 10_000_000;
/// Longest sleep of an unarmed sleeper, or one whose barrier failed, ns: shortly after something came, and after a
/// long silence.
pub(crate) const NAP_NS: u64 = 1_000_000;
const LONG_NAP_NS: u64 = 20 * NAP_NS;
/// The fraction of a silence that a sleep may add to it.
const PART: u64 = 16;
/// Longest sleep of a producer that waits for space: how often it checks whether the consumers that block it are
/// alive.
pub(crate) const PROBE_NS: u64 = NAP_NS;

/// How long a nap may last after nothing has come for `idle_ns`. Naps of 1 ms throughout would use a hundredth of a
/// core for nothing.
pub(crate) fn nap_ns(idle_ns: u64) -> u64 {
    (idle_ns / PART).clamp(NAP_NS, LONG_NAP_NS)
}

/// How long an armed sleep on so many words may last after nothing has come for `idle_ns`. A turn of a hundred words takes a
/// third of a millisecond: ten of them a second would use more of a core than a thread that waits is to use.
pub(crate) fn slice_ns(idle_ns: u64, words: usize) -> u64 {
    let each_ns = (words as u64).saturating_mul(WORD_SLICE_NS);
    (idle_ns / PART).max(each_ns).clamp(SLICE_NS, LONG_SLICE_NS)
}

/// The longest armed sleep. The build with delays can make it unlimited, so that a lost wake hangs.
#[inline(always)]
pub(crate) fn armed_ns(longest: u64) -> u64 {
    #[cfg(quoit_delays)]
    if crate::atomics::delays::for_ever() {
        return u64::MAX;
    }
    longest
}

/// Waker, after making the condition true: wakes every armed sleeper. Returns whether there was one.
#[inline(always)]
pub(crate) fn notify(word: &FutexWord, mode: WaitMode) -> bool {
    match mode {
        // [S1] Pairs with [S2], which supplies the fence.
        WaitMode::Membarrier => light_barrier(word),
        // [S1] SeqCst. Pairs with [S2].
        // Orders: what was made true before the check of the word.
        // Without it: waker and sleeper miss each other, and the sleeper sleeps a slice.
        WaitMode::Fence => fence_at!(S1_FENCE, SeqCst),
        WaitMode::Spin => return false,
    }
    is_armed(word) && wake(word)
}

/// As `notify` under `Fence`, for many words.
pub(crate) fn notify_each<'a>(words: impl Iterator<Item = &'a FutexWord>) {
    // [S1] As in `notify`.
    fence_at!(S1_FENCE, SeqCst);
    for word in words {
        if is_armed(word) {
            wake(word);
        }
    }
}

/// Is a sleeper armed? A hint, unless a barrier precedes it.
#[inline(always)]
pub(crate) fn is_armed(word: &FutexWord) -> bool {
    word.0.load(at!(S1_LOOK, Relaxed)) & 1 == 1
}

#[cold]
fn wake(word: &FutexWord) -> bool {
    let mut seen = word.0.load(at!(S1_LOOK, Relaxed));
    // Wakers of the space word race each other: the one that clears the bit wakes all. Only garbage written by
    // another process keeps a waker from finishing within a few attempts, and then it wakes all anyway.
    for _ in 0..64 {
        if seen & 1 == 0 {
            return false;
        }
        let counted = seen.wrapping_add(1);
        match word.0.compare_exchange(seen, counted, at!(S1_CLEAR, Relaxed), at!(S1_CLEAR_FAILED, Relaxed)) {
            Ok(_) => break,
            Err(now) => seen = now,
        }
    }
    futex::wake_all(word);
    true
}

/// As `notify` under `Fence`, for one sleeper. The word changes, so none that is about to sleep does, and stays armed
/// for the others.
pub(crate) fn notify_one(word: &FutexWord) {
    // [S1] As in `notify`.
    fence_at!(S1_FENCE, SeqCst);
    if is_armed(word) {
        word.0.fetch_add(2, at!(S7_ONE, Relaxed));
        futex::wake(word, 1);
    }
}

/// Sleeper that sleeps later, or on several words: arms this one. Returns the value to sleep on.
pub(crate) fn arm(word: &FutexWord) -> u32 {
    // [S2] Acquire. As in `sleep`: the producer's mode is read after this.
    word.0.fetch_or(1, at!(S2_ARM, Acquire)) | 1
}

/// Sleeper that no waker knows of: the value to sleep on.
pub(crate) fn unarmed(word: &FutexWord) -> u32 {
    word.0.load(at!(S_NAP, Relaxed))
}

/// The only process that sleeps on the word is awake, or dead: its mark must not make others try to wake it. It
/// checks again before it sleeps again, so no wake is lost.
pub(crate) fn disarm(word: &FutexWord) {
    if is_armed(word) {
        word.0.fetch_and(!1, at!(S6_DISARM, Relaxed));
    }
}

/// Changes the word and wakes every sleeper, armed or not.
pub(crate) fn announce(word: &FutexWord) {
    // [S5] Release. Pairs with [S2].
    // Orders: the producer's new mode, its end, or an eviction, before the changed word.
    // Without it: a consumer sleeps by the old mode, and the new producer's light side does not reach it.
    let seen = word.0.fetch_add(2, at!(S5_ANNOUNCE, Release));
    if seen & 1 == 0 || !wake(word) {
        futex::wake_all(word);
    }
}

/// Sleeper: one slice of sleep, unless the condition is true. `heavy` returns whether its barrier happened.
pub(crate) fn sleep(
    word: &FutexWord,
    heavy: impl FnOnce(&FutexWord) -> bool,
    is_true: impl FnOnce() -> bool,
    until_ns: u64,
) {
    sleep_or_nap(word, heavy, is_true, until_ns, NAP_NS);
}

/// The same, for at most `nap_ns` if there was no barrier.
pub(crate) fn sleep_or_nap(
    word: &FutexWord,
    heavy: impl FnOnce(&FutexWord) -> bool,
    is_true: impl FnOnce() -> bool,
    until_ns: u64,
    nap_ns: u64,
) {
    // [S2] Acquire. Pairs with [S5].
    // Orders: the arming before the read of the producer's mode, inside `heavy`.
    // Without it: see [S5].
    let armed = word.0.fetch_or(1, at!(S2_ARM, Acquire)) | 1;
    let happened = heavy(word);
    let slice = if happened { armed_ns(SLICE_NS) } else { nap_ns };
    #[cfg(quoit_delays)]
    crate::atomics::delays::count(|sleeps| sleeps.unbarriered += u64::from(!happened));
    if !is_true() {
        futex::wait(word, armed, until_ns.min(clock::monotonic_ns().saturating_add(slice)));
    } else {
        #[cfg(quoit_delays)]
        crate::atomics::delays::count(|sleeps| sleeps.found += 1);
    }
}

/// Sleeps on a word that was armed before. Returns whether it was rung since.
pub(crate) fn sleep_on(word: &FutexWord, armed: u32, until_ns: u64) -> bool {
    futex::wait(word, armed, until_ns);
    word.0.load(at!(S_NAP, Relaxed)) != armed
}

/// A short sleep of a producer under `Spin`, which no consumer wakes.
pub(crate) fn nap(word: &FutexWord, is_true: impl FnOnce() -> bool, until_ns: u64) {
    doze(word, is_true, until_ns.min(clock::monotonic_ns().saturating_add(NAP_NS)));
}

/// A sleep of a process that the waker does not know of. It ends at that time, or when a waker wakes others, and does
/// not begin if the condition is true.
pub(crate) fn doze(word: &FutexWord, is_true: impl FnOnce() -> bool, until_ns: u64) {
    let seen = word.0.load(at!(S_NAP, Relaxed));
    #[cfg(quoit_delays)]
    crate::atomics::delays::count(|sleeps| sleeps.naps += 1);
    if !is_true() {
        futex::wait(word, seen, until_ns);
    }
}

/// Sleeper's heavy side for what the producer makes true, given its mode word.
pub(crate) fn heavy_for(word: &FutexWord, mode: Option<WaitMode>) -> bool {
    match mode {
        // [S2] Pairs with [S1].
        Some(WaitMode::Membarrier) => futex::heavy_barrier(word),
        Some(WaitMode::Fence) => {
            full_fence();
            true
        }
        Some(WaitMode::Spin) | None => false,
    }
}

/// The mode in which this process wakes sleepers that make both barriers (`heavy_of_both`).
pub(crate) fn waker_mode() -> WaitMode {
    if futex::accept_barriers() { WaitMode::Membarrier } else { WaitMode::Fence }
}

/// Sleeper's heavy side where wakers may be in either mode. False: those in `Membarrier` are not reached.
pub(crate) fn heavy_of_both(word: &FutexWord) -> bool {
    full_fence();
    // [S2] Pairs with [S1].
    futex::heavy_barrier(word)
}

/// [S2] and [S3]: the symmetric pair, where both sides can afford it.
#[inline(always)]
pub(crate) fn full_fence() {
    // SeqCst. Pairs with [S1] under `Fence`, and with itself between a cursor store and an arming producer.
    // Orders: the store before it, ahead of the load after it.
    // Without it: waker and sleeper miss each other, and the sleeper sleeps a slice.
    fence_at!(S2_FENCE, SeqCst);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_adds_a_sixteenth_to_a_silence() {
        let slice_of_one_ns = |idle_ns| slice_ns(idle_ns, 1);
        assert_eq!([0, PART * SLICE_NS].map(slice_of_one_ns), [SLICE_NS; 2]);
        assert_eq!(slice_of_one_ns(PART * 3 * SLICE_NS), 3 * SLICE_NS);
        assert_eq!(slice_of_one_ns(u64::MAX), LONG_SLICE_NS);
        assert_eq!([0, u64::MAX].map(nap_ns), [NAP_NS, LONG_NAP_NS]);
    }

    #[test]
    fn a_sleep_on_many_words_is_longer_from_the_start() {
        let slices_ns = [0, 10, 20, 100, usize::MAX].map(|words| slice_ns(0, words));
        assert_eq!(slices_ns, [SLICE_NS, SLICE_NS, 2 * SLICE_NS, LONG_SLICE_NS, LONG_SLICE_NS]);
    }
}
