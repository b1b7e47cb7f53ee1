//! Every way to copy against the plainest one.

use super::*;

type Write = fn(&[Word], &[u8]);
type Read = fn(&[Word], &mut [MaybeUninit<u8>]);

const WRITES: &[(Write, core::ops::Range<usize>)] = &[
    (|words, bytes| write(words, bytes), 0..usize::MAX),
    (|words, bytes| write_run(words, bytes), 0..usize::MAX),
    (|words, bytes| write_plain(words, bytes), 0..usize::MAX),
    (|words, bytes| write_long(words, bytes), 32..usize::MAX),
    #[cfg(all(target_arch = "x86_64", not(any(miri, quoit_tsan))))]
    (vector::write::<{ vector::SSE }>, 32..usize::MAX),
];

const READS: &[(Read, core::ops::Range<usize>)] = &[
    (|words, out| assert_eq!(fill(words, out, false), out.len()), 0..usize::MAX),
    (|words, out| assert_eq!(fill(words, out, true), out.len()), 0..usize::MAX),
    (|words, out| read_plain(words, out, false), 0..usize::MAX),
    (
        |words, out| {
            out.fill(MaybeUninit::new(0));
            // SAFETY: all of them have just been initialised.
            read_value(words, unsafe { out.assume_init_mut() }, true);
        },
        0..usize::MAX,
    ),
    (
        |words, out| {
            out.fill(MaybeUninit::new(0));
            // SAFETY: as above.
            read_known(words, unsafe { out.assume_init_mut() }, true);
        },
        0..usize::MAX,
    ),
    (|words, out| read_long(words, out, false), 32..usize::MAX),
    #[cfg(all(target_arch = "x86_64", not(any(miri, quoit_tsan))))]
    (|words, out| vector::read::<{ vector::SSE }>(words, out, false), 32..usize::MAX),
];

fn random(len: usize, seed: usize) -> Vec<u8> {
    let mut state = seed as u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    core::iter::repeat_with(next).take(len).collect()
}

fn ring(words: usize) -> Box<[Word]> {
    let bytes = random(words * WORD, 99);
    let values: Box<[u64]> = bytes.as_chunks().0.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
    // SAFETY: a word has the layout of the integer in it, and nothing else points to the box.
    unsafe { Box::from_raw(Box::into_raw(values) as *mut [Word]) }
}

fn contents(words: &[Word]) -> Vec<u8> {
    words.iter().flat_map(|word| load(word, true).to_le_bytes()).collect()
}

/// Every length up to 600 and a few long ones, each at every place a word can have in a vector.
fn cases() -> impl Iterator<Item = (usize, usize)> {
    let (step, longest) = if cfg!(miri) { (37, 2000) } else { (1, 65_537) };
    let lengths = (0..=600).step_by(step).chain([1000, 1024, longest - 1, longest]);
    lengths.flat_map(|len| (4..8).map(move |first| (len, first)))
}

#[test]
fn every_way_to_write_stores_the_same() {
    for (len, first) in cases() {
        let bytes = &random(len + 3, len)[len % 4..][..len];
        for (write, lengths) in WRITES.iter().filter(|(_, lengths)| lengths.contains(&len)) {
            let words = ring(len / WORD + 12);
            let mut expected = contents(&words);
            let end = first * WORD + len;
            expected[first * WORD..end].copy_from_slice(bytes);
            expected[end..end.next_multiple_of(WORD)].fill(0);
            write(&words[first..], bytes);
            assert_eq!(contents(&words), expected, "{len} bytes at word {first}, {lengths:?}");
        }
    }
}

#[test]
fn both_copies_are_whole() {
    for (len, first) in cases().filter(|(len, _)| *len <= 200) {
        for second in 4..6 {
            let (bytes, both) = (random(len, len), [ring(40), ring(40)]);
            let begun = core::cell::Cell::new(false);
            write_twice(&both[0][first..], &both[1][second..], &bytes, || begun.set(true));
            assert!(begun.get());
            for (words, at) in both.iter().zip([first, second]) {
                let mut expected = contents(&ring(40));
                let end = at * WORD + len;
                expected[at * WORD..end].copy_from_slice(&bytes);
                expected[end..end.next_multiple_of(WORD)].fill(0);
                assert_eq!(contents(words), expected, "{len} bytes at word {at}");
            }
        }
    }
}

