//! Copies between the ring's words and private bytes. All of the library's copying is here.
//!
//! A reader that can be overwritten loads words that the producer may be storing at that moment, and finds out
//! afterwards. Rust allows that for atomic accesses of one size only. So payload is stored and loaded as whole,
//! aligned 8-byte words, Relaxed; the fences around the copy order it, never the copy itself. A `memcpy`,
//! volatile bytes, or `rep movsb` (no promise above one byte) would be data races.
//!
//! Compilers do not merge such accesses, so long payloads are moved by inline assembly. Assembly has to do what
//! some Rust program could have done; this one does a sequence of relaxed 8-byte loads or stores in some order.
//! Two rules keep it to that story. On the ring's side every vector is aligned to its own width, so that no word
//! is ever split: vendors document 16 aligned bytes as one access on processors with AVX; 32 have no such
//! statement, yet every known processor moves them as whole words, at once or in halves. And the ring's side is
//! touched exactly once per word. Private bytes are nobody else's: there vectors are unaligned, and a last
//! partial word may overlap the one before.
//!
//! Miri, loom and other processors take the word loop; a test compares all of them with the plainest copy.
#![allow(unsafe_code)]

use core::mem::MaybeUninit;

use self::vector::{read_long, write_long};
use crate::sync::{Word, at};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// Copies of this many bytes and more go through vector registers. Below, their set-up costs more than it saves.
const LONG: usize = 192;

/// Stores `bytes` into `words` from the first; the rest of the last word touched becomes zero. Copies what fits.
#[inline]
pub(crate) fn write(words: &[Word], bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(bytes_in(words))];
    if bytes.len() < LONG {
        write_short(words, bytes);
    } else {
        write_long(words, bytes);
    }
}

/// Copies the first bytes of `words` into `out`; cut to what `words` holds. `gated`: nobody may overwrite them.
#[inline]
pub(crate) fn read(words: &[Word], out: &mut [u8], gated: bool) {
    let out = core::ptr::from_mut(out) as *mut [MaybeUninit<u8>];
    // SAFETY: the same bytes, borrowed for as long; `fill` stores initialised bytes only.
    let out = unsafe { &mut *out };
    fill(words, out, gated);
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

/// Overwrites the bytes at `offset` and leaves those around them alone. Copies what fits. Only for words that are
/// the caller's to write: the partial words at both ends are loaded, changed and stored.
pub(crate) fn write_at(words: &[Word], offset: usize, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(bytes_in(words).saturating_sub(offset))];
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
/// As long as the slice lives nobody writes the words, in this process or another.
#[cfg(not(loom))]
#[inline]
pub(crate) unsafe fn slice(words: &[Word], len: usize) -> &[u8] {
    let len = len.min(bytes_in(words));
    // SAFETY: initialised memory, borrowed for as long as the words; that no byte changes, says the caller.
    unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), len) }
}

