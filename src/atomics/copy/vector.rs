//! Long copies, and pairs of words, by vector registers. The head of `copy.rs` says why that is allowed.

use core::arch::asm;
use core::arch::x86_64::__m128i;
use core::mem::MaybeUninit;

use super::{WORD, read_plain, store, write_tail};
use crate::atomics::Word;

/// Widths of a vector in bytes. Every processor has SSE.
pub(super) const AVX: usize = 32;
pub(super) const SSE: usize = 16;

/// Stores the first `count` pairs of chunks, at most six. Every processor has these instructions. The payload is loaded
/// word by word: what its owner wrote a moment ago comes straight out of the store buffer then, and a vector over two
/// such words would have to wait until everything stored before them has left it.
///
/// # Safety
///
/// There are as many of both, and the first word is at a boundary of 16 bytes.
#[inline(always)]
pub(super) unsafe fn store_pairs(words: &[Word], chunks: &[[u8; WORD]], count: usize) {
    macro_rules! pairs {
        ($($at:literal)*) => {
            // SAFETY: touches the bytes of as many pairs at both ends, each once, as the caller allows; no stack.
            // Words are atomics: a pointer from a shared reference to them may write.
            unsafe {
                asm!(
                    $(
                        concat!("movq {pair}, qword ptr [{from} + ", $at, "]"),
                        concat!("movhps {pair}, qword ptr [{from} + ", $at, " + 8]"),
                        concat!("movdqa [{to} + ", $at, "], {pair}"),
                    )*
                    pair = out(xmm_reg) _,
                    from = in(reg) chunks.as_ptr(),
                    to = in(reg) words.as_ptr(),
                    options(nostack, preserves_flags),
                );
            }
        };
    }
    match count {
        0 => {}
        1 => pairs!(0),
        2 => pairs!(0 16),
        3 => pairs!(0 16 32),
        4 => pairs!(0 16 32 48),
        5 => pairs!(0 16 32 48 64),
        _ => pairs!(0 16 32 48 64 80),
    }
}

