//! Copies between the ring's words and private bytes. All copying of the library is here.
//!
//! A reader that can be overwritten loads words that the producer may be storing at that moment, and checks
//! afterwards. Rust allows that only for atomic accesses of one size. So payload is stored and loaded as whole,
//! aligned 8-byte words, Relaxed. The fences around the copy order it, never the copy itself. A `memcpy`, volatile
//! bytes, or `rep movsb` (atomic only per byte) would be data races.
//!
//! Compilers do not merge such accesses. So inline assembly moves long payloads, and pairs of words of short ones.
//! Assembly must do what some Rust program could have done; this assembly does relaxed 8-byte loads or stores, each
//! word once, in some order. For that no word may be split: on the ring's side every vector is aligned to its own width. That such a vector
//! moves as whole words is documented for 16 bytes on processors with AVX. For 32 bytes, and for 16 on older
//! processors, it is only observed; no exception is known. Private bytes are not shared: there vectors are unaligned,
//! and a last partial word may overlap the one before.
//!
//! Miri, loom, ThreadSanitizer and other processors take the word loop; a test compares all of them with the plainest
//! copy.
#![allow(unsafe_code)]

#[cfg_attr(not(all(target_arch = "x86_64", not(any(miri, loom, quoit_tsan)))), path = "copy/plain.rs")]
mod vector;

use core::mem::MaybeUninit;

use self::vector::{begins_a_pair, load_pair, read_long, store_pairs, take_pairs, write_long};
use crate::atomics::Word;

/// The low half of a word, for the kernel to compare before it puts a thread to sleep.
#[cfg(not(loom))]
pub(crate) fn low_half(word: &crate::atomics::OwnedWord) -> &crate::atomics::AtomicU32 {
    // SAFETY: aligned, in bounds, and first, since every supported target is little-endian. All bit patterns are
    // valid, and this process accesses the word whole: only the kernel accesses the half.
    unsafe { &*core::ptr::from_ref(word).cast() }
}

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Copies of this many bytes and more go through vector registers. Measured: they begin to pay at about 200 bytes
/// where lengths repeat, at about 500 where they follow no pattern (more branches to guess wrong). At most 256:
/// `unrolled` counts to 31 words.
const LONG: usize = 256;

/// Stores `bytes` into `words` from the first; the rest of the last word touched becomes zero. Copies what fits.
#[inline(always)]
pub(crate) fn write(words: &[Word], bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(bytes_in(words))];
    if bytes.len() < LONG {
        // SAFETY: `bytes` has just been cut to what `words` holds.
        unsafe { write_short(words, bytes) };
    } else {
        write_long(words, bytes);
    }
}

/// As `write`, for the records of a run, which the compiler may have in registers: it loads the payload, and stores word
/// by word. `write` loads in assembly, so a record has to be in memory first, and is built there, stored and loaded
/// again. That costs more than the stores it saves, unless each store waits for a line of the other side's.
#[inline(always)]
pub(crate) fn write_run(words: &[Word], bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(bytes_in(words))];
    if bytes.len() >= LONG {
        return write_long(words, bytes);
    }
    let (chunks, _) = bytes.as_chunks::<WORD>();
    unrolled(chunks.len(), |at| {
        // SAFETY: `at` is below the number of chunks, and there are as many words: `bytes` has just been cut to them.
        let word = unsafe { words.get_unchecked(at) };
        // SAFETY: as above.
        let chunk = unsafe { chunks.get_unchecked(at) };
        store(word, u64::from_le_bytes(*chunk));
    });
    write_tail(words.get(chunks.len()..).unwrap_or_default(), bytes);
}

/// As `write`, but not inlined: for callers that are inlined in many places, and rarely get here.
#[inline(never)]
pub(crate) fn write_apart(words: &[Word], bytes: &[u8]) {
    write(words, bytes);
}