/// The first `len` bytes of `words` as a slice to write to; cut to what `words` holds.
///
/// # Safety
///
/// As long as the slice lives nobody touches the words in any other way, in this process or another: no reader
/// either that would find out afterwards that it was overwritten.
#[cfg(not(loom))]
#[inline]
#[allow(clippy::mut_from_ref, reason = "words can be written through a shared reference, as any atomic")]
pub(crate) unsafe fn slice_mut(words: &[Word], len: usize) -> &mut [u8] {
    let len = len.min(bytes_in(words));
    // SAFETY: initialised memory, borrowed for as long as the words. They are atomics, so a pointer taken from a
    // shared reference to them may write; that nobody else touches them meanwhile, says the caller.
    unsafe { core::slice::from_raw_parts_mut(words.as_ptr().cast_mut().cast(), len) }
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

/// Puts `bytes` into the first of `words` at byte `inside`, where they do fit.
fn merge(words: &[Word], inside: usize, bytes: &[u8]) {
    let Some(word) = words.first() else { return };
    if bytes.is_empty() {
        return;
    }
    let mut value = load(word, false).to_le_bytes();
    for (to, from) in value.iter_mut().skip(inside).zip(bytes) {
        *to = *from;
    }
    store(word, u64::from_le_bytes(value));
}

/// The word loop. `bytes` fit into `words`.
#[inline(always)]
fn write_short(words: &[Word], bytes: &[u8]) {
    let (chunks, tail) = bytes.as_chunks();
    let (whole, rest) = words.split_at(chunks.len());
    let (eights, few) = whole.as_chunks::<8>();
    let (eight_chunks, few_chunks) = chunks.as_chunks::<8>();
    for (to, from) in eights.iter().zip(eight_chunks) {
        write_words(to, from);
    }
    let (four, few) = few.as_chunks::<4>();
    let (four_chunks, few_chunks) = few_chunks.as_chunks::<4>();
    if let (Some(to), Some(from)) = (four.first(), four_chunks.first()) {
        write_words(to, from);
    }
    write_few(few, few_chunks);
    write_tail(rest, bytes, tail);
}

/// Stores fewer than four words; as many of each.
#[inline(always)]
fn write_few(words: &[Word], chunks: &[[u8; WORD]]) {
    let (two, one) = words.as_chunks::<2>();
    let (two_chunks, one_chunk) = chunks.as_chunks::<2>();
    if let (Some(to), Some(from)) = (two.first(), two_chunks.first()) {
        write_words(to, from);
    }
    if let (Some(to), Some(from)) = (one.first(), one_chunk.first()) {
        store(to, u64::from_le_bytes(*from));
    }
}

/// Unrolled.
#[inline(always)]
fn write_words<const N: usize>(words: &[Word; N], chunks: &[[u8; WORD]; N]) {
    for (word, chunk) in words.iter().zip(chunks) {
        store(word, u64::from_le_bytes(*chunk));
    }
}

/// Stores `tail`, the last 0 to 7 of `bytes`, into the first of `words`.
#[inline(always)]
fn write_tail(words: &[Word], bytes: &[u8], tail: &[u8]) {
    if !tail.is_empty()
        && let Some(word) = words.first()
    {
        store(word, partial(bytes, tail));
    }
}

/// The word that starts with `tail`, the 1 to 7 last of `bytes`, and goes on with zeros. No loop over bytes.
#[inline(always)]
fn partial(bytes: &[u8], tail: &[u8]) -> u64 {
    let len = tail.len();
    if let Some(last) = bytes.last_chunk::<WORD>() {
        // Loads the bytes before the tail along with it, and shifts them out.
        u64::from_le_bytes(*last) >> (8 * (WORD - len))
    } else if let (Some(low), Some(high)) = (tail.first_chunk::<4>(), tail.last_chunk::<4>()) {
        // Two halves, which overlap in the same values.
        u64::from(u32::from_le_bytes(*low)) | u64::from(u32::from_le_bytes(*high)) << (8 * (len - 4))
    } else {
        // One to three bytes: the first, the middle one and the last are all there are.
        let byte = |at: usize| u64::from(tail[at]) << (8 * at);
        byte(0) | byte(len / 2) | byte(len - 1)
    }
}

/// Fills `out`, cut to what `words` holds. Returns how many bytes that were.
#[inline]
fn fill(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) -> usize {
    let len = out.len().min(bytes_in(words));
    let out = &mut out[..len];
    if len < LONG {
        read_short(words, out, gated);
    } else {
        read_long(words, out, gated);
    }
    len
}

/// The word loop, as in `write_short`. `words` holds as much as `out`.
#[inline(always)]
fn read_short(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
    let (chunks, _) = out.as_chunks_mut();
    let (whole, rest) = words.split_at(chunks.len());
    let (eights, few) = whole.as_chunks::<8>();
    let (eight_chunks, few_chunks) = chunks.as_chunks_mut::<8>();
    let mut last = 0;
    for (from, to) in eights.iter().zip(eight_chunks) {
        last = read_words(from, to, gated);
    }
    let (four, few) = few.as_chunks::<4>();
    let (four_chunks, few_chunks) = few_chunks.as_chunks_mut::<4>();
    if let (Some(from), Some(to)) = (four.first(), four_chunks.first_mut()) {
        last = read_words(from, to, gated);
    }
    last = read_few(few, few_chunks, gated).unwrap_or(last);
    read_tail(rest, out, last, gated);
}

/// Loads fewer than four words; as many of each. Returns the last one.
#[inline(always)]
fn read_few(words: &[Word], chunks: &mut [[MaybeUninit<u8>; WORD]], gated: bool) -> Option<u64> {
    let (two, one) = words.as_chunks::<2>();
    let (two_chunks, one_chunk) = chunks.as_chunks_mut::<2>();
    let mut last = None;
    if let (Some(from), Some(to)) = (two.first(), two_chunks.first_mut()) {
        last = Some(read_words(from, to, gated));
    }
    if let (Some(from), Some(to)) = (one.first(), one_chunk.first_mut()) {
        last = Some(read_words(core::array::from_ref(from), core::array::from_mut(to), gated));
    }
    last
}

/// Unrolled. Returns the last one.
#[inline(always)]
fn read_words<const N: usize>(words: &[Word; N], chunks: &mut [[MaybeUninit<u8>; WORD]; N], gated: bool) -> u64 {
    let mut value = 0;
    for (word, chunk) in words.iter().zip(chunks) {
        value = load(word, gated);
        chunk.write_copy_of_slice(&value.to_le_bytes());
    }
    value
}

/// Fills the last 0 to 7 bytes of `out`, those after its last whole word, from the first of `words`. `before`: the
/// value of the word before, if `out` has one.
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

/// Without vectors a long copy is a short one.
#[cfg(not(all(target_arch = "x86_64", not(miri), not(loom))))]
mod vector {
    pub(super) use super::{read_short as read_long, write_short as write_long};
}

#[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
mod vector {
    use core::arch::asm;
    use core::mem::MaybeUninit;

    use super::{WORD, read_few, read_tail, write_few, write_tail};
    use crate::sync::Word;

    /// Defines a copy of `bytes` bytes through four vector registers, 16 or 32 bytes each.
    ///
    /// `clobber_abi` says that no vector register keeps its value: `vzeroupper` ends with zeros in all of them,
    /// so that SSE code after it need not wait for their upper halves.
    macro_rules! define_moves {
        ($name:ident, $load:literal, $store:literal, $register:literal, $width:literal, $end:literal) => {
            /// # Safety
            ///
            /// `from` can be read and `to` written for `bytes` bytes, a multiple of the vector's width; the
            /// ring's side of the two is aligned to that width.
            #[inline(always)]
            unsafe fn $name(from: *const u8, to: *mut u8, bytes: usize) {
                // SAFETY: touches the `bytes` bytes at both ends, each once, as the caller allows; keeps the
                // stack as it is and leaves with the direction flag as it was.
                unsafe {
                    asm!(
                        concat!("sub rcx, 4*", $width),
                        "jb 3f",
                        ".p2align 4",
                        "2:",
                        concat!($load, " ", $register, "0, [rsi]"),
                        concat!($load, " ", $register, "1, [rsi + ", $width, "]"),
                        concat!($load, " ", $register, "2, [rsi + 2*", $width, "]"),
                        concat!($load, " ", $register, "3, [rsi + 3*", $width, "]"),
                        concat!($store, " [rdi], ", $register, "0"),
                        concat!($store, " [rdi + ", $width, "], ", $register, "1"),
                        concat!($store, " [rdi + 2*", $width, "], ", $register, "2"),
                        concat!($store, " [rdi + 3*", $width, "], ", $register, "3"),
                        concat!("add rsi, 4*", $width),
                        concat!("add rdi, 4*", $width),
                        concat!("sub rcx, 4*", $width),
                        "jae 2b",
                        // The lower bits of rcx still say what is left: two vectors or not, one or not.
                        "3:",
                        concat!("test ecx, 2*", $width),
                        "jz 4f",
                        concat!($load, " ", $register, "0, [rsi]"),
                        concat!($load, " ", $register, "1, [rsi + ", $width, "]"),
                        concat!($store, " [rdi], ", $register, "0"),
                        concat!($store, " [rdi + ", $width, "], ", $register, "1"),
                        concat!("add rsi, 2*", $width),
                        concat!("add rdi, 2*", $width),
                        "4:",
                        concat!("test ecx, ", $width),
                        "jz 5f",
                        concat!($load, " ", $register, "0, [rsi]"),
                        concat!($store, " [rdi], ", $register, "0"),
                        "5:",
                        $end,
                        inout("rsi") from => _,
                        inout("rdi") to => _,
                        inout("rcx") bytes => _,
                        out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                        out("xmm4") _, out("xmm5") _, out("xmm6") _, out("xmm7") _,
                        out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _,
                        out("xmm12") _, out("xmm13") _, out("xmm14") _, out("xmm15") _,
                        options(nostack),
                    );
                }
            }
        };
    }

    define_moves!(store_avx, "vmovdqu", "vmovdqa", "ymm", "32", "vzeroupper");
    define_moves!(store_sse, "movdqu", "movdqa", "xmm", "16", "");
    define_moves!(load_avx, "vmovdqa", "vmovdqu", "ymm", "32", "vzeroupper");
    define_moves!(load_sse, "movdqa", "movdqu", "xmm", "16", "");

    const AVX: usize = 32;
    const SSE: usize = 16;

    /// Divides a copy of `len` bytes, at least 32: the bytes up to the ring's first aligned vector, and those in
    /// whole vectors.
    #[inline(always)]
    fn divide<const WIDTH: usize>(words: &[Word], len: usize) -> (usize, usize) {
        let before = words.as_ptr().addr().wrapping_neg() & (WIDTH - WORD);
        (before, (len - before) & !(WIDTH - 1))
    }

    #[inline(never)]
    pub(super) fn write_long(words: &[Word], bytes: &[u8]) {
        if std::arch::is_x86_feature_detected!("avx") {
            write::<AVX>(words, bytes);
        } else {
            write::<SSE>(words, bytes);
        }
    }

    /// `bytes` fit into `words` and are at least 32.
    #[inline(always)]
    pub(super) fn write<const WIDTH: usize>(words: &[Word], all: &[u8]) {
        let (before, moved) = divide::<WIDTH>(words, all.len());
        let (first, bytes) = all.split_at(before);
        let (bytes, last) = bytes.split_at(moved);
        let (ring_first, words) = words.split_at(before / WORD);
        let (words, ring_last) = words.split_at(moved / WORD);
        write_few(ring_first, first.as_chunks().0);
        let to = words.as_ptr().cast_mut().cast();
        if WIDTH == AVX {
            // SAFETY: `bytes` and `words` are `moved` bytes each, in whole vectors, and `words` starts at a
            // boundary. Words are atomics: a pointer from a shared reference to them may write.
            unsafe { store_avx(bytes.as_ptr(), to, moved) };
        } else {
            // SAFETY: as above.
            unsafe { store_sse(bytes.as_ptr(), to, moved) };
        }
        let (last, tail) = last.as_chunks();
        let (few, rest) = ring_last.split_at(last.len());
        write_few(few, last);
        write_tail(rest, all, tail);
    }

    #[inline(never)]
    pub(super) fn read_long(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
        if std::arch::is_x86_feature_detected!("avx") {
            read::<AVX>(words, out, gated);
        } else {
            read::<SSE>(words, out, gated);
        }
    }

    /// `words` holds as much as `out`, at least 32 bytes.
    #[inline(always)]
    pub(super) fn read<const WIDTH: usize>(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
        let (before, moved) = divide::<WIDTH>(words, out.len());
        let (first, out) = out.split_at_mut(before);
        let (out, last) = out.split_at_mut(moved);
        let (ring_first, words) = words.split_at(before / WORD);
        let (words, ring_last) = words.split_at(moved / WORD);
        read_few(ring_first, first.as_chunks_mut().0, gated);
        let from = words.as_ptr().cast();
        if WIDTH == AVX {
            // SAFETY: `out` and `words` are `moved` bytes each, in whole vectors, and `words` starts at a boundary.
            unsafe { load_avx(from, out.as_mut_ptr().cast(), moved) };
        } else {
            // SAFETY: as above.
            unsafe { load_sse(from, out.as_mut_ptr().cast(), moved) };
        }
        let (chunks, _) = last.as_chunks_mut();
        let (few, rest) = ring_last.split_at(chunks.len());
        let before = read_few(few, chunks, gated).unwrap_or(0);
        read_tail(rest, last, before, gated);
    }
}