/// Loads two words.
///
/// # Safety
///
/// There are two of both, and the first word is at a boundary of 16 bytes.
#[inline(always)]
pub(super) unsafe fn load_pair(words: &[Word], chunks: &mut [[MaybeUninit<u8>; WORD]], _gated: bool) {
    // SAFETY: loads the 16 bytes of two words and stores those of two chunks, as the caller allows; no stack.
    unsafe {
        asm!(
            "movdqa {pair}, [{from}]",
            "movdqu [{to}], {pair}",
            pair = out(xmm_reg) _,
            from = in(reg) words.as_ptr(),
            to = in(reg) chunks.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
}

/// Whether the first of these words begins a pair that one vector can move.
#[inline(always)]
pub(super) fn begins_a_pair(words: &[Word]) -> bool {
    words.as_ptr().addr() & WORD == 0
}

/// Loads all pairs of chunks, fewer than 16. The compiler stores the words, or has them in registers for whoever uses
/// them.
///
/// # Safety
///
/// Chunks are in pairs, there are at least as many words, and the first word is at a boundary of 16 bytes.
#[inline(always)]
pub(super) unsafe fn take_pairs(words: &[Word], chunks: &mut [[MaybeUninit<u8>; WORD]], _gated: bool) {
    macro_rules! pair {
        ($at:literal) => {{
            let pair: __m128i;
            // SAFETY: loads the 16 bytes of two words, as the caller allows.
            unsafe {
                asm!(
                    concat!("movdqa {pair}, [{from} + 16*", $at, "]"),
                    pair = out(xmm_reg) pair,
                    from = in(reg) words.as_ptr(),
                    options(nostack, preserves_flags, readonly),
                );
            }
            let to = chunks.as_mut_ptr().cast::<__m128i>().wrapping_add($at);
            // SAFETY: stores those of two chunks, as the caller allows.
            unsafe { to.write_unaligned(pair) };
        }};
    }
    macro_rules! pairs {
        ($($at:literal)*) => {
            // Each in turn, as long as there are more. The number is known where this is inlined.
            'all: {
                $(
                    if chunks.len() / 2 == $at {
                        break 'all;
                    }
                    pair!($at);
                )*
            }
        };
    }
    pairs!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

/// Defines a copy of `bytes` bytes through four vector registers.
///
/// All vector registers count as changed: `vzeroupper` clears the upper halves of every one, so that SSE code
/// after it need not wait for them.
macro_rules! define_moves {
    ($name:ident, $load:literal, $store:literal, $register:literal, $width:literal, $end:literal) => {
        /// # Safety
        ///
        /// `from` can be read and `to` written for `bytes` bytes, a multiple of the vector's width; the ring's
        /// side of the two is aligned to that width.
        #[inline(always)]
        unsafe fn $name(from: *const u8, to: *mut u8, bytes: usize) {
            // SAFETY: touches the `bytes` bytes at both ends, each once, as the caller allows; no stack.
            unsafe {
                asm!(
                    concat!("sub {n}, 4*", $width),
                    "jb 3f",
                    ".p2align 4",
                    "2:",
                    concat!($load, " ", $register, "0, [{from}]"),
                    concat!($load, " ", $register, "1, [{from} + ", $width, "]"),
                    concat!($load, " ", $register, "2, [{from} + 2*", $width, "]"),
                    concat!($load, " ", $register, "3, [{from} + 3*", $width, "]"),
                    concat!($store, " [{to}], ", $register, "0"),
                    concat!($store, " [{to} + ", $width, "], ", $register, "1"),
                    concat!($store, " [{to} + 2*", $width, "], ", $register, "2"),
                    concat!($store, " [{to} + 3*", $width, "], ", $register, "3"),
                    concat!("add {from}, 4*", $width),
                    concat!("add {to}, 4*", $width),
                    concat!("sub {n}, 4*", $width),
                    "jae 2b",
                    // The lower bits of n give the rest: two vectors or none, then one or none.
                    "3:",
                    concat!("test {n:e}, 2*", $width),
                    "jz 4f",
                    concat!($load, " ", $register, "0, [{from}]"),
                    concat!($load, " ", $register, "1, [{from} + ", $width, "]"),
                    concat!($store, " [{to}], ", $register, "0"),
                    concat!($store, " [{to} + ", $width, "], ", $register, "1"),
                    concat!("add {from}, 2*", $width),
                    concat!("add {to}, 2*", $width),
                    "4:",
                    concat!("test {n:e}, ", $width),
                    "jz 5f",
                    concat!($load, " ", $register, "0, [{from}]"),
                    concat!($store, " [{to}], ", $register, "0"),
                    "5:",
                    $end,
                    n = inout(reg) bytes => _,
                    from = inout(reg) from => _,
                    to = inout(reg) to => _,
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

/// Divides a copy of `len` bytes, at least one vector: the bytes before the ring's first boundary of a vector,
/// and those in whole vectors from there.
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

/// `bytes` fit into `words` and fill a vector; the processor has vectors of this width.
#[inline(always)]
pub(super) fn write<const WIDTH: usize>(words: &[Word], bytes: &[u8]) {
    let (before, moved) = divide::<WIDTH>(words, bytes.len());
    let (first, bytes) = bytes.split_at(before);
    let (bytes, last) = bytes.split_at(moved);
    let (ring_first, words) = words.split_at(before / WORD);
    let (words, ring_last) = words.split_at(moved / WORD);
    write_first(ring_first, first);
    let to = words.as_ptr().cast_mut().cast();
    if WIDTH == AVX {
        // SAFETY: `bytes` and `words` are `moved` bytes each, in whole vectors, and `words` starts at a
        // boundary. Words are atomics: a pointer from a shared reference to them may write.
        unsafe { store_avx(bytes.as_ptr(), to, moved) };
    } else {
        // SAFETY: as above.
        unsafe { store_sse(bytes.as_ptr(), to, moved) };
    }
    write_last(ring_last, last);
}

/// Stores fewer words than a vector has, up to a boundary of one. No loop.
#[inline(always)]
fn write_first(words: &[Word], bytes: &[u8]) {
    let chunks = bytes.as_chunks::<WORD>().0;
    let odd = chunks.len() & 1;
    if odd == 1 {
        store(&words[0], u64::from_le_bytes(chunks[0]));
    }
    if chunks.len() & 2 == 2 {
        let (words, chunks) = (&words[odd..][..2], &chunks[odd..][..2]);
        // SAFETY: two of both, up to a boundary of more than their bytes.
        unsafe { store_pairs(words, chunks, 1) };
    }
}

/// Stores fewer bytes than a vector has, from a boundary of one. No loop.
#[inline(always)]
fn write_last(words: &[Word], bytes: &[u8]) {
    let chunks = bytes.as_chunks::<WORD>().0;
    let even = chunks.len() & 2;
    if even == 2 {
        // SAFETY: two of both, from a boundary of more than their bytes.
        unsafe { store_pairs(&words[..2], &chunks[..2], 1) };
    }
    if chunks.len() & 1 == 1 {
        store(&words[even], u64::from_le_bytes(chunks[even]));
    }
    write_tail(&words[chunks.len()..], bytes);
}

#[inline(never)]
pub(super) fn read_long(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
    if std::arch::is_x86_feature_detected!("avx") {
        read::<AVX>(words, out, gated);
    } else {
        read::<SSE>(words, out, gated);
    }
}

/// `words` holds as much as `out`, which takes a vector; the processor has vectors of this width.
#[inline(always)]
pub(super) fn read<const WIDTH: usize>(words: &[Word], out: &mut [MaybeUninit<u8>], gated: bool) {
    let (before, moved) = divide::<WIDTH>(words, out.len());
    let (first, out) = out.split_at_mut(before);
    let (out, last) = out.split_at_mut(moved);
    let (ring_first, words) = words.split_at(before / WORD);
    let (words, ring_last) = words.split_at(moved / WORD);
    read_plain(ring_first, first, gated);
    let from = words.as_ptr().cast();
    if WIDTH == AVX {
        // SAFETY: `out` and `words` are `moved` bytes each, in whole vectors, and `words` starts at a boundary.
        unsafe { load_avx(from, out.as_mut_ptr().cast(), moved) };
    } else {
        // SAFETY: as above.
        unsafe { load_sse(from, out.as_mut_ptr().cast(), moved) };
    }
    read_plain(ring_last, last, gated);
}