/// Stores `bytes` into both, first into `first`. Calls `between` after `first` has its bytes, except a last partial
/// word, and before `second` has any. Copies what fits both. Cheaper than two copies for short payloads.
#[inline(always)]
pub(crate) fn write_twice(first: &[Word], second: &[Word], bytes: &[u8], between: impl Fn()) {
    let bytes = &bytes[..bytes.len().min(bytes_in(first)).min(bytes_in(second))];
    let (chunks, tail) = bytes.as_chunks::<WORD>();
    macro_rules! straight {
        ($($words:literal)*) => {
            match chunks.len() {
                $($words => {
                    // SAFETY: `bytes` has just been cut to what `first` holds.
                    unsafe { put::<$words>(first, chunks) };
                    between();
                    // SAFETY: and to what `second` holds.
                    unsafe { put::<$words>(second, chunks) };
                })*
                _ => {
                    write_plain(first, chunks.as_flattened());
                    between();
                    write_plain(second, chunks.as_flattened());
                }
            }
        };
    }
    straight!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    if !tail.is_empty() {
        write_tail(first.get(chunks.len()..).unwrap_or_default(), bytes);
        write_tail(second.get(chunks.len()..).unwrap_or_default(), bytes);
    }
}

/// Stores the first `N` chunks, two at a time where that makes 16 aligned bytes of the ring. While the other side's
/// cache has the ring's lines, every store waits for one, and a processor has room for some fifty waiting stores.
/// Half the stores allow twice as many lines to be on their way at once.
///
/// # Safety
///
/// Both have at least `N` elements.
#[inline(always)]
unsafe fn put<const N: usize>(words: &[Word], chunks: &[[u8; WORD]]) {
    let alone = |at: usize| {
        // SAFETY: `at` is below `N`, and there are as many words, as the caller guarantees.
        let word = unsafe { words.get_unchecked(at) };
        // SAFETY: as above.
        let chunk = unsafe { chunks.get_unchecked(at) };
        store(word, u64::from_le_bytes(*chunk));
    };
    if N < 2 {
        (0..N).for_each(alone);
    } else if words.as_ptr().addr() & WORD == 0 {
        // SAFETY: there are `N / 2` pairs of both, and the first word is at a boundary.
        unsafe { store_pairs(words, chunks, N / 2) };
        (N / 2 * 2..N).for_each(alone);
    } else {
        alone(0);
        // SAFETY: there are at least two of both, as the caller guarantees, and so for the next line.
        let words_left = unsafe { words.get_unchecked(1..) };
        // SAFETY: as above.
        let chunks_left = unsafe { chunks.get_unchecked(1..) };
        // SAFETY: there are `(N - 1) / 2` pairs left of both, and the word they begin with is at a boundary.
        unsafe { store_pairs(words_left, chunks_left, (N - 1) / 2) };
        (1 + (N - 1) / 2 * 2..N).for_each(alone);
    }
}

/// Bytes to store into.
///
/// # Safety
///
/// Only initialised bytes are stored.
#[inline(always)]
unsafe fn to_fill(out: &mut [u8]) -> &mut [MaybeUninit<u8>] {
    let out = core::ptr::from_mut(out) as *mut [MaybeUninit<u8>];
    // SAFETY: the same bytes, borrowed for as long, and initialised afterwards too, as the caller guarantees.
    unsafe { &mut *out }
}

/// Copies the first bytes of `words` into `out`; cut to what `words` holds. `gated`: no process may overwrite them.
#[inline(always)]
pub(crate) fn read(words: &[Word], out: &mut [u8], gated: bool) {
    // SAFETY: `fill` stores initialised bytes only.
    fill(words, unsafe { to_fill(out) }, gated);
}

/// As `read`, for a value that its reader may keep in registers: `read` loads in assembly and stores there, too, and a value
/// that is used at once would wait for those stores. Two words at a time, since a value that does go through memory is mostly
/// moved 16 bytes at a time.
#[inline(always)]
pub(crate) fn read_value(words: &[Word], out: &mut [u8], gated: bool) {
    if out.len() >= LONG {
        return read(words, out, gated);
    }
    if read_value_pairs(words, out, gated) {
        return;
    }
    // SAFETY: `read_plain` stores initialised bytes only.
    read_plain(words, unsafe { to_fill(out) }, gated);
}