#[test]
fn every_way_to_read_loads_the_same() {
    for (len, first) in cases() {
        let words = ring(len / WORD + 12);
        let before = random(len + 20, 7);
        for (read, lengths) in READS.iter().filter(|(_, lengths)| lengths.contains(&len)) {
            let mut out: Vec<MaybeUninit<u8>> = before.iter().copied().map(MaybeUninit::new).collect();
            let at = 3 + len % 9;
            read(&words[first..], &mut out[at..at + len]);
            // SAFETY: all of them were made from initialised bytes.
            let out: Vec<u8> = out.iter().map(|byte| unsafe { byte.assume_init() }).collect();
            let mut expected = before.clone();
            expected[at..at + len].copy_from_slice(&contents(&words)[first * WORD..][..len]);
            assert_eq!(out, expected, "{len} bytes at word {first}, {lengths:?}");
        }
    }
}

#[test]
fn a_known_number_of_words_is_read_at_any_place() {
    fn read<const N: usize>() {
        let words = ring(N + 1);
        for first in 0..2 {
            let mut out = [[0; WORD]; N];
            read_words(words[first..].first_chunk().unwrap(), &mut out);
            assert_eq!(
                out.as_flattened(),
                &contents(&words)[first * WORD..][..N * WORD],
                "{N} words at {first}"
            );
        }
    }
    read::<1>();
    read::<2>();
    read::<5>();
    read::<13>();
}

#[test]
fn write_at_changes_its_bytes_only() {
    let longest = if cfg!(miri) { 20 } else { 60 };
    for (offset, len) in (0..=longest).flat_map(|offset| (0..=longest).map(move |len| (offset, len))) {
        let (words, bytes) = (ring(10), random(len, offset));
        let mut expected = contents(&words);
        let end = (offset + len).min(80);
        expected[offset..end].copy_from_slice(&bytes[..end - offset]);
        write_at(&words, offset, &bytes);
        assert_eq!(contents(&words), expected, "{len} bytes at {offset}");
    }
    write_at(&ring(10), usize::MAX, &[1]);
}

#[test]
fn copies_what_fits() {
    for count in [0, 1, 2, 31, 32, 33, 200] {
        let (words, bytes) = (ring(count + 1), random(count * WORD + 5, count));
        let after = contents(&words[count..]);
        write(&words[..count], &bytes);
        assert_eq!(contents(&words), [&bytes[..count * WORD], &after].concat());
        let mut out = vec![7; count * WORD + 5];
        read(&words[..count], &mut out, false);
        assert_eq!(out, [&bytes[..count * WORD], &[7; 5]].concat());
        // Of whole pairs, and longer than what is there.
        let mut out = vec![7; (count * WORD).next_multiple_of(16) + 16];
        read_value(&words[..count], &mut out, false);
        assert_eq!(out[..count * WORD], bytes[..count * WORD]);
        assert!(out[count * WORD..].iter().all(|byte| *byte == 7));
        let mut out = vec![7; count * WORD + 5];
        read_known(&words[..count], &mut out, false);
        assert_eq!(out, [&bytes[..count * WORD], &[7; 5]].concat());
        let mut out = vec![1, 2, 3];
        read_vec(&words[..count], usize::MAX, &mut out, true);
        assert_eq!(out, [&[1, 2, 3], &bytes[..count * WORD]].concat());
    }
}

#[test]
fn slices_show_the_words() {
    let words = ring(4);
    // SAFETY: no other code has the words, and the slice is gone after this line.
    unsafe { slice_mut(&words, 13) }.fill(9);
    let expected = contents(&words);
    assert_eq!(expected[..13], [9; 13]);
    // SAFETY: no code writes.
    assert_eq!(unsafe { slice(&words, 99) }, expected);
}