/// As `read_value`, for bytes that others may overwrite, with no fallback for pairs. False: these words cannot be copied in pairs;
/// nothing was copied.
#[inline(always)]
pub(crate) fn read_straight(words: &[Word], out: &mut [u8]) -> bool {
    if out.len() < LONG && out.len().is_multiple_of(2 * WORD) {
        return read_value_pairs(words, out, false);
    }
    read_value(words, out, false);
    true
}

/// Copies words in pairs. False: there is an odd one, or they do not begin where pairs do.
#[inline(always)]
fn read_value_pairs(words: &[Word], out: &mut [u8], gated: bool) -> bool {
    let is_in_pairs = out.len().is_multiple_of(2 * WORD) && begins_a_pair(words);
    if !is_in_pairs || out.len() > bytes_in(words) {
        return false;
    }
    // SAFETY: `take_pairs` stores initialised bytes only.
    let (chunks, _) = unsafe { to_fill(out) }.as_chunks_mut::<WORD>();
    // SAFETY: pairs of chunks are all there is, there are as many words, and they begin where pairs do, as was just checked.
    unsafe { take_pairs(words, chunks, gated) };
    true
}

/// As `read_value`, for a value whose length the compiler knows, in so little code that it stays part of its caller's loop.
#[inline(always)]
pub(crate) fn read_known(words: &[Word], out: &mut [u8], gated: bool) {
    if out.len() >= LONG {
        return read(words, out, gated);
    }
    let (chunks, tail) = out.as_chunks_mut::<WORD>();
    let rest = words.get(chunks.len()..).unwrap_or_default();
    for (word, chunk) in words.iter().zip(chunks) {
        *chunk = load(word, gated).to_le_bytes();
    }
    let len = tail.len();
    if len > 0
        && let Some(word) = rest.first()
    {
        tail.copy_from_slice(&load(word, gated).to_le_bytes()[..len]);
    }
}

/// Appends the first `len` bytes of `words` to `out`; cut to what `words` holds.
#[inline]
pub(crate) fn read_vec(words: &[Word], len: usize, out: &mut Vec<u8>, gated: bool) {
    let len = len.min(bytes_in(words));
    out.reserve(len);
    let filled = fill(words, &mut out.spare_capacity_mut()[..len], gated);
    let end = out.len() + filled;
    // SAFETY: bytes below the old length were initialised, and the `filled` ones that follow just have been.
    unsafe { out.set_len(end) };
}

/// Copies words that others may overwrite. The compiler knows how many, and the second begins a pair in an inline copy, so this
/// is little code. `read_pairs` is twice as much, one half for either place, and round trips of 64 bytes take a fifth longer
/// with it.
#[inline(always)]
pub(crate) fn read_words<const N: usize>(words: &[Word; N], out: &mut [[u8; WORD]; N]) {
    // SAFETY: both ways store initialised bytes only.
    let (out, _) = unsafe { to_fill(out.as_flattened_mut()) }.as_chunks_mut();
    let (Some((first, pairs)), Some((first_out, pairs_out))) = (words.split_first(), out.split_first_mut())
    else {
        return;
    };
    first_out.write_copy_of_slice(&load(first, false).to_le_bytes());
    if N.is_multiple_of(2) || !begins_a_pair(pairs) {
        return read_plain(pairs, pairs_out.as_flattened_mut(), false);
    }
    for (pair, pair_out) in pairs.as_chunks::<2>().0.iter().zip(pairs_out.as_chunks_mut::<2>().0) {
        // SAFETY: two of both, and every second word is at such a boundary, as was just checked.
        unsafe { load_pair(pair, pair_out, false) };
    }
}

/// Overwrites the bytes at `offset` and leaves those around them unchanged. Copies what fits. Only for words that the
/// caller may write: the partial words at both ends are loaded, changed and stored.
///
/// Whole words, and bytes within one, are stored here; the rest in a function of its own.
#[inline(always)]
pub(crate) fn write_at(words: &[Word], offset: usize, bytes: &[u8]) {
    let (at, inside) = (offset / WORD, offset % WORD);
    if inside == 0 && bytes.len().is_multiple_of(WORD) {
        write(words.get(at..).unwrap_or_default(), bytes);
    } else if inside + bytes.len() <= WORD {
        merge(words.get(at..).unwrap_or_default(), inside, bytes);
    } else {
        write_across(words, offset, bytes);
    }
}

/// As `write_at`, for partial words at either end.
#[inline(never)]
fn write_across(words: &[Word], offset: usize, bytes: &[u8]) {
    let words = words.get(offset / WORD..).unwrap_or_default();
    let inside = offset % WORD;
    let (words, bytes) = if inside == 0 {
        (words, bytes)
    } else {
        let (first, bytes) = bytes.split_at(bytes.len().min(WORD - inside));
        merge(words, inside, first);
        (words.get(1..).unwrap_or_default(), bytes)
    };
    let (whole, last) = bytes.split_at(bytes.len() / WORD * WORD);
    write(words, whole);
    merge(words.get(whole.len() / WORD..).unwrap_or_default(), 0, last);
}

/// The first `len` bytes of `words` as a slice; cut to what `words` holds.
///
/// # Safety
///
/// While the slice lives, no process writes the words, this one included.
#[cfg(not(loom))]
#[inline]
pub(crate) unsafe fn slice(words: &[Word], len: usize) -> &[u8] {
    let len = len.min(bytes_in(words));
    // SAFETY: initialised memory, borrowed for as long as the words; the caller guarantees that no byte changes.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), len) }
}

/// The first `len` bytes of `words` as a slice to write to; cut to what `words` holds.
///
/// # Safety
///
/// While the slice lives, no other code accesses the words, in this process or another; not even a reader that would
/// detect afterwards that it was overwritten.
#[cfg(not(loom))]
#[inline]
#[allow(clippy::mut_from_ref, reason = "words can be written through a shared reference, as any atomic")]
pub(crate) unsafe fn slice_mut(words: &[Word], len: usize) -> &mut [u8] {
    let len = len.min(bytes_in(words));
    // SAFETY: initialised memory, borrowed for as long as the words. They are atomics, so a pointer taken from a
    // shared reference to them may write; that no other code accesses them, as the caller guarantees.
    unsafe { core::slice::from_raw_parts_mut(words.as_ptr().cast_mut().cast(), len) }
}

/// Prefetches the cache line of the word at a place that will be read soon. It is not an access, and has no visible
/// effect, wherever that is.
#[inline(always)]
pub(crate) fn will_read_at(words: &[Word], at: usize) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect that a program can see, not even of an address where nothing is, and every
        // processor with SSE has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(words.as_ptr().wrapping_add(at).cast()) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
    let _ = (words, at);
}

/// Prefetches the cache line of a word that will be read soon. It is not an access, and has no visible effect.
#[inline(always)]
pub(crate) fn will_read(word: &Word) {
    will_read_at(core::slice::from_ref(word), 0);
}

/// Prefetches the cache line of a word that will be written soon, for writing. It is not an access, and has no
/// visible effect.
#[inline(always)]
pub(crate) fn will_write(word: &Word) {
    #[cfg(all(target_arch = "x86_64", not(any(miri, loom))))]
    // SAFETY: a prefetch has no effect that a program can see; a processor that does not have it does nothing.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) core::ptr::from_ref(word), options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(any(miri, loom)))))]
    let _ = word;
}

#[inline(always)]
fn bytes_in(words: &[Word]) -> usize {
    words.len() * WORD
}

#[inline(always)]
fn store(word: &Word, value: u64) {
    word.store(value, at!(W2_PAYLOAD, Relaxed));
}

#[inline(always)]
fn load(word: &Word, gated: bool) -> u64 {
    let ordering = at!(R2_PAYLOAD, Relaxed);
    if gated { word.load_gated(ordering) } else { word.load(ordering) }
}

/// Puts fewer than 8 bytes into the first of `words` at byte `inside`, where they do fit.
#[inline(always)]
fn merge(words: &[Word], inside: usize, bytes: &[u8]) {
    let Some(word) = words.first() else { return };
    if bytes.is_empty() {
        return;
    }
    let mask = (u64::MAX >> (8 * (WORD - bytes.len()))) << (8 * inside);
    store(word, load(word, false) & !mask | partial(bytes) << (8 * inside));
}

/// Calls `copy` for each number below `count`, in order; `count` is less than 32. The code is unrolled in two ways.
/// For sizes that fit an inline copy it is reached by one jump, which is the same for records of the same length. For
/// larger sizes it goes by powers of two, with five branches.
#[inline(always)]
fn unrolled(count: usize, mut copy: impl FnMut(usize)) {
    macro_rules! straight {
        ($($words:literal)*) => {
            match count {
                $($words => (0..$words).for_each(&mut copy),)*
                _ => by_powers(count, copy),
            }
        };
    }
    straight!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);
}

#[inline(always)]
fn by_powers(count: usize, mut copy: impl FnMut(usize)) {
    let at = step::<16>(count, 0, &mut copy);
    let at = step::<8>(count, at, &mut copy);
    let at = step::<4>(count, at, &mut copy);
    let at = step::<2>(count, at, &mut copy);
    step::<1>(count, at, &mut copy);
}

#[inline(always)]
fn step<const N: usize>(count: usize, at: usize, copy: &mut impl FnMut(usize)) -> usize {
    if count & N == 0 {
        return at;
    }
    for i in 0..N {
        copy(at + i);
    }
    at + N
}

/// The plain word loop.
#[inline(always)]
fn write_plain(words: &[Word], bytes: &[u8]) {
    let (chunks, _) = bytes.as_chunks();
    for (word, chunk) in words.iter().zip(chunks) {
        store(word, u64::from_le_bytes(*chunk));
    }
    write_tail(words.get(chunks.len()..).unwrap_or_default(), bytes);
}

/// The word loop for fewer than `LONG` bytes.
///
/// # Safety
///
/// `words` holds at least `bytes.len()` bytes.
#[inline(always)]
unsafe fn write_short(words: &[Word], bytes: &[u8]) {
    let (chunks, _) = bytes.as_chunks();
    macro_rules! straight {
        ($($words:literal)*) => {
            match chunks.len() {
                // SAFETY: there are as many words as chunks, as the caller guarantees.
                $($words => unsafe { put::<$words>(words, chunks) },)*
                count => by_powers(count, |at| {
                    // SAFETY: `at` is below the number of chunks, and there are as many words, as the caller guarantees.
                    let word = unsafe { words.get_unchecked(at) };
                    // SAFETY: as above.
                    let chunk = unsafe { chunks.get_unchecked(at) };
                    store(word, u64::from_le_bytes(*chunk));
                }),
            }
        };
    }
    straight!(0 1 2 3 4 5 6 7 8 9 10 11 12 13);
    // SAFETY: there are as many words as chunks, as the caller guarantees.
    let rest = unsafe { words.get_unchecked(chunks.len()..) };
    write_tail(rest, bytes);
}

/// Stores the 0 to 7 bytes after the last whole word of `bytes` into the first of `words`, with zeros after them.
/// No loop over bytes.
#[inline(always)]
fn write_tail(words: &[Word], bytes: &[u8]) {
    let tail = bytes.as_chunks::<WORD>().1;
    let len = tail.len();
    if len == 0 {
        return;
    }
    let Some(word) = words.first() else { return };
    let value = if let Some(last) = bytes.last_chunk() {
        // Loads the bytes before the tail along with it, and shifts them out.
        u64::from_le_bytes(*last) >> (8 * (WORD - len))
    } else {
        partial(tail)
    };
    store(word, value);
}

/// The value of 1 to 8 bytes, with zeros after them. No loop over bytes.
#[inline(always)]
fn partial(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    if let Some(whole) = bytes.first_chunk() {
        u64::from_le_bytes(*whole)
    } else if let (Some(low), Some(high)) = (bytes.first_chunk(), bytes.last_chunk()) {
        // Two halves, which overlap in the same values.
        u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << (8 * (len - 4))
    } else {
        // One to three bytes: the first, the middle one and the last are all there are.
        let byte = |at: usize| u64::from(bytes[at]) << (8 * at);
        byte(0) | byte(len / 2) | byte(len - 1)
    }
}

/// Fills `out`, cut to what `words` holds. Returns how many bytes that were.
#[inline(always)]
fn fill(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) -> usize {
    let len = out.len().min(bytes_in(words));
    let out = &mut out[..len];
    if len < LONG {
        // SAFETY: `out` has just been cut to what `words` holds.
        unsafe { read_short(words, out, gated) };
    } else {
        read_long(words, out, gated);
    }
    len
}

/// The plain word loop.
#[inline(always)]
fn read_plain(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
    let (chunks, _) = out.as_chunks_mut::<WORD>();
    let rest = words.get(chunks.len()..).unwrap_or_default();
    let mut last = 0;
    for (word, chunk) in words.iter().zip(chunks) {
        last = load(word, gated);
        chunk.write_copy_of_slice(&last.to_le_bytes());
    }
    read_tail(rest, out, last, gated);
}

/// The word loop for fewer than `LONG` bytes.
///
/// # Safety
///
/// `words` holds at least `out.len()` bytes.
#[inline]
unsafe fn read_short(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
    let (chunks, tail) = out.as_chunks_mut::<WORD>();
    if tail.is_empty() && chunks.len() > 1 {
        // SAFETY: as this function's.
        return unsafe { read_pairs(words, chunks, gated) };
    }
    let mut last = 0;
    unrolled(chunks.len(), |at| {
        // SAFETY: `at` is below the number of chunks, and there are as many words, as the caller guarantees.
        let word = unsafe { words.get_unchecked(at) };
        // SAFETY: as above.
        let chunk = unsafe { chunks.get_unchecked_mut(at) };
        last = load(word, gated);
        chunk.write_copy_of_slice(&last.to_le_bytes());
    });
    // SAFETY: there are as many words as chunks, as the caller guarantees.
    let rest = unsafe { words.get_unchecked(chunks.len()..) };
    read_tail(rest, out, last, gated);
}

/// Fills at least one chunk, two at a time where that makes 16 aligned bytes of the ring. Whoever reads the copy next
/// probably loads more than 8 bytes at a time, and such a load waits if two stores had a part of it.
///
/// # Safety
///
/// There are as many words as chunks.
#[inline(always)]
unsafe fn read_pairs(words: &[Word], chunks: &mut [[MaybeUninit<u8>; WORD]], gated: bool) {
    let last = chunks.len() - 1;
    let mut read = |first: usize| {
        if first == 1 {
            chunks[0].write_copy_of_slice(&load(&words[0], gated).to_le_bytes());
        }
        let pairs = (chunks.len() - first) / 2;
        unrolled(pairs, |pair| {
            let at = first + 2 * pair;
            // SAFETY: pair by pair from `first` there are as many words, as the caller guarantees, and chunks.
            let words = unsafe { words.get_unchecked(at..at + 2) };
            // SAFETY: as above.
            let chunks = unsafe { chunks.get_unchecked_mut(at..at + 2) };
            // SAFETY: two of both, and `first` is such that the words begin at a boundary.
            unsafe { load_pair(words, chunks, gated) };
        });
        if first + 2 * pairs == last {
            chunks[last].write_copy_of_slice(&load(&words[last], gated).to_le_bytes());
        }
    };
    // Two calls, so that the compiler knows the number of pairs if it knows that of the chunks.
    if words.as_ptr().addr() & WORD == 0 { read(0) } else { read(1) }
}

/// Fills the 0 to 7 bytes after the last whole word of `out` from the first of `words`. `before`: the value of the
/// word before, if `out` has one.
#[inline(always)]
fn read_tail(words: &[Word], out: &mut [MaybeUninit<u8>], before: u64, gated: bool) {
    let len = out.len() % WORD;
    if len == 0 {
        return;
    }
    let Some(word) = words.first() else { return };
    let value = load(word, gated);
    if let Some(end) = out.last_chunk_mut::<WORD>() {
        // Eight bytes at once, the first few of which are there already and are repeated.
        let joined = before >> (8 * len) | value << (8 * (WORD - len));
        end.write_copy_of_slice(&joined.to_le_bytes());
    } else if let Some(low) = out.first_chunk_mut::<4>() {
        low.write_copy_of_slice(&(value as u32).to_le_bytes());
        if let Some(high) = out.last_chunk_mut::<4>() {
            high.write_copy_of_slice(&((value >> (8 * (len - 4))) as u32).to_le_bytes());
        }
    } else {
        for at in [0, len / 2, len - 1] {
            out[at].write((value >> (8 * at)) as u8);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
